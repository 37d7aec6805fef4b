"""What all kinds of target have in common: a name, a number for the output of one input, and binding to a model."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any

from torch import Tensor

from heatproof.models.targets import Names
from heatproof.types import Target


class Kind(ABC):
    """A target that can be passed as `target=`; all of them are frozen dataclasses, hashable and picklable."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What captions call it."""

    @abstractmethod
    def __call__(self, output: Any) -> Tensor:
        """Return y () for the model's output for one input, without the batch axis, connected to its graph."""

    @property
    def route(self) -> Hashable:
        """What tells it apart from targets that may need other layers: only itself, where nothing more is known."""
        return self

    def bind(self, output: Any, names: Names) -> Target:
        """Return this target as `models.targets.resolve` wants it, for the input that has this output."""
        return Target(self.name, function=self)
