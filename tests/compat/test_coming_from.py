"""docs/coming-from.md: its code runs, and the modules it names are there."""

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


# with random weights a map may well speak against its target
@pytest.mark.filterwarnings("ignore::heatproof.errors.HeatproofWarning")
def test_the_code_of_the_page_runs():
    assert len(BLOCKS) == 3
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(block, names)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"from (heatproof\.compat[\w.]+) import", PAGE))))
def test_the_modules_of_the_page_are_there(name):
    import_module(name)
