"""The repository keeps its own rules: the public surface, file sizes, pinned versions, what may not be in a file."""

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import heatproof

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
LINE = re.compile(r"[a-z0-9][a-z0-9.-]*==[A-Za-z0-9.+!]+")


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so it is not known which files are part of the project")
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def pinned():
    return dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())


def test_the_public_names_are_few_and_all_there():
    assert len(heatproof.__all__) <= 15
    assert list(heatproof.__all__) == sorted(heatproof.__all__)
    assert {name for name in dir(heatproof) if not name.startswith("_")} == set(heatproof.__all__)
    for name in heatproof.__all__:
        value = getattr(heatproof, name)
        assert value.__name__ == name
        assert inspect.getdoc(value), f"{name} has no docstring"


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'explian'"):
        heatproof.explian  # noqa: B018  looking it up is the test


def test_the_version_is_told_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == heatproof.__version__
    assert f"version: {heatproof.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {heatproof.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_source_file_is_short_and_says_what_it_is_for(file):
    text = file.read_text(encoding="utf-8")
    assert text.count("\n") <= 350
    assert ast.get_docstring(ast.parse(text)), "the file begins with no docstring"
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_silenced_rule_has_its_reason_beside_it(file):
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        silenced = re.search(r"#\s*(noqa|type: ignore|pyright: ignore)(?P<codes>[^#]*)", line)
        if silenced:
            assert silenced["codes"].startswith((":", "[")), f"line {number} silences every rule"


def test_no_file_names_a_registry_or_a_place_on_one_machine():
    # put together from pieces, so that this file names none itself
    names = (("pypi", "org"), ("python" + "hosted", "org"), ("registry." + "npmjs", "org"), ("download.pytorch", "org"))
    hosts = "|".join(rf"{name}\.{ending}" for name, ending in names)
    places = r"(?<![\w./~-])/(work|home|root|Users|mnt|opt)/\w"
    forbidden = re.compile(f"{hosts}|{places}")
    found = []
    for file in tracked_files():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures and weights
        if file != Path(__file__):
            lines = text.splitlines()
            found += [
                f"{file.relative_to(ROOT)}:{n}: {line}" for n, line in enumerate(lines, 1) if forbidden.search(line)
            ]
    assert not found, "\n".join(found)


def test_no_page_waits_to_be_filled_in():
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        assert not re.search(r"@@|\bTBD\b|\bTODO\b", page.read_text(encoding="utf-8")), page.name


def test_no_real_data_or_large_file_is_tracked():
    large = {str(file.relative_to(ROOT)) for file in tracked_files() if file.stat().st_size > 1_500_000}
    assert not large


def test_every_weights_file_has_a_card():
    weights = sorted((ROOT / "src/heatproof/weights").glob("*.safetensors"))
    assert weights
    for file in weights:
        assert file.stat().st_size <= 1_000_000
        card = json.loads(file.with_suffix(".json").read_text())
        for field in ("task", "data", "split", "test_accuracy", "command", "seed", "limits"):
            assert field in card, f"{file.name} has a card without {field!r}"
        script = card["command"].split()[1]
        assert (ROOT / script).is_file(), f"{file.name} was made by {script}, which is not there"


def test_constraints_are_plain_and_complete():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert len(pinned()) == len(lines), "a package is pinned twice"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    wanted += [r for group in project["project"]["optional-dependencies"].values() for r in group]
    wanted += [r for group in project["dependency-groups"].values() for r in group if isinstance(r, str)]
    names = {re.match(r"[A-Za-z0-9.-]+", requirement)[0] for requirement in wanted}
    assert names - {"heatproof"} <= set(pinned())
    assert "uv" in pinned()


def test_the_readme_links_to_files_that_are_there():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("torch", "numpy", "PIL", "matplotlib", "scipy", "skimage", "typer", "rich")
    code = f"import sys, heatproof; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "first", ["import heatproof.explain.explainer", "heatproof.Explainer", "heatproof.quick_checks"]
)
def test_a_public_name_is_never_the_folder_of_the_same_name(first):
    code = f"import heatproof; {first}; from heatproof import explain as e; print(e.__name__, heatproof.explain is e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["explain", "True"]
