"""Multiple-instance models: which patches a slide's score comes from, asked in three ways that need not agree.

Attention says what the model looked at; it is no evidence for the score, and often misleads. The gradient says what the
score depends on nearby; leaving patches out says what it falls by.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from heatproof.errors import ModelError, TargetError
from heatproof.inputs.features import Features
from heatproof.inputs.slide import Slide
from heatproof.models import Model
from heatproof.models.outputs import class_scores, device_and_dtype, map_tensors, tensors
from heatproof.models.pool import ViewPool
from heatproof.models.targets import resolve, value
from heatproof.types import Target
from heatproof.wsi.network import Network
from heatproof.wsi.plan import Plan
from heatproof.wsi.tiles import Tile, ahead, read_tile

_MOST_FORWARDS = 1000
"""Groups of patches that are left out one after the other; larger slides are asked in groups of neighbors."""


@dataclass(frozen=True, eq=False)
class Bag:
    """What a multiple-instance model says of one slide.

    Attributes:
        score: of the target.
        target: what captions call it.
        maps: (n,) per way of asking: "attention" (times what equal attention would be; left out where the model has
            none), "gradient" and "perturbation" (in units of the score, times the number of patches: their means are
            what all patches together amount to).
        agreement: Spearman correlation of each two.
        group: patches left out at once.
    """

    score: float
    target: str
    maps: dict[str, Float[np.ndarray, " n"]]
    agreement: dict[str, float]
    group: int


def explain_bag(
    model: Model, features: Features, target: Any = None, advance: Callable[[int], None] = lambda _: None
) -> Bag:
    """Explain the score of one bag of features.

    Args:
        model: takes (n, d) or (1, n, d) and returns one score per class, or a tuple or mapping with them.
        features: of the slide.
        target: class index, label or callable; None only for one output.
        advance: called with the number of groups just left out.

    Raises:
        ModelError: the model takes features of another form.
        TargetError: there is no such target.
    """
    device, dtype = device_and_dtype(model.net)
    x = features.values.to(device, dtype)
    pool = ViewPool(model.net)
    run, watched = _runner(pool, x)
    output = run(x)
    goal = _goal(model, output, target)
    maps: dict[str, np.ndarray] = {}
    attention = _attention(output, watched, goal, len(x))
    if attention is not None:
        maps["attention"] = (attention * len(x)).astype(np.float64)
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        score = value(goal, run(leaf))
        (gradient,) = torch.autograd.grad(score, leaf)
    maps["gradient"] = (gradient * x).sum(1).double().cpu().numpy() * len(x)
    groups = _groups(features)
    falls = np.zeros(len(x))
    with torch.no_grad():
        for members in groups:
            keep = torch.ones(len(x), dtype=torch.bool)
            keep[members] = False
            left = float(value(goal, run(x[keep.to(device)]))) if bool(keep.any()) else 0.0
            falls[members] = (float(score.detach()) - left) / len(members) * len(x)
            advance(1)
    maps["perturbation"] = falls
    names = list(maps)
    agreement = {
        f"{a} and {b}": _correlation(maps[a], maps[b])
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if np.ptp(maps[a]) > 0 and np.ptp(maps[b]) > 0
    }
    return Bag(float(score.detach()), goal.name, maps, agreement, max(map(len, groups)))


def _correlation(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> float:
    found: Any = spearmanr(one, other)
    return float(found.statistic)


def encode(network: Network, slide: Slide, plan: Plan, batch_size: int, advance: Callable[[int], None]) -> Features:
    """Return the encoder's features of every tile that can be read.

    Raises:
        ModelError: it returns no vector per tile.
    """
    kept: list[int] = []
    rows: list[Tensor] = []
    tiles = ahead(lambda tile: read_tile(slide, plan, tile), range(len(plan.tiles)))
    waiting: list[tuple[int, Tile]] = []

    def flush() -> None:
        good = [(i, tile) for i, tile in waiting if isinstance(tile, np.ndarray)]
        if good:
            batch = network.batch([tile for _, tile in good])
            with network.engine.pool.borrow(quiet=True) as view, torch.no_grad():
                rows.append(_vectors(batch.run(view), len(good)))
            kept.extend(i for i, _ in good)
        advance(len(waiting))
        waiting.clear()

    for i, tile in enumerate(tiles):
        waiting.append((i, tile))
        if len(waiting) == batch_size:
            flush()
    flush()
    if not rows:
        raise ModelError(f"No tile of {slide.path.name} can be read, so that there are no features.")
    scale = slide.scale(plan.mpp)
    corners = plan.tiles[kept][:, ::-1] * plan.spacing * np.array([scale.x, scale.y])
    return Features(torch.cat(rows), corners.astype(np.float64), plan.core * plan.spacing * scale.x)


def _vectors(output: Any, n: int) -> Float[Tensor, "n d"]:
    found = [t for _, t in tensors(output) if t.ndim >= 2 and t.shape[0] == n]
    if not found:
        raise ModelError("The encoder returns no tensor with one row per tile; give a network without its head.")
    first = found[0].float()
    return first if first.ndim == 2 else first.flatten(2).mean(-1) if first.ndim == 4 else first[:, 0]


class _Softmaxes(TorchDispatchMode):
    """Keeps what every softmax over as many entries as there are patches returned."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n, self.kept = n, list[Tensor]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._softmax.default and args[0].shape[args[1]] == self.n > 1:
            rows = out.detach().movedim(args[1], -1)
            self.kept.append(rows.reshape(-1, self.n))
        return out


def _runner(pool: ViewPool, x: Tensor) -> tuple[Callable[[Tensor], Any], list[Tensor]]:
    """Return how to run the model on features (n, d), and its attention over these; tries both usual forms."""
    reasons: list[str] = []
    for form, lift in (("(1, n, d)", _as_batch), ("(n, d)", _as_is)):
        watch = _Softmaxes(len(x))
        try:
            with pool.borrow(quiet=True) as view, torch.no_grad(), watch:
                output = view(lift(x))
            class_scores(_one_row(output), 1)
        except Exception as error:  # noqa: BLE001  the network's own refusal of a form that is not its
            reasons.append(f"{form}: {' '.join(str(error).split())[:120]}")
            continue

        def run(features: Tensor, lift: Callable[[Tensor], Tensor] = lift) -> Any:
            with pool.borrow(quiet=True) as view:
                return map_tensors(_one_row(view(lift(features))), lambda t: t[0] if t.shape[:1] == (1,) else t)

        return run, watch.kept
    raise ModelError(
        f"The multiple-instance model runs on {len(x)} patches of {x.shape[1]} features in neither form "
        f"({'; '.join(reasons)}); are these features of its encoder?"
    )


def _as_batch(features: Tensor) -> Tensor:
    return features[None]


def _as_is(features: Tensor) -> Tensor:
    return features


def _one_row(output: Any) -> Any:
    """Return the output with scores as (1, classes), also where the model returned (classes,)."""
    if isinstance(output, Tensor):
        if output.ndim == 1:
            return output[None]
        if output.ndim != 2 or output.shape[0] != 1:
            raise ModelError(f"an output of shape {tuple(output.shape)} is no score per class of one bag")
        return output
    if isinstance(output, tuple | list) and output and isinstance(output[0], Tensor):
        return _one_row(output[0]), *output[1:]  # CLAM: logits, probabilities, prediction, attention, further results
    return output


def _goal(model: Model, output: Any, target: Any) -> Target:
    batched = map_tensors(output, lambda t: t[None])
    classes = class_scores(batched, 1).shape[1]
    if target is None:
        if classes != 1:
            raise TargetError(f"The model has {classes} classes; name the one to explain with --target.")
        target = 0
    count = None if model.labels is None else len(model.labels)
    return resolve([[target]], batched, 1, model.label, model.index, count)[0][0]


def _attention(output: Any, watched: list[Tensor], goal: Target, n: int) -> Float[np.ndarray, " n"] | None:
    """Return the weights over patches: of the last softmax over them; else of an output with one value per patch."""
    rows = watched[-1] if watched else None
    if rows is None:
        found = [t for _, t in tensors(output) if n > 1 and t.shape[-1:] == (n,) and t.numel() % n == 0]
        rows = found[-1].detach().reshape(-1, n).softmax(-1) if found else None
    if rows is None:
        return None
    one = rows[goal.index] if goal.index is not None and len(rows) > max(goal.index, 1) else rows.mean(0)
    return one.double().cpu().numpy()


def _groups(features: Features) -> list[list[int]]:
    """Return patches one by one, or squares of neighbors where there are too many."""
    for side in _sides():
        cells = np.floor(features.corners / (features.side * side)).astype(int)
        _, which = np.unique(cells, axis=0, return_inverse=True)
        if side == 1:
            which = np.arange(len(cells))
        if which.max() < _MOST_FORWARDS:
            break
    return [np.flatnonzero(which == g).tolist() for g in range(int(which.max()) + 1)]  # pyright: ignore[reportPossiblyUnboundVariable]  the sides never end


def _sides() -> Iterator[int]:
    side = 1
    while True:
        yield side
        side *= 2
