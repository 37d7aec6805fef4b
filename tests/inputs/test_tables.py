"""Signals in tables come with their coordinates, units and channel names."""

import numpy as np
import pytest

from heatproof.errors import InputError
from heatproof.inputs import read
from heatproof.types import Axis


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_table_with_an_axis(tmp_path):
    path = write(tmp_path / "s.csv", "# leaf\nwavelength (nm),sample,dark\n400,1.5,0\n\n410,2.5,-1\n425,3,1e3\n")
    for axis in ("wavelength", "wavelength (nm)"):
        x = read(path, axis=axis)
        assert np.array_equal(x.data.numpy(), np.array([[1.5, 2.5, 3], [0, -1, 1000]], np.float32))
        assert (x.axes[0].name, x.axes[0].unit) == ("wavelength", "nm")
        assert np.array_equal(x.axes[0].coordinates, [400, 410, 425])
        assert x.channels == ("sample", "dark")
    assert read(path).channels == ("wavelength (nm)", "sample", "dark")
    assert read(path, axis="wavelength", channels=["dark"]).data.tolist() == [[0, -1, 1000]]


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("time [s];a\n0;1\n2;3\n", "csv"),
        ("time [s]\ta\n0\t1\n2\t3\n", "tsv"),
        ("\ufefftime [s],a\r\n0,1\r\n2,3\r\n", "csv"),
    ],
)
def test_delimiters_and_byte_order_marks(tmp_path, text, suffix):
    x = read(write(tmp_path / f"s.{suffix}", text), axis="time")
    assert x.data.tolist() == [[1, 3]]
    assert (x.axes[0].unit, list(x.axes[0].coordinates)) == ("s", [0, 2])


def test_table_without_header(tmp_path):
    x = read(write(tmp_path / "s.csv", "1,2\n3,4\n"))
    assert x.data.tolist() == [[1, 3], [2, 4]]
    assert x.channels == ("column 0", "column 1")
    assert read(write(tmp_path / "s.csv", "1\n2\n"), axis=Axis("time", "s")).axes[0].unit == "s"


def test_text_columns_may_be_left_out(tmp_path):
    path = write(tmp_path / "s.csv", "t,label,v\n0,cat,5\n1,dog,6\n")
    assert read(path, axis="t", channels=["v"]).data.tolist() == [[5, 6]]
    with pytest.raises(InputError, match=r"line 2: 'cat' in column 'label' is no number.*channels="):
        read(path, axis="t")


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        ("a,b\n1,2\n3\n", {}, "line 3: 1 cells instead of 2"),
        ("a,b\n", {}, "has a header .* and no rows"),
        ("# nothing\n\n", {}, "has no rows"),
        ("a,b\n1,\n", {}, r"1 of 2 values that are not finite, the first \(nan\) at channel 1, position \(0,\)"),
        ("a;b\n1,5;2\n", {}, "'1,5' in column 'a' is no number"),
        ("time,b\n1,2\n", {"axis": "tima"}, "no column 'tima'; did you mean 'time'"),
        ("a,b\n1,2\n", {"channels": ["c"]}, "no column 'c'"),
        ("a,a\n1,2\n", {"channels": ["a"]}, "has 2 columns 'a'"),
        ("a\n1\n", {"axis": "a"}, "no column but the axis"),
        ("t,b\n0,1\n2,1\n1,1\n", {"axis": "t"}, "sort the samples by 't'"),
        ('a,b\n"1,2\n3,4\n', {}, "no intact table"),
    ],
)
def test_bad_tables(tmp_path, text, options, problem):
    with pytest.raises(InputError, match=problem):
        read(write(tmp_path / "s.csv", text), **options)


def test_a_table_that_is_no_text(tmp_path):
    (tmp_path / "s.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(InputError, match=r"no UTF-8 text .* at byte 4"):
        read(tmp_path / "s.csv")
