"""One planted problem: a network, inputs, a map, and what a check ought to say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from heatproof.types import Input

Answer = Literal["good", "bad"]


@dataclass(frozen=True, eq=False)
class Instance:
    """A problem whose answer is known because it was planted.

    Attributes:
        check: which check it is for.
        answer: "good" where its claim holds, "bad" where it does not.
        what: what was planted, in words.
        model: the network.
        inputs: (n, c, *spatial), or inputs with axes.
        target: what is explained.
        method: a method's name, or a function of the capture.
        layer: the target layer; None lets it be found.
        annotations: one mask per input, where the check needs them.
        settings: of the check, where the question is in them.
    """

    check: str
    answer: Answer
    what: str
    model: nn.Module
    inputs: Float[Tensor, "n c *spatial"] | list[Input]
    target: Any
    method: Any
    layer: str | None = None
    annotations: list[Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
