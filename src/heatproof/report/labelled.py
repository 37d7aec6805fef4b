"""Maps as labelled arrays: coordinates in the units of the original's axes."""

from typing import Any

import numpy as np

from heatproof.errors import InputError, MissingExtraError, UsageError
from heatproof.report.view import grid_centers, position_axis
from heatproof.types import Explanation


def to_xarray(ex: Explanation, index: int = 0) -> Any:
    """Return the signed maps of one input as an `xarray.DataArray`.

    Dimensions are "target" and the names of the input's axes; coordinates are the centers of the grid positions in the
    original, in the axes' units; "score" lies along "target". Values are in the targets' units.

    Raises:
        MissingExtraError: xarray is not installed.
        UsageError: there is no such input.
        InputError: the axes' names cannot be dimensions.
    """
    try:
        import xarray  # an optional extra
    except ImportError as error:
        raise MissingExtraError("xarray", "xarray") from error
    if not 0 <= index < len(ex):
        raise UsageError(f"There is no input {index}: this explanation holds {len(ex)}, numbered from 0.")
    axes, geometry = ex.inputs[index].axes, ex.geometries[index]
    names = ["target", *(axis.name for axis in axes)]
    if len(set(names)) < len(names):
        raise InputError(f"Axes named {names[1:]} cannot be dimensions; give each its own name, other than 'target'.")
    grid = tuple(ex.maps.shape[2:])
    coordinates: dict[str, Any] = {"target": [target.name for target in ex.targets[index]]}
    coordinates["score"] = ("target", ex.scores[index].detach().double().cpu().numpy())
    for dimension, axis in enumerate(axes):
        centers = [
            geometry.to_original(
                grid_centers([float(p) if d == dimension else 0.0 for d in range(len(grid))], grid, ex.input_size)
            )
            for p in range(grid[dimension])
        ]
        places = position_axis(axis, np.array([center[dimension] for center in centers]))
        coordinates[axis.name] = (axis.name, places, {"units": axis.unit or "samples"})
    about = {
        "units": "target",
        "method": ex.method,
        "layer": ex.layer,
        "model": ex.model,
        "input": ex.inputs[index].name,
    }
    return xarray.DataArray(ex.to_numpy()[index], coords=coordinates, dims=names, name="evidence", attrs=about)
