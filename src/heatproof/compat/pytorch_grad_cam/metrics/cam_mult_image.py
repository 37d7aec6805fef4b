"""pytorch-grad-cam's metrics of what is left of a score when the input is multiplied by the map."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from heatproof.compat._engine import Runner
from heatproof.errors import InputError, TargetError
from heatproof.models.outputs import of_one


class CamMultImageConfidenceChange:
    """The score of the input times its map, less the score of the input."""

    def __call__(
        self,
        input_tensor: Float[Tensor, "n c *spatial"],
        cams: np.ndarray,
        targets: Sequence[Callable[[Any], Any]],
        model: nn.Module,
        return_visualization: bool = False,
        return_diff: bool = True,
    ) -> Any:
        """Return the change (n,) as float32; with `return_visualization` also the changed inputs.

        Args:
            input_tensor: what the network takes.
            cams: (n, *spatial) maps in 0..1.
            targets: one callable per input.
            model: the network, run in eval mode.
            return_visualization: return the changed inputs, too.
            return_diff: False returns the new score instead of the change.

        Raises:
            InputError: the maps are not of the size of the inputs.
            TargetError: there is not one target per input.
        """
        if len(targets) != len(input_tensor):
            raise TargetError(f"{len(targets)} targets for {len(input_tensor)} inputs: give one target per input.")
        maps = torch.from_numpy(cams).to(input_tensor)
        if maps.shape != (len(input_tensor), *input_tensor.shape[2:]):
            raise InputError(
                f"cams are of shape {tuple(maps.shape)}, the inputs of {tuple(input_tensor.shape)}; pass one map per "
                "input, of its spatial size."
            )
        changed = input_tensor * maps.unsqueeze(1)
        runner = Runner(model)
        found = _scores(runner, changed, targets)
        if return_diff:
            found = found - _scores(runner, input_tensor, targets)
        found = self.read(found)
        return (found, changed) if return_visualization else found

    def read(self, change: np.ndarray) -> np.ndarray:
        """Return what the metric reports of the changes."""
        return change


class DropInConfidence(CamMultImageConfidenceChange):
    """How much the score drops; 0 where it rises."""

    def read(self, change: np.ndarray) -> np.ndarray:
        """Return the drops."""
        return np.maximum(-change, 0)


class IncreaseInConfidence(CamMultImageConfidenceChange):
    """1 where the score rises, else 0."""

    def read(self, change: np.ndarray) -> np.ndarray:
        """Return ones and zeros."""
        return (change > 0).astype(np.float32)


def _scores(runner: Runner, x: Tensor, targets: Sequence[Callable[[Any], Any]]) -> np.ndarray:
    output = runner.output(x)
    values = [torch.as_tensor(target(of_one(output, i, len(x)))).reshape(()) for i, target in enumerate(targets)]
    return torch.stack(values).float().cpu().numpy()
