"""The data's labels as the model's classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from heatproof.errors import TargetError, UsageError, nearest
from heatproof.models import Model

NOTHING = ""
"""What a label is mapped to that is to count as none."""


@dataclass(frozen=True)
class Labels:
    """How the data's labels name the model's classes.

    Attributes:
        model: whose classes.
        of_data: names of the data's classes by index, where the data says so; used where the model has no labels.
        renamed: label of the data -> label of the model, or "" for entries that count as unlabelled.
    """

    model: Model
    of_data: tuple[str, ...] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])

    def index(self, label: str | int | None) -> int | None:
        """Return the index of the model's class that a label names; None without one.

        Raises:
            TargetError: the model has no such class.
        """
        if label is None:
            return None
        named = self.renamed.get(str(label), label)
        if named == NOTHING:
            return None
        if self.model.labels is not None and isinstance(named, str) and not self._is_index(named):
            return self.model.index(named)
        if isinstance(named, str) and self.of_data and named in self.of_data:
            return self.of_data.index(named)
        if isinstance(named, str) and not self._is_index(named):
            raise TargetError(
                f"The label {named!r} is no class index, and {self.model.name} has no labels; pass its labels."
            )
        return int(float(named))

    def name(self, index: int) -> str:
        """Return the name of a class."""
        if self.model.labels is None and self.of_data and 0 <= index < len(self.of_data):
            return self.of_data[index]
        return self.model.label(index)

    def check(self, found: Mapping[str | int, int], classes: int) -> None:
        """Refuse a data set with labels that the model does not have.

        Raises:
            UsageError: some are unknown; the sentence lists them with the nearest.
        """
        unknown: dict[str, str] = {}
        for label in found:
            try:
                index = self.index(label)
            except TargetError as error:
                unknown[str(label)] = str(error)
                continue
            if index is not None and not 0 <= index < max(2, classes):
                unknown[str(label)] = f"the model has {classes} classes"
        if not unknown:
            return
        some = list(unknown)[:5]
        close = nearest(some[0], self.model.labels or (), 3) if self.model.labels else f" ({unknown[some[0]]})"
        raise UsageError(
            f"{len(unknown)} of {len(found)} labels in the data are not classes of {self.model.name}: "
            f"{', '.join(map(repr, some))}{close.rstrip('.')}. Say which classes they are (--label-map DATA=MODEL; "
            "DATA= counts them as unlabelled), or name another label column."
        )

    def _is_index(self, text: str) -> bool:
        if self.model.labels is not None and text in self.model.labels:
            return False
        return text.removesuffix(".0").lstrip("-").isdecimal()
