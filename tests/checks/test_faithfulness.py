"""Faithfulness as a check of real studies: patients, networks of several tensors, and the cost that is told."""

import pytest
import torch
from tests.checks.additive import Additive, exact, signals
from torch import Tensor

import heatproof as hp
from heatproof.capture.engine import Engine
from heatproof.errors import InputError


def test_patients_count_and_not_their_pictures() -> None:
    given = {"faithfulness": {"subsets": 5, "steps": 3}}
    found = hp.check(
        Additive(1).eval(), signals(24, 1), "faithfulness", target=0, method=exact, layer="body", settings=given,
        cluster_by=[i // 4 for i in range(24)], cluster_name="patient",
    )[0]  # fmt: skip
    assert (found.n, found.unit, found.verdict) == (6, "patient", "inconclusive")
    assert "A verdict takes 10 or more" in found.why


def test_the_cost_told_is_what_the_engine_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[int] = []
    real = Engine.scores

    def counting(self, batch, *rest, **more):
        scored.append(batch.n)
        return real(self, batch, *rest, **more)

    monkeypatch.setattr(Engine, "scores", counting)
    given = {"faithfulness": {"subsets": 5, "steps": 3}}
    found = hp.check(
        Additive(1).eval(), signals(10, 1), "faithfulness", target=0, method=exact, layer="body", settings=given
    )[0]
    assert sum(scored) == 10 * found.forwards
    assert max(scored) <= 64
    # inputs, maps and steps go in together
    assert len(scored) < found.forwards


def test_several_tensors_are_refused() -> None:
    class Two(Additive):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return super().forward(x + y)

    x = signals(10)
    with pytest.raises(InputError, match="several tensors"):
        hp.check(Two().eval(), (x, torch.zeros_like(x)), "faithfulness", target=0, method=exact, layer="body")
