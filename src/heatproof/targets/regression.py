"""One output of a regression network."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from heatproof.errors import TargetError
from heatproof.models.targets import scores_of_one
from heatproof.targets._kind import Kind


@dataclass(frozen=True)
class Regression(Kind):
    """Output number `index` of a network that predicts quantities, not classes; evidence is in the quantity's units.

    Unlike a plain index, it is not taken for a class that has rivals.

    Attributes:
        index: which output.
        quantity: what captions call it.

    Raises (when evaluated): TargetError, there is no such output.
    """

    index: int = 0
    quantity: str | None = None

    @property
    def name(self) -> str:
        """The quantity, else the output's number."""
        return self.quantity or f"output {self.index}"

    def __call__(self, output: Any) -> Tensor:
        """Return y ()."""
        values = scores_of_one(output)
        if not 0 <= self.index < len(values):
            raise TargetError(
                f"Output {self.index} does not exist: the model has {len(values)} outputs, 0 to {len(values) - 1}."
            )
        return values[self.index]
