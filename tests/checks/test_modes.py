"""Checks in whatever mode the caller is in, and with whatever seed."""

from typing import Any

import pytest
import torch
from tests.checks.seeker import Normed, pictures

import heatproof as hp
from heatproof.errors import UsageError

SETTINGS: dict[str, Any] = {
    "sanity": {"draws": 2, "cascades": (), "cascade_draws": 1},
    "faithfulness": {"steps": 2},
    "stability": {},
    "degenerate": {},
}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("check", list(SETTINGS))
def test_answers_are_the_same_in_every_mode(check: str, mode: Any) -> None:
    net, x = Normed(), pictures(4, side=9)
    more: dict[str, Any] = {"layer": "block", "target": 1, "settings": {check: SETTINGS[check]}}
    (expected,) = hp.check(net, x, check, **more)
    with mode():
        (found,) = hp.check(net, x.clone(), check, **more)
    assert (found.verdict, found.why) == (expected.verdict, expected.why)
    assert found.value is not None
    assert expected.value is not None
    assert found.value.estimate == pytest.approx(expected.value.estimate, abs=1e-6)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_quick_checks_in_every_mode(mode: Any) -> None:
    net, x = Normed(), pictures(2, side=9)
    expected = hp.quick_checks(hp.explain(net, x, layer="block")).quick_checks
    with mode():
        found = hp.quick_checks(hp.explain(net, x.clone(), layer="block")).quick_checks
    assert found == expected


@pytest.mark.parametrize("seed", [2**63 - 1, 2**63, 2**64 + 5])
def test_a_seed_that_does_not_fit(seed: int) -> None:
    with pytest.raises(UsageError, match="give a whole number from 0 to"):
        hp.check(Normed(), pictures(2, side=9), "degenerate", layer="block", seed=seed)
