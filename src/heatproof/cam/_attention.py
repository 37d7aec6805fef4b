"""What the attention methods share: a capture's attention, the rows that the head reads, the way back to the grid."""

from math import prod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import MethodError
from heatproof.types import Attention, Capture

MAX_EXTRA = 16
"""Most tokens that are taken to stand before the grid's where the target layer is no sequence itself."""

Rows = Float[Tensor, "n t tokens"]
Reached = Float[Tensor, "n t reached"]


def attention_of(capture: Capture, title: str) -> tuple[Attention, ...]:
    """Return what every attention layer did, first to last.

    Raises:
        MethodError: the capture was made by hand, or the network has no attention that the method can follow.
    """
    if capture.source is None:
        raise MethodError(
            f"{title} needs the network's attention, but this capture was made without its source; use "
            "heatproof.explain, or a method that needs activations and gradients only."
        )
    return capture.source.attention()


def read_rows(last: Attention, prefix: int) -> Rows:
    """Return which tokens the head reads, as weights that sum to 1: those whose attention the score depends on.

    What follows the last attention works on each token by itself, so a token that the head does not read has no
    gradient there: a class token is found by its row alone, a mean over all tokens by all rows. All rows that are read
    count alike. Where there is no gradient at all, it is the first token if the sequence has extra tokens, else all.
    """
    read = (last.gradients != 0).any(2).any(-1).to(last.weights.dtype)
    rest = torch.zeros_like(read[:, :, :1].expand_as(read)) + 1
    if prefix > 0:
        rest = torch.zeros_like(read)
        rest[..., 0] = 1
    read = read.where(read.any(-1, keepdim=True), rest)
    return read / read.sum(-1, keepdim=True)


def walk_back(
    layers: list[tuple[str, Float[Tensor, "n _ _ _"]]], read: Rows, *, residual: float, attended: float
) -> tuple[Reached, Reached]:
    """Return how the rows that were read reach back to the first layer's tokens: by residuals alone, and by attention.

    From the last layer to the first, a row vector r becomes r (residual I + attended M). The share that went by
    residuals alone is kept apart. Where only the first tokens ask (class attention), the others stay as they are. A
    query that is no token of the sequence (attention pooling) brings no residual: r becomes r M. Tokens that join the
    sequence later stand before it.

    Args:
        layers: name and M of each attention layer, first to last; one M for each target or one for all.
        read: what the head reads of the last layer's queries.
        residual: what stays of a token that asks.
        attended: what is added of the tokens that it attends to.

    Raises:
        MethodError: a layer's queries and keys are not the tokens that the layer after it had.
    """
    own, gained = read, torch.zeros_like(read)
    shapes = [tuple(matrix.shape[2:]) for _, matrix in layers]
    if len(shapes) > 1 and shapes[-1] == shapes[-2] and shapes[-1][0] < shapes[-1][1]:
        # the class token asks again and again: it is the first of the tokens that it attends to
        own, gained = (F.pad(r, (0, shapes[-1][1] - shapes[-1][0])) for r in (own, gained))
    for name, matrix in reversed(layers):
        q, s = matrix.shape[2:]
        if q == s and 0 < own.shape[2] - s <= MAX_EXTRA:
            own, gained = own[..., -s:], gained[..., -s:]
        length = own.shape[2]
        if q > s or length not in (q, s):
            raise MethodError(
                f"The layer {name!r} attends from {q} to {s} tokens where {length} are attended to later, so attention "
                "cannot be followed back through it; use gradcam, layercam or hirescam."
            )
        through = ((own + gained)[..., :q].unsqueeze(2) @ matrix).squeeze(2)
        if length < s:
            own, gained = torch.zeros_like(through), through
            continue
        stays = torch.ones(s, dtype=own.dtype, device=own.device)
        stays[:q] = residual
        own, gained = own * stays, gained * stays + attended * through
    return own, gained


def on_grid(rows: Rows, capture: Capture, prefix: int) -> Float[Tensor, "n t *grid"]:
    """Return the values of the grid's tokens, at the grid of the target layer.

    Args:
        rows: one value per token.
        capture: whose grid it is.
        prefix: how many tokens stand before the grid's, if the target layer is a sequence; else all that are too many.

    Raises:
        MethodError: the tokens are not those of the target layer's grid.
    """
    grid, tokens = tuple(capture.activations.shape[2:]), rows.shape[2]
    places = prod(grid)
    extra = tokens - places
    start = prefix if 0 < prefix <= extra else extra
    if extra < 0 or (start > MAX_EXTRA and start != prefix):
        raise MethodError(
            f"The network attends among {tokens} tokens, but layer {capture.layer!r} has a grid of "
            f"{' x '.join(map(str, grid))}; choose a layer of the token sequence, or leave the choice to layer=None."
        )
    dtype = torch.promote_types(capture.activations.dtype, torch.float32)
    return rows[..., start : start + places].unflatten(2, grid).to(dtype)
