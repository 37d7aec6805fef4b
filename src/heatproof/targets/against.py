"""What argues against: a target with its sign turned."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from heatproof.models.targets import Names, Negated, bind
from heatproof.targets._kind import Kind
from heatproof.targets.classes import unnamed
from heatproof.types import Target


@dataclass(frozen=True)
class Against(Kind):
    """The counterfactual -y: positive evidence is what lowers the score.

    Source: Selvaraju et al. 2017, "Grad-CAM", section 3.3 (the gradient is negated before it is averaged; a method that
    is linear in it returns exactly the negated map).

    Attributes:
        target: class index, label, callable or other target; None is the predicted class.

    Raises (when bound): TargetError, as the target itself.
    """

    target: Any = None

    @property
    def name(self) -> str:
        """Against what, as it was given."""
        return f"against {spell(self.target)}"

    def __call__(self, output: Any) -> Tensor:
        """Return -y ()."""
        return Negated(unnamed(self.target, output))(output)

    def bind(self, output: Any, names: Names) -> Target:
        """Return the negated target, with the model's labels."""
        target = bind(self.target, output, names)
        return Target(f"against {target.name}", function=Negated(target))


def spell(operand: Any) -> str:
    """Return what an unbound operand is called."""
    if isinstance(operand, int):
        return f"class {operand}"
    if operand is None or isinstance(operand, str):
        return operand or "predicted class"
    name = getattr(operand, "__name__", None) or getattr(operand, "name", None)
    return str(name or type(operand).__name__)
