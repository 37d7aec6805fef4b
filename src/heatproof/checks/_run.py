"""`hp.check`: explain once, then put every question to the same maps."""

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from heatproof.capture.engine import LayerSpec
from heatproof.checks import check_named
from heatproof.checks._annotations import masks_of
from heatproof.checks._stats import share_alpha
from heatproof.checks._study import Study, joined, keys_of
from heatproof.checks._verdict import FEWEST
from heatproof.errors import UsageError, nearest
from heatproof.explain import Explainer
from heatproof.explain.gather import Gathered
from heatproof.explain.methods import MethodSpec
from heatproof.models import Model
from heatproof.plugins import Plugin
from heatproof.types import CheckResult
from heatproof.types.check import Verdict

_KINDS: dict[type, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    tuple: ((tuple, list), "a list"),
}
"""By a setting's default: what its values may be, and what that is called."""

_LEAST_ALPHA = 1e-9
"""Below, quantiles are told from the end of the distribution by rounding alone."""
_DERIVED = 2**16
"""Checks also draw from the next few seeds: these many at most."""
_SEEDS = 2**63 - _DERIVED
"""Seeds below this, and those derived from them, fit into the 64 bits with sign that torch takes."""


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
        alpha: error rate of all verdicts together: they share it by Holm's procedure, and each answer names its part,
            which is also that of its intervals. Checks of other packages take part if they return `study.answered`.
        settings: of single checks: {"sanity": {"draws": 20}}.
        progress: called with the name of each check before it is made.
        **explainer: further arguments of `Explainer`.

    Raises:
        UsageError: there is no such check or setting, alpha or the seed is out of range, or `cluster_by` has another
            length than the inputs, or entries that are missing or no names.
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
    # Whatever mode the caller is in: checks make inputs of their own, and maps of them take gradients.
    with torch.inference_mode(False), torch.enable_grad():
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
        return together(_sharing([_with_copies(result, study) for result in results], alpha))


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
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not _LEAST_ALPHA <= alpha < 1:
        raise UsageError(f"alpha is {alpha!r}; give a rate between 0 and 1, such as 0.05.")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < _SEEDS:
        raise UsageError(f"seed is {seed!r}; give a whole number from 0 to 2**63 - {_DERIVED + 1}.")
    explanation = explainer(inputs, target)
    if explanation.maps.shape[1] != 1:
        raise UsageError(f"Checks take one target per input; there are {explanation.maps.shape[1]}.")
    n = len(explanation)
    named = tuple(range(n)) if cluster_by is None else _clusters(cluster_by, n)
    batches: tuple[Gathered, ...] = explanation.origin[1]
    tensors = [gathered.batch.tensor for gathered in batches]
    keys = tuple(key for tensor in tensors if tensor is not None for key in keys_of(tensor))
    keys = keys if len(keys) == n else tuple(range(n))  # which of several tensors would make two inputs the same?
    clusters, copies = joined(named, keys)
    return Study(
        explainer=explainer,
        explanation=explanation,
        batches=batches,
        clusters=clusters,
        keys=keys,
        copies=copies,
        cluster_name="input" if cluster_by is None else cluster_name,
        annotations=None if annotations is None else masks_of(annotations, explanation),
        seed=seed,
        alpha=alpha,
    )


def _clusters(cluster_by: Any, n: int) -> tuple[Hashable, ...]:
    if isinstance(cluster_by, str) or not isinstance(cluster_by, Iterable):
        raise UsageError(f"cluster_by is {cluster_by!r}; give a list with one entry per input.")
    entries: list[Any] = list(cluster_by)  # pyright: ignore[reportUnknownArgumentType]  whatever the user gives
    clusters = tuple(one.item() if isinstance(one, np.generic | Tensor) else one for one in entries)
    if len(clusters) != n:
        raise UsageError(f"cluster_by has {len(clusters)} entries for {n} inputs; give one per input.")
    for i, one in enumerate(clusters):
        if one is None or one != one or not isinstance(one, Hashable):
            raise UsageError(f"cluster_by[{i}] is {one!r}; give what each input belongs to, as a name or a number.")
    return clusters


def _with_copies(result: CheckResult, study: Study) -> CheckResult:
    if not study.copies:
        return result
    one = study.copies == 1
    told = f"{study.copies} input{'' if one else 's'} {'is a copy' if one else 'are copies'} of others and "
    told += f"count{'s' if one else ''} as one with them."
    under = result.again

    def again(alpha: float) -> CheckResult:
        assert under is not None
        return _with_copies(under(alpha), study)

    details = {**result.details, "copies": study.copies}
    return replace(result, why=f"{result.why} {told}", details=details, again=under and again)


def _sharing(results: list[CheckResult], alpha: float) -> list[CheckResult]:
    """Return the answers, each at the part of alpha that Holm's procedure leaves it among all that can be decided.

    Too few units decide nothing at any alpha, and a check of another package that cannot be had again keeps its own.
    """
    tests = [
        (i, one.again)
        for i, one in enumerate(results)
        if one.again and one.verdict != "not applicable" and one.n >= FEWEST
    ]
    if len(tests) < 2:
        return results
    decided: tuple[Verdict, ...] = ("supports", "undermines")
    shared = share_alpha([again for _, again in tests], alpha, lambda one: one.verdict in decided)
    at = {i: one for (i, _), (one, _) in zip(tests, shared, strict=True)}
    return [at.get(i, one) for i, one in enumerate(results)]


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
            if kind is float and type(known[name].default) is float and not isfinite(value):
                raise UsageError(f"{plugin.name}'s setting {name} is {value!r}; give a finite number.")


def together(results: list[CheckResult]) -> list[CheckResult]:
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
