"""Preprocessing agrees with torchvision and timm, and points and maps find the way back."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data.transforms_factory import create_transform
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from heatproof.errors import InputError, UsageError
from heatproof.inputs import Preprocess, read, restore
from heatproof.types import Geometry

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def photo():
    """A smooth picture with edges: all that a resampling kernel can get wrong."""
    y, x = np.mgrid[0:301, 0:407] / 40.0
    wave = np.stack([np.sin(x * y), np.cos(3 * x), np.sin(5 * y + x)], -1) * 100 + 128
    wave[60:140, 100:250] = (255, 0, 128)
    wave[200:260, 20:80] = np.random.default_rng(0).integers(0, 256, (60, 60, 3))
    return Image.fromarray(wave.clip(0, 255).astype(np.uint8))


def levels(ours, theirs):
    """The difference in 8-bit levels, normalization undone."""
    return (ours - theirs).abs() * torch.tensor(STD)[:, None, None] * 255


@pytest.mark.parametrize("antialias", [True, None])
@pytest.mark.parametrize("crop", [224, 225])
def test_torchvision_preset(photo, crop, antialias):
    theirs = ImageClassification(crop_size=crop, resize_size=256, antialias=antialias)(photo)
    ours = Preprocess(256, (crop, crop), MEAN, STD)(read(photo)).tensor
    difference = levels(ours, theirs)
    assert difference.max() <= 1.5  # they round to 8 bits after each axis
    assert difference.mean() < 0.35


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box"])
@pytest.mark.parametrize("size", [97, 301, 450])
def test_every_interpolation_is_pillows(photo, interpolation, size):
    mode = InterpolationMode(interpolation)
    theirs = T.Compose([T.Resize(size, interpolation=mode), T.ToTensor(), T.Normalize(MEAN, STD)])(photo)
    ours = Preprocess(size, None, MEAN, STD, interpolation)(read(photo)).tensor
    difference = levels(ours, theirs)
    assert difference.max() <= (1e-3 if interpolation == "nearest" else 1.5)
    assert difference.mean() < 0.35


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_timm_transform(photo, mode):
    theirs = create_transform((3, 224, 224), interpolation="bicubic", crop_pct=0.9, crop_mode=mode, mean=MEAN, std=STD)
    resize = (248, 248) if mode == "squash" else 248
    preprocess = Preprocess(resize, (224, 224), MEAN, STD, "bicubic", fit="longer" if mode == "border" else "shorter")
    difference = levels(preprocess(read(photo)).tensor, theirs(photo))
    assert difference.max() <= 1.5
    assert difference.mean() < 0.35


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(20, 31), (90, 41), (7, 100)])
def test_resize_is_torchs_interpolate(interpolation, antialias, size):
    x = torch.randn(2, 53, 41, generator=torch.Generator().manual_seed(0))
    theirs = torch.nn.functional.interpolate(x[None], size, mode=interpolation, antialias=antialias)[0]
    ours = Preprocess(size, interpolation=interpolation, antialias=antialias)(read(x)).tensor
    # torch sums in float32, and until 2.7 in another order: 1.25e-5 apart where bicubic weights of both signs cancel
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


def test_resize_of_a_signal_and_a_volume_by_hand():
    signal = read(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    # halving: a triangle of half-width 2 around 1 and 3, weights 1/8 3/8 3/8 1/8, cut off and renormalized at the ends
    expected = torch.tensor([[(0 * 3 + 1 * 3 + 2 * 1) / 7, (1 * 1 + 2 * 3 + 3 * 3) / 7]])
    torch.testing.assert_close(Preprocess(2)(signal).tensor, expected)
    volume = read(torch.arange(8.0).reshape(2, 2, 2), layout="dhw")
    torch.testing.assert_close(Preprocess((1, 1, 1))(volume).tensor, torch.full((1, 1, 1, 1), 3.5))
    wide = Preprocess((3, 2, 2))(volume)
    torch.testing.assert_close(wide.tensor[0, :, 0, 0], torch.tensor([0.0, 2.0, 4.0]))
    assert wide.geometry.scale == (1.5, 1.0, 1.0)


def test_scale_mean_and_std_by_hand():
    x = read(np.array([[0, 51], [102, 255]], np.uint8))
    tensor = Preprocess(mean=(100.0, 50.0), std=(2.0, 1.0), scale=255.0)(x).tensor
    torch.testing.assert_close(tensor, torch.tensor([[[-50.0, -24.5], [1.0, 77.5]], [[-50.0, 1.0], [52.0, 205.0]]]))


@pytest.mark.parametrize(("fit", "border"), [("shorter", -2.0), ("longer", 0.0)])
def test_padding_is_torchvisions_or_timms(fit, border):
    prepared = Preprocess(crop=(4, 2), mean=(1.0,), std=(0.5,), fit=fit)(read(torch.full((1, 1, 3), 2.0)))
    expected = torch.tensor([[[border] * 2, [2.0] * 2, [border] * 2, [border] * 2]])  # 3 rows to add: 1 before, 2 after
    torch.testing.assert_close(prepared.tensor, expected)
    assert prepared.geometry.offset == (-1.0, 0.0)


def test_the_input_is_not_changed_and_not_shared():
    x = read(torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0)))
    before = x.data.clone()
    for preprocess in (Preprocess(), Preprocess(crop=(3, 3)), Preprocess(mean=MEAN, std=STD)):
        preprocess(x).tensor.fill_(9)
    assert torch.equal(x.data, before)


SIZES = st.integers(1, 300)
SETTINGS = st.fixed_dictionaries(
    {
        "resize": st.one_of(st.none(), st.integers(1, 80), st.tuples(st.integers(1, 80), st.integers(1, 80))),
        "crop": st.one_of(st.none(), st.tuples(st.integers(1, 90), st.integers(1, 90))),
        "fit": st.sampled_from(["shorter", "longer"]),
    }
)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, SETTINGS, st.data())
def test_points_go_there_and_back(height, width, chosen, data):
    preprocess = Preprocess(**chosen)
    assume(math.prod(preprocess.resized((height, width))) < 1e6)
    geometry = preprocess(read(torch.zeros(1, height, width))).geometry
    assert geometry.exact
    point = [data.draw(st.floats(-5, side + 5)) for side in (height, width)]
    np.testing.assert_allclose(geometry.to_original(geometry.to_model(point)), point, atol=1e-6)
    if preprocess.crop is None:  # the whole field is seen: edge goes to edge
        first, last = geometry.to_model((-0.5, -0.5)), geometry.to_model((height - 0.5, width - 0.5))
        np.testing.assert_allclose(first, (-0.5, -0.5), atol=1e-9)
        np.testing.assert_allclose(last, [side - 0.5 for side in geometry.model_size], atol=1e-9)


@pytest.mark.parametrize("size", [(301, 407), (407, 301), (255, 255), (64, 333)])
@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(128, (113, 113)),
        Preprocess((96, 161)),
        Preprocess(200, (225, 225)),
        Preprocess(90, (96, 96), fit="longer"),
    ],
    ids=["center crop", "squash", "pad", "border"],
)
def test_a_blob_is_where_the_geometry_says(size, preprocess):
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    center = (size[0] * 0.45, size[1] * 0.53)
    blob = np.exp(-((y - center[0]) ** 2 + (x - center[1]) ** 2) / (2 * 4.0**2)).astype(np.float32)
    prepared = preprocess(read(blob))
    weight = prepared.tensor[0].double().numpy()
    grid = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]]
    found = [(axis * weight).sum() / weight.sum() for axis in grid]
    np.testing.assert_allclose(found, prepared.geometry.to_model(center), atol=0.1)
    np.testing.assert_allclose(prepared.geometry.to_original(found), center, atol=1.0)
    restored = restore(prepared.tensor, prepared.geometry)[0].nan_to_num(-1).numpy()
    peak = np.unravel_index(restored.argmax(), restored.shape)
    np.testing.assert_allclose(peak, center, atol=2.5)  # to half a spacing of the coarsest of these model inputs


def slow_restore(grid, geometry):
    """Multilinear interpolation, one original sample at a time, in float64."""
    out = np.full(geometry.original_size, np.nan)
    for point in itertools.product(*(range(n) for n in geometry.original_size)):
        model = geometry.to_model([float(p) for p in point])
        if any(m < -0.5 or m > n - 0.5 for m, n in zip(model, geometry.model_size, strict=True)):
            continue
        positions = [
            min(max((m + 0.5) * g / n - 0.5, 0), g - 1)
            for m, n, g in zip(model, geometry.model_size, grid.shape, strict=True)
        ]
        total = 0.0
        for corner in itertools.product((0, 1), repeat=grid.ndim):
            index = [min(int(p) + c, g - 1) for p, c, g in zip(positions, corner, grid.shape, strict=True)]
            weight = math.prod(p - int(p) if c else 1 - (p - int(p)) for p, c in zip(positions, corner, strict=True))
            total += weight * grid[tuple(index)]
        out[point] = total
    return out


@pytest.mark.parametrize(
    ("grid", "geometry"),
    [
        ((7,), Geometry((33,), (21,), (0.7,), (1.0,))),
        ((3, 5), Geometry((20, 31), (12, 16), (0.8, 0.6), (2.0, -1.0))),
        ((3, 5), Geometry((20, 31), (12, 16), (-0.8, 0.6), (-14.0, 1.3))),
        ((1, 1), Geometry.identity((4, 3))),
        ((16, 12), Geometry((8, 6), (16, 12), (2.0, 2.0), (0.0, 0.0))),
        ((2, 3, 4), Geometry((5, 6, 9), (4, 6, 8), (1.0, 1.0, 1.0), (1.0, 0.0, 0.5))),
    ],
    ids=["signal", "crop and pad", "flipped", "one position", "finer than the original", "volume"],
)
def test_restore_is_the_slow_loop(grid, geometry):
    maps = torch.randn(2, 3, *grid, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    restored = restore(maps, geometry)
    for i, j in itertools.product(range(2), range(3)):
        np.testing.assert_allclose(restored[i, j].numpy(), slow_restore(maps[i, j].numpy(), geometry), atol=1e-12)


def test_restore_of_one_hot_position_by_hand():
    # 8 samples, halved to 4, of which the model sees the middle 2 = samples 2..5; a grid of 2 lies over these
    geometry = Preprocess(4, (2,))(read(torch.zeros(8))).geometry
    restored = restore(torch.tensor([0.0, 1.0]), geometry)
    nan = torch.nan
    torch.testing.assert_close(restored, torch.tensor([nan, nan, 0.0, 0.25, 0.75, 1.0, nan, nan]), equal_nan=True)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"interpolation": "bilinaer"}, "did you mean 'bilinear'"),
        ({"resize": 0}, "1 or more"),
        ({"crop": (224, 0)}, "1 or more"),
        ({"std": (0.2, 0.0, 0.2)}, "differ from 0"),
        ({"mean": (0.5,), "std": (0.5, 0.5)}, "one of each per channel"),
    ],
)
def test_contradicting_settings_are_refused(settings, problem):
    with pytest.raises(UsageError, match=problem):
        Preprocess(**settings)


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"has 2 channels .* normalizes 3; pass an input with 3 channels"):
        Preprocess(mean=MEAN, std=STD)(read(torch.zeros(2, 4, 4)))
    with pytest.raises(InputError, match="with 2 spatial axes"):
        Preprocess(crop=(4, 4))(read(torch.zeros(9)))
