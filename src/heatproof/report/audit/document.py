"""What the report of an audit says, as plain dataclasses: made from a run folder, drawn as HTML, Markdown or JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from heatproof.types import CheckResult, Interval

QuestionName = Literal["sanity", "faithfulness", "plausibility", "shortcuts"]
Outcome = Literal["correct", "false positive", "false negative", "wrong"]
"""For two classes, what a decision was; with more classes a decision is correct or wrong."""
Why = Literal["best", "worst", "flagged", "disagreement", "false positive", "false negative"]


@dataclass(frozen=True)
class Group:
    """Performance in one part of the data.

    Attributes:
        by: what parts the data: "class", the name of a subgroup column, or "all".
        value: which part ("malignant", "site A").
        n: inputs in it.
        measures: name -> interval: "accuracy", "AUROC", "sensitivity", "specificity", "calibration error".
    """

    by: str
    value: str
    n: int
    measures: Mapping[str, Interval]


@dataclass(frozen=True)
class Performance:
    """How well the model does, on those inputs that have a label.

    Attributes:
        classes: names of the classes.
        positive: the class that sensitivity and specificity speak of; None with more than two classes.
        threshold: probability of the positive class from which on a decision counts as positive; None with more.
        whole: measures over all.
        groups: by class and by every subgroup column.
        confusion: (true, predicted) counts, for up to 30 classes; else empty.
        reliability: (mean probability, share right, n) per bin of the predicted class's probability.
    """

    classes: tuple[str, ...]
    positive: str | None
    threshold: float | None
    whole: Group
    groups: tuple[Group, ...]
    confusion: tuple[tuple[int, ...], ...] = ()
    reliability: tuple[tuple[float, float, int], ...] = ()


@dataclass(frozen=True)
class Answer:
    """One result as the report shows it.

    Attributes:
        result: as the check gave it; `per_input` may be empty (it lies in inputs.parquet).
        primary: whether its verdict was planned; all others are exploratory and carry none.
        subgroup: (column, value) where it was asked of a part of the data; None for the whole.
    """

    result: CheckResult
    primary: bool
    subgroup: tuple[str, str] | None = None


@dataclass(frozen=True)
class Shortcut:
    """One candidate with what experiments say of it.

    Attributes:
        name: of the candidate.
        label: name of the class that it is thought to raise.
        origin: "found" or "given".
        verdict: "confirmed", "relies but relevance unclear", "not reliant" or "inconclusive".
        result: with claim, interval, margin and the sentence why.
        effects: experiment -> interval of its mean effect, in standard deviations of the log odds.
        flips: experiment -> share of decisions changed under treatment, and under control.
        prevalence: how often it goes with the class: counts and odds ratio.
        subgroups: performance with and without it.
        pictures: kind ("exemplars", "edits", "without", "dose") -> file in the run folder.
    """

    name: str
    label: str
    origin: str
    verdict: str
    result: CheckResult
    effects: Mapping[str, Interval]
    flips: Mapping[str, tuple[float, float]]
    prevalence: Mapping[str, Any]
    subgroups: Mapping[str, float]
    pictures: Mapping[str, str]


@dataclass(frozen=True)
class Picture:
    """One input of the gallery.

    Attributes:
        id: as the report may show it: hashed unless identifiers were asked for.
        why: why it is shown.
        label: name of the true class; None where it is not known.
        predicted: name of the predicted class.
        probability: of the predicted class.
        outcome: what the decision was; None without a label.
        flags: of its map.
        base: file in the run folder: the picture.
        maps: class name -> file: the positive evidence alone, in color on transparent ground, of the size of `base`.
        scale: end of the color scale, in the target's units, the same for all classes of this input.
        units: what the scale is in.
        values: per-input numbers of the checks: name -> value.
        attributes: of the file's header, by DICOM keyword; only those that `privacy.ATTRIBUTES` allows are shown.
    """

    id: str
    why: Why
    label: str | None
    predicted: str
    probability: float
    outcome: Outcome | None
    flags: tuple[str, ...]
    base: str
    maps: Mapping[str, str]
    scale: float
    units: str
    values: Mapping[str, float] = field(default_factory=dict[str, float])
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Flow:
    """What became of the inputs: planned -> excluded, with reasons -> analyzed."""

    planned: int
    excluded: Mapping[str, int]
    analyzed: int


@dataclass(frozen=True)
class Failure:
    """An input that was left out: `id` as in `Picture`, the stage ("read", "prepare", "explain", "check"), and why."""

    id: str
    stage: str
    reason: str


@dataclass(frozen=True)
class Document:
    """Everything that the report of an audit says.

    Attributes:
        title: of the page.
        model: name of the model.
        data: what the data is called.
        intended_use: what the plan says the model is for; "" where nobody said.
        split: which split of the data this is; "" where nobody said.
        warnings: sentences to be read first: the training data was audited, nobody said where annotations come from.
        performance: None where no input has a label.
        answers: of the checks, those of the four questions first.
        shortcuts: candidates with their verdicts; None where shortcuts were not looked for.
        asked: the questions that were asked; those of the four that were not are shown as such, with the reason.
        not_asked: question -> why not ("no annotations").
        flow: what became of the inputs.
        gallery: pictures.
        failures: those left out (at most 1,000 are listed; `flow` has the counts).
        plan: what was fixed beforehand, as in plan.toml.
        deviations: what was done otherwise than planned; sentences.
        provenance: versions, hashes, seeds, device, times.
        folder: the run folder, from which pictures are read.
    """

    title: str
    model: str
    data: str
    intended_use: str
    split: str
    warnings: Sequence[str]
    performance: Performance | None
    answers: Sequence[Answer]
    shortcuts: Sequence[Shortcut] | None
    asked: Sequence[str]
    not_asked: Mapping[str, str]
    flow: Flow
    gallery: Sequence[Picture]
    failures: Sequence[Failure]
    plan: Mapping[str, Any]
    deviations: Sequence[str]
    provenance: Mapping[str, Any]
    folder: str
