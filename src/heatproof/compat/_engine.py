"""One forward and one backward for what a peer's call asks for: a map per layer, and the output."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heatproof.capture import Batch, Engine
from heatproof.compat._reshape import Transform, reshaped
from heatproof.models import as_model
from heatproof.models.outputs import map_tensors
from heatproof.models.targets import resolve
from heatproof.types import Capture, Target

Function = Callable[[Capture], Tensor]
"""From a capture to signed maps (n, t, *grid): what a CAM method is."""


class Runner:
    """Explains one network again and again, layer by layer; thread-safe."""

    def __init__(self, model: nn.Module) -> None:
        self._model = as_model(model)
        self._engine = Engine(self._model.net)

    def explain(
        self,
        x: Any,
        layers: Sequence[nn.Module | str] | None,
        targets: Any,
        function: Function,
        transform: Transform | None = None,
    ) -> tuple[list[Float[Tensor, "n *_grid"]], Any, list[str]]:
        """Return a signed map (n, *grid) per layer, the network's output, detached, and the layers' names.

        Args:
            x: a batched tensor.
            layers: modules or dotted names; None chooses.
            targets: None (predicted class), a class, a callable, or a list with one of these per input.
            function: what makes maps of a capture.
            transform: turns what the layers return into (n, k, *grid); None finds that out.

        Raises:
            TargetError: the targets are not one per input, or do not fit the output.
            LayerError: a layer does not run, or what it returns lies on no grid.
        """
        output: Any = None

        def resolver(found: Any, n: int) -> tuple[tuple[Target, ...], ...]:
            nonlocal output
            output = found
            wanted = cast("list[Any]", targets)[:n] if isinstance(targets, list) and n < batch.n else targets
            return resolve(wanted, found, n, self._model.label, self._model.index)

        with torch.inference_mode(False), self._engine.pool.steady():
            batch = Batch.of(x, self._model.net)
            if transform is not None and layers is not None:
                found = tuple(reshaped(self._engine.trace(batch), self._model.net, la, transform) for la in layers)
            else:
                found = self._engine.layers(batch, None if layers is None else list(layers), resolver)
            captures, _, _ = self._engine.capture(batch, found, resolver)
            with torch.autocast(captures[0].activations.device.type, enabled=False):
                maps = [function(capture)[:, 0].detach() for capture in captures]
        return maps, map_tensors(output, lambda tensor: tensor.detach()), [layer.name for layer in found]

    def output(self, x: Any) -> Any:
        """Return what the network says about a batch, without gradients."""
        with torch.inference_mode(False), self._engine.pool.steady(), torch.no_grad():
            batch = Batch.of(x, self._model.net)
            with self._engine.pool.borrow(quiet=True) as view:
                return batch.run(view)
