"""How much of the positive evidence lies on the stain, against chance and against random weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.demo import dab
from heatproof.explain import Explainer, explain
from heatproof.models import Model
from heatproof.models.randomize import randomized
from heatproof.types import Explanation, Input

POSITIVE_LABEL = "DAB-positive"


@dataclass(frozen=True)
class Shares:
    """Share of the positive evidence that lies on DAB-stained pixels, each a mean over tiles with any evidence.

    Attributes:
        trained: of the trained network.
        low: the tenth percentile of the tiles of the trained network.
        chance: share of the tiles' area that is stained: what evidence spread evenly would score.
        random: of the same network with random weights, one value a seed; NaN where every map was blank.
        tiles: number of tiles.
        blank: number of tiles for which the trained network has no positive evidence.
    """

    trained: float
    low: float
    chance: float
    random: tuple[float, ...]
    tiles: int
    blank: int

    @property
    def random_seen(self) -> tuple[float, ...]:
        """The random networks that had any evidence."""
        return tuple(share for share in self.random if not np.isnan(share))

    @property
    def random_mean(self) -> float:
        """Mean over the random networks that had any evidence."""
        return float(np.mean(self.random_seen))

    @property
    def random_as_good(self) -> int:
        """How many random networks reach the trained network's share, by luck."""
        return sum(share >= self.trained for share in self.random_seen)


def share_on(heatmaps: Float[Tensor, "n h w"], places: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, " n"]:
    """Return, per map, which share of its sum lies on `places`; NaN for a map without evidence.

    Args:
        heatmaps: positive evidence, in any unit (`Explanation.heatmaps`).
        places: where to count.
    """
    evidence = heatmaps.double().numpy()
    total = evidence.sum(axis=(1, 2))
    inside = (evidence * places).sum(axis=(1, 2))
    return np.divide(inside, total, out=np.full(len(total), np.nan), where=total > 0)


def with_random_weights(model: Model, seed: int) -> Model:
    """Return the model with fresh weights drawn from `seed`; the given one stays as it is."""
    net = randomized(model.net, seed)
    return Model(net, model.preprocess, model.labels, name=f"{model.name}, random weights (seed {seed})")


def measure(
    model: Model,
    inputs: Sequence[Input],
    truths: Bool[np.ndarray, "n h w"],
    seeds: Sequence[int],
    advance: Callable[[], None],
) -> Shares:
    """Explain DAB-positive tiles with the model and with random weights, and count what lies on the stain.

    Args:
        model: the bundled model.
        inputs: the tiles.
        truths: where DAB is in each.
        seeds: one random network each.
        advance: called after each network.
    """

    def shares(explainer: Explainer) -> Float[np.ndarray, " n"]:
        found = share_on(positive_evidence(explainer(list(inputs), POSITIVE_LABEL)), truths)
        advance()
        return found

    trained = shares(Explainer(model))
    # the layer is named, because a random network can be dead for the first input, and is still to be counted
    layer = explain(model, [inputs[0]], POSITIVE_LABEL).layer
    random = [shares(Explainer(with_random_weights(model, seed), layer)) for seed in seeds]
    seen = ~np.isnan(trained)
    return Shares(
        trained=float(trained[seen].mean()),
        low=float(np.quantile(trained[seen], 0.1)),
        chance=float(truths.mean()),
        random=tuple(float(np.mean(s[~np.isnan(s)])) if not np.isnan(s).all() else float("nan") for s in random),
        tiles=len(inputs),
        blank=int((~seen).sum()),
    )


def positive_evidence(ex: Explanation) -> Float[Tensor, "n h w"]:
    """Return the positive evidence for the first target, at the size of the model's input."""
    return ex.heatmaps()[:, 0].float().cpu()


def on_held_out_half(ex: Explanation) -> tuple[float, float]:
    """Return, for the whole field, the share of the held-out half's evidence on stain, and the stain's share of it."""
    half = slice(*dab.SPLIT["test"])
    truth = dab.truth()[:, half]
    return float(share_on(positive_evidence(ex)[:, :, half], truth[None])[0]), float(truth.mean())
