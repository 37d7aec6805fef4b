"""Several questions at once: their verdicts share one error rate by Holm's procedure (1979)."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

import heatproof as hp
from heatproof.checks._run import _sharing
from heatproof.physics import shift
from heatproof.types import CheckResult


def _answer(p: float, alpha: float = 0.05) -> CheckResult:
    """An answer that is decided where p lies within alpha."""
    one = CheckResult(
        check="degenerate", claim="", about="map", statistic="", value=None, null=None, null_name="", ceiling=None,
        margin=0.1, alpha=alpha, n=20, unit="input", verdict="supports" if p <= alpha else "inconclusive", why="",
    )  # fmt: skip
    return replace(one, again=lambda share: _answer(p, share))


def test_holm_by_hand() -> None:
    # 0.01 <= 0.05 / 3; then 0.03 > 0.05 / 2, so that nothing passes on
    shared = _sharing([_answer(0.03), _answer(0.01), _answer(0.2)], 0.05)
    assert [one.verdict for one in shared] == ["inconclusive", "supports", "inconclusive"]
    assert [one.alpha for one in shared] == pytest.approx([0.025, 0.05 / 3, 0.025])
    # 0.02 <= 0.05 / 2, so that the last gets all of what is left
    shared = _sharing([_answer(0.02), _answer(0.01), _answer(0.045)], 0.05)
    assert [one.verdict for one in shared] == ["supports"] * 3
    assert [one.alpha for one in shared] == pytest.approx([0.025, 0.05 / 3, 0.05])


def test_what_carries_no_verdict_takes_no_part() -> None:
    without = replace(_answer(0.9), verdict="not applicable")
    shared = _sharing([_answer(0.04), without], 0.05)
    assert [one.alpha for one in shared] == [0.05, 0.05]
    assert shared[0].verdict == "supports"


@pytest.mark.parametrize("check", ["sanity", "faithfulness", "stability", "degenerate", "plausibility"])
def test_asked_beside_another_a_check_finds_the_same_at_its_share(check: str) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AvgPool2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 3),
    )
    x = torch.rand(12, 1, 16, 16)
    marks = [np.arange(256).reshape(16, 16) % 16 < 8] * 12
    quick = {"sanity": {"draws": 2, "cascades": ()}, "faithfulness": {"subsets": 4}}
    settings = {check: quick.get(check, {})}
    other = "degenerate" if check != "degenerate" else "stability"
    given = {"target": 0, "layer": "1", "annotations": marks if check == "plausibility" else None}
    mine, beside = hp.check(net, x, [check, other], settings=settings, **given)
    assert mine.alpha <= 0.05
    assert min(mine.alpha, beside.alpha) == 0.025
    (alone,) = hp.check(net, x, check, alpha=mine.alpha, settings=settings, **given)
    assert (alone.value, alone.null, alone.verdict, alone.why) == (mine.value, mine.null, mine.verdict, mine.why)


def test_too_few_to_decide_take_no_part() -> None:
    shared = _sharing([_answer(0.04), replace(_answer(0.9), n=9)], 0.05)
    assert [(one.alpha, one.verdict) for one in shared] == [(0.05, "supports"), (0.05, "inconclusive")]


def test_answers_can_be_pickled() -> None:
    told = pickle.loads(pickle.dumps(_answer(0.01)))
    assert (told.verdict, told.alpha, told.again) == ("supports", 0.05, None)


def test_no_share_runs_the_network_again() -> None:
    """A symmetry is measured beside another law, too; neither is measured anew at another alpha."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    )  # fmt: skip
    ran: list[int] = []
    net.register_forward_hook(lambda _net, given, _out: ran.append(len(given[0])))
    laws = {"symmetry": {"laws": [shift()]}}
    results = hp.check(net, torch.rand(12, 1, 16, 16), ["symmetry", "degenerate"], target=0, layer="1", settings=laws)
    before = len(ran)
    for one in results:
        assert one.again is not None
        assert one.again(0.01).alpha == 0.01
    assert len(ran) == before
