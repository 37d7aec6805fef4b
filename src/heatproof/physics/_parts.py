"""Find axes and channels of an input by name, with their spacing and units; refuse what a law cannot work with."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from heatproof.errors import InputError, UsageError, nearest
from heatproof.types import Input

Vector = Mapping[str, str | int]
"""A vector's components: axis name -> channel (name or number): {"x": "u", "y": "v"}."""

_COMPONENTS = {
    "x": re.compile(r"^(u|ux|u_x|vx|v_x|vel(ocity)?[ _]?x|bx|b_x|ex|e_x|fx|f_x|px|p_x|qx|q_x)$", re.IGNORECASE),
    "y": re.compile(r"^(v|uy|u_y|vy|v_y|vel(ocity)?[ _]?y|by|b_y|ey|e_y|fy|f_y|py|p_y|qy|q_y)$", re.IGNORECASE),
    "z": re.compile(r"^(w|uz|u_z|vz|v_z|vel(ocity)?[ _]?z|bz|b_z|ez|e_z|fz|f_z|pz|p_z|qz|q_z)$", re.IGNORECASE),
}
_PSEUDO = re.compile(r"^(vorticity|omega|curl|swirl|rotation|circulation|helicity)$", re.IGNORECASE)


def axis_of(input: Input, wanted: str | int) -> int:
    """Return the number of a spatial axis, given by name or number.

    Raises:
        InputError: there is none.
    """
    names = [axis.name for axis in input.axes]
    if isinstance(wanted, int):
        if not -len(names) <= wanted < len(names):
            raise InputError(f"{input.name} has no axis {wanted}; it has {len(names)}: {', '.join(names)}.")
        return wanted % len(names)
    if wanted not in names:
        close = nearest(wanted, names, 1) or "."
        raise InputError(f"{input.name} has no axis {wanted!r}; its axes are {', '.join(names)}{close}")
    return names.index(wanted)


def channel_of(input: Input, wanted: str | int) -> int:
    """Return the number of a channel, given by name or number.

    Raises:
        InputError: there is none.
    """
    if isinstance(wanted, int):
        if not 0 <= wanted < len(input.channels):
            raise InputError(f"{input.name} has no channel {wanted}; it has {len(input.channels)}.")
        return wanted
    if wanted not in input.channels:
        close = nearest(wanted, input.channels, 1) or "."
        raise InputError(f"{input.name} has no channel {wanted!r}; its channels are {', '.join(input.channels)}{close}")
    return input.channels.index(wanted)


def channels_of(input: Input, wanted: Sequence[str | int] | None) -> list[int]:
    """Return the numbers of channels; None takes all."""
    if isinstance(wanted, str):
        raise UsageError(f"channels is {wanted!r}; give a list, such as [{wanted!r}].")
    return list(range(len(input.channels))) if wanted is None else [channel_of(input, one) for one in wanted]


def need_unit(input: Input, axis: int, what: str) -> str:
    """Return an axis's unit.

    Raises:
        InputError: it has none.
    """
    unit = input.axes[axis].unit
    if unit is None:
        raise InputError(
            f"The axis {input.axes[axis].name!r} of {input.name} has no unit, which {what} needs; read the input with "
            f"axis=heatproof.Axis({input.axes[axis].name!r}, unit, coordinates)."
        )
    return unit


def coordinates_of(input: Input, axis: int) -> np.ndarray:
    """Return the coordinates of an axis; 0, 1, 2, ... where it has none."""
    known = input.axes[axis].coordinates
    return np.arange(input.size[axis], dtype=float) if known is None else np.asarray(known, dtype=float)


def step_of(input: Input, axis: int, what: str) -> float:
    """Return the signed distance between neighboring samples.

    Raises:
        InputError: the samples are not evenly spaced.
    """
    steps = np.diff(coordinates_of(input, axis))
    if len(steps) == 0:
        return 1.0
    mean = float(steps.mean())
    if not np.allclose(steps, mean, rtol=1e-3, atol=0):
        raise InputError(
            f"The samples of {input.name} along {input.axes[axis].name!r} are not evenly spaced, which {what} needs; "
            "resample them."
        )
    return mean


def vector_of(input: Input, vector: Vector | None, what: str) -> dict[int, int]:
    """Return axis number -> channel number of a vector's components.

    Raises:
        InputError: nothing was said, and channels are named like components of a vector; a component does not exist.
    """
    if vector is not None:
        return {axis_of(input, axis): channel_of(input, channel) for axis, channel in vector.items()}
    found = named_components(input)
    if found:
        told = ", ".join(f"{axis!r}: {channel!r}" for axis, channel in found.items())
        raise InputError(
            f"{input.name} has channels {', '.join(map(repr, found.values()))}, which look like components of a "
            f"vector; {what} changes them: pass vector={{{told}}}, or vector={{}} if they are scalars."
        )
    return {}


def named_components(input: Input) -> dict[str, str]:
    """Return axis name -> channel for channels that are named like components of a vector along an axis."""
    names = {axis.name for axis in input.axes}
    found: dict[str, str] = {}
    for axis, pattern in _COMPONENTS.items():
        of_axis = [channel for channel in input.channels if pattern.match(channel)]
        if axis in names and len(of_axis) == 1:
            found[axis] = of_axis[0]
    return found if len(found) == len(names & set(_COMPONENTS)) or len(found) > 1 else {}


def pseudo_of(input: Input, pseudo: Sequence[str | int] | None) -> list[int]:
    """Return the channels that hold pseudoscalars: as given, or those that are named like one."""
    if pseudo is not None:
        return channels_of(input, pseudo)
    return [i for i, name in enumerate(input.channels) if _PSEUDO.match(name)]
