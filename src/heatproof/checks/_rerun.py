"""What it takes to run a study's model again on changed inputs, for the targets that were explained."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._study import Study
from heatproof.errors import InputError
from heatproof.explain.gather import Gathered

Score = Callable[[Tensor, Tensor], Tensor]
"""`(inputs (m, c, *spatial), rows (m,)) -> scores (m, 1)`, see the metrics."""


def input_tensor(study: Study) -> Float[Tensor, "n c *spatial"]:
    """Return all inputs of the network as one tensor, in at least float32.

    Raises:
        InputError: the network takes several tensors.
    """
    found = [gathered.batch.tensor for gathered in study.batches]
    kept = [each for each in found if each is not None]
    if len(kept) != len(found):
        raise InputError(
            "This check changes what the network is given, but this network takes several tensors and it is not clear "
            "which of them to change; wrap it so that it takes one."
        )
    x = torch.cat(kept)
    return x.to(torch.promote_types(x.dtype, torch.float32))


def scorer(study: Study, columns: int = 1) -> Score:
    """Return the score of each row's explained target as a function of the inputs, the same in every column."""
    batch, engine, targets = study.batches[0].batch, study.explainer.engine, study.explanation.targets

    def score(inputs: Tensor, rows: Tensor) -> Tensor:
        return engine.scores(batch.with_tensor(inputs), [targets[int(row)] for row in rows]).expand(-1, columns)

    return score


def rows_of(study: Study) -> list[tuple[Gathered, slice]]:
    """Return every batch with the rows of the explanation that it holds."""
    begins = [0]
    for gathered in study.batches:
        begins.append(begins[-1] + gathered.batch.n)
    return [(g, slice(a, b)) for g, a, b in zip(study.batches, begins[:-1], begins[1:], strict=True)]


def with_inputs(study: Study, inputs: Float[Tensor, "n c *spatial"]) -> Study:
    """Return the study of changed inputs, in the number format of those that were explained."""
    batches: list[Gathered] = []
    for gathered, rows in rows_of(study):
        x = inputs[rows]
        given = gathered.batch.tensor
        batches.append(replace(gathered, batch=gathered.batch.with_tensor(x if given is None else x.to(given.dtype))))
    return replace(study, batches=tuple(batches))
