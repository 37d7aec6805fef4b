"""Edits of inputs: a region taken away, put in, or changed elsewhere; feathered, and within the valid range."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.checks._surrogates import phase_randomized
from heatproof.errors import UsageError
from heatproof.metrics._fields import blurred
from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._fills import Fill, cloned, wider
from heatproof.shortcuts._survey import Survey

FEATHER = 2
"""Samples over which an edit fades out around its region."""
COARSE = 4.0
"""Width, in samples, of the blur that makes irrelevant changes coarse."""
_TRIES = 64
_WHOLE = 0.5
"""Share of a region that may overlap what it is moved away from; beyond that there is no elsewhere."""


def removed(
    survey: Survey,
    masks: Bool[Tensor, "m *spatial"],
    rows: Sequence[int],
    fill: Fill,
    clean: Float[Tensor, "m c *spatial"] | None = None,
) -> Float[Tensor, "m c *spatial"]:
    """Return inputs without what lies under the masks, one mask per row.

    Args:
        survey: of the inputs.
        masks: what is taken away.
        rows: numbers of the inputs.
        fill: what stands there afterwards.
        clean: the inputs that it is made from, where these show what no fill may bring back.
    """
    inputs = survey.pixels[list(rows)]
    unknown = wider(masks, FEATHER).unsqueeze(1)
    return within(survey, _blended(inputs, fill(inputs if clean is None else clean, unknown), masks))


def pasted(
    survey: Survey, source: Float[Tensor, "m c *spatial"], masks: Bool[Tensor, "m *spatial"], rows: Sequence[int]
) -> Float[Tensor, "m c *spatial"]:
    """Return inputs with what the sources show under the masks, at the same place, brought to the inputs' level."""
    inputs = survey.pixels[list(rows)]
    unknown = wider(masks, FEATHER).unsqueeze(1)
    return within(survey, _blended(inputs, cloned(inputs, source, unknown), masks))


def elsewhere(
    survey: Survey, candidate: Candidate, rows: Sequence[int], generator: torch.Generator
) -> tuple[Bool[Tensor, "m *spatial"], Bool[Tensor, " m"]]:
    """Return masks of the same shape at another place that covers as much of the object, and where there is one.

    The object is what the expert marked; without annotations, where the evidence is strongest outside the region.
    """
    assert candidate.masks is not None
    found: list[Tensor] = []
    there: list[bool] = []
    for row in rows:
        mask, avoid = candidate.masks[row], _around(important(survey, row))
        same = float((mask & avoid).sum())
        if survey.annotations is None:  # the strongest evidence may be the region's own
            same, avoid = 0.0, avoid & ~mask
        best, cost = _moved(mask, _around(mask), avoid, same, generator)
        found.append(best)
        there.append(cost <= _WHOLE)
    return torch.stack(found), torch.tensor(there)


def placed(
    survey: Survey, candidate: Candidate, rows: Sequence[int], donors: Sequence[int], generator: torch.Generator
) -> tuple[Float[Tensor, "m c *spatial"], Bool[Tensor, "m *spatial"]]:
    """Return, per row, a donor's input and its mask, both shifted so that the mask lies off the row's object.

    Where the donor's own place is free it stays there.
    """
    assert candidate.masks is not None
    sources: list[Tensor] = []
    masks: list[Tensor] = []
    for row, given in zip(rows, donors, strict=True):
        mask, x = candidate.masks[given], survey.pixels[given]
        avoid = _around(important(survey, row))
        if bool((mask & avoid).any()):
            shift = _shift(mask, torch.zeros_like(mask), avoid, 0.0, generator)[0]
            axes = tuple(range(mask.ndim))
            mask, x = mask.roll(shift, axes), x.roll(shift, tuple(a + 1 for a in axes))
        sources.append(x)
        masks.append(mask)
    return torch.stack(sources), torch.stack(masks)


def scrambled(
    sources: Float[Tensor, "m c *spatial"], masks: Bool[Tensor, "m *spatial"], generator: torch.Generator
) -> Float[Tensor, "m c *spatial"]:
    """Return sources whose samples under the mask change places with each other: same colors, another pattern."""
    mixed = sources.clone()
    for x, mask in zip(mixed, masks, strict=True):
        values = x[:, mask]
        x[:, mask] = values[:, torch.randperm(values.shape[1], generator=generator)]
    return mixed


def smaller(masks: Bool[Tensor, "m *spatial"], share: float) -> Bool[Tensor, "m *spatial"]:
    """Return the part of each mask that lies nearest to one end of it, a share of its samples."""
    kept = torch.zeros_like(masks)
    for one, mask in zip(kept, masks, strict=True):
        places = mask.nonzero()
        if not len(places):
            continue
        centered = places.double() - places.double().mean(0)
        _, _, basis = torch.linalg.svd(centered[: min(len(centered), 4096)], full_matrices=False)
        along = centered @ basis[0]
        near = along.argsort()[: max(1, round(share * len(places)))]
        one[tuple(places[near].T)] = True
    return kept


def irrelevant(
    inputs: Float[Tensor, "m c *spatial"], edited: Float[Tensor, "m c *spatial"], seed: int
) -> Float[Tensor, "m c *spatial"]:
    """Return changes as large as an edit's in an irrelevant direction: to be added, and taken away, as its control.

    The part that is the same everywhere turns to an orthogonal direction of the channels; the rest goes to random
    places and becomes coarser, with the same power, since fine noise would sharpen an input as the edit does. With one
    channel there is no other direction: a random field of the same size.
    """
    axes = inputs.ndim - 2
    last = tuple(range(-axes, 0))
    difference = edited - inputs
    level = difference.mean(last, keepdim=True)
    generator = torch.Generator().manual_seed(seed)
    if inputs.shape[1] > 1:
        drawn = torch.randn(level.shape[1:], generator=generator).to(level).expand_as(level)
        length = (level**2).sum(1, keepdim=True)
        along = (drawn * level).sum(1, keepdim=True) / torch.where(length > 0, length, 1.0)
        across = drawn - along * level
        norm = (across**2).sum(1, keepdim=True).sqrt()
        turned = across / torch.where(norm > 0, norm, 1.0) * length.sqrt()
    else:
        drawn = torch.randn(inputs.shape[1:], generator=generator).to(inputs).unsqueeze(0)
        smooth = blurred(drawn, max(inputs.shape[2:]) / 8)
        smooth = smooth - smooth.mean(last, keepdim=True)
        turned = smooth / smooth.std(last, correction=0, keepdim=True) * level.abs()
    return turned + _coarser(difference - level, seed + 1)


def _coarser(difference: Float[Tensor, "m c *spatial"], seed: int) -> Float[Tensor, "m c *spatial"]:
    """Return changes with as much power and mean 0, at random places, and nothing finer than about `COARSE` samples."""
    axes = difference.ndim - 2
    last = tuple(range(-axes, 0))
    field = blurred(phase_randomized(difference, axes, seed), COARSE)
    field = field - field.mean(last, keepdim=True)
    power, left = (one.square().mean(last, keepdim=True).sqrt() for one in (difference, field))
    return field / torch.where(left > 0, left, 1.0) * power


def within(survey: Survey, edited: Float[Tensor, "m c *spatial"]) -> Float[Tensor, "m c *spatial"]:
    """Return edits cut to the valid range of the network's input.

    Raises:
        UsageError: an edit lies so far outside that cutting would make another edit of it.
    """
    low, high = (limit.to(edited) for limit in survey.limits)
    reach = high - low
    beyond = ((low - edited).clamp(min=0) + (edited - high).clamp(min=0)) / torch.where(reach > 0, reach, 1.0)
    if bool((beyond > 1).any()):
        raise UsageError(
            f"An edit leaves the valid range of the network's input: it reaches from {float(edited.min()):.3g} to "
            f"{float(edited.max()):.3g}, and inputs from {float(low.min()):.3g} to {float(high.max()):.3g}; mend the "
            "imputer, or give the model its preprocessing."
        )
    return torch.minimum(torch.maximum(edited, low), high)


def important(survey: Survey, row: int) -> Bool[Tensor, "*spatial"]:
    """Return where an input's object lies: the annotation, or the tenth of the input with the strongest evidence."""
    if survey.annotations is not None and bool(survey.annotations[row].any()):
        return survey.annotations[row]
    size = survey.pixels.shape[2:]
    evidence = survey.maps[row].abs().nan_to_num()
    wide = torch.nn.functional.interpolate(evidence[None, None].float(), size=size, mode="nearest")[0, 0]
    cut = wide.flatten().kthvalue(max(1, round(0.9 * wide.numel()))).values
    return wide > cut


def _around(mask: Bool[Tensor, "*spatial"]) -> Bool[Tensor, "*spatial"]:
    """Return a mask grown by what an edit beside it could touch."""
    return wider(mask.unsqueeze(0), 2 * FEATHER)[0]


def _blended(inputs: Tensor, filled: Tensor, masks: Tensor) -> Tensor:
    """Return the inputs where nothing is edited, exactly, the edit under the mask, and a soft passage between."""
    soft = blurred(wider(masks, 1).unsqueeze(1).to(inputs), FEATHER / 2)
    weight = torch.where(masks.unsqueeze(1), 1.0, soft * wider(masks, FEATHER).unsqueeze(1))
    return torch.where(weight == 0, inputs, inputs * (1 - weight) + filled * weight)


def _moved(mask: Tensor, taken: Tensor, avoid: Tensor, same: float, generator: torch.Generator) -> tuple[Tensor, float]:
    shift, cost = _shift(mask, taken, avoid, same, generator)
    return mask.roll(shift, tuple(range(mask.ndim))), cost


def _shift(
    mask: Tensor, taken: Tensor, avoid: Tensor, same: float, generator: torch.Generator
) -> tuple[tuple[int, ...], float]:
    """Return the shift of several drawn that costs least, and the cost, as a share of the mask.

    What counts is the overlap with what is taken, and how far the overlap with what is to be avoided is from `same`.
    Shifts that push the region over the edge come last.
    """
    axes = tuple(range(mask.ndim))
    area = max(1.0, float(mask.sum()))
    if not bool(mask.any()):
        return tuple(0 for _ in axes), 1.0
    places = mask.nonzero()
    low, high = places.amin(0).tolist(), places.amax(0).tolist()
    best: tuple[tuple[int, ...], float] = (tuple(0 for _ in axes), 2.0)
    for number in range(_TRIES):
        inside = number < _TRIES - 16
        spans = [(-a, s - 1 - b) if inside else (0, s - 1) for a, b, s in zip(low, high, mask.shape, strict=True)]
        shift = tuple(a + int(torch.randint(b - a + 1, (), generator=generator)) for a, b in spans)
        there = mask.roll(shift, axes)
        cost = float((there & taken).sum()) + abs(float((there & avoid).sum()) - same)
        cost = cost / area + (0.0 if inside else 0.1)
        if cost < best[1]:
            best = (shift, cost)
        if best[1] == 0.0:
            break
    return best
