"""Plug-ins: what is found, what is refused, and that nothing is imported to find it."""

import gc
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent

import pytest

from heatproof.errors import HeatproofWarning, MethodError, UsageError
from heatproof.plugins import discover, plugin_names, resolve, simplify

GOOD = '''
    """Shown: how it is made.

    More about it.
    """
    NAME = "Shown"
    ALIASES: tuple[str, ...] = ("ShownCAM",)
    TIER = "core"
    BIBTEX = """
    @article{a}
    """

    def cam(capture):
        return capture
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package without plug-ins, and a function that writes files into it."""
    name = f"plugged_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(file, text=GOOD):
        (folder / file).write_text(dedent(text))

    write.name = name
    yield write
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """A function that installs a package of one module, with one entry point that names it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(entry, module="others_cam", text=GOOD):
        info = tmp_path / "others-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[test.cam]\n{entry}\n")
        (tmp_path / f"{module}.py").write_text(dedent(text))

    return install


def found(package):
    return discover(package.name, "cam", "test.cam")


def test_file_is_a_plugin_and_is_not_imported(package):
    package("shown.py", GOOD + "\n    raise RuntimeError('imported')\n")
    plugin = found(package)["shown"]
    assert (plugin.title, plugin.aliases, plugin.tier) == ("Shown", ("ShownCAM",), "core")
    assert plugin.bibtex == "@article{a}"
    assert plugin.summary == "Shown: how it is made."
    assert plugin.doc.endswith("More about it.")
    with pytest.raises(RuntimeError, match="imported"):
        _ = plugin.function


def test_function_is_the_files_own(package):
    package("shown.py")
    assert found(package)["shown"].function("as it came") == "as it came"


def test_a_bare_function_is_enough(package):
    package("bare.py", "def cam(capture):\n    return capture\n")
    plugin = found(package)["bare"]
    assert (plugin.title, plugin.aliases, plugin.tier, plugin.bibtex, plugin.doc) == (
        "bare",
        (),
        "experimental",
        "",
        "",
    )


def test_private_files_and_folders_are_no_plugins(package, tmp_path):
    package("shown.py")
    package("_helper.py", "")
    (tmp_path / package.name / "sub").mkdir()
    (tmp_path / package.name / "sub" / "__init__.py").touch()
    assert plugin_names(package.name) == ["shown"]
    assert list(found(package)) == ["shown"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("NAME = 'x'", r"broken defines no function 'cam'; add it, or begin the file's name with '_'\."),
        ("TIER = 'gold'\ndef cam(c): ...", r"broken says TIER = 'gold'; it must be one of 'core', 'experimental'\."),
        ("ALIASES = 'x'\ndef cam(c): ...", r"broken says ALIASES = 'x'; it must be a tuple of strings\."),
        ("NAME = str(1)\ndef cam(c): ...", r"NAME in .*broken must be a literal"),
        ("def cam(:", r"broken is not valid Python: .*line 1"),
    ],
)
def test_a_file_that_is_no_plugin_is_refused(package, text, sentence):
    package("broken.py", text)
    with pytest.raises(UsageError, match=sentence):
        found(package)


def test_two_plugins_may_not_share_a_name(package):
    package("shown.py")
    package("other.py", "ALIASES = ('shown-cam',)\ndef cam(c): ...")
    with pytest.raises(UsageError, match=r"two plug-ins claim the name 'showncam': 'other' .* and 'shown' "):
        found(package)


def test_entry_point_adds_a_plugin_without_importing_it(package, distribution):
    package("native.py", "def cam(c): ...")
    distribution("foreign = others_cam")
    plugins = found(package)
    assert list(plugins) == ["foreign", "native"]
    assert plugins["foreign"].title == "Shown"
    assert "others_cam" not in sys.modules
    assert plugins["foreign"].function("x") == "x"
    del sys.modules["others_cam"]


@pytest.mark.parametrize(
    ("entry", "text", "reason"),
    [
        ("foreign = missing_module", GOOD, "there is no module 'missing_module'"),
        ("foreign = others_cam:other", GOOD, "must name a module with a function 'cam'"),
        ("foreign = others_cam", "x = 1", "defines no function 'cam'"),
        ("foreign = others_cam", "def cam(:", "is not valid Python"),
        ("foreign = missing.module", GOOD, "No module named 'missing'"),
        ("not-a-name = others_cam", GOOD, "'not-a-name' is not an identifier"),
    ],
)
def test_broken_entry_point_is_left_out_with_a_warning(package, distribution, entry, text, reason):
    package("native.py", "def cam(c): ...")
    distribution(entry, text=text)
    with pytest.warns(HeatproofWarning, match=rf"of others is left out: .*{reason}"):
        assert list(found(package)) == ["native"]


def test_entry_point_may_not_take_a_name(package, distribution):
    package("shown.py")
    distribution("foreign = others_cam")
    with pytest.raises(UsageError, match="two plug-ins claim"):
        found(package)


@pytest.mark.parametrize("name", ["shown", "Shown", "SHOWN-cam", "shown_cam", "ShownCAM"])
def test_resolve_ignores_case_and_punctuation(package, name):
    package("shown.py")
    assert resolve(name, found(package), "method").name == "shown"


def test_resolve_raises_the_callers_error(package):
    package("shown.py")
    with pytest.raises(MethodError, match=r"there is no method 'showm'; did you mean 'shown'\?"):
        resolve("showm", found(package), "method", MethodError)


@pytest.mark.parametrize(("name", "simple"), [("Grad-CAM++", "gradcamplusplus"), ("x_1 Y.", "x1y"), ("", "")])
def test_simplify(name, simple):
    assert simplify(name) == simple


@pytest.fixture
def switching():
    """Let threads switch wherever Python collects garbage, which is also inside the parser."""
    switch, interval = (lambda phase, info: time.sleep(0)), sys.getswitchinterval()
    gc.callbacks.append(switch)
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    gc.callbacks.remove(switch)


def test_plugins_are_found_while_other_threads_parse(switching):
    # up to Python 3.12 the parser counts the depth of all threads' trees in one place, and then fails
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: list(discover("heatproof.cam", "cam", "heatproof.cam")), range(16)))
    assert all("gradcam" in names for names in found)
