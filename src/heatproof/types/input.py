"""What is explained: the data, what its axes mean, and where the model's view of it lies in the original."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import InputError


@dataclass(frozen=True, eq=False)
class Axis:
    """One spatial (or temporal, spectral, ...) axis of an input.

    Attributes:
        name: what the axis is: "y", "x", "z", "time", "wavelength".
        unit: unit of `coordinates` ("px", "s", "nm", "mm"); None when unknown.
        coordinates: (length,) position of every sample in `unit`; None means 0, 1, 2, ...
        periodic: whether the last sample neighbors the first.
    """

    name: str
    unit: str | None = None
    coordinates: np.ndarray | None = None
    periodic: bool = False

    def spacing(self) -> float:
        """Return the mean distance between neighboring samples, in `unit`."""
        if self.coordinates is None or len(self.coordinates) < 2:
            return 1.0
        return float(abs(self.coordinates[-1] - self.coordinates[0])) / (len(self.coordinates) - 1)


@dataclass(frozen=True, eq=False)
class Input:
    """One thing to explain, at its original size.

    Attributes:
        data: (c, *spatial) float32, channels first, 1 to 3 spatial axes. Pictures of integer type are scaled to 0..1;
            floating-point sources keep their own values.
        axes: one per spatial axis.
        channels: one name per channel ("red", "green", "blue").
        name: what reports call it.
        source: the file it came from, if any.
        picture: whether `data` is a displayable picture: 1 or 3 channels with values in 0..1.
        affine: voxel-to-world matrix of a volume, if any.
    """

    data: Float[Tensor, "c *spatial"]
    axes: tuple[Axis, ...]
    channels: tuple[str, ...]
    name: str = "input"
    source: Path | None = None
    picture: bool = False
    affine: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse data that contradicts its own description."""
        if self.data.ndim - 1 != len(self.axes):
            raise InputError(
                f"{self.name}: data of shape {tuple(self.data.shape)} has {self.data.ndim - 1} spatial axes, "
                f"but {len(self.axes)} axes were named; name each spatial axis once."
            )
        if len(self.channels) != self.data.shape[0]:
            raise InputError(
                f"{self.name}: data of shape {tuple(self.data.shape)} has {self.data.shape[0]} channels, "
                f"but {len(self.channels)} channel names were given; name each channel once."
            )

    @property
    def size(self) -> tuple[int, ...]:
        """The original spatial size, in samples."""
        return tuple(self.data.shape[1:])


@dataclass(frozen=True)
class Geometry:
    """Where the model's input lies in the original: one scale and one offset per spatial axis.

    A sample index (0 is the center of the first sample) goes from the original to the model's input by
    `model = (original + 0.5) * scale - offset - 0.5`. A flipped axis has a negative scale.

    Attributes:
        original_size: spatial size of the original, in samples.
        model_size: spatial size of what the model is given.
        scale: model samples per original sample, per axis.
        offset: model samples cut off (positive) or padded (negative) before the first, per axis.
        exact: False when the mapping had to be assumed (an opaque preprocessing function).
    """

    original_size: tuple[int, ...]
    model_size: tuple[int, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    exact: bool = True

    @classmethod
    def identity(cls, size: Sequence[int]) -> "Geometry":
        """Return the geometry of an input that the model is given as it is."""
        size = tuple(size)
        return cls(size, size, (1.0,) * len(size), (0.0,) * len(size))

    def to_model(self, point: Sequence[float]) -> tuple[float, ...]:
        """Map a point (sample indices, in the order of the axes) of the original into the model's input."""
        return tuple((p + 0.5) * s - o - 0.5 for p, s, o in zip(point, self.scale, self.offset, strict=True))

    def to_original(self, point: Sequence[float]) -> tuple[float, ...]:
        """Map a point of the model's input back into the original: the exact inverse of `to_model`."""
        return tuple((p + 0.5 + o) / s - 0.5 for p, s, o in zip(point, self.scale, self.offset, strict=True))


@dataclass(frozen=True, eq=False)
class Prepared:
    """An input as the model gets it, and the way back.

    Attributes:
        tensor: (c, *spatial), ready for the network, without a batch axis.
        geometry: where it lies in the original.
        input: the original.
    """

    tensor: Float[Tensor, "c *spatial"]
    geometry: Geometry
    input: Input
