"""Smilkov et al. 2017, sec. 3, on the seeded draws that the method documents: one generator a draw."""

import numpy as np
import torch
from tests.reference_attribution.chain import slope


def reference(chain, x, j, *, copies, sigma, seed):
    seeds = torch.randint(2**62, (copies,), generator=torch.Generator().manual_seed(seed))
    spread = sigma * (x.max() - x.min())
    found = np.zeros(x.shape[1:])
    for s in seeds.tolist():
        draw = torch.randn(x.shape, generator=torch.Generator().manual_seed(s), dtype=torch.float32)
        found += slope(chain, x + spread * draw.double().numpy(), j).sum(axis=0)
    return found / copies
