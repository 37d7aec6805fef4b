"""After a shortcut is confirmed: the inputs it touches, a challenge set, counterfactuals, a loss, a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heatproof.capture.engine import LayerSpec
from heatproof.checks._stats import bootstrap
from heatproof.errors import UsageError
from heatproof.explain import Explainer
from heatproof.metrics._fields import pooled
from heatproof.models import Model
from heatproof.shortcuts._candidate import Finding
from heatproof.shortcuts._edits import pasted, placed, removed
from heatproof.shortcuts._fills import fills
from heatproof.shortcuts._survey import Survey
from heatproof.types import Interval


@dataclass(frozen=True, eq=False)
class Counterfactuals:
    """Inputs with the feature taken away or put in; their labels stay.

    Attributes:
        inputs: in the frame of the network's input.
        rows: which input of the survey each comes from.
        labels: the true class.
        has: whether it has the feature now.
    """

    inputs: Float[Tensor, "m c *spatial"]
    rows: tuple[int, ...]
    labels: tuple[int, ...]
    has: tuple[bool, ...]


def affected(finding: Finding, survey: Survey) -> list[dict[str, object]]:
    """Return the inputs that show the feature, those whose score owes it most first.

    Each with its name, cluster, label, decision, and the mean effect of removal in standard deviations of the log odds;
    NaN where the removal was not made.
    """
    effects = [one.values for name, one in finding.effects.items() if name.startswith("remove")]
    mean = torch.stack(effects).mean(0) if effects else torch.full((survey.n,), torch.nan)
    names = [one.name for one in survey.explanation.inputs]
    rows = finding.candidate.present.nonzero().flatten().tolist()
    order = mean[rows].nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True).tolist()
    return [
        {
            "input": names[r],
            "cluster": survey.clusters[r],
            "label": survey.model.label(int(survey.labels[r])),
            "decision": survey.model.label(int(survey.decided[r])),
            "effect": float(mean[r]),
        }
        for r in (rows[i] for i in order)
    ]


def counterfactuals(
    finding: Finding, survey: Survey, rows: Sequence[int] | None = None, *, imputer: str = "donor", seed: int = 0
) -> Counterfactuals:
    """Return every input with the feature taken away where it is, and put in where it is not: for augmentation.

    Args:
        finding: about a region, or a global cue.
        survey: of the inputs.
        rows: which inputs; None takes all.
        imputer: what stands where a region was taken away.
        seed: of the donors of pastes.

    Raises:
        UsageError: the feature is known by name alone, or no input has it.
    """
    candidate = finding.candidate
    if candidate.masks is None and candidate.change is None:
        raise UsageError(f"{candidate.name} is known by name alone; nothing says how to take it away.")
    chosen = list(range(survey.n)) if rows is None else list(rows)
    have = [r for r in chosen if bool(candidate.present[r])]
    lack = [r for r in chosen if not bool(candidate.present[r])]
    donors = candidate.present.nonzero().flatten().tolist()
    if not donors:
        raise UsageError(f"No input shows {candidate.name}, so there is nothing to take away or to put in.")
    parts: list[Tensor] = []
    if candidate.change is not None:
        for group, amount in ((have, -1.0), (lack, 1.0)):
            if group:
                parts.append(candidate.change(group, amount))
    else:
        assert candidate.masks is not None
        generator = torch.Generator().manual_seed(seed)
        if have:
            parts.append(removed(survey, candidate.masks[have], have, fills([imputer], seed)[imputer]))
        if lack:
            drawn = torch.randint(len(donors), (len(lack),), generator=generator).tolist()
            sources, masks = placed(survey, candidate, lack, [donors[i] for i in drawn], generator)
            parts.append(pasted(survey, sources, masks, lack))
    order = have + lack
    return Counterfactuals(
        torch.cat(parts),
        tuple(order),
        tuple(int(survey.labels[r]) for r in order),
        tuple([False] * len(have) + [True] * len(lack)),
    )


def challenge_set(finding: Finding, survey: Survey, *, seed: int = 0, most: int | None = None) -> Counterfactuals:
    """Return a set in which the feature says nothing: as many inputs with it as without, in every class.

    Real inputs first; cells that have too few are filled with counterfactuals of the same class.

    Args:
        finding: about a region, or a global cue.
        survey: of the inputs.
        seed: of what is drawn.
        most: inputs in the set; None takes as many as there are.

    Raises:
        UsageError: as `counterfactuals`, or a class has fewer than two inputs.
    """
    present = finding.candidate.present
    generator = torch.Generator().manual_seed(seed)
    labels = sorted(set(survey.labels.tolist()))
    size = min(int((survey.labels == label).sum()) for label in labels) // 2
    size = size if most is None else min(size, max(1, most // (2 * len(labels))))
    if size < 1:
        raise UsageError("A class has fewer than two inputs, so that no set can be balanced; add some of it.")
    made = counterfactuals(finding, survey, seed=seed)
    inputs: list[Tensor] = []
    rows: list[int] = []
    truth: list[int] = []
    has: list[bool] = []
    for label in labels:
        cells: dict[bool, list[int]] = {}
        for there in (True, False):
            real = ((survey.labels == label) & (present == there)).nonzero().flatten()
            cells[there] = real[torch.randperm(len(real), generator=generator)][:size].tolist()
        used = {row for cell in cells.values() for row in cell}
        for there, real in cells.items():
            edited = [
                i
                for i, (r, k, h) in enumerate(zip(made.rows, made.labels, made.has, strict=True))
                if k == label and h == there and r not in used
            ][: size - len(real)]
            inputs += [survey.pixels[r] for r in real] + [made.inputs[i] for i in edited]
            taken = real + [made.rows[i] for i in edited]
            used |= set(taken)
            rows += taken
            truth += [label] * len(taken)
            has += [there] * len(taken)
    return Counterfactuals(torch.stack(inputs), tuple(rows), tuple(truth), tuple(has))


def right_reasons_loss(
    model: nn.Module | Model | Explainer,
    inputs: Float[Tensor, "n c *spatial"],
    forbidden: Bool[Tensor, "n *spatial"],
    target: Sequence[int] | None = None,
    *,
    layer: LayerSpec = None,
) -> Float[Tensor, ""]:
    """Return the share of squared evidence that lies where it should not, to be added to a training loss.

    Between 0 and 1, free of the score's unit; differentiable with respect to the network's parameters. Inputs without a
    forbidden place, or without evidence, count as 0.

    Args:
        model: the network in training, or an `Explainer` of it with differentiable=True, which is kept between steps.
        inputs: a batch.
        forbidden: where evidence is wrong.
        target: class per input; None takes the predicted one.
        layer: as for `explain`.

    Source: Ross et al. 2017, "Right for the Right Reasons", eq. 1 (there of input gradients, without the division);
    of Grad-CAM maps: Schramowski et al. 2020, "Making deep neural networks right for the right scientific reasons".
    """
    explainer = model if isinstance(model, Explainer) else Explainer(model, layer, differentiable=True)
    maps = explainer(inputs, None if target is None else [int(one) for one in target]).maps[:, 0]
    share = pooled(forbidden.float().unsqueeze(1), tuple(maps.shape[1:]))[:, 0].to(maps)
    evidence = F.relu(maps).square().flatten(1)
    total = evidence.sum(1)
    wrong = (evidence * share.flatten(1)).sum(1)
    return torch.where(total > 0, wrong / torch.where(total > 0, total, 1.0), 0.0).mean()


def compare(before: Finding, after: Finding, survey: Survey) -> Mapping[str, Interval]:
    """Return, per experiment that both made, how much smaller the effect is afterwards, paired by input.

    Args:
        before: on the first model.
        after: the same feature and inputs on the second.
        survey: of either, for the clusters.

    Raises:
        UsageError: they are about other inputs.
    """
    found: dict[str, Interval] = {}
    for name, one in before.effects.items():
        if name not in after.effects:
            continue
        values = after.effects[name].values
        if len(values) != len(one.values) or len(values) != survey.n:
            raise UsageError(
                f"The findings are about {len(one.values)} and {len(values)} inputs; compare like with like."
            )
        found[name] = bootstrap(one.values - values, survey.clusters, seed=survey.seed, level=1 - survey.alpha)
    return found
