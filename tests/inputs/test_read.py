"""One door for every source, folders and patterns; everything else is refused in a sentence."""

import numpy as np
import pytest
import torch
from PIL import Image

from heatproof.errors import InputError
from heatproof.inputs import expand, read


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (np.zeros((0, 5)), "is empty: its shape is"),
        (np.zeros((3, 0, 5)), "is empty|ambiguous"),
        (np.float64(3), "numpy.float64|float64 cannot be read"),
        (np.array(3.0), "single number"),
        (torch.tensor(3.0), "single number"),
        (np.array(["a"]), "of type <U1"),
        (np.array([object()]), "of type object"),
        (np.array([1 + 2j]), "complex type"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), "masked array"),
        (torch.zeros(3, 3).to_sparse(), "layout torch.sparse_coo"),
        (torch.zeros(3, 3, dtype=torch.complex64), "complex type"),
        (
            np.array([[0, 1], [np.nan, np.inf]]),
            r"2 of 4 values .* first \(nan\) at channel 0, position \(1, 0\).*allow_nan",
        ),
        (42, "A int cannot be read; give a path"),
        ({"image": 1}, "A dict cannot be read"),
        (b"a.png", "A bytes cannot be read"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_bad_sources(source, problem):
    with pytest.raises(InputError, match=problem):
        read(source)


def test_nan_can_be_let_through():
    assert torch.isnan(read(np.array([1.0, np.nan]), allow_nan=True).data).tolist() == [[False, True]]


def test_bad_paths(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "roi.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.docx").write_text("x")
    for path, problem in [
        (tmp_path / "rio.png", r"rio\.png does not exist; did you mean 'roi\.png'"),
        (tmp_path / "nowhere" / "a.png", "does not exist; check the path"),
        (tmp_path, "is a folder; read the files in it with"),
        (tmp_path / "empty.png", r"is empty \(0 bytes\)"),
        (tmp_path / "notes.docx", r"suffix '\.docx', which is not known; known are .*\.bmp.*\.csv.*\.npy.*\.png"),
        ("x" * 5000 + ".png", "cannot be opened|does not exist"),
        ("a\0b.png", "does not exist|cannot be opened"),
    ]:
        with pytest.raises(InputError, match=problem):
            read(path)


def test_an_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(3))

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)  # root may read everything, so chmod proves nothing
    with pytest.raises(InputError, match=r"cannot be opened \(Permission denied\)"):
        read(path)


@pytest.mark.parametrize(
    ("file", "option"), [("a.png", {"layout": "hwc"}), ("a.npy", {"max_pixels": 5}), ("a.csv", {"array": "x"})]
)
def test_options_that_do_not_apply(tmp_path, file, option):
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.zeros(3))
    write(tmp_path / "a.csv", "1\n")
    with pytest.raises(InputError, match=rf"option {next(iter(option))}= does not apply to a \w+ file; it takes"):
        read(tmp_path / file, **option)


def test_lists_and_inputs(tmp_path):
    Image.new("L", (2, 3)).save(tmp_path / "roi.png")
    inputs = read([tmp_path / "roi.png", np.zeros(4), torch.zeros(3, 5, 5)])
    assert [x.name for x in inputs] == ["roi.png", "input 1", "input 2"]
    assert [x.name for x in read([np.zeros(4)] * 2, name="scan")] == ["scan 0", "scan 1"]
    assert read(inputs[0]) is inputs[0]
    assert read([]) == []


@pytest.fixture
def tree(tmp_path):
    for file in ("b.png", "a.JPG", "sub/deep/c.npy", "sub/notes.txt", ".hidden.png", ".cache/d.png", "sub/.e.csv"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    return tmp_path


def relative(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_folders_and_patterns(tree):
    everything = ["a.JPG", "b.png", "sub/deep/c.npy"]
    assert relative(expand(tree), tree) == everything
    assert relative(expand([tree / "b.png", tree]), tree) == ["b.png", "a.JPG", "sub/deep/c.npy"]  # each once
    assert relative(expand(str(tree / "*.png")), tree) == ["b.png"]
    assert relative(expand([str(tree / "**" / "*.npy")]), tree) == ["sub/deep/c.npy"]
    assert relative(expand(str(tree / "*")), tree) == everything
    assert relative(expand(tree / "sub/notes.txt"), tree) == ["sub/notes.txt"]
    assert expand([]) == []


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    (tmp_path / "roi[1].png").touch()
    assert expand(tmp_path / "roi[1].png") == [tmp_path / "roi[1].png"]


def test_patterns_and_folders_without_anything(tree):
    with pytest.raises(InputError, match=r"pattern .*\*\.gif' matches no file that can be read; known are"):
        expand(str(tree / "*.gif"))
    with pytest.raises(InputError, match="does not exist"):
        expand(tree / "missing")
    (tree / "void").mkdir()
    with pytest.raises(InputError, match="void holds no file that can be read"):
        expand(tree / "void")
