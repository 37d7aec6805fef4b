"""The page's own commands; who reads only the first screen of both reports knows which network to reject, and why."""

import re
import shlex
from pathlib import Path

import pytest
from tests.report.audit.test_page import words

from heatproof.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CONSOLE = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(900)  # minutes on a busy machine
def test_the_first_screen_tells_which_of_two_equally_good_networks_to_reject(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    exec(compile(PYTHON[0], "docs/audit.md", "exec"), space)  # the page's own code
    program, *given = shlex.split(CONSOLE[0].removeprefix("$ "))
    assert program == "heatproof"
    with pytest.raises(SystemExit) as stop:
        main(given)
    assert stop.value.code == 0
    capsys.readouterr()
    exec(compile(PYTHON[1], "docs/audit.md", "exec"), space)
    first = {}
    for name in ("run", "other"):
        text = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        first[name] = words(text)[: words(text).index("What became of the inputs")]
        assert ('class="exemplar"' in text) is (name == "run"), "the ruler can be seen, outlined"
    bad, good = first["run"], first["other"]
    assert "Reject this model as it stands. It takes a shortcut: “dark”." in bad
    assert "Get data in which “dark” does not go with “malignant”" in bad
    assert "The maps are faithful and lie elsewhere: suspect the model, not the map." in bad
    changed = re.search(
        r"adding that feature alone changes (\d+)% of decisions \(the same edit elsewhere: (\d+)%\)", bad
    )
    assert int(changed[1]) > 60 > 40 > int(changed[2])
    assert "Reject" not in good
    assert "Shortcut confirmed" not in good
