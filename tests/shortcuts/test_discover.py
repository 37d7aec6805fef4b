"""What nobody named is found where it is planted: exact networks, planted patches; and nothing is made of nothing."""

import pytest
import torch
from tests.shortcuts.blobs import Blobs, Reads, blobs
from tests.shortcuts.test_intervene import surveyed

from heatproof.errors import UsageError
from heatproof.shortcuts import Survey, open_survey
from heatproof.shortcuts._clusters import assign, cluster, clusters
from heatproof.shortcuts._prevalence import lift, odds_ratio
from heatproof.shortcuts._regions import regions
from heatproof.shortcuts.discover import discover
from heatproof.shortcuts.find import find_shortcuts, investigate, split


@pytest.fixture(scope="module")
def data() -> Blobs:
    return blobs(120, odds=(0.1, 0.9))


@pytest.fixture(scope="module")
def leaning(data: Blobs) -> Survey:
    return surveyed(data, Reads(blue=20.0, dark=2.0, offset=0.2))


def test_regions_lie_where_the_evidence_is(data: Blobs, leaning: Survey) -> None:
    shown = [r for r in range(leaning.n) if data.has[r]]
    found = [one for one in regions(leaning, shown, 1) if one.off_object >= 0.5]
    assert {one.row for one in found} == set(shown)
    for one in found:
        assert torch.equal(one.places, data.patch[one.row])
        # evidence sums to the score: 20 x 0.6 x 36 / 1,024 of it lies on the patch
        exact = float(leaning.class_evidence(1)[one.row][data.patch[one.row]].sum())
        assert one.mass == pytest.approx(exact)


def test_the_patch_is_found_without_being_named_and_confirmed_on_the_other_half(data: Blobs, leaning: Survey) -> None:
    first, second = split(leaning)
    best = discover(leaning, first)[0]
    assert best.kind == "region"
    assert best.label == 1
    assert torch.equal(best.present, data.has)
    assert best.masks is not None
    assert bool((best.masks & data.patch).flatten(1).any(1)[data.has].all())
    assert best.off_object > 0.99
    findings = investigate(leaning, halves=(first, second))
    assert findings[0].verdict == "confirmed"
    assert all(one.verdict != "confirmed" for one in findings[1:])


def test_a_network_that_reads_the_blob_alone_gives_nothing_to_confirm(data: Blobs) -> None:
    survey = surveyed(data, Reads(dark=20.0, offset=0.2))
    assert all(one.verdict != "confirmed" for one in investigate(survey))


def test_discovery_does_not_look_at_the_confirming_half(data: Blobs, leaning: Survey) -> None:
    """What is learned stays, whatever the labels of the other half are."""
    from dataclasses import replace

    first, second = split(leaning)
    labels = leaning.labels.clone()
    labels[second] = 1 - labels[second]
    other = discover(replace(leaning, labels=labels), first)
    mine = discover(leaning, first)
    assert [one.rank for one in mine] == [one.rank for one in other]
    assert all(torch.equal(a.present, b.present) for a, b in zip(mine, other, strict=True))


def test_halves_are_disjoint_keep_clusters_whole_and_share_classes(data: Blobs) -> None:
    survey = open_survey(Reads(blue=20.0), data.pictures, data.labels.tolist(), cluster_by=[i // 4 for i in range(120)])
    first, second = split(survey)
    assert sorted(first + second) == list(range(120))
    assert not {i // 4 for i in first} & {i // 4 for i in second}
    ones = int(data.labels[first].sum())
    assert abs(ones - len(first) / 2) <= 2


def test_clusters_that_leak_between_halves_are_refused(data: Blobs) -> None:
    survey = open_survey(
        Reads(blue=20.0), data.pictures, data.labels.tolist(), cluster_by=[i // 4 for i in range(120)],
        cluster_name="patient",
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"patient\(s\) lie in both halves.*split by cluster"):
        investigate(survey, halves=(range(0, 120, 2), range(1, 120, 2)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x, y: (x, [1] * len(y)), "All 120 inputs have the label 1"),
        (lambda x, y: (x[:6], y[:6]), "There are 6 inputs"),
        (lambda x, y: (x, y[:5]), "labels has 5 entries for 120 inputs"),
        (lambda x, y: (x, [7, *y[1:]]), "Labels go from 0 to 7; the model has 2"),
    ],
)
def test_bad_input_gets_a_sentence(change, sentence: str, data: Blobs) -> None:
    x, y = change(data.pictures, data.labels.tolist())
    with pytest.raises(UsageError, match=sentence):
        find_shortcuts(Reads(blue=20.0), x, y)


def test_settings_out_of_range_get_a_sentence(data: Blobs, leaning: Survey) -> None:
    with pytest.raises(UsageError, match="margin is 0"):
        investigate(leaning, margin=0.0)
    with pytest.raises(UsageError, match="nothing to test"):
        investigate(leaning, look=False)


def test_spectral_clustering_finds_the_patch_as_well(data: Blobs, leaning: Survey) -> None:
    first, _ = split(leaning)
    best = discover(leaning, first, clustering="spectral")[0]
    assert float((best.present == data.has).float().mean()) > 0.9


def test_clusters_of_planted_points() -> None:
    g = torch.Generator().manual_seed(0)
    points = torch.cat([torch.randn(30, 3, generator=g) * 0.2 + m for m in (0.0, 4.0)])
    found = clusters(points, 5)
    assert sorted(sorted(one.members)[0] for one in found) == [0, 30]
    assert all(one.stability > 0.8 for one in found)
    assert assign(torch.tensor([[0.0, 0, 0], [4.0, 4, 4], [20.0, 0, 0]]), found).tolist()[2] == -1
    assert len(set(assign(torch.tensor([[0.0, 0, 0], [4.0, 4, 4]]), found).tolist())) == 2
    assert clusters(points[:6], 5) == []
    one = cluster(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), [0, 1])
    assert one.middle.tolist() == [1.0, 0.0]
    assert one.radius == pytest.approx(1.0)


def test_odds_ratios_and_lifts_by_hand(data: Blobs, leaning: Survey) -> None:
    found = odds_ratio(9, 1, 2, 8)
    assert found.estimate == pytest.approx(9.5 * 8.5 / (1.5 * 2.5))
    error = (1 / 9.5 + 1 / 1.5 + 1 / 2.5 + 1 / 8.5) ** 0.5
    assert found.high == pytest.approx(found.estimate * 2.718281828459045 ** (1.959963984540054 * error))
    with_one, ones = int((data.has & (data.labels == 1)).sum()), 60
    with_zero = int((data.has & (data.labels == 0)).sum())
    exact = ((with_one + 0.5) / (ones + 1)) / ((with_zero + 0.5) / (ones + 1))
    assert lift(leaning, range(120), data.has, 1) == pytest.approx(exact)


def test_the_user_s_model_is_not_touched(data: Blobs) -> None:
    net = Reads(blue=20.0).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    find_shortcuts(net, data.pictures, data.labels.tolist(), annotations=list(data.blob.numpy()))
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
