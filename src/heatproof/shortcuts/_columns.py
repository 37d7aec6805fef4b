"""What is known of the inputs beside their pixels (site, scanner, has_ruler), as features that one has or lacks."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, nan
from typing import Any

import torch
from jaxtyping import Bool, Float
from scipy.stats import spearmanr
from torch import Tensor

from heatproof.checks._stats import holm
from heatproof.errors import UsageError, nearest
from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._global import LEAST, otsu
from heatproof.shortcuts._locate import located
from heatproof.shortcuts._prevalence import lift, prevalence
from heatproof.shortcuts._survey import Survey

FEWEST = 10
"""Inputs with a feature, and without, below which there is nothing to compare."""
MOST_LEVELS = 10
"""Different words from which on a column is an identifier, or a number."""
_TRUE = {"1", "true", "yes", "y", "present", "t"}
_FALSE = {"0", "false", "no", "n", "absent", "f", "", "none", "nan"}


def column(survey: Survey, what: str) -> Bool[Tensor, " n"]:
    """Return which inputs a column says have something: true or false, 1 or 0, yes or no; or `column=value`.

    Raises:
        UsageError: there is no such column or value, or it says something else.
    """
    name, sign, value = (what, "", "") if what in survey.columns else what.partition("=")
    if name not in survey.columns:
        raise UsageError(f"There is no column {name!r}{nearest(name, survey.columns)}")
    words = [_word(one) for one in survey.columns[name]]
    if sign:
        if _word(value) not in words:
            raise UsageError(f"The column {name!r} never says {value!r}{nearest(value, set(words))}")
        return torch.tensor([word == _word(value) for word in words])
    odd = sorted(set(words) - _TRUE - _FALSE)
    if odd:
        raise UsageError(
            f"The column {name!r} says {', '.join(map(repr, odd[:3]))}; give true or false, 1 or 0, yes or no, or name "
            f"one value: '{name}={odd[0]}'."
        )
    return torch.tensor([word in _TRUE for word in words])


def features(survey: Survey, rows: Sequence[int]) -> dict[str, Bool[Tensor, " n"]]:
    """Return what the columns say: a word of few, or a number above the threshold that parts the rows best (Otsu).

    Left out are identifiers, what fewer than ten inputs have or lack, and what says no more than the true class.
    """
    found: dict[str, Bool[Tensor, " n"]] = {}
    for name, values in survey.columns.items():
        words = [_word(value) for value in values]
        levels = sorted(set(words) - {""})
        if set(words) <= _TRUE | _FALSE:
            found[name] = torch.tensor([word in _TRUE for word in words])
        elif len(levels) <= MOST_LEVELS:
            told = levels[1:] if len(levels) == 2 and "" not in words else levels  # of two, one says what both say
            found |= {f"{name}={level}": torch.tensor([word == level for word in words]) for level in told}
        elif (numbers := _numbers(words)) is not None:
            known = numbers[list(rows)]
            cut = otsu(known[known.isfinite()])
            found[f"{name} above {cut:.4g}"] = numbers > cut
    return {name: has for name, has in found.items() if _telling(survey, has)}


def column_candidates(survey: Survey, rows: Sequence[int]) -> list[Candidate]:
    """Return features of the columns that go with the log odds, each for the class that goes with it most."""
    found: list[tuple[float, float, Candidate]] = []
    for name, has in features(survey, rows).items():
        rho, p, label = _related(survey, rows, has)
        found.append((p, rho, column_candidate(survey, name, has, label, "found")))
    adjusted = holm([p for p, _, _ in found])
    kept: list[Candidate] = []
    for (_, rho, one), p in zip(found, adjusted, strict=True):
        if p < survey.alpha and rho >= LEAST:
            details = {"rank correlation": rho, "p": p, "prevalence": prevalence(survey, one, rows)}
            rank = rho * lift(survey, rows, one.present, one.label)
            kept.append(located(survey, replace(one, rank=rank, details=details), rows))
    return kept


def column_candidate(survey: Survey, name: str, has: Bool[Tensor, " n"], label: int, origin: Any) -> Candidate:
    """Return a feature that is known by name alone."""
    without = (~has & (survey.labels == label)).nonzero().flatten().tolist()
    showing = has.nonzero().flatten().tolist()
    return Candidate(
        name,
        "column",
        origin,
        label,
        has,
        exemplars=tuple(showing[:8]),
        counter_exemplars=tuple(without[:8]),
    )


def _related(survey: Survey, rows: Sequence[int], has: Bool[Tensor, " n"]) -> tuple[float, float, int]:
    """Return the highest rank correlation with a class's log odds, its p-value, and the class."""
    index = list(rows)
    best = (-1.0, nan, 0)
    if not 0 < int(has[index].sum()) < len(index):
        return best
    for label in survey.kinds(rows):
        odds = survey.log_odds(survey.outputs, label)[index]
        if float(odds.std()) <= 0:
            continue
        related: Any = spearmanr(has[index].numpy(), odds.numpy())
        if float(related.statistic) > best[0]:
            best = (float(related.statistic), float(related.pvalue), label)
    return best


def _telling(survey: Survey, has: Bool[Tensor, " n"]) -> bool:
    """Say whether enough inputs have it and lack it, and whether it says something else than the true class."""
    classes = [survey.labels == label for label in survey.labels.unique().tolist()]
    renamed = any(torch.equal(has, one) or torch.equal(has, ~one) for one in classes)
    return min(int(has.sum()), int((~has).sum())) >= FEWEST and not renamed


def _word(value: Any) -> str:
    return str(value).strip().casefold().removesuffix(".0")


def _numbers(words: Sequence[str]) -> Float[Tensor, " n"] | None:
    """Return a column's numbers, NaN where it is blank; None where it holds words, or is mostly blank."""
    found: list[float] = []
    for word in words:
        try:
            found.append(float(word) if word else nan)
        except ValueError:
            return None
    return torch.tensor(found) if sum(map(isfinite, found)) > len(found) / 2 else None
