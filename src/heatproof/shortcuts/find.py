"""`hp.find_shortcuts`: discover what a model may lean on with one half of the data, prove it with the other."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import torch
from torch import nn

from heatproof.capture.engine import LayerSpec
from heatproof.errors import UsageError
from heatproof.models import Model
from heatproof.shortcuts._candidate import Candidate, Finding
from heatproof.shortcuts._clusters import Clustering
from heatproof.shortcuts._fills import Fill, fills
from heatproof.shortcuts._survey import Survey, open_survey
from heatproof.shortcuts.decide import decide_all
from heatproof.shortcuts.discover import EVIDENCE, discover
from heatproof.shortcuts.given import given
from heatproof.shortcuts.intervene import intervene

MARGIN = 0.25
"""Smallest effect that matters, in standard deviations of the log odds over the data set."""
IMPUTERS = ("donor", "harmonic")
MOST = 5
Imputers = Sequence[str | Fill] | Mapping[str, Fill]


def find_shortcuts(
    model: nn.Module | Model,
    inputs: Any,
    labels: Sequence[int | str],
    *,
    artifacts: Mapping[str, Any] | None = None,
    annotations: Any = None,
    cluster_by: Sequence[Hashable] | None = None,
    cluster_name: str = "cluster",
    columns: Mapping[str, Sequence[Any]] | None = None,
    method: str = "gradcam",
    layer: LayerSpec = None,
    imputers: Imputers = IMPUTERS,
    margin: float = MARGIN,
    discover: bool = True,
    clustering: Clustering = "hdbscan",
    most: int = MOST,
    seed: int = 0,
    alpha: float = 0.05,
    batch_size: int = 64,
    progress: Callable[[str], None] | None = None,
) -> list[Finding]:
    """Return what a classifier leans on and may not: one finding per candidate, with a verdict.

    Args:
        model: a classifier: a `Model` or any `torch.nn.Module` that takes one tensor; it is never changed.
        inputs: as for `explain`.
        labels: the true class of every input: index, or name where the model has labels.
        artifacts: what a person suspects: a name -> masks, boxes, a color rule or a column; see `shortcuts.given`.
        annotations: where the object lies, as for `check`. Without them nothing that was found can be called a
            shortcut, since nobody said what the task licenses.
        cluster_by: per input, what it belongs to (a patient); clusters are never split.
        cluster_name: what reports call that.
        columns: what else is known of each input: name -> one value per input.
        method: makes the maps; it must be signed.
        layer: as for `explain`.
        imputers: "donor", "harmonic", "biharmonic", or functions; two that err in different ways.
        margin: smallest effect that matters, in standard deviations of the class's log odds over the data set.
        discover: look for candidates that nobody named.
        clustering: of regions: "hdbscan", or "spectral" as in SpRAy.
        most: candidates found that are put to the test, no more than half of them cues, or places
            that hold little evidence but stand out, where there are others.
        seed: of everything drawn.
        alpha: error rate that all candidates share.
        batch_size: most inputs in one forward.
        progress: called with what is about to be done.

    Raises:
        UsageError: lengths differ, there are too few inputs or one label only, or a setting is out of range.
        InputError, TargetError, LayerError, MethodError, ExplainError: as for `explain`.
    """
    survey = open_survey(
        model,
        inputs,
        labels,
        method=method,
        layer=layer,
        annotations=annotations,
        cluster_by=cluster_by,
        cluster_name=cluster_name,
        columns=columns,
        seed=seed,
        alpha=alpha,
        batch_size=batch_size,
    )
    return investigate(
        survey,
        artifacts=artifacts,
        imputers=imputers,
        margin=margin,
        look=discover,
        clustering=clustering,
        most=most,
        progress=progress,
    )


def investigate(
    survey: Survey,
    *,
    artifacts: Mapping[str, Any] | None = None,
    imputers: Imputers = IMPUTERS,
    margin: float = MARGIN,
    look: bool = True,
    clustering: Clustering = "hdbscan",
    most: int = MOST,
    halves: tuple[Sequence[int], Sequence[int]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Finding]:
    """Return a finding per candidate of a survey, see `find_shortcuts`.

    Args:
        survey: of the model.
        artifacts: what a person suspects, see `shortcuts.given`; or the name of a candidate that was found, to give
            it a better one: who names it says that the task does not license it.
        imputers: what stands where a region was removed.
        margin: smallest effect that matters.
        look: for candidates that nobody named.
        clustering: of regions.
        most: of these that are put to the test.
        halves: numbers of the inputs to discover with, and to confirm with; None splits by cluster.
        progress: called with what is about to be done.

    Raises:
        UsageError: a setting is out of range, nothing is to be done, or a cluster lies in both halves.
    """
    if not 0 < margin < inf or most < 1:
        raise UsageError(f"margin is {margin:g} (above 0) and most {most} (1 or more); one is out of range.")
    suspected: Any = artifacts
    if suspected is not None and not isinstance(suspected, Mapping):
        raise UsageError(f"artifacts is {suspected!r}; give a mapping from names to masks, rules, columns or cues.")
    if not look and not artifacts:
        raise UsageError("There is nothing to test: name artifacts, or let candidates be discovered.")
    chosen = fills(imputers, survey.seed)
    first, second = split(survey) if halves is None else _disjoint(survey, *halves)
    found: dict[str, Candidate] = {}
    if look:
        if progress:
            progress("discovering")
        found = {one.name: one for one in discover(survey, first, clustering=clustering)}
    suspects: list[tuple[Candidate, Sequence[int]]] = []
    for name, what in (artifacts or {}).items():
        if isinstance(what, str) and what in found:
            suspects.append((replace(found.pop(what), name=name, origin="given"), second))
            continue
        one = given(survey, name, what, rows=first)
        # masks were there before; what was learned of a cue or a column is tested on inputs that it was not learned on
        suspects.append((one, range(survey.n) if one.kind == "region" else second))
    suspects += [(one, second) for one in _first(list(found.values()), most)]
    tried = []
    for candidate, rows in suspects:
        if progress:
            progress(f"testing {candidate.name}")
        tried.append((candidate, intervene(survey, candidate, rows, chosen), rows))
    return decide_all(survey, tried, margin)


def _first(found: Sequence[Candidate], most: int) -> list[Candidate]:
    """Return the most suspicious candidates, each kind no more than half of them where there are others.

    Kinds are ranked by different things: cues and what stands out by how far they go with the score, other regions by
    how much evidence they hold.
    """
    left = {"cue": most // 2, "stands out": most // 2, "other": most}
    kept: set[str] = set()
    for one in found:
        kind = (
            "cue"
            if one.kind == "global"
            else "other"
            if one.kind == "column" or EVIDENCE in one.details
            else "stands out"
        )
        if left[kind] > 0 and len(kept) < most:
            left[kind] -= 1
            kept.add(one.name)
    for one in found:  # where there are no others
        if len(kept) < most:
            kept.add(one.name)
    return [one for one in found if one.name in kept]


def split(survey: Survey) -> tuple[list[int], list[int]]:
    """Return two disjoint halves of the inputs: clusters stay whole, and classes are shared out evenly."""
    generator = torch.Generator().manual_seed(survey.seed)
    members: dict[Hashable, list[int]] = {}
    for row, cluster in enumerate(survey.clusters):
        members.setdefault(cluster, []).append(row)
    kinds: dict[int, list[list[int]]] = {}
    for rows in members.values():
        labels = survey.labels[rows].tolist()
        kinds.setdefault(max(set(labels), key=labels.count), []).append(rows)
    halves: tuple[list[int], list[int]] = ([], [])
    for kind in sorted(kinds):
        for number in torch.randperm(len(kinds[kind]), generator=generator).tolist():
            shorter = min(halves, key=lambda half: sum(int(survey.labels[r]) == kind for r in half))
            shorter += kinds[kind][number]
    if not halves[0] or not halves[1]:
        raise UsageError(
            f"All {survey.n} inputs belong to one {survey.cluster_name}, so that what was found could not be confirmed "
            "on others; give inputs of more, or leave cluster_by out."
        )
    return sorted(halves[0]), sorted(halves[1])


def _disjoint(survey: Survey, first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
    odd = {row for half in (first, second) for row in half if not 0 <= row < survey.n}
    if odd or not first or not second:
        raise UsageError(
            f"halves holds {len(first)} and {len(second)} inputs"
            + (f", among them the numbers {sorted(odd)[:3]}" if odd else "")
            + f"; give numbers from 0 to {survey.n - 1}, some in each."
        )
    shared = {survey.clusters[r] for r in first} & {survey.clusters[r] for r in second}
    if shared:
        some = ", ".join(sorted(map(str, shared))[:3])
        raise UsageError(
            f"{len(shared)} {survey.cluster_name}(s) lie in both halves ({some}), so that what was found in one of "
            "their inputs would be confirmed with the next; split by cluster."
        )
    return list(first), list(second)
