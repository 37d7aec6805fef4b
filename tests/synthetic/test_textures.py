"""A map of the spot that is not read says nothing of the one that is."""

import pytest
import torch
import torch.nn.functional as F

from heatproof import Explainer
from heatproof.synthetic import textures, textures_axes


@pytest.mark.parametrize(
    ("family", "seed"), [(textures, 0), (textures_axes, 0), (textures_axes, 2), (textures_axes, 1067)]
)
def test_the_map_of_the_other_spot_is_zero_on_the_spot_that_is_read(family, seed) -> None:
    problem = next(one for one in family.instances(seed) if one.what.endswith("a map of the spot that is not read"))
    marks = next(one for one in family.instances(seed) if one.annotations is not None).annotations
    maps = Explainer(problem.model, problem.layer, problem.method)(problem.inputs, problem.target).maps[:, 0]
    own = torch.stack([torch.as_tensor(mark) for mark in marks]).double()
    pool = getattr(F, f"adaptive_avg_pool{maps.ndim - 1}d")
    place = pool(own.unsqueeze(1), maps.shape[1:]).flatten(1).argmax(1)
    there = maps.flatten(1).gather(1, place.unsqueeze(1))[:, 0]
    # spots may lie so near each other that a filter at one reaches the other
    assert (there == 0).double().mean() >= 0.9
    assert (maps.flatten(1).amax(1) > 0).all()
