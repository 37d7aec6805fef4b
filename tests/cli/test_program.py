"""The program around the commands: listing, help, exit codes, and what reaches which stream."""

import subprocess
import sys

import pytest

import heatproof
from heatproof import cli
from heatproof.cli import doctor
from heatproof.errors import InputError

HEAVY = ("torch", "torchvision", "timm", "transformers", "numpy", "scipy", "skimage", "sklearn", "PIL", "matplotlib")


@pytest.fixture
def failing(monkeypatch):
    """Make `heatproof doctor` raise what a test gives it."""

    def install(error):
        def command() -> None:
            raise error

        monkeypatch.setattr(doctor, "command", command)

    cli.commands.cache_clear()  # it remembers the functions that it loaded
    yield install
    cli.commands.cache_clear()


@pytest.mark.parametrize("words", [["--help"], [], *([name, "--help"] for name in cli.commands())], ids=" ".join)
def test_help_imports_nothing_heavy(words):
    code = f"""
import sys
from heatproof.cli import main
try:
    main({words!r})
except SystemExit:
    print("heavy:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("heavy: []")


def test_help_lists_every_command_with_its_line(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert {"demo", "doctor", "explain", "inspect", "methods"} <= set(cli.commands())
    for name, command in cli.commands().items():
        # the line may be cut at the terminal's width
        assert f"  {name} " in out
        assert command.summary[:30] in out


def test_every_command_speaks_json(run):
    for name in cli.commands():
        _, out, _ = run(name, "--help")
        assert "--json" in out


def test_version(run):
    assert run("--version") == (0, f"heatproof {heatproof.__version__}\n", "")


def test_module_runs_the_same_program():
    done = subprocess.run([sys.executable, "-m", "heatproof", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"heatproof {heatproof.__version__}\n"


def test_unknown_command_is_wrong_usage_and_names_the_nearest(run):
    code, out, err = run("explian")
    assert (code, out) == (2, "")
    assert "No such command 'explian'" in err
    assert "explain" in err


def test_unknown_option_is_wrong_usage(run):
    code, out, err = run("methods", "--bibtx")
    assert (code, out) == (2, "")
    assert "--bibtx" in err


def test_own_error_is_one_sentence(failing, run):
    failing(InputError("the file is empty; get an intact copy."))
    assert run("doctor") == (2, "", "the file is empty; get an intact copy.\n")


def test_own_error_shows_where_with_debug(failing, run):
    failing(InputError("the file is empty; get an intact copy."))
    for words in (["doctor", "--debug"], ["--debug", "doctor"]):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert "Traceback" in err
        assert err.endswith("the file is empty; get an intact copy.\n")


def test_any_other_error_is_internal(failing, run):
    failing(ZeroDivisionError("one\ntwo"))
    code, out, err = run("doctor")
    assert (code, out) == (70, "")
    assert err == "internal error: ZeroDivisionError: one two (--debug shows where).\n"


def test_internal_error_shows_where_with_debug(failing, run):
    failing(ZeroDivisionError())
    code, _, err = run("doctor", "--debug")
    assert code == 70
    assert "test_program.py" in err
