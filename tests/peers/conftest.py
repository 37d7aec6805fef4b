"""One network at a time, built once for all of its tests."""

from functools import cache

import pytest
from tests.peers.bout import Bout
from tests.peers.networks import CASES, Case


@pytest.fixture(scope="session")
def bout(request) -> Bout:
    """The network that an indirect parameter names."""
    return build(request.param)


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def every_bout(request) -> Bout:
    """Each of the ten networks in turn."""
    return build(request.param)


@cache
def build(case: Case) -> Bout:
    return Bout(case, case.build(), case.inputs())
