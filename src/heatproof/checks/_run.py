"""`hp.check`: explain once, then put every question to the same maps."""

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.capture.engine import LayerSpec
from heatproof.checks import check_named
from heatproof.checks._study import Study
from heatproof.errors import UsageError
from heatproof.explain import Explainer
from heatproof.explain.methods import MethodSpec
from heatproof.models import Model
from heatproof.types import CheckResult


def check(
    model: nn.Module | Model,
    inputs: Any,
    checks: str | Sequence[str] = ("sanity", "faithfulness"),
    *,
    target: Any = None,
    method: MethodSpec = "gradcam",
    layer: LayerSpec = None,
    annotations: Any = None,
    cluster_by: Sequence[Hashable] | None = None,
    seed: int = 0,
    alpha: float = 0.05,
    settings: dict[str, dict[str, Any]] | None = None,
    **explainer: Any,
) -> list[CheckResult]:
    """Put questions to a model's maps; return an answer with a verdict for each.

    Args:
        model: a `Model` or any `torch.nn.Module`; it is never changed.
        inputs: as for `explain`.
        checks: names of checks, in the order in which they are answered.
        target: as for `explain`, one per input.
        method: as for `explain`.
        layer: as for `explain`.
        annotations: n boolean masks at the size of the originals or of the model's input, for plausibility.
        cluster_by: per input, what it belongs to (a patient); such inputs are resampled together.
        seed: of everything drawn.
        alpha: error rate of the intervals.
        settings: of single checks: {"sanity": {"seeds": 20}}.
        **explainer: further arguments of `Explainer`.

    Raises:
        UsageError: there is no such check, or `cluster_by` has another length than the inputs.
        InputError, TargetError, LayerError, MethodError, ExplainError: as for `explain`.
    """
    names = [checks] if isinstance(checks, str) else list(checks)
    plugins = [check_named(name) for name in names]
    if not plugins:
        raise UsageError("The list of checks is empty; name at least one.")
    unknown = set(settings or {}) - {plugin.name for plugin in plugins}
    if unknown:
        raise UsageError(f"There are settings for {sorted(unknown)}, which are not among the checks asked for.")
    study = open_study(
        Explainer(model, layer, method, **explainer),
        inputs,
        target,
        annotations=annotations,
        cluster_by=cluster_by,
        seed=seed,
        alpha=alpha,
    )
    results: list[CheckResult] = []
    for plugin in plugins:
        found: CheckResult | list[CheckResult] = plugin.function(study, **(settings or {}).get(plugin.name, {}))
        results += [found] if isinstance(found, CheckResult) else found
    return results


def open_study(
    explainer: Explainer,
    inputs: Any,
    target: Any = None,
    *,
    annotations: Any = None,
    cluster_by: Sequence[Hashable] | None = None,
    seed: int = 0,
    alpha: float = 0.05,
) -> Study:
    """Explain the inputs, and lay out what is known about them, see `check`."""
    explanation = explainer(inputs, target)
    if explanation.maps.shape[1] != 1:
        raise UsageError(f"Checks take one target per input; there are {explanation.maps.shape[1]}.")
    n = len(explanation)
    clusters = tuple(cluster_by) if cluster_by is not None else tuple(range(n))
    if len(clusters) != n:
        raise UsageError(f"cluster_by has {len(clusters)} entries for {n} inputs; give one per input.")
    return Study(
        explainer=explainer,
        explanation=explanation,
        batches=explanation.origin[1],
        clusters=clusters,
        cluster_name="input" if cluster_by is None else "cluster",
        annotations=None if annotations is None else _masks(annotations, explanation),
        seed=seed,
        alpha=alpha,
    )


def _masks(annotations: Any, explanation: Any) -> Tensor:
    """Return boolean masks (n, *input_spatial) in the frame of the model's input."""
    masks = torch.stack([torch.as_tensor(one).bool() for one in annotations])
    if tuple(masks.shape) != (len(explanation), *explanation.input_size):
        raise UsageError(
            f"annotations have shape {tuple(masks.shape)}; give {len(explanation)} masks of the model's input size "
            f"{explanation.input_size}."
        )
    return masks
