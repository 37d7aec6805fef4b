"""What several methods say of the same inputs, and how far they agree."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.metrics.similarity import spearman
from heatproof.types import Explanation

_POOL: dict[int, Any] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


@dataclass(frozen=True, eq=False)
class Explanations(Mapping[str, Explanation]):
    """Explanations of the same inputs and targets by method name.

    Attributes:
        by_method: the explanations, in the order in which methods were asked for.
        skipped: methods that cannot work here, each with the sentence that says why.
    """

    by_method: Mapping[str, Explanation]
    skipped: Mapping[str, str] = field(default_factory=dict[str, str])

    def __getitem__(self, method: str) -> Explanation:
        return self.by_method[method]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_method)

    def __len__(self) -> int:
        return len(self.by_method)

    def agreement(self) -> Float[Tensor, "n t m m"]:
        """Return Spearman's rank correlation between the maps of every two of the m methods, in the order of iteration.

        Maps on different grids are compared on the coarsest, over whose positions the finer ones are averaged. NaN
        where a map is constant or not finite. Methods that agree may be wrong together: agreement is no evidence that a
        map shows what the model uses.
        """
        maps = [ex.maps.detach() for ex in self.by_method.values()]
        coarsest = min((tuple(m.shape[2:]) for m in maps), key=lambda g: torch.Size(g).numel())
        pool = _POOL[len(coarsest)]
        same = [m if tuple(m.shape[2:]) == coarsest else pool(m.flatten(0, 1), coarsest) for m in maps]
        stacked = torch.stack([m.reshape(*maps[0].shape[:2], *coarsest) for m in same])
        rows = [torch.stack([spearman(a, b) for b in stacked], dim=-1) for a in stacked]
        return torch.stack(rows, dim=-2)

    def save(self, folder: str | Path) -> Path:
        """Save every explanation into a folder of the method's name under `folder`, which is returned."""
        for method, explanation in self.by_method.items():
            explanation.save(Path(folder) / method)
        return Path(folder)
