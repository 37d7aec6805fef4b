"""docs/methods.md: every method is in its table as the registry has it, its pictures are there, its Python runs."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from bench import methods_page

from heatproof import attribution, cam

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "methods.md").read_text(encoding="utf-8")
METHODS = {**cam.methods(), **attribution.methods()}
HEAD = [
    "method",
    "name to pass",
    "kind",
    "tier",
    "units",
    "target matters",
    "cost in forwards",
    "sanity",
    "faithfulness",
]


def part(name):
    (found,) = re.findall(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", PAGE, re.DOTALL)
    return found


@pytest.fixture(scope="module")
def table():
    head, _, *lines = [line for line in part("table").splitlines() if line.startswith("|")]
    head, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in (head, *lines))
    assert head == HEAD
    return {row[1].strip("`"): dict(zip(head, row, strict=True)) for row in rows}


def test_the_table_has_every_method_and_no_other(table):
    assert sorted(table) == sorted(METHODS), f"the table is old: run `{methods_page.COMMAND}`"


@pytest.mark.parametrize("name", METHODS)
def test_a_row_says_what_the_method_says_of_itself(table, name):
    plugin, row = METHODS[name], table[name]
    module = import_module(plugin.module)
    assert (row["method"], row["tier"]) == (plugin.title, plugin.tier)
    assert row["kind"].startswith("CAM" if name in cam.methods() else "attribution")
    assert ("needs attention" in row["kind"]) == (getattr(module, "NEEDS", None) == "attention")
    assert row["units"] == methods_page.UNITS[getattr(module, "UNITS", "score")]
    assert float(row["cost in forwards"]) > 0
    assert row["sanity"]
    assert row["faithfulness"]


def test_methods_that_cannot_see_the_target_are_marked(table):
    blind = {name for name, row in table.items() if row["target matters"] == "**no**"}
    assert {"eigencam", "kpcacam", "fem", "random_cam", "attention_rollout"} <= blind
    assert {"input_edges", "center_prior", "smooth_random"} <= blind
    assert not {"gradcam", "hirescam", "layercam", "scorecam", "attention", "gradient", "rise"} & blind


def test_costs_keep_the_order_that_the_formulas_dictate(table):
    cost = {name: float(row["cost in forwards"]) for name, row in table.items()}
    assert cost["gradcam"] < cost["gradient"] < cost["smoothgrad"]  # tail only, whole backward, many of them
    assert cost["ablationcam"] < cost["scorecam"] < min(cost["is_cam"], cost["ss_cam"])


def test_what_was_run_when_is_stated():
    for name in ("table", "gallery"):
        assert re.search(rf"Made by `{methods_page.COMMAND}` on \d{{4}}-\d\d-\d\d: .*torch \d", part(name))


def test_pictures_are_light_and_attributed():
    pictures = re.findall(r"!\[[^]]+\]\((images/[^)]+)\)\n\n\*(.*)\*\n", part("gallery"))
    assert len(pictures) == part("gallery").count("![") == 2
    for file, credit in pictures:
        assert (DOCS / file).stat().st_size < 1_000_000
        assert "Acevedo et al. 2020" in credit
        assert "CC BY 4.0" in credit


def test_every_method_that_works_on_a_cnn_is_in_the_gallery():
    shown = [int(n) for n in re.findall(r"!\[.*?: (\d+) methods", part("gallery"))]
    works = methods_page.plugins(needs=None)
    assert shown == [sum(p.attribute == kind for p in works.values()) for kind in ("cam", "attribute")]


def test_recommended_methods_are_under_the_stability_promise():
    rows = [line for line in PAGE.partition("## What no method")[0].splitlines() if line.startswith("| ")][1:]
    defaults = {line.split("|")[1].strip(): re.search(r"`(\w+)`", line.split("|")[2])[1] for line in rows}
    assert list(defaults) == ["CNN", "vision transformer", "detector", "segmentation", "1-D signal"]
    assert {METHODS[name].tier for name in defaults.values()} == {"core"}


def test_the_python_on_the_page_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        names = {}
        exec(block, names)  # the page's own text
    assert names["agreement"].shape == (3, 3)
    assert names["ex"].targets[0][0].name == "neutrophil"


def test_only_what_lies_between_the_markers_is_rewritten():
    page = "above\n<!-- table: begin -->\nold\n<!-- table: end -->\nbelow"
    assert methods_page.between(page, "table", r"new \1 text") == page.replace("old", r"new \1 text")
    with pytest.raises(SystemExit, match="must hold"):
        methods_page.between("no markers", "table", "new")
