"""Changes of an input that should not matter: a shift by one sample, and recompression."""

from io import BytesIO

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model

_ROUNDING = 1e-3
"""How far outside 0..1 a pixel may lie after the way back through the normalization."""


def shifted(inputs: Float[Tensor, "n c *spatial"], axis: int) -> Float[Tensor, "n c *spatial"]:
    """Return inputs moved by one sample toward the end of a spatial axis; the first sample stays as well."""
    axis += 2
    return torch.cat([inputs.narrow(axis, 0, 1), inputs.narrow(axis, 0, inputs.shape[axis] - 1)], axis)


def shifted_back(maps: Float[Tensor, "n t *grid"], axis: int, spacing: float) -> Float[Tensor, "n t *grid"]:
    """Return the maps of inputs that `shifted` moved, moved back by one sample: 1 / spacing of a grid position.

    Linear interpolation; the last value goes on beyond the edge.
    """
    axis += 2
    side = maps.shape[axis]
    following = torch.cat([maps.narrow(axis, 1, side - 1), maps.narrow(axis, side - 1, 1)], axis)
    part = 1 / spacing
    return (1 - part) * maps + part * following


def recompressed(
    inputs: Float[Tensor, "n c *spatial"], model: Model, quality: int
) -> Float[Tensor, "n c *spatial"] | None:
    """Return pictures after JPEG compression of the pixels that the network sees; None where there is no way back.

    The way back is that of the model's own preprocessing; without one, or where it leads outside of 0..1, the inputs
    are no pictures.
    """
    prepare = model.preprocess
    if not isinstance(prepare, Preprocess) or inputs.ndim != 4 or inputs.shape[1] != 3:
        return None
    mean = inputs.new_tensor(prepare.mean or (0.0,)).view(1, -1, 1, 1)
    std = inputs.new_tensor(prepare.std or (1.0,)).view(1, -1, 1, 1)
    pixels = (inputs * std + mean) / prepare.scale
    if bool((pixels < -_ROUNDING).any()) or bool((pixels > 1 + _ROUNDING).any()):
        return None
    coded = torch.stack([_jpeg(one, quality) for one in pixels]).to(inputs)
    return (coded * prepare.scale - mean) / std


def _jpeg(pixels: Float[Tensor, "3 height width"], quality: int) -> Float[Tensor, "3 height width"]:
    levels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().contiguous()
    height, width, _ = levels.shape
    file = BytesIO()
    Image.frombytes("RGB", (width, height), bytes(levels.flatten().tolist())).save(file, "JPEG", quality=quality)
    with Image.open(file) as again:
        data = bytearray(again.convert("RGB").tobytes())
    return torch.frombuffer(data, dtype=torch.uint8).reshape(height, width, 3).permute(2, 0, 1) / 255
