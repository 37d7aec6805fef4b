"""A labelled data set seen by one model: inputs, scores, evidence maps, and what is known about each input."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from heatproof.capture.engine import LayerSpec
from heatproof.checks._annotations import masks_of
from heatproof.checks._rerun import input_tensor
from heatproof.checks._study import Study
from heatproof.errors import InputError, TargetError, UsageError
from heatproof.explain import Explainer
from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model
from heatproof.models.outputs import class_scores
from heatproof.targets import Contrast
from heatproof.types import Explanation

_LEAST = 10
"""Inputs below which there is nothing to survey."""
MOST_CLASSES = 10
"""Classes that are asked about, the most often compared first."""


@dataclass(frozen=True, eq=False)
class Survey:
    """One model's view of a labelled data set.

    Attributes:
        explainer: makes maps, and runs the network.
        explanation: of the predicted class against the runner-up, signed: (n, 1, *grid). With one output, of that.
        pixels: what the network was given.
        limits: (low, high), each (c, 1, ...): the valid range of the network's input per channel.
        labels: per input, the index of its true class.
        outputs: (n, k) the network's scores.
        clusters: per input, what it belongs to (a patient).
        cluster_name: what reports call that.
        annotations: where the object lies; None without annotations. Where nobody said, it may be anywhere: all over.
        unmarked: numbers of the inputs where nobody said; they take no part in experiments.
        columns: what else is known of each input: name -> one value per input.
        seed: of everything drawn.
        alpha: error rate that all candidates share.
        batch: most inputs in one forward.
    """

    explainer: Explainer
    explanation: Explanation
    pixels: Float[Tensor, "n c *spatial"]
    limits: tuple[Tensor, Tensor]
    labels: Int[Tensor, " n"]
    outputs: Float[Tensor, "n k"]
    clusters: tuple[Hashable, ...]
    cluster_name: str = "input"
    annotations: Bool[Tensor, "n *spatial"] | None = None
    unmarked: frozenset[int] = frozenset()
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Sequence[Any]])
    seed: int = 0
    alpha: float = 0.05
    batch: int = 64

    @property
    def n(self) -> int:
        """How many inputs there are."""
        return len(self.pixels)

    @property
    def model(self) -> Model:
        """The model under test."""
        return self.explainer.model

    @property
    def maps(self) -> Float[Tensor, "n *grid"]:
        """Evidence for the predicted class against the runner-up, signed, on the layer's grid."""
        return self.explanation.maps[:, 0].detach().float().cpu()

    @property
    def decided(self) -> Int[Tensor, " n"]:
        """The predicted class; with one output, whether the score is positive."""
        return decision(self.outputs)

    def class_evidence(self, label: int) -> Float[Tensor, "n *grid"]:
        """Return the maps with the sign that makes evidence for a class positive; NaN where it is not compared.

        A class is compared where it is the predicted one, or the runner-up.
        """
        first, second = self.compared()
        sign = torch.where(first == label, 1.0, torch.where(second == label, -1.0, torch.nan))
        return self.maps * sign.to(self.maps).reshape(-1, *[1] * (self.maps.ndim - 1))

    def compared(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Return the class that each map is evidence for, and the one that it is evidence against."""
        if self.outputs.shape[1] == 1:
            one = torch.ones(self.n, dtype=torch.long)
            return one, 1 - one
        top = self.outputs.topk(2, dim=1).indices.cpu()
        return top[:, 0], top[:, 1]

    def kinds(self, rows: Sequence[int]) -> list[int]:
        """Return the classes that some inputs' maps compare, the most frequent first, ten at most."""
        both = torch.cat([one[list(rows)] for one in self.compared()])
        counts = both.bincount()
        order = counts.argsort(descending=True, stable=True).tolist()
        return [label for label in order if int(counts[label])][:MOST_CLASSES]

    def run(self, pixels: Float[Tensor, "m c *spatial"]) -> Float[Tensor, "m k"]:
        """Return the network's scores of changed inputs."""
        origin: Any = self.explanation.origin
        batch, engine = origin[1][0].batch, self.explainer.engine
        given = batch.tensor.dtype
        with torch.no_grad(), torch.inference_mode(False):
            parts = [
                engine.output(batch.with_tensor(part.to(given)), partial(class_scores, n=len(part))).float().cpu()
                for part in pixels.split(self.batch)
            ]
        return torch.cat(parts)

    def log_odds(self, outputs: Float[Tensor, "m k"], label: int) -> Float[Tensor, " m"]:
        """Return the log odds of a class: its score less the log-sum-exp of the others; with one output, +- that."""
        if outputs.shape[1] == 1:
            return outputs[:, 0] * (1.0 if label else -1.0)
        rest = torch.cat([outputs[:, :label], outputs[:, label + 1 :]], 1)
        return outputs[:, label] - rest.logsumexp(1)

    def spread(self, label: int) -> float:
        """Return the standard deviation of a class's log odds over the data set: the unit of all effects."""
        return float(self.log_odds(self.outputs, label).double().std())


def decision(outputs: Float[Tensor, "m k"]) -> Int[Tensor, " m"]:
    """Return the class that each row of scores decides for; with one output, 1 where it is positive."""
    return (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(1).cpu()


def open_survey(
    model: nn.Module | Model,
    inputs: Any,
    labels: Sequence[int | str],
    *,
    method: str = "gradcam",
    layer: LayerSpec = None,
    annotations: Any = None,
    cluster_by: Sequence[Hashable] | None = None,
    cluster_name: str = "cluster",
    columns: Mapping[str, Sequence[Any]] | None = None,
    seed: int = 0,
    alpha: float = 0.05,
    batch_size: int = 64,
) -> Survey:
    """Explain a labelled data set: the predicted class of every input against the runner-up.

    Args:
        model: a classifier: a `Model` or any `torch.nn.Module` that takes one tensor; it is never changed.
        inputs: as for `explain`.
        labels: the true class of every input: index, or name where the model has labels.
        method: makes the maps; it must be signed (Grad-CAM and its relatives).
        layer: as for `explain`.
        annotations: where the object lies, as for `check`; None without. An input whose entry is None is looked at, but
            nothing in it counts as off the object, and no experiment is made on it.
        cluster_by: per input, what it belongs to (a patient); clusters are never split.
        cluster_name: what reports call that.
        columns: what else is known of each input: name -> one value per input.
        seed: of everything drawn.
        alpha: error rate that all candidates share.
        batch_size: most inputs in one forward.

    Raises:
        UsageError: lengths differ, a label or setting is none, there are too few inputs, or all have one label.
        InputError: the network takes several tensors.
        TargetError: a label is none of the model's.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}; give a rate between 0 and 1, such as 0.05.")
    explainer = Explainer(model, layer, method, batch_size=batch_size)
    explanation = _explained(explainer, inputs)
    n = len(explanation)
    columns = {**_sizes(explanation), **(columns or {})}
    for name, values in {"labels": labels, "cluster_by": cluster_by, **columns}.items():
        if values is not None and len(values) != n:
            raise UsageError(f"{name} has {len(values)} entries for {n} inputs; give one per input.")
    if n < _LEAST:
        raise UsageError(f"There are {n} inputs; a shortcut is a habit over a data set, so give {_LEAST} or more.")
    truth = torch.tensor([explainer.model.index(one) if isinstance(one, str) else _index(one) for one in labels])
    try:
        set(() if cluster_by is None else cluster_by)
    except TypeError as error:
        raise UsageError(f"cluster_by holds what names nothing ({error}); give a word or number per input.") from error
    if len(set(truth.tolist())) < 2:
        raise UsageError(
            f"All {n} inputs have the label {labels[0]!r}; what tells classes apart shows only with two or more."
        )
    marks, unmarked = _marked(annotations, explanation)
    study = Study(explainer, explanation, explanation.origin[1], tuple(range(n)))
    pixels = input_tensor(study).detach().float().cpu()  # edits are made there, and cast when they are run
    if not bool(pixels.isfinite().all()):
        raise InputError("An input holds NaN or infinite values; leave it out.")
    survey = Survey(
        explainer=explainer,
        explanation=explanation,
        pixels=pixels,
        limits=_limits(explainer.model, pixels),
        labels=truth,
        outputs=torch.zeros(n, 1),
        clusters=tuple(cluster_by) if cluster_by is not None else tuple(range(n)),
        cluster_name="input" if cluster_by is None else cluster_name,
        annotations=marks,
        unmarked=unmarked,
        columns=columns,
        seed=seed,
        alpha=alpha,
        batch=batch_size,
    )
    outputs = survey.run(pixels)
    if int(truth.max()) >= max(2, outputs.shape[1]) or int(truth.min()) < 0:
        raise UsageError(f"Labels go from {int(truth.min())} to {int(truth.max())}; the model has {outputs.shape[1]}.")
    return replace(survey, outputs=outputs)


def _index(label: Any) -> int:
    """Return a label as an index.

    Raises:
        UsageError: it is no whole number.
    """
    try:
        found = int(label)
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None or found != label:
        raise UsageError(f"The label {label!r} is no class; give an index or a name for every input.")
    return found


def _marked(annotations: Any, explanation: Explanation) -> tuple[Bool[Tensor, "n *spatial"] | None, frozenset[int]]:
    """Return where the objects lie, all over where nobody said, and the numbers of those inputs."""
    if annotations is None:
        return None, frozenset()
    if isinstance(annotations, Iterator):  # it is gone through twice
        annotations = list(annotations)
    masks = masks_of(annotations, explanation)
    unknown = frozenset(row for row, one in enumerate(annotations) if one is None)
    if len(unknown) == len(masks):
        return None, frozenset()
    masks[sorted(unknown)] = True
    return masks, unknown


def _sizes(explanation: Explanation) -> dict[str, Sequence[Any]]:
    """Return the inputs' sizes before preprocessing, in samples, as a column; none where all have one."""
    sizes = [prod(one.original_size) for one in explanation.geometries]
    return {"input size": sizes} if len(set(sizes)) > 1 else {}


def _explained(explainer: Explainer, inputs: Any) -> Explanation:
    try:
        return explainer(inputs, Contrast())
    except TargetError as error:
        if "one output" not in str(error):
            raise
        return explainer(inputs, _only_score)


def _only_score(output: Any) -> Tensor:
    """Return the score of a network with one output."""
    return class_scores(output.reshape(1, -1), 1)[0, 0]


def _limits(model: Model, pixels: Float[Tensor, "n c *spatial"]) -> tuple[Tensor, Tensor]:
    """Return the least and greatest value of each channel: a picture's where its normalization is known, or as seen."""
    axes = (0, *range(2, pixels.ndim))
    low, high = pixels.amin(axes), pixels.amax(axes)
    prepare = model.preprocess
    if isinstance(prepare, Preprocess):
        mean = torch.tensor(prepare.mean or (0.0,)).to(low)
        std = torch.tensor(prepare.std or (1.0,)).to(low)
        black, white = (0.0 - mean) / std, (prepare.scale - mean) / std
        if bool((low >= black - 1e-3).all() and (high <= white + 1e-3).all()):
            low, high = black.expand_as(low), white.expand_as(high)
    shape = (-1, *[1] * (pixels.ndim - 2))
    return low.reshape(shape), high.reshape(shape)
