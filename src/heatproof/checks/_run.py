"""`hp.check`: explain once, then put every question to the same maps."""

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from torch import nn

from heatproof.capture.engine import LayerSpec
from heatproof.checks import check_named
from heatproof.checks._annotations import masks_of
from heatproof.checks._study import Study
from heatproof.errors import UsageError, nearest
from heatproof.explain import Explainer
from heatproof.explain.methods import MethodSpec
from heatproof.models import Model
from heatproof.plugins import Plugin
from heatproof.types import CheckResult

_KINDS: dict[type, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    tuple: ((tuple, list), "a list"),
}
"""By a setting's default: what its values may be, and what that is called."""


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
    cluster_name: str = "cluster",
    seed: int = 0,
    alpha: float = 0.05,
    settings: dict[str, dict[str, Any]] | None = None,
    progress: Callable[[str], None] | None = None,
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
        annotations: one per input, for plausibility: a mask (array or file) of the size of the original or of the
            model's input, {"boxes": [(x_min, y_min, x_max, y_max), ...]}, {"points": [(x, y), ...]}, or None.
        cluster_by: per input, what it belongs to (a patient); such inputs are resampled together.
        cluster_name: what the answers call that.
        seed: of everything drawn.
        alpha: error rate of the intervals.
        settings: of single checks: {"sanity": {"draws": 20}}.
        progress: called with the name of each check before it is made.
        **explainer: further arguments of `Explainer`.

    Raises:
        UsageError: there is no such check or setting, or `cluster_by` has another length than the inputs.
        InputError, TargetError, LayerError, MethodError, ExplainError: as for `explain`.
    """
    names = [checks] if isinstance(checks, str) else list(checks)
    plugins = [check_named(name) for name in names]
    if not plugins:
        raise UsageError("The list of checks is empty; name at least one.")
    unknown = set(settings or {}) - {plugin.name for plugin in plugins}
    if unknown:
        raise UsageError(f"There are settings for {sorted(unknown)}, which are not among the checks asked for.")
    for plugin in plugins:
        _refuse_unknown(plugin, (settings or {}).get(plugin.name, {}))
    study = open_study(
        Explainer(model, layer, method, **explainer),
        inputs,
        target,
        annotations=annotations,
        cluster_by=cluster_by,
        cluster_name=cluster_name,
        seed=seed,
        alpha=alpha,
    )
    results: list[CheckResult] = []
    for plugin in plugins:
        if progress:
            progress(plugin.name)
        found: CheckResult | list[CheckResult] = plugin.function(study, **(settings or {}).get(plugin.name, {}))
        results += [found] if isinstance(found, CheckResult) else found
    return _together(results)


def open_study(
    explainer: Explainer,
    inputs: Any,
    target: Any = None,
    *,
    annotations: Any = None,
    cluster_by: Sequence[Hashable] | None = None,
    cluster_name: str = "cluster",
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
        cluster_name="input" if cluster_by is None else cluster_name,
        annotations=None if annotations is None else masks_of(annotations, explanation),
        seed=seed,
        alpha=alpha,
    )


def _refuse_unknown(plugin: Plugin, given: Mapping[str, Any]) -> None:
    """Raise for a setting that the check does not have, or whose value is of another kind than the default."""
    known = dict(list(inspect.signature(plugin.function).parameters.items())[1:])
    for name, value in given.items():
        if name not in known:
            close = nearest(name, known, 1) or "."
            raise UsageError(f"{plugin.name} has no setting {name!r}; it has {', '.join(known) or 'none'}{close}")
        for kind, (accepted, called) in _KINDS.items():
            if type(known[name].default) is kind and (
                not isinstance(value, accepted) or isinstance(value, bool) != (kind is bool)
            ):
                raise UsageError(f"{plugin.name}'s setting {name} is {value!r}; give {called}.")


def _together(results: list[CheckResult]) -> list[CheckResult]:
    """Let plausibility say whom to suspect, now that faithfulness is known."""
    faithful = {result.verdict for result in results if result.check == "faithfulness"}
    told = {
        "supports": "The map is faithful to the model, so suspect the model.",
        "undermines": "The map is not faithful to the model, so suspect the map first.",
        "inconclusive": "Whether the map is faithful is open, so neither map nor model can be blamed yet.",
    }
    return [
        replace(result, why=f"{result.why} {told[next(iter(faithful))]}")
        if result.check == "plausibility" and result.verdict == "undermines" and len(faithful & told.keys()) == 1
        else result
        for result in results
    ]
