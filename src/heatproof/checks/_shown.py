"""What the sanity check shows beside its verdict: negative controls, the literature's protocol, another class."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from heatproof.checks._levels import across
from heatproof.checks._study import Study
from heatproof.checks._twins import maps_for
from heatproof.errors import ExplainError, MethodError
from heatproof.explain import Explainer
from heatproof.metrics._fields import LINEAR, pooled
from heatproof.metrics.similarity import hog_similarity, spearman, ssim
from heatproof.models import Model
from heatproof.models.layers import TargetLayer
from heatproof.models.outputs import class_scores
from heatproof.types import Target

_SMOOTH = (nn.GELU, nn.SiLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.LeakyReLU, nn.PReLU, nn.Mish)
_HOG_SIDE = 24
"""Shortest side that holds one block of HOG."""


def controls(
    study: Study, models: Sequence[Model], grid: Sequence[int]
) -> tuple[dict[str, Float[Tensor, "n s"]], float]:
    """Return the signed rho of maps that know little of the model, with those of the randomized models, and the cost.

    On the grid of the maps under test. Guided backpropagation is left out where it is not defined: without ReLUs.
    """
    net = study.explainer.model.net
    rectified = any(isinstance(m, nn.ReLU | nn.ReLU6) for m in net.modules())
    guided = rectified and not any(isinstance(m, _SMOOTH) for m in net.modules())
    found: dict[str, Tensor] = {}
    cost = 0.0
    for name in ("input_edges", *(["guided_backprop"] if guided else [])):
        explainer = Explainer(study.explainer.model, None, name)
        explainer.engine = study.explainer.engine  # which knows the network already
        try:
            made = [
                pooled(maps_for(study, each), grid)
                for each in (explainer, *(explainer.with_model(model, None) for model in models))
            ]
        except (MethodError, ExplainError):  # a control that has no map here is not in the table
            continue
        found[name] = across(made[0], made[1:])
        # the scores, a gradient, and for each twin a trace of one input
        cost += len(made) * (1 + 2 * (name == "guided_backprop")) + len(models) / study.n
    return found, cost


def literature(
    maps: Float[Tensor, "n 1 *grid"], others: Sequence[Float[Tensor, "n 1 *grid"]], size: Sequence[int]
) -> dict[str, float]:
    """Return mean SSIM, Spearman and HOG similarity of 0-1 maps at the input's size.

    Source: Adebayo et al. 2018, section 4.
    """
    first = _unit(maps, size)
    pairs = [(first, _unit(other, size)) for other in others]
    measures: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "SSIM": partial(ssim, data_range=1.0),
        "Spearman": spearman,
    }
    if len(size) == 2 and min(size) >= _HOG_SIDE:
        measures["HOG"] = hog_similarity
    return {name: float(torch.cat([measure(a, b) for a, b in pairs]).nanmean()) for name, measure in measures.items()}


def random_logit(
    study: Study,
    explainer: Explainer,
    maps: Float[Tensor, "n 1 *grid"],
    layers: tuple[TargetLayer, ...] | None = None,
) -> Float[Tensor, " n"] | None:
    """Return the signed rho with the maps of another class, drawn at random; None without classes.

    Source: Sixt et al. 2020, "When Explanations Lie", section 5 (random logit).
    """
    asked = [row[0].index for row in study.explanation.targets]
    whole = [index for index in asked if index is not None]
    output = study.explainer.engine.trace(study.batches[0].batch).output
    if len(whole) < len(asked) or (count := class_scores(output, 1).shape[1]) < 2:
        return None
    generator = torch.Generator().manual_seed(study.seed)
    step = torch.randint(1, count, (len(whole),), generator=generator).tolist()
    drawn = [(index + by) % count for index, by in zip(whole, step, strict=True)]
    targets = tuple((Target(study.explainer.model.label(i), index=i),) for i in drawn)
    return across(maps, [maps_for(study, explainer, targets, layers=layers)])[:, 0]


def data_randomization(study: Study, permuted: nn.Module) -> Float[Tensor, " n"]:
    """Return the signed rho of the maps with those of a network of the same form that was fit on permuted labels.

    Source: Adebayo et al. 2018, section 3.2 (data randomization test).
    """
    layer = None if study.explanation.layer == "input" else study.explanation.layer.split(" + ")
    other = study.explainer.with_model(replace(study.explainer.model, net=permuted), layer)
    maps = study.explanation.maps.detach().cpu().double()
    return across(maps, [maps_for(study, other)])[:, 0]


def _unit(maps: Float[Tensor, "n 1 *grid"], size: Sequence[int]) -> Float[Tensor, "n 1 *spatial"]:
    """Return the positive evidence at the input's size, from 0 to 1 per map; NaN where there is none."""
    shown = F.interpolate(maps.clamp(min=0), size=tuple(size), mode=LINEAR[len(size)], align_corners=False)
    axes = tuple(range(1, shown.ndim))
    low, high = shown.amin(axes, keepdim=True), shown.amax(axes, keepdim=True)
    return torch.where(high > low, (shown - low) / (high - low), torch.nan)
