"""What the model itself says about inputs: the scores of all classes, in plain forwards."""

from typing import TYPE_CHECKING

from heatproof.errors import TargetError

if TYPE_CHECKING:
    from torch import Tensor

    from heatproof.explain import Explainer
    from heatproof.types import Input


def all_scores(explainer: "Explainer", inputs: list["Input"]) -> "Tensor":
    """Return the scores (n, classes) of all classes.

    Raises:
        TargetError: the model's output is not a score per class.
    """
    import torch

    from heatproof.explain.gather import gather
    from heatproof.models.outputs import class_scores

    rows: list[Tensor] = []
    for gathered in gather(inputs, explainer.model, explainer.batch_size or len(inputs)):
        # a view is in eval mode whatever mode the loaded network is in
        with explainer.engine.pool.borrow() as view, torch.no_grad():
            rows.append(class_scores(gathered.batch.run(view), gathered.batch.n).float().cpu())
    return torch.cat(rows)


def top_classes(explainer: "Explainer", inputs: list["Input"], k: int) -> list[list[int]]:
    """Return, for each input, the k classes of the highest score, the highest first.

    Raises:
        TargetError: the model has fewer classes.
    """
    scores = all_scores(explainer, inputs)
    if k > scores.shape[1]:
        raise TargetError(f"--top-k is {k}, but the model has {scores.shape[1]} classes; give at most that many.")
    return scores.topk(k, dim=1).indices.tolist()
