"""The map of the strongest class other than the one explained."""

import torch
from torch import Tensor

from heatproof.explain import Explainer
from heatproof.explain.gather import Gathered
from heatproof.models.layers import TargetLayer
from heatproof.models.outputs import class_scores
from heatproof.types import Target

Rows = tuple[tuple[Target, ...], ...]


def has_others(explainer: Explainer, gathered: Gathered, targets: Rows) -> bool:
    """Return whether every target is a class, and there is another."""
    if any(row[0].index is None for row in targets):
        return False
    return class_scores(explainer.engine.trace(gathered.batch).output, 1).shape[1] > 1


def runner_up(
    explainer: Explainer, gathered: Gathered, targets: Rows, layers: tuple[TargetLayer, ...] | None
) -> tuple[Tensor, list[str]]:
    """Return the maps (n, 1, *grid) of the strongest other class, and its names; see `has_others`."""
    asked = torch.tensor([row[0].index for row in targets])

    def other(output: object, n: int) -> Rows:
        scores = class_scores(output, n).detach().clone()
        scores.scatter_(1, asked[:n, None].to(scores.device), -torch.inf)
        return tuple((Target(explainer.model.label(i), index=i),) for i in scores.argmax(1).tolist())

    part = explainer.capture_and_map(gathered, other, layers=layers)
    return part.maps, [row[0].name for row in part.targets]
