"""The examples of docs/targets.md run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from heatproof import targets

PAGE = (Path(__file__).parents[2] / "docs" / "targets.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_runs():
    pytest.importorskip("torchvision")
    space: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/targets.md", "exec"), space)  # the page's own code


def test_every_kind_has_an_example():
    code = "\n".join(BLOCKS)
    assert len(BLOCKS) >= 9
    for name in targets.__all__:
        assert f"targets.{name}" in code


def test_importing_heatproof_does_not_load_the_kinds():
    code = "import sys, heatproof; print('torch' in sys.modules, 'heatproof.targets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
