"""What a person suspects: masks, boxes, a color rule, a column, or a cue of the whole input, as a candidate."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from heatproof.checks._annotations import masks_of
from heatproof.errors import UsageError, nearest
from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._columns import FEWEST, column, column_candidate
from heatproof.shortcuts._global import global_candidate
from heatproof.shortcuts._locate import located
from heatproof.shortcuts._prevalence import odds_ratio
from heatproof.shortcuts._survey import Survey
from heatproof.shortcuts.cues import cues

WHOLE = 0.9
"""Share of the object from which on a mask covers it as a whole."""
SPECK = 0.005
"""Share of an input that a color must fill to count as present."""
RULE = "hsv:"
"""How a color rule begins that is written as text."""


def given(
    survey: Survey, name: str, what: Any, label: int | str | None = None, *, rows: Sequence[int] | None = None
) -> Candidate:
    """Return what a person suspects as a candidate.

    Args:
        survey: of the model.
        name: what reports call it.
        what: one entry per input as annotations are given (masks, files, boxes, None where it is absent); a color rule,
            {"h": (low, high), "s": ..., "v": ...} in 0..1, as text "hsv:h=0.2-0.7,s=0.25-1", or a function from a
            picture (3, h, w) in 0..1 to a mask (h, w); the name of a column that says which inputs have it, or
            `column=value`; or the name of a cue ("color", "brightness").
        label: the class whose score it may raise; None takes the one that has it more often.
        rows: where a cue's size, or the place of what a column speaks of, is learned; None takes every second input.

    Raises:
        UsageError: there is no such column or cue, a color rule is malformed, too few inputs have it or lack it, or the
            masks cover the object.
        InputError: a mask's file cannot be read.
    """
    wanted = survey.model.index(label) if isinstance(label, str) else label
    if isinstance(what, str) and what.startswith(RULE):
        what = color_rule(name, what)
    if isinstance(what, str):
        return _named(survey, name, what, wanted, range(0, survey.n, 2) if rows is None else rows)
    if callable(what) or isinstance(what, Mapping):
        masks = torch.stack([_by_color(survey, row, what) for row in range(survey.n)])
    else:
        if not isinstance(what, Iterable):
            raise UsageError(f"{name} is {what!r}; give masks, boxes, a color rule, or the name of a column or cue.")
        entries: Sequence[Any] = list(what)
        if len(entries) != survey.n:
            raise UsageError(f"{name} has {len(entries)} masks for {survey.n} inputs; give one per input, or None.")
        masks = masks_of(entries, survey.explanation)
    present = masks.flatten(1).any(1)
    _enough(survey, name, present)
    off = float("nan")
    if survey.annotations is not None:
        marked = survey.annotations & present.reshape(-1, *[1] * (masks.ndim - 1))
        covered = (masks & marked).flatten(1).sum(1) / marked.flatten(1).sum(1).clamp(min=1)
        whole = (covered >= WHOLE) & marked.flatten(1).any(1)
        if int(whole.sum()) > int(present.sum()) / 2:
            raise UsageError(
                f"The masks of {name} cover the whole object in {int(whole.sum())} of {int(present.sum())} inputs, so "
                "that taking it away takes the object away; give masks of the artifact alone."
            )
        off = float((masks & ~survey.annotations).sum()) / float(masks.sum())
    chosen = wanted if wanted is not None else _label(survey, present)
    showing = present.nonzero().flatten().tolist()
    without = (~present & (survey.labels == chosen)).nonzero().flatten().tolist()
    return Candidate(
        name,
        "region",
        "given",
        chosen,
        present,
        masks,
        off_object=off,
        exemplars=tuple(showing[:8]),
        counter_exemplars=tuple(without[:8]),
    )


def color_rule(name: str, text: str) -> dict[str, tuple[float, float]]:
    """Return the color rule that "hsv:h=0.2-0.7,s=0.25-1" means: a range in 0..1 for each key.

    Raises:
        UsageError: it is not written so.
    """
    found: dict[str, tuple[float, float]] = {}
    for part in text.removeprefix(RULE).split(","):
        key, _, bounds = part.partition("=")
        low, _, high = bounds.partition("-")
        try:
            found[key.strip()] = float(low), float(high)
        except ValueError:
            raise UsageError(
                f"The color rule of {name} holds {part!r}, which is no range; write {RULE}h=0.2-0.7,s=0.25-1."
            ) from None
    check_ranges(found)
    return found


def check_ranges(ranges: Mapping[str, Sequence[float]]) -> None:
    """Refuse a color rule that is none.

    Raises:
        UsageError: it is empty, or a key or range is none.
    """
    if set(ranges) - set("hsv") or not ranges:
        raise UsageError(f"The color rule has the keys {sorted(ranges)}; give ranges of h, s and v in 0..1.")
    for key, bounds in ranges.items():
        try:
            low, high = (float(one) for one in bounds)
        except (TypeError, ValueError):
            raise UsageError(f"The color rule has {key} as {bounds!r}; give a pair, from and to, in 0..1.") from None
        if not (0 <= low <= 1 and 0 <= high <= 1):
            raise UsageError(f"The color rule has {key} from {low:g} to {high:g}; give ranges in 0..1.")
        if low > high and key != "h":  # a range of hues may pass through red
            raise UsageError(f"The color rule has {key} from {low:g} down to {high:g}; name the lower end first.")


def _named(survey: Survey, name: str, what: str, label: int | None, rows: Sequence[int]) -> Candidate:
    known = cues()
    if what in survey.columns or what.partition("=")[0] in survey.columns:
        present = column(survey, what)
        _enough(survey, name, present)
        chosen = label if label is not None else _label(survey, present)
        return located(survey, column_candidate(survey, name, present, chosen, "given"), rows)
    if what not in known:
        raise UsageError(f"{what!r} is no column and no cue{nearest(what, [*survey.columns, *known])}")
    found = global_candidate(survey, rows, known[what], label, "given")
    if found is None:
        raise UsageError(f"The cue {what!r} does not vary over these inputs, or does not apply to them.")
    return replace(found, name=name)


def _enough(survey: Survey, name: str, present: Bool[Tensor, " n"]) -> None:
    has, lacks = int(present.sum()), int((~present).sum())
    if min(has, lacks) < FEWEST:
        raise UsageError(
            f"{has} of {survey.n} inputs show {name} and {lacks} lack it; an experiment takes {FEWEST} or more of each."
        )


def _label(survey: Survey, present: Bool[Tensor, " n"]) -> int:
    """Return the class with the highest odds of having it."""

    def odds(label: int) -> float:
        of_class = survey.labels == label
        cells = [int((a & b).sum()) for a in (present, ~present) for b in (of_class, ~of_class)]
        return odds_ratio(*cells).estimate

    return max(sorted(set(survey.labels.tolist())), key=odds)


def _by_color(
    survey: Survey, row: int, rule: Callable[[Tensor], Any] | Mapping[str, Sequence[float]]
) -> Bool[Tensor, "h w"]:
    """Return where a picture has the color; nowhere if that is a speck."""
    low, high = survey.limits
    x = ((survey.pixels[row] - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    if x.ndim != 3 or len(x) != 3:
        raise UsageError(f"A color rule is for pictures with three channels; these inputs have {tuple(x.shape)}.")
    told = _in_ranges(x, rule) if isinstance(rule, Mapping) else rule(x)
    if told is None:
        raise UsageError("The color rule returned nothing; let it return a mask (h, w).")
    mask = torch.as_tensor(np.asarray(told)) != 0
    if tuple(mask.shape) != tuple(x.shape[1:]):
        raise UsageError(f"The color rule returned shape {tuple(mask.shape)} for a picture of {tuple(x.shape)}.")
    return mask if float(mask.float().mean()) >= SPECK else torch.zeros_like(mask)


def _in_ranges(x: Tensor, ranges: Mapping[str, Sequence[float]]) -> Bool[Tensor, "h w"]:
    from matplotlib.colors import rgb_to_hsv

    check_ranges(ranges)
    hsv = torch.from_numpy(rgb_to_hsv(x.permute(1, 2, 0).numpy()))
    inside = torch.ones(hsv.shape[:2], dtype=torch.bool)
    for channel, name in enumerate("hsv"):
        if name in ranges:
            low, high = (float(v) for v in ranges[name])
            value = hsv[..., channel]
            inside &= (value >= low) & (value <= high) if low <= high else (value >= low) | (value <= high)
    return inside
