"""Arrays that can be part of a frozen, hashable, picklable target."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heatproof.errors import TargetError


@dataclass(frozen=True, repr=False)
class FrozenArray:
    """An array of finite numbers that nobody can change; equal where shape, type and values are.

    Attributes:
        shape: its shape.
        dtype: the type of its numbers, as numpy spells it.
        data: its numbers, C order.
    """

    shape: tuple[int, ...]
    dtype: str
    data: bytes

    @staticmethod
    def of(value: Any, what: str) -> "FrozenArray":
        """Return an array, tensor or nested list frozen.

        Raises:
            TargetError: it holds no numbers, or some that are not finite.
        """
        if isinstance(value, FrozenArray):
            return value
        if isinstance(value, Tensor):
            value = value.detach().cpu()
            value = (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()
        try:
            array = np.ascontiguousarray(value)
        except ValueError as error:
            raise TargetError(f"The {what} is not an array ({error}); pass an array or a tensor.") from error
        if array.dtype.kind not in "buif":
            raise TargetError(f"The {what} is {type(value).__name__} of {array.dtype}, not an array of real numbers.")
        if array.size == 0 or not np.isfinite(array).all():
            raise TargetError(f"The {what} of shape {array.shape} is empty or holds values that are not finite.")
        return FrozenArray(np.shape(value), array.dtype.str, array.tobytes())

    def numpy(self) -> np.ndarray:
        """Return it as an array, read-only."""
        return np.frombuffer(self.data, np.dtype(self.dtype)).reshape(self.shape)

    def tensor(self, like: Tensor) -> Tensor:
        """Return a new tensor of it, of the type and on the device of another."""
        return torch.tensor(self.numpy(), dtype=like.dtype, device=like.device)

    def __repr__(self) -> str:
        return f"<{np.dtype(self.dtype)} {'x'.join(map(str, self.shape))}>"
