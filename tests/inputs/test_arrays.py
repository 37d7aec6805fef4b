"""Arrays and tensors are read as they mean it, from memory and from files; what is ambiguous is refused."""

import os
import pickle

import numpy as np
import pytest
import torch

from heatproof.errors import InputError
from heatproof.inputs import from_array, read, read_batch
from heatproof.types import Axis


def names(x):
    return [axis.name for axis in x.axes]


@pytest.mark.parametrize(
    ("shape", "layout", "expected", "axes"),
    [
        ((7,), None, (1, 7), ["position"]),
        ((5, 7), None, (1, 5, 7), ["y", "x"]),
        ((3, 5, 7), None, (3, 5, 7), ["y", "x"]),
        ((5, 7, 3), None, (3, 5, 7), ["y", "x"]),
        ((5, 7, 1), None, (1, 5, 7), ["y", "x"]),
        ((4, 5, 7), None, (4, 5, 7), ["y", "x"]),
        ((3, 5, 4), "hwc", (4, 3, 5), ["y", "x"]),
        ((3, 5, 4), "chw", (3, 5, 4), ["y", "x"]),
        ((9, 5, 7), "DHW", (1, 9, 5, 7), ["z", "y", "x"]),
        ((9, 7), "lc", (7, 9), ["position"]),
        ((9, 7), "ct", (9, 7), ["time"]),
        ((9, 5, 7, 2), "zyxc", (2, 9, 5, 7), ["z", "y", "x"]),
        ((2, 9, 5, 7), "cdhw", (2, 9, 5, 7), ["z", "y", "x"]),
    ],
)
def test_layouts_of_arrays(shape, layout, expected, axes):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    x = read(array, layout=layout)
    assert x.data.shape == expected
    assert names(x) == axes
    order = (layout or {1: "l", 2: "hw"}.get(len(shape)) or ("chw" if shape[0] < 5 else "hwc")).lower()
    moved = np.moveaxis(array, order.index("c"), 0) if "c" in order else array[None]
    assert np.array_equal(x.data.numpy(), moved)


@pytest.mark.parametrize("shape", [(3, 5, 3), (9, 8, 7), (1, 3, 8, 8), (20, 30, 40, 2)])
def test_ambiguous_arrays_are_not_guessed(shape):
    with pytest.raises(InputError, match=r"ambiguous; say so: layout="):
        read(np.zeros(shape, np.float32))


@pytest.mark.parametrize("layout", ["hw", "hhc", "h c", "", "chwd"])
def test_layouts_that_do_not_fit(layout):
    with pytest.raises(InputError, match="does not fit input of shape"):
        read(np.zeros((4, 5, 6)), layout=layout)


def test_layout_without_space():
    with pytest.raises(InputError, match="without a spatial axis"):
        read(np.zeros(4), layout="c")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([0, 51, 255], np.uint8), [0, 0.2, 1]),
        (np.array([0, 13107, 65535], np.uint16), [0, 0.2, 1]),
        (np.array([0, 13107, 65535], ">u2"), [0, 0.2, 1]),
        (np.array([-1000, 40, 3000], np.int16), [-1000, 40, 3000]),
        (np.array([-1, 0, 70000], np.int64), [-1, 0, 70000]),
        (np.array([7, 0, 70000], np.uint32), [7, 0, 70000]),
        (np.array([True, False, True]), [1, 0, 1]),
        (np.array([0.5, -2, 300], np.float16), [0.5, -2, 300]),
        (np.array([0.5, -2, 300], ">f8"), [0.5, -2, 300]),
        (np.array([0.5, -2, 300], np.longdouble), [0.5, -2, 300]),
        (np.arange(6.0)[::-2], [5, 3, 1]),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_types_of_arrays(array, expected):
    x = read(array)
    assert x.data.dtype == torch.float32
    np.testing.assert_allclose(x.data.numpy(), np.array([expected], np.float32), rtol=1e-6)


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.uint16]
)
def test_types_of_tensors(dtype):
    x = read(torch.tensor([0, 51, 255]).to(dtype))
    scale = {torch.uint8: 255, torch.uint16: 65535}.get(dtype, 1)
    torch.testing.assert_close(x.data, torch.tensor([[0.0, 51.0, 255.0]]) / scale)


def test_shapes_of_tensors():
    assert read(torch.zeros(9)).data.shape == (1, 9)
    assert read(torch.zeros(8, 9)).data.shape == (1, 8, 9)
    assert read(torch.zeros(7, 8, 3)).data.shape == (7, 8, 3)  # channels first, always
    assert read(torch.zeros(7, 8, 9, 10)).data.shape == (7, 8, 9, 10)
    assert read(torch.zeros(1, 3, 9, 10), layout="cdhw").data.shape == (1, 3, 9, 10)
    assert names(read(torch.zeros(2, 9), layout="cl")) == ["position"]
    with pytest.raises(InputError, match=r"may be a batch of 1 pictures or one volume; .*read_batch"):
        read(torch.zeros(1, 3, 9, 10))
    with pytest.raises(InputError, match="too many axes"):
        read(torch.zeros(1, 3, 9, 10, 11))


@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 3, 9, 8), (2, 3, 9, 8, 7)])
def test_a_batch_is_its_singles(shape):
    batch = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    inputs = read_batch(batch)
    assert [x.name for x in inputs] == ["input 0", "input 1"]
    for x, one in zip(inputs, batch, strict=True):
        assert torch.equal(x.data, one)
    with pytest.raises(InputError, match="no spatial axis"):
        read_batch(torch.zeros(4, 5))


def test_nothing_of_the_callers_is_shared_or_changed():
    array = np.random.default_rng(0).random((3, 6, 7)).astype(np.float32)
    tensor = torch.rand(3, 6, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    before, kept = array.copy(), tensor.detach().clone()
    for source in (array, tensor, torch.from_numpy(array)):
        x = read(source)
        assert not x.data.requires_grad
        x.data.fill_(9)
    assert np.array_equal(array, before)
    assert torch.equal(tensor, kept)
    array.setflags(write=False)
    assert read(array).data.shape == (3, 6, 7)


def test_axes_and_channels():
    wavelength = Axis("wavelength", "nm", np.array([700.0, 550.0, 400.0]))
    x = read(np.zeros((3, 2)), layout="lc", axis=wavelength, channels=["a", "b"], name="leaf")
    assert x.axes == (wavelength,)
    assert (x.channels, x.name) == (("a", "b"), "leaf")
    field = read(torch.zeros(2, 4, 5), axis=["latitude", Axis("longitude", "degrees", periodic=True)])
    assert names(field) == ["latitude", "longitude"]
    assert [axis.periodic for axis in field.axes] == [False, True]
    assert field.channels == ("channel 0", "channel 1")
    with pytest.raises(InputError, match=r"2 spatial axes of size .*axis= describes 1"):
        read(torch.zeros(2, 4, 5), axis="time")
    with pytest.raises(InputError, match="4 samples; give one coordinate per sample"):
        read(torch.zeros(4), axis=wavelength)
    with pytest.raises(InputError, match=r"sample 2 is at 1\.0 after 5\.0"):
        read(torch.zeros(3), axis=Axis("time", "s", np.array([0.0, 5.0, 1.0])))
    with pytest.raises(InputError, match="3 channels, but 1 channel names"):
        read(torch.zeros(3, 4, 4), channels=["red"])


def test_a_float_array_is_a_picture_only_in_0_to_1():
    assert read(np.full((4, 4), 0.5)).picture
    assert not read(np.full((4, 4), 1.5)).picture
    assert not read(np.full((2, 7, 7), 0.5)).picture
    assert not read(np.full(4, 0.5)).picture


def test_npy_and_npz(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "one.npz", only=array)
    np.savez_compressed(tmp_path / "two.npz", image=array, mask=array > 3)
    for x in (read(tmp_path / "a.npy"), read(tmp_path / "one.npz"), read(tmp_path / "two.npz", array="image")):
        assert np.array_equal(x.data.numpy(), array[None])
    assert read(tmp_path / "a.npy", layout="ct").data.shape == (3, 4)
    with pytest.raises(InputError, match=r"holds 2 arrays \(image, mask\); say which with array="):
        read(tmp_path / "two.npz")
    with pytest.raises(InputError, match="holds no array 'imag'; did you mean 'image'"):
        read(tmp_path / "two.npz", array="imag")


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_pickled_objects_are_never_loaded(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    (np.save if suffix == "npy" else np.savez)(path, trap)
    with pytest.raises(InputError, match="pickled Python objects, which are never loaded"):
        read(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_broken_array_files(tmp_path, suffix, share):
    path = tmp_path / f"a.{suffix}"
    (np.save if suffix == "npy" else np.savez)(path, np.arange(200.0))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match=rf"a\.{suffix} is no intact"):
        read(path)


def test_an_array_file_that_promises_more_than_it_holds(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(100))
    honest, lie = b"(100,), }" + b" " * 10, b"(9999999999999,), }"
    whole = (tmp_path / "a.npy").read_bytes()
    assert whole.count(honest) == 1
    (tmp_path / "a.npy").write_bytes(whole.replace(honest, lie))
    with pytest.raises(InputError, match="is no intact"):
        read(tmp_path / "a.npy")


def test_a_raw_pickle_is_no_array(tmp_path):
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(InputError, match="is no intact"):
        read(tmp_path / "a.npy")
    assert not (tmp_path / "sprung").exists()


def test_the_public_reader_takes_arrays_too():
    assert np.array_equal(from_array(np.arange(3)).data.numpy(), [[0, 1, 2]])
