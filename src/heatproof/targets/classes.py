"""A class score, by index or label: the same as passing the index or the label itself."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from heatproof.errors import TargetError
from heatproof.models.targets import Names, bind, value
from heatproof.targets._kind import Kind
from heatproof.types import Target


@dataclass(frozen=True)
class Class(Kind):
    """The logit of a class (of one label of a multi-label network; of a network's only output).

    Attributes:
        index: class index or label; None is the predicted class.

    Raises (when bound): TargetError, there is no such class.
    """

    index: Any = None

    @property
    def name(self) -> str:
        """The class as it was given."""
        return f"class {self.index}" if isinstance(self.index, int) else self.index or "predicted class"

    def __call__(self, output: Any) -> Tensor:
        """Return y (); a label needs the model's names, so pass the target to `explain` instead of calling it."""
        return value(unnamed(self.index, output), output)

    def bind(self, output: Any, names: Names) -> Target:
        """Return the class as an indexed target, with the model's label."""
        return bind(self.index, output, names)


def unnamed(operand: Any, output: Any) -> Target:
    """Return an index, a callable or None (predicted class) as a target without a model's labels.

    Raises:
        TargetError: it is a label, or no target.
    """
    return bind(operand, output, Names("class {}".format, _no_labels))


def _no_labels(label: str) -> int:
    raise TargetError(
        f"The label {label!r} is looked up in the model's labels; pass the target to explain(), or an index."
    )
