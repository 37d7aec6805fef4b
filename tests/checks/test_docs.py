"""The commands and examples of docs/checks.md run as they stand, and say what the page says that they say."""

import re
import shlex
from pathlib import Path

import pytest

from heatproof.checks import checks
from heatproof.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CONSOLE = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
VERDICTS = "supports|undermines|inconclusive|not applicable"


def answers(text):
    """Return the checks of a printed table with their verdicts."""
    names = "|".join(checks())
    return re.findall(rf"^({names}) .*  ({VERDICTS})  ", text, re.MULTILINE)


@pytest.mark.slow
def test_every_command_and_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data, library = PYTHON
    space: dict[str, object] = {}
    exec(compile(data, "docs/checks.md", "exec"), space)  # the page's own code
    for block in CONSOLE:
        commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
        printed = ""
        for command in commands:
            program, *words = shlex.split(command)
            assert program == "heatproof"
            with pytest.raises(SystemExit) as stop:
                main(words)
            assert stop.value.code == 0, command
            printed += capsys.readouterr().out
        shown = answers(block)
        assert not shown or answers(printed) == shown
    assert (tmp_path / "checked" / "index.html").is_file()
    exec(compile(library, "docs/checks.md", "exec"), space)
    assert Path("faithfulness.png").is_file()


def test_every_check_has_a_section():
    assert {line.removeprefix("### ") for line in PAGE.splitlines() if line.startswith("### ")} >= set(checks())
