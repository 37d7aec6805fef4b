"""Performance against numbers worked out by hand, scikit-learn and slow loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from heatproof.audit.performance import Decisions, mean_interval, performance
from heatproof.metrics.auroc import auroc


def rows(labels, probabilities, clusters=None, **columns):
    found = []
    for i, (label, p) in enumerate(zip(labels, probabilities, strict=True)):
        predicted = int(p > 0.5)
        found.append(
            {
                "label_index": label, "predicted": predicted, "probability": max(p, 1 - p), "scores": [0.0, 0.0],
                "cluster": None if clusters is None else clusters[i],
                **{f"column.{name}": values[i] for name, values in columns.items()},
            }
        )  # fmt: skip
    return found


def test_two_classes_by_hand():
    d = Decisions.of(
        rows([1, 1, 1, 0, 0, None], [0.9, 0.8, 0.3, 0.4, 0.6, 0.99], site=["a", "a", "b", "b", None, "a"]), ["site"]
    )
    found = performance(d, ["no", "yes"])
    measures = {name: one.estimate for name, one in found.whole.measures.items()}
    assert found.whole.n == 5
    assert measures["accuracy"] == pytest.approx(3 / 5)
    assert measures["sensitivity"] == pytest.approx(2 / 3)
    assert measures["specificity"] == pytest.approx(1 / 2)
    assert measures["AUROC"] == pytest.approx(4 / 6)  # of six pairs 0.3 loses twice
    # each decision is alone in its bin: |1 - .9| + |1 - .8| + |0 - .7| + |1 - .6| + |0 - .6|; .6 twice: |1 - 1.2|
    assert measures["calibration error"] == pytest.approx((0.1 + 0.2 + 0.7 + 0.2) / 5)
    assert found.confusion == ((1, 1), (1, 2))
    assert {(g.by, g.value, g.n) for g in found.groups} == {
        ("class", "no", 2),
        ("class", "yes", 3),
        ("site", "a", 2),
        ("site", "b", 2),
    }
    assert found.positive == "yes"
    assert found.threshold == 0.5


def test_no_labels_no_performance():
    assert performance(Decisions.of(rows([None, None], [0.2, 0.7])), ["no", "yes"]) is None


def test_many_classes_have_no_positive():
    many = [dict(row, scores=[0.0] * 3) for row in rows([0, 2, 1], [0.1, 0.9, 0.8])]
    found = performance(Decisions.of(many), ["a", "b", "c"])
    assert found.positive is None
    assert set(found.whole.measures) == {"accuracy", "calibration error"}
    assert found.confusion == ((1, 0, 0), (0, 1, 0), (0, 1, 0))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_scikit_learns_ties_included(pairs):
    scores, positive = np.array([a for a, _ in pairs], float), np.array([b for _, b in pairs])
    area, low, high = auroc(scores, positive)
    if positive.all() or not positive.any():
        assert np.isnan(area)
        return
    assert area == pytest.approx(roc_auc_score(positive, scores))
    assert low <= area <= high


def test_auroc_interval_is_delongs():
    """The variance of DeLong et al. 1988 by its definition, pair by pair, brought to the logit scale."""
    drawn = np.random.default_rng(0)
    x, y = drawn.normal(1, 1, 23), drawn.normal(0, 1, 31)
    wins = (x[:, None] > y[None]).astype(float) + 0.5 * (x[:, None] == y[None])
    area = wins.mean()
    variance = wins.mean(1).var(ddof=1) / len(x) + wins.mean(0).var(ddof=1) / len(y)
    reach = 1.959964 * np.sqrt(variance) / (area * (1 - area))
    middle = np.log(area / (1 - area))
    wanted = [1 / (1 + np.exp(-(middle + s * reach))) for s in (-1, 1)]
    found = auroc(np.concatenate([x, y]), np.arange(54) < 23)
    assert found == pytest.approx((area, *wanted), rel=1e-4)


def test_inputs_that_come_twice_do_not_make_the_auroc_surer():
    drawn = np.random.default_rng(1)
    scores, positive = drawn.normal(size=80), np.arange(80) < 40
    scores[positive] += 1
    once = auroc(scores, positive)
    twice = auroc(np.tile(scores, 2), np.tile(positive, 2), np.tile(np.arange(80), 2))
    naive = auroc(np.tile(scores, 2), np.tile(positive, 2))
    assert twice == pytest.approx(once, abs=2e-3)
    assert naive[2] - naive[1] < 0.8 * (once[2] - once[1])


def test_perfect_auroc_is_not_called_certain():
    area, low, high = auroc(np.arange(20.0), np.arange(20) >= 10)
    assert (area, high) == (1.0, 1.0)
    assert low == pytest.approx(0.025 ** (1 / 10))


def test_large_data_take_the_normal_interval_small_ones_the_bootstrap():
    drawn = np.random.default_rng(2)
    values = drawn.normal(3, 2, 5000)
    found = mean_interval(values, np.arange(5000))
    error = 2 / np.sqrt(5000)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.05 * error)
    clustered = mean_interval(np.repeat(values, 3), np.repeat(np.arange(5000), 3))
    assert clustered.high - clustered.low == pytest.approx(found.high - found.low, rel=0.01)


def test_coverage_of_the_intervals_with_clusters():
    drawn = np.random.default_rng(3)
    inside = 0
    for _ in range(200):
        effect = drawn.normal(0, 1, 40)
        positive = drawn.random(40) < 0.5
        scores = np.repeat(effect + positive, 3) + drawn.normal(0, 0.3, 120)
        _, low, high = auroc(scores, np.repeat(positive, 3), np.repeat(np.arange(40), 3))
        truth = 0.7489  # Phi(1 / sqrt(2 * 1.09))
        inside += low <= truth <= high
    assert inside >= 180
