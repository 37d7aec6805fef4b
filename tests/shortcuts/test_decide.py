"""Verdicts from experiments whose answer is known, and their error rates; p-values against hand-counted patterns."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from tests.shortcuts.blobs import Reads, blobs
from tests.shortcuts.test_intervene import FILLS, patch, surveyed

from heatproof.shortcuts import Candidate, Finding, Survey
from heatproof.shortcuts._fills import fills
from heatproof.shortcuts.decide import decide_all, sign_flip, subgroups
from heatproof.shortcuts.intervene import Trial, Trials, intervene


def judged(survey: Survey, candidate: Candidate, margin: float = 0.25) -> Finding:
    rows = range(survey.n)
    return decide_all(survey, [(candidate, intervene(survey, candidate, rows, fills(FILLS, 0)), rows)], margin)[0]


def test_a_network_that_reads_the_patch_is_confirmed_to_lean_on_it() -> None:
    data = blobs(80)
    found = judged(surveyed(data, Reads(blue=20.0, dark=2.0, offset=0.3)), patch(data))
    assert found.verdict == "confirmed"
    assert found.result.verdict == "undermines"
    assert found.effects["paste (against neutral)"].flips[0] > 0.9  # 0.42 against 0.3
    assert found.effects["paste (against neutral)"].flips[1] < 0.2
    assert "changes" in found.result.why
    assert found.table["with"] == {
        "class 0": int(data.has[data.labels == 0].sum()),
        "class 1": int(data.has[data.labels == 1].sum()),
    }


def test_association_is_not_use() -> None:
    data = blobs(80)
    found = judged(surveyed(data, Reads(dark=20.0)), patch(data))
    assert found.verdict == "not reliant"
    assert found.result.verdict == "supports"


def test_without_marks_what_was_found_is_not_called_a_shortcut() -> None:
    data = blobs(80)
    survey = surveyed(data, Reads(blue=20.0))
    found = judged(survey, replace(patch(data), origin="found"))
    assert found.verdict == "relies but relevance unclear"
    assert "only a person can say" in found.result.why
    on_it = judged(survey, replace(patch(data), origin="found", off_object=0.2))
    assert on_it.verdict == "relies but relevance unclear"
    assert "80% of it lies on the object" in on_it.result.why
    assert judged(survey, replace(patch(data), origin="found", off_object=0.9)).verdict == "confirmed"


def test_a_feature_that_lowers_the_score_is_leant_on_the_other_way() -> None:
    data = blobs(80)
    found = judged(surveyed(data, Reads(blue=-20.0, dark=2.0)), patch(data))
    assert found.verdict == "relies but relevance unclear"
    assert "the other way" in found.result.why


def test_a_network_that_any_blur_disturbs_does_not_lean_on_the_patch() -> None:
    """Its score is the mean of |x - blurred x|, which removing and pasting anything changes."""

    class Sharp(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = torch.nn.ReLU()
            self.scale = torch.nn.Parameter(torch.tensor(200.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            smooth = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            rough = self.relu((x - smooth).abs().clamp(max=0.03))
            score = self.scale * rough.mean((1, 2, 3))
            return torch.stack([torch.zeros_like(score), score], 1)

    plain = blobs(80, odds=(0.0, 0.0))
    g = torch.Generator().manual_seed(8)
    has, masks, pictures = torch.arange(80) % 4 < 2, torch.zeros(80, 32, 32, dtype=torch.bool), plain.pictures.clone()
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    for i in has.nonzero().flatten().tolist():
        column = float(torch.randint(5, 27, (), generator=g))
        far = (y - 6).square() + (x - column).square()
        pictures[i, 2] += 0.06 * torch.exp(-far / 18)  # a soft blue glow, as rough as the ground
        masks[i] = far < 9
    data = replace(plain, pictures=pictures, has=has, patch=masks)
    found = judged(surveyed(data, Sharp()), patch(data))
    assert found.verdict == "not reliant"
    for name, one in found.effects.items():
        if name.startswith("remove"):
            assert one.interval.low <= 0 <= one.interval.high, name


def test_few_inputs_are_no_evidence_and_the_number_that_is_needed_is_told() -> None:
    data = blobs(80)
    survey = surveyed(data, Reads(blue=20.0))
    few = data.has & (data.has.long().cumsum(0) <= 4)
    found = judged(survey, Candidate("patch", "region", "given", 1, few, data.patch & few[:, None, None]))
    assert found.verdict == "inconclusive"
    assert found.result.n_needed is not None
    assert found.result.n_needed >= 10
    assert "a verdict takes 10 or more" in found.result.why


def test_a_name_alone_can_not_be_tested() -> None:
    data = blobs(40)
    found = judged(surveyed(data, Reads(blue=20.0)), Candidate("site", "column", "given", 1, data.has))
    assert found.verdict == "inconclusive"
    assert "nothing says where it lies" in found.result.why


def test_subgroups_are_counted_by_hand() -> None:
    data = blobs(40)
    survey = surveyed(data, Reads(blue=20.0, offset=0.2))  # decides for class 1 exactly where there is a patch
    found = subgroups(survey, patch(data), range(survey.n))
    ones = data.labels == 1
    assert found["accuracy with"] == pytest.approx(float((ones & data.has).sum() / data.has.sum()))
    assert found["accuracy of class 1 with"] == 1.0
    assert found["accuracy of class 1 without"] == 0.0
    assert found["accuracy of class 0 without"] == 1.0


def test_sign_flips_by_hand() -> None:
    values = torch.tensor([1.0, 2.0, -0.5, 3.0])
    means = [
        abs(sum(s * v for s, v in zip(signs, values.tolist(), strict=True))) for signs in product((1, -1), repeat=4)
    ]
    assert sign_flip(values) == sum(m >= 5.5 for m in means) / 16
    assert sign_flip(torch.zeros(5)) == 1.0
    assert sign_flip(torch.full((40,), 2.0)) == pytest.approx(1 / 4000)
    assert sign_flip(torch.tensor([torch.nan])) != sign_flip(torch.tensor([torch.nan]))


def test_sign_flips_keep_their_level() -> None:
    g = torch.Generator().manual_seed(0)
    p = torch.tensor([sign_flip(torch.randn(15, generator=g), seed) for seed in range(400)])
    assert 0.02 < (p <= 0.05).float().mean().item() < 0.08


def made(survey: Survey, mean: float, seed: int, noise: float = 0.5) -> Trials:
    """Experiments with effects drawn about a mean, in standard deviations of the log odds."""
    g = torch.Generator().manual_seed(seed)
    unit = survey.spread(1)

    def trial() -> Trial:
        rows = tuple(range(survey.n))
        none = torch.zeros(survey.n, dtype=torch.bool)
        drawn = unit * (mean + noise * torch.randn(survey.n, generator=g))
        return Trial(rows, drawn, torch.zeros(survey.n), (none, none))

    return Trials(remove={"donor": trial(), "harmonic": trial()}, paste={"neutral": trial()})


def test_twenty_null_candidates_share_the_error_rate() -> None:
    data = blobs(40)
    survey = surveyed(data, Reads(blue=20.0))
    alarms = 0
    for family in range(20):
        tried = [(patch(data), made(survey, 0.0, 100 * family + i, 0.3), range(survey.n)) for i in range(20)]
        found = decide_all(survey, tried, 0.25)
        alarms += any(one.verdict == "confirmed" for one in found)
        assert sum(one.verdict == "not reliant" for one in found) >= 15
    assert alarms == 0


def test_an_effect_at_the_margin_is_rarely_decided() -> None:
    data = blobs(40)
    survey = surveyed(data, Reads(blue=20.0))
    rows = range(survey.n)
    found = [decide_all(survey, [(patch(data), made(survey, 0.25, 7000 + i), rows)], 0.25)[0] for i in range(100)]
    assert sum(one.verdict in ("confirmed", "not reliant") for one in found) <= 5


def test_alpha_is_shared_by_holm() -> None:
    data = blobs(40)
    survey = surveyed(data, Reads(blue=20.0))
    rows = range(survey.n)
    tried = [(patch(data), made(survey, mean, 5), rows) for mean in (2.0, 0.25, 0.25)]
    found = decide_all(survey, tried, 0.25)
    assert found[0].result.alpha == pytest.approx(0.05 / 3)
    assert found[1].result.alpha == pytest.approx(0.05 / 2)
