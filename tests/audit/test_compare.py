"""Two runs compared: every difference worked out by hand, paired by input, clusters whole."""

import json

import numpy as np
import pytest
from tests.audit.runs import LABELS, answer, candidate, measure, row, write_run

from heatproof.audit.compare import compare
from heatproof.audit.pairs import auroc
from heatproof.cli import main
from heatproof.errors import InputError, UsageError

COLUMNS = {"faithfulness.superiority": "float64", "column.site": "string", "column.lesion": "int64"}


def rows(named, superiority, **changes):
    """Return inputs, benign and malignant in turn, with what they were named and their superiority."""
    return [
        row(i, LABELS[i % 2], name, **{
            "faithfulness.superiority": value, "column.site": "AB"[i // 2 % 2], "column.lesion": 100 + i, **changes,
        })
        for i, (name, value) in enumerate(zip(named, superiority, strict=True))
    ]  # fmt: skip


RIGHT = [LABELS[i % 2] for i in range(12)]


@pytest.fixture
def runs(tmp_path):
    """Return two runs of 12 inputs: the second names inputs 0 and 1 wrong and 3 right, which the first named wrong."""
    first = ["malignant" if i == 11 else one for i, one in enumerate(RIGHT)]
    first[3] = "benign"
    second = list(RIGHT)
    second[0], second[1], second[11] = "malignant", "benign", "malignant"
    first[11] = "malignant"
    a, b = [0.5 + 0.02 * i for i in range(12)], [0.4 + 0.02 * i for i in range(12)]
    maps = np.random.default_rng(1).normal(size=(12, 2, 4, 4)).astype(np.float32)
    results = [
        [answer("faithfulness", word, float(np.mean(values))), answer("sanity", estimate=0.3 + shift),
         answer("faithfulness", estimate=float(np.mean([v for i, v in enumerate(values) if i // 2 % 2])),
                primary=False, subgroup=("site", "B")),
         measure("accuracy", 0.9), candidate("ruler", leans)]
        for word, values, shift, leans in (("supports", a, 0.0, "not reliant"), ("inconclusive", b, 0.1, "confirmed"))
    ]  # fmt: skip
    # inputs whose first prediction is the second's runner-up have their map in the other place
    other = maps.copy()
    for i in range(12):
        if first[i] != second[i]:
            other[i] = maps[i][::-1]
    settings = {"columns": COLUMNS, "subgroups": ["site"]}
    return (
        write_run(tmp_path / "a", rows(first, a), results[0], maps=maps, **settings),
        write_run(tmp_path / "b", rows(second, b), results[1], maps=2 * other, **settings),
    )


def named(found, name, subgroup=None):
    return next(one for one in found.differences if one.name == name and one.subgroup == subgroup)


def test_the_difference_of_a_result_is_paired_by_input(runs):
    one = named(compare(*runs), "faithfulness")
    assert one.how == "paired"
    assert one.n == 12
    assert one.value.estimate == pytest.approx(-0.1)
    # every pair differs by the same, so there is nothing left to be unsure of; unpaired it would be +-0.06
    assert one.value.low == pytest.approx(-0.1, abs=1e-6)
    assert one.value.high == pytest.approx(-0.1, abs=1e-6)
    assert (one.a, one.b) == (pytest.approx(0.61), pytest.approx(0.51))


def test_a_result_of_a_part_is_paired_within_it(runs):
    one = named(compare(*runs), "faithfulness", ("site", "B"))
    assert (one.how, one.n) == ("paired", 6)
    assert one.value.estimate == pytest.approx(-0.1)


def test_a_result_without_numbers_per_input_is_compared_without_an_interval(runs):
    one = named(compare(*runs), "sanity")
    assert one.how == "of the estimates"
    assert one.value.estimate == pytest.approx(0.1)
    assert (one.value.low, one.value.high) == (-np.inf, np.inf)


def test_accuracy_decisions_and_groups_by_hand(runs):
    found = compare(*runs)
    accuracy = named(found, "accuracy")
    assert accuracy.a == pytest.approx(11 / 12)
    assert accuracy.b == pytest.approx(10 / 12)
    assert accuracy.value.estimate == pytest.approx(-1 / 12)
    assert accuracy.value.low < -1 / 12 < accuracy.value.high
    assert dict(found.decisions) == {"same": 9, "changed": 3, "mended": 1, "broken": 2}
    assert named(found, "sensitivity").value.estimate == pytest.approx(0.0)  # 3 mended, 1 broken
    assert named(found, "specificity").value.estimate == pytest.approx(-1 / 6)  # 0 broken
    assert named(found, "accuracy", ("class", "benign")).value.estimate == pytest.approx(-1 / 6)
    assert named(found, "accuracy", ("site", "A")).n == 6
    area = named(found, "AUROC")
    # ties are counted half: a: all benign 0, malignant 5 of 6; b: benign 5 of 6, malignant 5 of 6
    assert area.a == pytest.approx((5 * 6 + 0.5 * 6) / 36)
    assert area.b == pytest.approx((5 * 5 + 0.5 * (5 + 5)) / 36 + 0 / 36)
    assert area.value.estimate == pytest.approx(area.b - area.a)
    assert area.value.low <= area.value.estimate <= area.value.high


def test_auroc_is_the_share_of_pairs_in_order():
    generator = np.random.default_rng(0)
    score, positive = generator.integers(0, 5, 30).astype(float), generator.integers(0, 2, 30).astype(bool)
    pairs = [(x > y) + 0.5 * (x == y) for x in score[positive] for y in score[~positive]]
    assert auroc(score, positive) == pytest.approx(np.mean(pairs))
    assert np.isnan(auroc(score, np.ones(30, dtype=bool)))


def test_maps_are_compared_class_by_class_and_by_rank(runs):
    found = compare(*runs)
    # the second run's maps are the first's times two, also where prediction and runner-up changed places
    assert found.drift == pytest.approx(np.ones(12))
    assert found.mean_drift.estimate == pytest.approx(1.0)


def test_a_turned_map_and_a_missing_class_are_seen(tmp_path):
    maps = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4).repeat(12, 0).repeat(2, 1)
    turned = maps.copy()
    turned[0] = -maps[0]
    turned[1] = np.nan
    a = write_run(tmp_path / "a", rows(RIGHT, [0.5] * 12), maps=maps, columns=COLUMNS)
    others = rows(RIGHT, [0.5] * 12)
    others[2] |= {"predicted_label": "third", "runner_up_label": "fourth"}
    b = write_run(tmp_path / "b", others, maps=turned, columns=COLUMNS)
    drift = compare(a, b).drift
    assert drift[0] == pytest.approx(-1.0)
    assert np.isnan(drift[1])
    assert np.isnan(drift[2])
    assert drift[3:] == pytest.approx(np.ones(9))


def test_maps_on_another_grid_are_brought_to_the_first_runs(tmp_path):
    ramp = np.arange(4, dtype=np.float32)
    fine = np.broadcast_to(np.add.outer(ramp, 10 * ramp), (12, 2, 4, 4))
    coarse = np.broadcast_to(np.add.outer([0.0, 1.0], [0.0, 10.0]), (12, 2, 2, 2))
    a = write_run(tmp_path / "a", rows(RIGHT, [0.5] * 12), maps=fine, columns=COLUMNS)
    b = write_run(tmp_path / "b", rows(RIGHT, [0.5] * 12), maps=coarse, columns=COLUMNS)
    assert (compare(a, b).drift > 0.9).all()


def test_clusters_are_resampled_whole(tmp_path):
    change = [0.2 if i < 6 else -0.1 for i in range(12)]
    runs = []
    for name, cluster in (("alone", None), ("two", "patient")):
        own = [[0.5] * 12, [0.5 + x for x in change]]
        for part, values in zip("ab", own, strict=True):
            listed = rows(RIGHT, values)
            for i, one in enumerate(listed):
                one["cluster"] = None if cluster is None else f"{cluster} {i // 3}"
            told = [answer("faithfulness", estimate=float(np.mean(values)))]
            runs.append(write_run(tmp_path / f"{name}-{part}", listed, told, columns=COLUMNS))
    alone, whole = (named(compare(*runs[i : i + 2]), "faithfulness").value for i in (0, 2))
    assert alone.estimate == pytest.approx(whole.estimate)
    assert whole.high - whole.low > 1.4 * (alone.high - alone.low)


def test_verdicts_that_changed_are_listed_with_both_words(runs):
    changed = {(one.name, one.subgroup): (one.before, one.after) for one in compare(*runs).verdicts if one.changed}
    assert changed == {
        ("faithfulness", None): ("supports", "inconclusive"),
        ("ruler", None): ("not reliant", "confirmed"),
    }


def test_another_scanner_is_matched_by_a_column(tmp_path, runs):
    listed = rows(RIGHT, [0.5] * 12)
    for one in listed:
        one["id"], one["sha256"] = f"scanner-2/{one['id']}", "f" * 64
    other = write_run(tmp_path / "c", listed, columns=COLUMNS)
    with pytest.raises(UsageError, match="share no input by 'id'; name the column"):
        compare(runs[0], other)
    found = compare(runs[0], other, match_by="lesion")
    assert (len(found.pairs), found.pairs.other_bytes) == (12, 12)
    with pytest.raises(UsageError, match="has no column 'lesions' to match by; it has id, sha256, site, lesion"):
        compare(runs[0], other, match_by="lesions")
    with pytest.raises(UsageError, match="has several inputs with site 'A'"):
        compare(runs[0], other, match_by="site")


def test_inputs_of_one_run_alone_are_counted(tmp_path, runs):
    short = write_run(tmp_path / "short", rows(RIGHT, [0.5] * 12)[:10], columns=COLUMNS)
    found = compare(runs[0], short)
    assert (len(found.pairs), found.pairs.only_a, found.pairs.only_b) == (10, 2, 0)


def test_a_folder_without_a_finished_run_is_told(tmp_path, runs):
    with pytest.raises(InputError, match="is no run folder"):
        compare(runs[0], tmp_path)
    (runs[1] / "manifest.json").unlink()
    with pytest.raises(InputError, match="is not finished"):
        compare(*runs)


def test_the_command_prints_and_writes_everything(runs, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *map(str, runs), "-o", str(tmp_path / "c.json")])
    assert not stopped.value.code
    said = capsys.readouterr().out
    assert "12 inputs in both (0 only in a, 0 only in b)" in said
    assert "9 the same, 3 changed; of those with a label, 1 are right only in b, 2 only in a." in said
    assert "faithfulness: supports -> inconclusive" in said
    told = json.loads((tmp_path / "c.json").read_text(), parse_constant=lambda word: 1 / 0)
    assert told["map drift"]["compared"] == 12
    assert {one["name"] for one in told["differences"]} >= {"accuracy", "AUROC", "faithfulness", "sanity"}
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *map(str, runs), "--level", "95"])
    assert stopped.value.code == 2
    assert "--level is 95" in capsys.readouterr().err
