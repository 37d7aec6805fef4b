"""Paired experiments: each input with and without the feature, against the same edit of something else.

Region: (a) removed, against a region of the same shape elsewhere; (b) pasted into inputs of other classes, off the
object, against a neutral paste of the same shape, and a scrambled one; (c) alone on an empty ground; (d) by dose, in
opacity and size. Global cue: taken away and added, against changes of the same size in an irrelevant direction; where
an object is marked, once everywhere and once off the object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.shortcuts._candidate import Candidate, Change
from heatproof.shortcuts._edits import (
    FEATHER,
    elsewhere,
    irrelevant,
    pasted,
    placed,
    removed,
    scrambled,
    smaller,
)
from heatproof.shortcuts._fills import Fill, wider
from heatproof.shortcuts._survey import Survey, decision

OPACITIES = (0.25, 0.5)
OFF, EVERYWHERE = "off the object", "everywhere"
SHOWN = 4
"""Inputs whose edits are kept for the reader's eye."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One experiment on some inputs.

    Attributes:
        rows: numbers of the inputs.
        treated: log odds under treatment less those of the untouched input.
        control: the same under the control; zero where there is none.
        flips: whether the decision about the class changed under treatment, and under the control.
    """

    rows: tuple[int, ...]
    treated: Float[Tensor, " m"]
    control: Float[Tensor, " m"]
    flips: tuple[Bool[Tensor, " m"], Bool[Tensor, " m"]]

    @property
    def effect(self) -> Float[Tensor, " m"]:
        """Treatment less control."""
        return self.treated - self.control


@dataclass(eq=False)
class Trials:
    """All experiments on one candidate.

    Attributes:
        remove: by imputer, or by kind of control: positive where the feature raised the score.
        paste: by control: positive where the feature raises the score.
        alone: on an empty ground, against a neutral patch; None where it was not made.
        dose: experiment -> (doses, mean changes of the log odds).
        edits: name -> (rows, edited inputs), a few of each.
        forwards: of all experiments together.
        notes: what could not be done, in sentences.
    """

    remove: dict[str, Trial] = field(default_factory=dict[str, Trial])
    paste: dict[str, Trial] = field(default_factory=dict[str, Trial])
    alone: Trial | None = None
    dose: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = field(
        default_factory=dict[str, tuple[tuple[float, ...], tuple[float, ...]]]
    )
    edits: dict[str, tuple[tuple[int, ...], Tensor]] = field(default_factory=dict[str, tuple[tuple[int, ...], Tensor]])
    forwards: int = 0
    notes: list[str] = field(default_factory=list[str])


def intervene(survey: Survey, candidate: Candidate, rows: Sequence[int], fills: Mapping[str, Fill]) -> Trials:
    """Make every experiment on a candidate with the inputs `rows`.

    Args:
        survey: of the model.
        candidate: with masks, or with a change.
        rows: inputs of the confirming half.
        fills: imputers by name.
    """
    if candidate.masks is None and candidate.change is None:
        done = Trials()
        why = candidate.details.get("not located", "")
        done.notes.append(f"It is known by name alone: nothing says where it lies, so there is nothing to edit. {why}")
        return done
    lab = _Lab(survey, candidate, rows)
    return lab.global_cue() if candidate.masks is None else lab.region(fills)


class _Lab:
    """One candidate's experiments: edits made, scored in one pass each, and booked."""

    def __init__(self, survey: Survey, candidate: Candidate, rows: Sequence[int]) -> None:
        self.survey, self.candidate, self.done = survey, candidate, Trials()
        self.generator = torch.Generator().manual_seed(survey.seed)
        present, label = candidate.present, candidate.label
        if survey.unmarked.intersection(rows):
            self.done.notes.append(
                f"{len(survey.unmarked.intersection(rows))} inputs take no part: nobody said where their object lies."
            )
            rows = [r for r in rows if r not in survey.unmarked]
        shown = [] if candidate.masks is None else candidate.masks.flatten(1).any(1).tolist()
        self.have = [r for r in rows if bool(present[r]) and (candidate.masks is None or shown[r])]
        lack = [r for r in rows if not bool(present[r])]
        others = [r for r in lack if int(survey.labels[r]) != label]
        self.takers = others or lack
        self.lack = lack
        self.base = survey.log_odds(survey.outputs, label)
        self.chosen = survey.decided == label

    def region(self, fills: Mapping[str, Fill]) -> Trials:
        """Return the experiments on a region."""
        masks = self.candidate.masks
        assert masks is not None
        if self.have:
            self._remove(masks, fills)
        if self.have and self.takers:
            self._paste()
        return self.done

    def global_cue(self) -> Trials:
        """Return the experiments on a global cue: taken away from those that have it, added to the others."""
        change, whole = self.candidate.change, self.candidate.whole
        assert change is not None
        # what the reader sees is kept by name: the last one, which is as a scanner would do it, stays
        for word, one in ((OFF, change), (EVERYWHERE, whole)) if whole else ((EVERYWHERE, change),):
            self._added_and_taken(one, word)
        return self.done

    def _added_and_taken(self, change: Change, word: str) -> None:
        for rows, amount, book, sign in (
            (self.have, -1.0, self.done.remove, -1.0),
            (self.takers, 1.0, self.done.paste, 1.0),
        ):
            if not rows:
                continue
            inputs = self.survey.pixels[rows]
            edited = change(rows, amount)
            treated = self._scored(rows, edited)
            for number in range(2):
                aside = irrelevant(inputs, edited, self.survey.seed + 10 * number)
                sides = [self._scored(rows, _cut(self.survey, inputs + turn * aside)) for turn in (1.0, -1.0)]
                book[f"{word}, direction {number + 1}"] = Trial(
                    tuple(rows),
                    sign * treated[0],
                    sign * (sides[0][0] + sides[1][0]) / 2,
                    (treated[1], sides[0][1]),
                )
                if number == 0:
                    self._keep("taken away" if amount < 0 else "added", rows, edited)
                    self._keep(
                        f"control of {'taken away' if amount < 0 else 'added'}", rows, _cut(self.survey, inputs + aside)
                    )
            halves = [self._scored(rows, change(rows, amount * share))[0] for share in OPACITIES]
            name = "taken away" if amount < 0 else "added"
            self.done.dose[name] = (
                (0.0, *OPACITIES, 1.0),
                (0.0, *[sign * float(one.mean()) for one in halves], sign * float(treated[0].mean())),
            )

    def _remove(self, masks: Tensor, fills: Mapping[str, Fill]) -> None:
        aside, there = elsewhere(self.survey, self.candidate, self.have, self.generator)
        rows = [r for r, ok in zip(self.have, there.tolist(), strict=True) if ok]
        if len(rows) < len(self.have):
            self.done.notes.append(
                f"In {len(self.have) - len(rows)} of {len(self.have)} inputs the region is too large to be moved "
                "elsewhere; they are left out of the removal."
            )
        if not rows:
            return
        own, moved = masks[rows], aside[there]
        for number, (name, fill) in enumerate(fills.items()):
            edited = removed(self.survey, own, rows, fill)
            control = removed(self.survey, moved, rows, fill, edited)
            treated, beside = self._scored(rows, edited), self._scored(rows, control)
            self.done.remove[name] = Trial(tuple(rows), -treated[0], -beside[0], (treated[1], beside[1]))
            self._keep(f"removed ({name})", rows, edited)
            if number == 0:
                self._keep("control of removed", rows, control)
                inputs = self.survey.pixels[rows]
                partly = [self._scored(rows, inputs + a * (edited - inputs))[0] for a in OPACITIES]
                self.done.dose["removed, opacity"] = (
                    (0.0, *OPACITIES, 1.0),
                    (0.0, *[-float(one.mean()) for one in partly], -float(treated[0].mean())),
                )

    def _paste(self) -> None:
        rows = self.takers
        donors = self._drawn(self.have, rows)
        sources, masks = placed(self.survey, self.candidate, rows, donors, self.generator)
        edited = pasted(self.survey, sources, masks, rows)
        treated = self._scored(rows, edited)
        neutral = pasted(self.survey, self._neutral(rows, masks), masks, rows)
        beside = self._scored(rows, neutral)
        self.done.paste["neutral"] = Trial(tuple(rows), treated[0], beside[0], (treated[1], beside[1]))
        mixed = pasted(self.survey, scrambled(sources, masks, self.generator), masks, rows)
        third = self._scored(rows, mixed)
        self.done.paste["scrambled"] = Trial(tuple(rows), treated[0], third[0], (treated[1], third[1]))
        for name, x in (("pasted", edited), ("control of pasted", neutral), ("pasted, scrambled", mixed)):
            self._keep(name, rows, x)
        inputs = self.survey.pixels[rows]
        partly = [self._scored(rows, inputs + a * (edited - inputs))[0] for a in OPACITIES]
        half = self._scored(rows, pasted(self.survey, sources, smaller(masks, 0.5), rows))[0]
        whole = float(treated[0].mean())
        self.done.dose["pasted, opacity"] = ((0.0, *OPACITIES, 1.0), (0.0, *[float(p.mean()) for p in partly], whole))
        self.done.dose["pasted, size"] = ((0.0, 0.5, 1.0), (0.0, float(half.mean()), whole))
        self._alone(rows, sources, masks)

    def _alone(self, rows: Sequence[int], sources: Tensor, masks: Tensor) -> None:
        """Put the feature on an empty ground: every channel at the level that it has where inputs lack the feature."""
        few = min(len(rows), 32)
        ground = self.survey.pixels[self.lack].mean((0, *range(2, self.survey.pixels.ndim)), keepdim=True)
        empty = ground.expand(1, *self.survey.pixels.shape[1:])
        weight = masks[:few].unsqueeze(1)
        shown = torch.where(weight, sources[:few], empty)
        before = self.survey.log_odds(self.survey.run(empty), self.candidate.label)
        after = self.survey.run(shown)
        self.done.forwards += few + 1
        change = self.survey.log_odds(after, self.candidate.label) - before
        flips = (decision(after) == self.candidate.label) != (before > 0)
        nothing = torch.zeros_like(change)
        self.done.alone = Trial(tuple(rows[:few]), change, nothing, (flips, torch.zeros_like(flips)))
        self._keep("alone", rows[:few], shown)

    def _neutral(self, rows: Sequence[int], masks: Tensor) -> Tensor:
        """Return, per row, another input that lacks the feature: of those drawn the one whose object the mask spares.

        Inputs of the class in question come first, so that only the feature tells the two pastes apart.
        """
        label, marked = self.candidate.label, self.survey.annotations
        like = [r for r in self.lack if int(self.survey.labels[r]) == label]
        pool = like if len(like) >= 2 else self.lack
        found: list[Tensor] = []
        for row, mask in zip(rows, masks, strict=True):
            tried = [self._drawn(pool, [row])[0] for _ in range(8)]
            if marked is not None:
                around = wider(mask.unsqueeze(0), 2 * FEATHER)[0]
                tried.sort(key=lambda r: float((marked[r] & around).sum()))
            found.append(self.survey.pixels[tried[0]])
        return torch.stack(found)

    def _drawn(self, pool: Sequence[int], rows: Sequence[int]) -> list[int]:
        """Return, per row, a random input of the pool, of another cluster where there is one."""
        clusters = self.survey.clusters
        found: list[int] = []
        for row in rows:
            strangers = [r for r in pool if clusters[r] != clusters[row]] or list(pool)
            found.append(strangers[int(torch.randint(len(strangers), (), generator=self.generator))])
        return found

    def _scored(self, rows: Sequence[int], edited: Tensor) -> tuple[Tensor, Tensor]:
        """Return how the log odds change, and whether the decision about the class does."""
        outputs = self.survey.run(edited)
        self.done.forwards += len(rows)
        label, index = self.candidate.label, list(rows)
        change = self.survey.log_odds(outputs, label) - self.base[index]
        return change, (decision(outputs) == label) != self.chosen[index]

    def _keep(self, name: str, rows: Sequence[int], edited: Tensor) -> None:
        self.done.edits[name] = (tuple(rows[:SHOWN]), edited[:SHOWN].clone())


def _cut(survey: Survey, x: Tensor) -> Tensor:
    low, high = survey.limits
    return torch.minimum(torch.maximum(x, low), high)
