"""HDF5, NetCDF, FITS and xarray: values, axes with units, channels; broken files and missing names in sentences."""

import builtins

import numpy as np
import pytest

import heatproof as hp
from heatproof.errors import InputError, MissingExtraError

h5py = pytest.importorskip("h5py")
xarray = pytest.importorskip("xarray")
fits = pytest.importorskip("astropy.io.fits")
pytest.importorskip("h5netcdf")

U = np.arange(12.0).reshape(3, 4)
Y, X = np.array([0.0, 0.5, 1.0]), np.array([10.0, 20, 30, 40])


def dataset():
    coords = {"y": ("y", Y, {"units": "m"}), "x": ("x", X, {"units": "km"})}
    fields = {"u": (("y", "x"), U), "v": (("y", "x"), -U), "mean": ("y", U.mean(1))}
    return xarray.Dataset(fields, coords)


def assert_flow(found):
    assert found.channels == ("u", "v")
    assert found.data.tolist() == [U.tolist(), (-U).tolist()]
    assert [(a.name, a.unit, a.coordinates.tolist()) for a in found.axes] == [
        ("y", "m", Y.tolist()),
        ("x", "km", X.tolist()),
    ]


@pytest.fixture(params=["NetCDF 4", "NetCDF 3", "HDF5", "xarray"])
def flow(request, tmp_path):
    if request.param == "xarray":
        return dataset()
    if request.param == "HDF5":
        path = tmp_path / "flow.h5"
        with h5py.File(path, "w") as file:
            for name, values, unit in (("y", Y, "m"), ("x", X, "km")):
                file[name] = values
                file[name].make_scale(name)
                file[name].attrs["units"] = unit
            for name, values in (("u", U), ("v", -U)):
                file[name] = values
                for i, dim in enumerate(("y", "x")):
                    file[name].dims[i].label = dim
                    file[name].dims[i].attach_scale(file[dim])
            file["mean"] = U.mean(1)
        return path
    path = tmp_path / "flow.nc"
    classic = request.param == "NetCDF 3"
    dataset().to_netcdf(path, engine="scipy" if classic else "h5netcdf")
    assert (path.read_bytes()[:3] == b"CDF") is classic
    return path


def test_variables_on_the_same_axes_are_channels(flow):
    assert_flow(hp.read(flow))
    assert_flow(hp.read(flow, channels=["u", "v"]))
    other_way = hp.read(flow, channels=["v", "u"])
    assert other_way.channels == ("v", "u")
    assert other_way.data[1].tolist() == U.tolist()


def test_described_axes_take_the_place_of_the_files(flow):
    axes = [hp.Axis("y", "m", Y, periodic=True), hp.Axis("x", "m", X)]
    assert hp.read(flow, axis=axes).axes[0].periodic


def test_a_variable_that_is_not_there_is_told(flow):
    with pytest.raises(InputError, match="has no variable 'uu'; did you mean 'u'"):
        hp.read(flow, channels=["uu", "v"])


def test_variables_on_other_axes_are_told(flow):
    with pytest.raises(InputError, match="channels share their axes"):
        hp.read(flow, channels=["u", "mean"])


def test_a_channel_dimension_is_found_by_its_name():
    leads = xarray.DataArray(
        np.arange(6.0).reshape(3, 2), dims=("time", "lead"), coords={"time": [0.0, 1, 2], "lead": ["II", "V5"]}
    )
    found = hp.read(leads)
    assert found.channels == ("II", "V5")
    assert found.data.tolist() == [[0, 2, 4], [1, 3, 5]]
    assert found.axes[0].name == "time"


def test_maps_come_back_on_the_axes_of_an_xarray():
    import torch
    from torch import nn

    signal = xarray.DataArray(
        np.arange(16.0),
        dims="wavelength",
        coords={"wavelength": ("wavelength", 400 + np.arange(16.0), {"units": "nm"})},
    )
    net = nn.Sequential(nn.Conv1d(1, 2, 2, stride=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    torch.manual_seed(0)
    back = hp.explain(net.eval(), [signal], target=0).to_xarray()
    assert back.dims == ("target", "wavelength")
    assert back.coords["wavelength"].values.tolist() == (400.5 + 2 * np.arange(8)).tolist()
    assert back.coords["wavelength"].attrs["units"] == "nm"


def test_one_plain_array_of_hdf5(tmp_path):
    path = tmp_path / "one.h5"
    with h5py.File(path, "w") as file:
        file["group/signal"] = np.arange(5, dtype=np.float32)
    assert hp.read(path).data.tolist() == [[0, 1, 2, 3, 4]]
    assert hp.read(path, array="group/signal").data.shape == (1, 5)
    with pytest.raises(InputError, match="has no variable 'signal'"):
        hp.read(path, array="signal")


def test_fits_brings_linear_axes(tmp_path):
    path = tmp_path / "one.fits"
    first = fits.PrimaryHDU(np.arange(4, dtype=np.float32))
    first.header.update({"CTYPE1": "WAVE", "CUNIT1": "nm", "CRVAL1": 500.0, "CRPIX1": 2.0, "CDELT1": 0.5})
    fits.HDUList([first, fits.ImageHDU(np.ones((2, 3), dtype=np.int16), name="SKY")]).writeto(path)
    found = hp.read(path)
    assert found.data.tolist() == [[0, 1, 2, 3]]
    (axis,) = found.axes
    assert (axis.name, axis.unit, axis.coordinates.tolist()) == ("wave", "nm", [499.5, 500, 500.5, 501])
    sky = hp.read(path, array="sky")
    assert sky.size == (2, 3)
    assert [one.name for one in sky.axes] == ["y", "x"]
    with pytest.raises(InputError, match="holds no image 'sly'"):
        hp.read(path, array="sly")


@pytest.mark.parametrize("suffix", [".h5", ".nc", ".fits"])
def test_a_broken_file_is_told(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"not what it says" * 10)
    with pytest.raises(InputError, match="get an intact copy"):
        hp.read(path)


@pytest.mark.parametrize(("suffix", "package"), [(".h5", "h5py"), (".nc", "h5netcdf"), (".fits", "astropy")])
def test_a_missing_package_is_told(tmp_path, monkeypatch, suffix, package):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest, **more)

    path = tmp_path / f"one{suffix}"
    path.write_bytes(b"x")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"heatproof\[science\]"):
        hp.read(path)


def test_names_and_dates_are_no_coordinates():
    stations = xarray.DataArray(np.arange(3.0), dims="station", coords={"station": ["a", "b", "c"]})
    assert hp.read(stations).axes[0].coordinates is None
