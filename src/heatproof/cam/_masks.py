"""Scores of the input seen through each channel's activation map, for the methods that weigh channels by them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from heatproof.cam._parts import parts, weighted
from heatproof.capture.runs import in_batches, out_of_memory
from heatproof.errors import MethodError
from heatproof.types import Capture
from heatproof.types.explanation import LINEAR


def usable_channels(activations: Float[Tensor, "n k *grid"]) -> Bool[Tensor, "n k"]:
    """Return which channels vary over the grid by more than rounding: a constant one cannot be normalized to a mask."""
    flat = activations.flatten(2)
    # what the accumulated sums of a convolution over a constant input may differ by from place to place
    noise = 64 * torch.finfo(flat.dtype).eps * flat.abs().amax(-1)
    return flat.amax(-1) - flat.amin(-1) > noise


def normalized(maps: Float[Tensor, "b 1 *spatial"]) -> Float[Tensor, "b 1 *spatial"]:
    """Return each map scaled to 0..1, in place: the s(.) of Score-CAM."""
    low, high = maps.flatten(1).aminmax(dim=1)
    return maps.sub_(over(low, maps)).div_(over((high - low).where(high > low, 1), maps))


def score_weighted(
    capture: Capture,
    batch_size: int | None,
    name: str,
    variants: int = 1,
    mask: Callable[[Tensor, Tensor], Tensor] = lambda maps, _which: normalized(maps),
) -> Float[Tensor, "n t *grid"]:
    """Return sum_k w_k A^k, w the softmax over the usable channels of their masked scores, averaged over the variants.

    Args and errors: as of `masked_scores`.
    """
    activations, _ = parts(capture)
    usable = usable_channels(activations)
    scores = masked_scores(capture, activations, usable, batch_size, name, variants, mask)
    unused = ~usable.unsqueeze(1)
    weights = torch.softmax(scores.masked_fill(unused, -torch.inf), dim=2).masked_fill(unused, 0)
    return weighted(weights.to(activations.dtype), activations)


def masked_scores(
    capture: Capture,
    activations: Float[Tensor, "n k *grid"],
    usable: Bool[Tensor, "n k"],
    batch_size: int | None,
    name: str,
    variants: int,
    mask: Callable[[Tensor, Tensor], Tensor],
) -> Float[Tensor, "n t k"]:
    """Return the score of the input times the mask of each usable channel, averaged over the variants; else 0.

    Args:
        capture: of which inputs and rescore are used.
        activations: the maps.
        usable: which of them to try.
        batch_size: most masked inputs in one run; halved where memory runs out. None chooses.
        name: what the method is called, for its errors.
        variants: masks per channel.
        mask: `(maps (b, 1, *spatial), which (b,)) -> masks`: from the channels' maps, upsampled, which it may write
            into, and the number of the variant, 0 to `variants` - 1.

    Raises:
        MethodError: the network takes no single tensor, or one whose spatial axes are not the layer's.
    """
    given = capture.inputs
    if given is None:
        raise MethodError(
            f"{name} masks the input, but this network takes several tensors and it is not clear which one to mask; "
            "use ablationcam, which changes the activations instead."
        )
    grid, spatial = activations.shape[2:], given.shape[2:]
    if len(grid) != len(spatial) or len(grid) not in LINEAR:
        raise MethodError(
            f"{name} lays the activation maps of layer {capture.layer!r}, on a grid {tuple(grid)}, over the input, but "
            f"that has the spatial size {tuple(spatial)}; use a layer whose grid has the input's axes, or ablationcam."
        )
    owners, of = usable.nonzero(as_tuple=True)
    inputs, channels = owners.repeat(variants), of.repeat(variants)
    which: Int[Tensor, " rows"] = torch.arange(variants, device=owners.device).repeat_interleave(len(owners))
    on_cpu = given.device.type == "cpu"
    # on a CPU, larger batches leave its caches, and convolutions of pictures run faster with the channels last
    batch_size = (8 if on_cpu else 64) if batch_size is None else batch_size
    channels_last = on_cpu and given.ndim == 4

    def score(rows: slice) -> Float[Tensor, "b t"]:
        nonlocal channels_last
        maps = activations[inputs[rows], channels[rows]].unsqueeze(1)
        maps = F.interpolate(maps, size=spatial, mode=LINEAR[len(grid)], align_corners=False)
        masked = mask(maps, which[rows]).to(given.dtype) * given.detach()[inputs[rows]]
        if channels_last:
            try:
                return capture.rescore(masked.contiguous(memory_format=torch.channels_last), inputs[rows])
            except RuntimeError as error:
                if out_of_memory(error):
                    raise
                channels_last = False  # the network takes views that need the usual layout; or it fails again below
        return capture.rescore(masked, inputs[rows])

    found = in_batches(capture, len(inputs), batch_size, score).unflatten(0, (variants, len(owners))).mean(0)
    scores = torch.zeros(usable.shape[0], found.shape[1], usable.shape[1], dtype=found.dtype, device=found.device)
    scores[owners, :, of] = found
    return scores


def over(values: Float[Tensor, " b"], like: Tensor) -> Tensor:
    """Return one value per row in a shape that spreads over the row."""
    return values.view(-1, *(1,) * (like.ndim - 1))
