"""Opens a network as a function of its inputs, for attributions."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from heatproof.capture.batch import Batch
from heatproof.capture.biases import Biases, contribution
from heatproof.capture.forward import gradients
from heatproof.capture.rectify import Rectified
from heatproof.errors import ExplainError, HeatproofWarning, MethodError
from heatproof.models.layers import TargetLayer
from heatproof.models.targets import evaluate
from heatproof.types import Capture, Subject, Target
from heatproof.types.subject import Rectifier

if TYPE_CHECKING:
    from heatproof.capture.engine import Engine, Resolver

Targets = tuple[tuple[Target, ...], ...]

_RULES = {"guided": "guided backpropagation", "deconvnet": "the deconvolutional network"}


def subject(
    engine: "Engine", batch: Batch, layers: Callable[[], tuple[TargetLayer, ...]], resolve: "Resolver"
) -> tuple[Subject, Targets]:
    """Return the network as a function of the batch's inputs, and the targets.

    Args:
        engine: of the network.
        batch: of which the only tensor is what is explained.
        layers: finds the target layers; called only by methods that are built on a CAM, or where the user has hooks on
            the network.
        resolve: finds the targets from the output.

    Raises:
        MethodError: the network takes several tensors, or none of floating-point numbers.
    """
    inputs = batch.tensor
    if inputs is None:
        raise MethodError(
            "Attributions are maps over one input tensor, but this network takes several and it is not clear which one "
            "to explain; use a CAM method, or a network that takes the others from within."
        )
    if not inputs.is_floating_point():
        raise MethodError(
            f"Attributions change the input by small steps, which {inputs.dtype} does not allow; pass floating-point "
            "numbers, or use a CAM method."
        )
    scores, targets = _explained(engine, batch, layers, resolve)
    runs = _Runs(engine, batch, targets)

    def captures() -> tuple[Capture, ...]:
        return tuple(engine.capture(batch, layers(), lambda _output, _n: targets)[0])

    return Subject(inputs, scores, runs.rescore, runs.gradients, captures, runs.bias_gradients), targets


def _explained(
    engine: "Engine", batch: Batch, layers: Callable[[], tuple[TargetLayer, ...]], resolve: "Resolver"
) -> tuple[Tensor, Targets]:
    """Return the scores and targets of the one run that is explained."""
    engine.trace(batch)
    if engine.pool.hooked:  # they run once, and are judged, in a capture
        found, targets, _ = engine.capture(batch, layers(), resolve)
        return found[0].scores, targets
    targets: Targets = ()

    def read(output: Any) -> Tensor:
        nonlocal targets
        targets = resolve(output, batch.n)
        return evaluate(targets, output)

    return engine.output(batch, read), targets


class _Runs:
    """Runs of one network for one batch and its targets."""

    def __init__(self, engine: "Engine", batch: Batch, targets: Targets) -> None:
        self._engine, self._batch, self._targets = engine, batch, targets
        self._told: set[str] = set()

    def rescore(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return the scores (m, t) of changed inputs."""
        return self._engine.scores(self._batch.with_tensor(inputs), self._of(rows))

    def gradients(self, inputs: Tensor, rows: Tensor, rectifier: Rectifier = "plain") -> Tensor:
        """Return dy/dx (m, t, c, *spatial) at changed inputs.

        Raises:
            ExplainError: the network blocks the gradient on its way to the input.

        Warns:
            HeatproofWarning: the rectifier is not plain, and there is no ReLU that it could apply to.
        """
        mode = None if rectifier == "plain" else Rectified(rectifier)
        found: Tensor | None = None

        def run(view: nn.Module) -> None:
            nonlocal found
            with torch.inference_mode(False), torch.enable_grad(), mode or nullcontext():
                x = inputs.detach().to(device, dtype, copy=True).requires_grad_()
                scores = evaluate(self._of(rows), self._batch.with_tensor(x).run(view))
            found = self._differentiate(scores, [x])[0]

        assert self._batch.tensor is not None
        device, dtype = self._batch.tensor.device, self._batch.tensor.dtype
        self._engine.backward(run, quiet=True)
        if found is None:
            raise ExplainError(
                "No gradient flows from the score back to the input: the score does not depend on it, or the network "
                "detaches, rounds or runs without gradients on the way; use a method that needs no gradient there, "
                "such as occlusion, rise or a CAM."
            )
        if mode is not None:
            self._tell(mode, _RULES[rectifier])
        return _full(found.transpose(0, 1))

    def bias_gradients(self, rows: Tensor) -> list[Tensor]:
        """Return b dy/db at every place (m, t, c, *grid) for every layer that adds a b, at the inputs of `rows`."""
        batch = self._batch.rows(rows.cpu())
        added = Biases()
        found: list[Tensor | None] = []

        def run(view: nn.Module) -> None:
            nonlocal added, found
            added = Biases()
            with torch.inference_mode(False), torch.enable_grad(), added:
                assert batch.tensor is not None
                x = batch.tensor.detach().clone().requires_grad_()
                scores = evaluate(self._of(rows), batch.with_tensor(x).run(view))
            found = self._differentiate(scores, [call.output for call in added.found]) if added.found else []

        self._engine.backward(run, quiet=True)
        pairs = [(call, gradient) for call, gradient in zip(added.found, found, strict=True) if gradient is not None]
        terms = [contribution(call, gradient, batch.n, len(batch.size)) for call, gradient in pairs]
        return [term for term in terms if term is not None]

    def _of(self, rows: Tensor) -> Sequence[Sequence[Target]]:
        return [self._targets[r] for r in rows.tolist()]

    def _differentiate(self, scores: Tensor, leaves: Sequence[Tensor]) -> list[Tensor | None]:
        if not scores.requires_grad:
            return [None] * len(leaves)
        return gradients(scores, leaves, one_by_one=self._engine.pool.hooks_matter)

    def _tell(self, mode: Rectified, rule: str) -> None:
        others = ", ".join(sorted(mode.plain))
        if not mode.rectified:
            message = (
                f"No ReLU was seen in this network{f', only {others}' if others else ''}: {rule} has no rule for "
                "anything else, so that its map equals the gradient."
            )
        elif others:
            message = f"{rule.capitalize()} has a rule for ReLUs only; {others} of this network stay as they are."
        else:
            return
        if message not in self._told:
            self._told.add(message)
            warnings.warn(message, HeatproofWarning, stacklevel=4)


def _full(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
