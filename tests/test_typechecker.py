"""What the tests' type checker lets through, also in functions that are made anew in every call."""

import pytest
import torch
from jaxtyping import Float, TypeCheckError, jaxtyped
from tests.typechecker import check
from torch import Tensor

from heatproof.wsi.canvas import halved


def test_the_package_is_checked():
    with pytest.raises(TypeCheckError, match="Type-check error whilst checking the parameters"):
        halved(torch.zeros(3, 3))


def test_a_function_made_anew_is_checked_every_time():
    def make(kind):
        @jaxtyped(typechecker=check)
        def half(x: Float[Tensor, "n 2"]) -> kind:
            return x.shape[0] / 2

        return half

    for _ in range(2):
        assert make(float)(torch.zeros(3, 2)) == 1.5
        with pytest.raises(TypeCheckError, match="checking the parameters"):
            make(float)(torch.zeros(3, 3))
        with pytest.raises(TypeCheckError, match="checking the return value"):
            make(int)(torch.zeros(3, 2))
