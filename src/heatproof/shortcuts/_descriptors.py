"""What a region looks like: to the network (activations under it), and to the eye (color, texture, size, place)."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.metrics._fields import blurred, to_input
from heatproof.shortcuts._regions import Region
from heatproof.shortcuts._survey import Survey

DIMENSIONS = 8
"""Principal components kept of the activations."""
WEIGHTS = {"activations": 1.0, "look": 1.0, "place": 0.3}


def activations(survey: Survey, pixels: Float[Tensor, "n c *spatial"] | None = None) -> Float[Tensor, "n k *grid"]:
    """Return what the target layer (the first of several) puts out for every input, or for changed ones.

    What is not finite is 0.
    """
    origin: Any = survey.explanation.origin
    explainer, gathered = origin
    batches = [one.batch for one in gathered]
    if pixels is not None:
        batches = [batches[0].with_tensor(part) for part in pixels.split(survey.batch)]
    layer = survey.explanation.layer.split(" + ")[0]
    found: list[Tensor] = []
    done = 0
    for batch in batches:
        rows = survey.explanation.targets[done : done + batch.n]
        done += batch.n

        def resolver(_: Any, n: int, rows: Any = rows) -> Any:
            return rows[:n]

        layers = explainer.engine.layers(batch, layer, resolver)
        captured = explainer.engine.capture(batch, layers, resolver)[0][0]
        found.append(captured.activations.detach().float().cpu().nan_to_num(0.0, 0.0, 0.0))
    return torch.cat(found)


def descriptors(
    survey: Survey, regions: Sequence[Region], seen: Float[Tensor, "n k *grid"]
) -> dict[str, Float[Tensor, "r d"]]:
    """Return groups of numbers about each region.

    activations: mean under the region, weighted by evidence. look: mean and deviation of each channel under it against
    the input's middle level, and the strength of what is finer than two samples. place: how far from the middle, and
    how large.
    """
    size = tuple(survey.pixels.shape[2:])
    detail = survey.pixels - blurred(survey.pixels, 1.0)
    levels = survey.pixels.flatten(2).median(2).values
    inner: list[Tensor] = []
    look: list[Tensor] = []
    place: list[Tensor] = []
    for one in regions:
        x = survey.pixels[one.row]
        inner.append(seen[one.row][:, one.places] @ (one.weights / one.weights.sum()))
        under = to_input(one.places.float().unsqueeze(0), size)[0, 0] > 0.5
        fine, level = detail[one.row], levels[one.row]
        values = x[:, under]
        extreme = torch.stack([values.amin(1) - level, values.amax(1) - level])
        look.append(
            torch.cat(
                [
                    values.mean(1) - level,
                    values.std(1, correction=0),
                    fine[:, under].std(1, correction=0),
                    extreme.flatten(),
                ]
            )
        )
        middle = torch.stack(
            [(torch.arange(s).float() / max(1, s - 1) - 0.5)[_along(one.places, a)].mean() for a, s in _axes(one)]
        )
        place.append(torch.stack([middle.norm(), one.places.float().mean().sqrt()]))
    return {"activations": torch.stack(inner), "look": torch.stack(look), "place": torch.stack(place)}


class Space:
    """Descriptors as points: learned on some regions, applied to all."""

    def __init__(self, groups: dict[str, Float[Tensor, "r d"]]) -> None:
        self._parts: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        for name, values in groups.items():
            middle, spread = values.mean(0), values.std(0, correction=0)
            spread = torch.where(spread > 1e-9, spread, torch.inf)
            scaled = (values - middle) / spread
            keep = min(DIMENSIONS, *scaled.shape)
            _, strength, basis = torch.linalg.svd(scaled.double(), full_matrices=False)
            kept = basis[:keep] * _signs(basis[:keep])
            total = float(strength[:keep].square().sum().div(max(1, len(values))).sqrt()) or 1.0
            self._parts[name] = (middle, spread, (kept / total * WEIGHTS[name]).float())

    def __call__(self, groups: dict[str, Float[Tensor, "r d"]]) -> Float[Tensor, "r p"]:
        """Return the points."""
        return torch.cat([((groups[n] - m) / s) @ b.T for n, (m, s, b) in self._parts.items()], 1)


def _signs(basis: Tensor) -> Tensor:
    """Return the signs that make the largest entry of each row positive, so that points do not depend on the solver."""
    return basis.gather(1, basis.abs().argmax(1, keepdim=True)).sign()


def _axes(region: Region) -> list[tuple[int, int]]:
    return list(enumerate(region.places.shape))


def _along(places: Tensor, axis: int) -> Tensor:
    """Return the coordinates along an axis of all places."""
    return places.nonzero()[:, axis]
