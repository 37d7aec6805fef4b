"""An opaque preprocessing function is used as it is, and its geometry found by trying it out."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

from heatproof.errors import HeatproofWarning, InputError
from heatproof.inputs import Preprocess, adopt, read
from heatproof.types import Geometry

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(height=301, width=407, channels=3):
    x = torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0))
    return read((x * 255).round() / 255)


def assert_same_place(found: Geometry, true: Geometry, tolerance):
    """Both ends of what the model sees come from the same place in the original, within `tolerance` model samples."""
    assert found.exact
    assert found.model_size == true.model_size
    for corner in ((-0.5, -0.5), [side - 0.5 for side in true.model_size]):
        np.testing.assert_allclose(true.to_model(found.to_original(corner)), corner, atol=tolerance)


@pytest.mark.parametrize("size", [(301, 407), (96, 1500), (2000, 333), (40, 40)])
@pytest.mark.parametrize(
    ("function", "same"),
    [
        (
            T.Compose([T.Resize(128), T.CenterCrop(113), T.ToTensor(), T.Normalize(MEAN, STD)]),
            Preprocess(128, (113, 113)),
        ),
        (T.Compose([T.Resize((64, 97)), T.ToTensor()]), Preprocess((64, 97))),
        (T.Compose([T.Resize(90), T.CenterCrop(112), T.PILToTensor()]), Preprocess(90, (112, 112))),
        (T.ToTensor(), Preprocess()),
    ],
    ids=["preset", "squash", "pad", "nothing"],
)
def test_geometry_of_torchvision_transforms_is_exact(size, function, same):
    x = picture(*size)
    prepared = adopt(function)(x)
    assert_same_place(prepared.geometry, same(x).geometry, tolerance=0.05)
    if size == (301, 407):
        assert prepared.geometry == same(x).geometry
    image = Image.fromarray((x.data * 255).round().byte().movedim(0, -1).numpy())
    assert torch.equal(prepared.tensor, torch.as_tensor(function(image)).float())


def test_tensor_functions_of_one_and_three_axes():
    signal = read(torch.randn(3, 500, generator=torch.Generator().manual_seed(0)), layout="cl")
    found = adopt(lambda x: (x[:, 100:400:1] - 2) / 7)(signal)
    assert found.geometry == Geometry((500,), (300,), (1.0,), (100.0,))
    volume = read(torch.randn(1, 20, 30, 40, generator=torch.Generator().manual_seed(0)))
    found = adopt(lambda x: torch.nn.functional.interpolate(x[None], (10, 30, 60), mode="trilinear"))(volume)
    assert found.geometry == Geometry((20, 30, 40), (10, 30, 60), (0.5, 1.0, 1.5), (0.0, 0.0, 0.0))


def test_a_flip_is_a_negative_scale():
    def flipped(image):
        return T.functional.to_tensor(T.functional.hflip(image.resize((100, 60))))

    x = picture()
    geometry = adopt(flipped)(x).geometry
    assert geometry == Geometry((301, 407), (60, 100), (60 / 301, -100 / 407), (0.0, -100.0))
    assert geometry.to_model((0.0, 406.0))[1] == pytest.approx(0.5 * 100 / 407 - 0.5)


@pytest.mark.parametrize("crop", [201, 77])
@pytest.mark.parametrize("out", [64, 224])
def test_a_crop_before_the_resize_is_found_within_a_pixel(crop, out):
    geometry = adopt(T.Compose([T.CenterCrop(crop), T.Resize((out, out)), T.ToTensor()]))(picture()).geometry
    top, left = round((301 - crop) / 2), round((407 - crop) / 2)
    scale = out / crop
    true = Geometry((301, 407), (out, out), (scale, scale), (top * scale, left * scale))
    assert_same_place(geometry, true, tolerance=0.15)


class FakeProcessor:
    """Answers as Hugging Face image processors do."""

    def __call__(self, image):
        return {"pixel_values": [np.moveaxis(np.asarray(image.resize((50, 40)), dtype=np.float32) / 127.5 - 1, -1, 0)]}


def test_a_mapping_with_pixel_values_is_understood():
    prepared = adopt(FakeProcessor())(picture())
    assert prepared.tensor.shape == (3, 40, 50)
    assert prepared.geometry == Geometry((301, 407), (40, 50), (40 / 301, 50 / 407), (0.0, 0.0))


def test_a_gray_picture_becomes_rgb_where_it_must():
    function = T.Compose([T.ToTensor(), T.Normalize(MEAN, STD)])  # raises on one channel
    assert adopt(function)(picture(channels=1)).tensor.shape[0] == 3
    assert adopt(T.ToTensor())(picture(channels=1)).tensor.shape[0] == 1
    assert adopt(T.ToTensor(), channels=3)(picture(channels=1)).tensor.shape[0] == 3


def refuses_constants(image):
    if image.getextrema()[0][0] == image.getextrema()[0][1]:
        raise ZeroDivisionError("flat")
    return T.functional.to_tensor(image)


def not_deterministic():
    source = np.random.default_rng(0)
    return lambda image: T.functional.to_tensor(image) * float(source.uniform(0.5, 1))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (T.Compose([T.RandomResizedCrop(64), T.ToTensor()]), "draws random numbers"),
        (lambda image: T.functional.to_tensor(image.rotate(random.uniform(5, 6))), "draws random numbers"),
        (not_deterministic(), "black and white|linearly|differently|more than"),
        (lambda image: T.functional.to_tensor(image.rotate(3)), "more than a resize"),
        (lambda image: T.functional.to_tensor(image.transpose(Image.Transpose.TRANSPOSE)), "more than a resize"),
        (lambda image: T.functional.to_tensor(image) ** 2, "linearly"),
        (lambda image: torch.zeros(3, 8, 8), "alike"),
        (refuses_constants, r"raises ZeroDivisionError on a test picture \(flat\)"),
    ],
    ids=["random crop", "python random", "own generator", "rotation", "transposition", "gamma", "constant", "refusal"],
)
def test_what_cannot_be_measured_is_said(function, reason):
    x = picture()
    with pytest.warns(HeatproofWarning, match=reason):
        geometry = adopt(function)(x).geometry
    assert not geometry.exact
    assert geometry.offset == (0.0, 0.0)
    np.testing.assert_allclose(geometry.scale, [m / o for m, o in zip(geometry.model_size, (301, 407), strict=True)])


def test_probing_leaves_the_global_generators_where_one_call_does():
    transform = T.Compose([T.RandomCrop(64), T.ToTensor()])
    image = T.functional.to_pil_image(picture().data)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        transform(image)
        after_one_call = torch.get_rng_state()
        torch.manual_seed(3)
        with pytest.warns(HeatproofWarning):
            adopt(transform)(picture())
        assert torch.equal(torch.get_rng_state(), after_one_call)


def test_draws_that_change_nothing_are_no_obstacle():
    geometry = adopt(T.Compose([T.RandomHorizontalFlip(p=1.0), T.Resize((60, 100)), T.ToTensor()]))(picture()).geometry
    assert geometry == Geometry((301, 407), (60, 100), (60 / 301, -100 / 407), (0.0, -100.0))


def test_each_size_is_probed_once():
    calls = []

    def function(image):
        calls.append(image.size)
        return T.functional.to_tensor(image)

    adopted = adopt(function)
    adopted(picture(50, 60))
    first = len(calls)
    adopted(picture(50, 60))
    assert len(calls) == first + 1
    adopted(picture(60, 50))
    assert len(calls) == 2 * first + 1


def test_the_function_gets_a_copy():
    x = read(torch.randn(2, 30))
    before = x.data.clone()
    adopt(lambda tensor: tensor.mul_(2))(x)
    assert torch.equal(x.data, before)


def test_functions_that_refuse_everything_or_return_something_else():
    def refuse(image):
        raise KeyError("pixels")

    with pytest.raises(InputError, match=r"refuse could not be used .*KeyError: 'pixels'.*as a tensor"):
        adopt(refuse)(picture())
    with pytest.raises(InputError, match=r"returned shape \(3,\)"):
        adopt(lambda x: torch.zeros(3))(picture())


@pytest.mark.parametrize("size", [(24, 129), (391, 24), (113, 200)])
@pytest.mark.parametrize(
    ("function", "same", "tolerance"),
    [
        (T.CenterCrop(352), Preprocess(crop=(352, 352)), 0.05),  # mostly padding
        (
            T.Resize((19, 272), interpolation=InterpolationMode.NEAREST),
            Preprocess((19, 272), interpolation="nearest"),
            0.5,
        ),
    ],
    ids=["padding", "nearest"],
)
def test_small_pictures(size, function, same, tolerance):
    x = picture(*size)
    geometry = adopt(T.Compose([function, T.ToTensor()]))(x).geometry
    assert_same_place(geometry, same(x).geometry, tolerance)
