"""Places that look like nothing else in the data, whatever the map says of them.

A weak feature beside a strong one holds little evidence, and regions are drawn where most evidence lies. Yet a thing
that was put into the picture looks like nothing else there, to the network and to the eye.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.shortcuts._recognize import Recognizer
from heatproof.shortcuts._regions import Region, numbered, off_object
from heatproof.shortcuts._survey import Survey

RARE = 0.95
"""Quantile of the distances of all positions beyond which one stands out."""
MOST = 4
"""Regions of one input: those that stand out most. On a fine grid there are specks without number."""


def standing_out(survey: Survey, rows: Sequence[int], recognize: Recognizer) -> list[Region]:
    """Return the connected positions of every input that stand out off the annotated object.

    What stands out is told by the Mahalanobis distance from the middle of all positions of the rows: the anomaly
    detector of Reed and Yu 1990, "Adaptive multiple-band CFAR detection of an optical pattern with unknown spectral
    distribution", eq. 16.
    """
    n = survey.n
    far = torch.cat([recognize.distances(part) for part in torch.arange(n).split(recognize.chunk)])
    seen = far[list(rows)]
    seen = seen[seen.isfinite()]
    if not len(seen):
        return []
    least = float(seen.sort().values[int(RARE * (len(seen) - 1))])
    off = off_object(survey)
    found: list[Region] = []
    for row in range(n):
        field = (far[row] - least).clamp(min=0).nan_to_num(0.0, 0.0, 0.0).float()
        found += _parts(field, row, None if off is None else off[row])
    return found


def _parts(field: Float[Tensor, "*grid"], row: int, off: Float[Tensor, "*grid"] | None) -> list[Region]:
    total = float(field.sum())
    parts, count = numbered(field > 0)
    masses = torch.zeros(count + 1).index_add(0, parts.flatten(), field.flatten())[1:]
    found: list[Region] = []
    for number in (1 + masses.argsort(descending=True, stable=True)[:MOST]).tolist():
        places = parts == number
        weights = field[places]
        mass = float(weights.sum())
        outside = float("nan") if off is None else float((weights * off[places]).sum()) / mass
        found.append(Region(row, places, weights, mass, mass / total, outside))
    return found
