"""pytorch-grad-cam's reshape transforms: token sequences as grids. Mostly not needed: the grid is found without."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from heatproof.errors import LayerError

_INSTEAD = "pass the layer of the scale that you mean (or none) instead: grids are found without a reshape_transform."


def vit_reshape_transform(
    tensor: Float[Tensor, "n tokens k"], height: int = 14, width: int = 14
) -> Float[Tensor, "n k h w"]:
    """Return the tokens after the first, the class token, as a grid."""
    return swinT_reshape_transform(tensor[:, 1:], height, width)


def swinT_reshape_transform(  # noqa: N802 - the peer's name
    tensor: Float[Tensor, "n tokens k"], height: int = 7, width: int = 7
) -> Float[Tensor, "n k h w"]:
    """Return all tokens as a grid.

    Raises:
        LayerError: there are not height x width tokens.
    """
    if tensor.shape[1] != height * width:
        raise LayerError(f"{tensor.shape[1]} tokens make no grid of {height} x {width}; pass its height and width.")
    return tensor.unflatten(1, (height, width)).movedim(-1, 1)


def __getattr__(name: str) -> Any:
    """Answer for what is not offered."""
    if name == "fasterrcnn_reshape_transform":
        raise LayerError(f"There is no {name}: {_INSTEAD}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
