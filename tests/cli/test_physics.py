"""`heatproof physics`: the template runs, laws decide the exit code, and wrong use is told in one sentence."""

import json

import numpy as np
import pytest

from heatproof.cli import main
from heatproof.synthetic.systems import vortex


def run(*words):
    with pytest.raises(SystemExit) as stop:
        main(["physics", *map(str, words)])
    return stop.value.code


@pytest.fixture(scope="module")
def flows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flows")
    for i, one in enumerate(vortex.draw(12, 3).data):
        np.save(folder / f"{i:02}.npy", one.numpy())
    return folder


def test_the_template_runs_as_it_is_but_for_what_it_asks_to_delete(flows, tmp_path, capsys):
    laws = tmp_path / "laws.py"
    assert run("--init", laws) in (0, None)
    text = laws.read_text()
    assert "def act(x)" in text
    assert "def act_target(y)" in text
    assert "def simulate(x)" in text
    laws.write_text(text[: text.index("# The true answer")])
    code = run("bundled:vortex_right", flows, "--laws", laws, "--json", "--out", tmp_path / "out")
    assert code == 0
    told = json.loads(_json(capsys))
    outcomes = {
        one["details"]["law"]: one["details"]["outcome"] for one in told["results"] if one["check"] == "symmetry"
    }
    assert outcomes == {"mirror x": "both keep it", "laws": "both keep it"}
    assert (tmp_path / "out" / "index.html").is_file()


def _json(capsys):
    out = capsys.readouterr().out
    return out[out.index("{") :]


def test_a_broken_law_fails_the_gate(flows, tmp_path, capsys):
    laws = tmp_path / "laws.py"
    laws.write_text(
        "from heatproof import physics\n"
        'READ = {"layout": "chw", "channels": ["u", "v"]}\n'
        'LAWS = physics.mirror("x", vector={"x": "u"})\n'  # without swapping the classes
    )
    assert run("bundled:vortex_right", flows, "--laws", laws, "--fail-on", "undermines") == 1
    assert "The model breaks it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Give MODEL, DATA and --laws FILE"),
        (("--example", "vertex"), "There is no example 'vertex'; did you mean 'vortex'?"),
        (("bundled:vortex_right", "DATA", "--laws", "none.py"), "none.py is not there"),
        (("bundled:vortex_right", "DATA", "--laws", "BROKEN"), "fails: ZeroDivisionError"),
        (("bundled:vortex_right", "DATA", "--laws", "EMPTY"), "says nothing"),
        (("bundled:vortex_right", "DATA", "--laws", "WORDS"), "which is no heatproof.physics law"),
        (("--example", "vortex", "--fail-on", "maybe"), "which is no verdict"),
    ],
)
def test_wrong_use_is_told(words, told, flows, tmp_path, capsys):
    written = {"BROKEN": "1 / 0", "EMPTY": "x = 1", "WORDS": "LAWS = ['mirror']"}
    names = {"DATA": flows}
    for name, text in written.items():
        names[name] = tmp_path / f"{name}.py"
        names[name].write_text(text)
    assert run(*(names.get(word, word) for word in words)) == 2
    assert told in capsys.readouterr().err


def test_a_template_is_not_written_over(tmp_path, capsys):
    (tmp_path / "laws.py").write_text("mine")
    assert run("--init", tmp_path / "laws.py") == 2
    assert (tmp_path / "laws.py").read_text() == "mine"
