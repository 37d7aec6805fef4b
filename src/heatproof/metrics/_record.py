"""What every metric says about itself, and what a metric that runs the model returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """One metric, described.

    Attributes:
        function: computes it; its docstring has the formula.
        title: the name that papers use.
        paper: author, year, title, and where in it the metric is defined.
        low: the smallest possible value.
        high: the largest possible value.
        better: which direction speaks for the map; "neither" where the number only describes it.
        chance: the value of a map without information, as a number, or in words where it depends on the data.
    """

    function: Callable[..., Any]
    title: str
    paper: str
    low: float
    high: float
    better: Literal["higher", "lower", "neither"]
    chance: float | str

    @property
    def name(self) -> str:
        """The function's name: what users pass."""
        return self.function.__name__

    @property
    def question(self) -> str:
        """The file it lives in: what the metric asks about."""
        return self.function.__module__.rpartition(".")[2]


@dataclass(frozen=True, eq=False)
class Measurement:
    """The value of a metric that ran the model, and what it cost.

    Attributes:
        values: (n, t), NaN where the metric is undefined.
        forwards: forwards of the model per input.
        steps: (s,) share of the positions that was removed at each point of the curves, or what else was varied.
        most_first: (n, t, s) score when the most influential positions go first; None where that was not measured.
        least_first: (n, t, s) score when the least influential positions go first; None likewise.
        parts: (n, t, s) whatever was averaged into `values` that is no curve of scores; None likewise.
    """

    values: Float[Tensor, "n t"]
    forwards: int
    steps: Float[Tensor, " s"] | None = None
    most_first: Float[Tensor, "n t s"] | None = None
    least_first: Float[Tensor, "n t s"] | None = None
    parts: Float[Tensor, "n t s"] | None = None
