"""The commands and examples of docs/shortcuts.md run as they stand."""

import json
import re
import shlex
from pathlib import Path

import pytest

from heatproof.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "shortcuts.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CONSOLE = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_every_command_and_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data, library = PYTHON
    space: dict[str, object] = {}
    exec(compile(data, "docs/shortcuts.md", "exec"), space)  # the page's own code
    for line in CONSOLE[0].splitlines():
        program, *words = shlex.split(line.removeprefix("$ "))
        assert program == "heatproof"
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
    capsys.readouterr()
    told = json.loads((tmp_path / "asked" / "shortcuts.json").read_text())
    assert {one["name"]: one["verdict"] for one in told["findings"]}["has_ruler"] == "confirmed"
    assert any(one["origin"] == "found" and one["verdict"] == "confirmed" for one in told["findings"])
    assert any(name.endswith("challenge.npz") for name in told["files"])
    exec(compile(library, "docs/shortcuts.md", "exec"), space)


def test_every_verdict_is_explained():
    for verdict in ("confirmed", "relies but relevance unclear", "not reliant", "inconclusive"):
        assert f"| `{verdict}` |" in PAGE
