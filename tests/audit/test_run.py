"""A whole audit on a problem whose answers are known: rows, maps, performance, verdicts, and every way to stop it."""

import json
import shutil

import numpy as np
import pytest
import torch
from tests.audit.problem import picture, spots, write

import heatproof as hp
from heatproof.audit import engines, pipeline, store
from heatproof.audit.pipeline import Tally
from heatproof.audit.run import Watch, audit
from heatproof.audit.store import RunFolder, read_inputs, read_maps
from heatproof.audit.tables import rows_of
from heatproof.errors import InputError, UsageError

N, WRONG = 30, 3
SMALL = {"shard_size": 8, "batch_size": 4, "split": "test", "intended_use": "tests"}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"), N, WRONG)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "a"
    return audit(spots(), table, out, ["plausibility"], subgroups=["site"], **SMALL)


def contents(folder):
    """Return the bytes of the maps and the rows of the tables."""
    maps = {file.relative_to(folder): file.read_bytes() for file in (folder / store.MAPS).rglob("*") if file.is_file()}
    tables = {name: list(rows_of(folder / name)) for name in (store.INPUTS, store.FAILURES, store.RESULTS)}
    return maps, tables


def test_rows_say_what_the_model_said(run):
    rows = list(read_inputs(run.folder))
    assert run.finished
    assert [row["map_row"] for row in rows] == list(range(N))
    for row in rows:
        number = int(row["id"][-7:-4])
        assert row["predicted_label"] == ("red" if number % 2 else "blue")
        assert row["label"] == (
            row["predicted_label"] if number >= WRONG else {"red": "blue", "blue": "red"}[row["predicted_label"]]
        )
        assert row["cluster"] == f"p{number // 2}"
        assert row["column.site"] == "AB"[number % 3 > 0]
        x = torch.from_numpy(picture(number, number % 2 == 1)[0]).permute(2, 0, 1)[None] / 255
        scores = spots().net(x)[0].detach()
        assert row["scores"] == pytest.approx(scores.tolist(), rel=1e-5)
        assert row["probability"] == pytest.approx(float(scores.softmax(0).max()), rel=1e-5)


def test_maps_are_those_of_explain_signed_and_on_the_grid(run):
    maps, about = read_maps(run.folder)
    assert about["method"] == "gradcam"
    assert about["targets"] == ["predicted class", "runner-up"]
    for row in list(read_inputs(run.folder))[::7]:
        number = int(row["id"][-7:-4])
        original = picture(number, number % 2 == 1)[0]
        targets = [[row["predicted"], row["runner_up"]]]
        alone = hp.explain(spots(), [original], targets, layer=about["layer"]).maps[0]
        assert maps[row["map_row"]] == pytest.approx(alone.numpy(), abs=1e-5)


def test_performance_is_counted_right_and_by_subgroup(run):
    whole = run.performance.whole
    assert whole.n == N
    assert whole.measures["accuracy"].estimate == pytest.approx((N - WRONG) / N)
    # of the three wrong labels two say red (pictures 0 and 2) and one says blue (picture 1)
    assert whole.measures["sensitivity"].estimate == pytest.approx(14 / 16)
    assert whole.measures["specificity"].estimate == pytest.approx(13 / 14)
    by = {(g.by, g.value): g for g in run.performance.groups}
    assert by["site", "A"].n == 10
    assert by["site", "A"].measures["accuracy"].estimate == pytest.approx(9 / 10)
    assert run.performance.confusion == ((13, 1), (2, 14))


def test_verdicts_and_what_was_not_asked(run):
    (answer,) = [one for one in run.answers if one.primary]
    assert answer.result.check == "plausibility"
    assert answer.result.verdict == "supports"  # the spot is all that the network sees
    assert answer.result.n == N // 2  # one input of each patient
    assert set(run.document.not_asked) == {"sanity", "faithfulness", "shortcuts"}
    groups = {one.subgroup for one in run.answers if not one.primary}
    assert {("site", "A"), ("site", "B"), ("class", "red"), ("decision", "correct")} <= groups
    assert all(one.result.verdict == "not applicable" for one in run.answers if not one.primary)
    values = [row["plausibility.relevance_rank"] for row in read_inputs(run.folder)]
    assert sum(value is not None for value in values) == N // 2


def test_the_same_call_again_changes_nothing(run, table):
    def changed():
        return {f: f.stat().st_mtime_ns for f in run.folder.rglob("*") if f.is_file() and f.name != ".lock"}

    before = changed()
    audit(spots(), table, run.folder, ["plausibility"], subgroups=["site"], **SMALL)
    assert before == changed()


@pytest.mark.parametrize("stop_after", [1, 5, 9, 14, 20, 27])
def test_a_run_that_dies_anywhere_ends_as_the_uninterrupted_one(run, table, tmp_path, monkeypatch, stop_after):
    """Every write is a moment to die: files are flushed one by one, so the process dies after so many of them."""
    from heatproof.audit import files

    real, count = files.os.fsync, 0

    def dying(descriptor):
        nonlocal count
        count += 1
        if count > stop_after:
            raise KeyboardInterrupt
        real(descriptor)

    out = tmp_path / "run"
    monkeypatch.setattr(files.os, "fsync", dying)
    with pytest.raises(KeyboardInterrupt):
        audit(spots(), table, out, ["plausibility"], subgroups=["site"], **SMALL)
    monkeypatch.setattr(files.os, "fsync", real)
    audit(spots(), table, out, ["plausibility"], subgroups=["site"], **SMALL)
    assert contents(out) == contents(run.folder)


def test_ctrl_c_finishes_the_shard_in_hand_and_the_same_call_goes_on(run, table, tmp_path):
    tally = Tally()

    def stop(now):
        if now.done >= 10:
            now.stop = True

    tally.changed = stop
    half = audit(
        spots(), table, tmp_path / "r", ["plausibility"], subgroups=["site"], watch=Watch(tally=tally), **SMALL
    )
    assert not half.finished
    folder = RunFolder.open(half.folder)
    assert [folder.whole(number) for number in range(4)] == [True, True, False, False]
    with pytest.raises(InputError, match="not finished"):
        folder.manifest()
    assert audit(spots(), table, half.folder, ["plausibility"], subgroups=["site"], **SMALL).finished
    assert contents(half.folder) == contents(run.folder)


@pytest.mark.parametrize("what", ["maps", "inputs", "sums", "lost"])
def test_a_spoiled_shard_is_found_and_done_again(run, table, tmp_path, what):
    out = tmp_path / "run"
    shutil.copytree(run.folder, out)
    folder = RunFolder.open(out)
    file = {
        "maps": folder.maps.file(1),
        "lost": folder.maps.file(1),
        "inputs": out / "shards" / "000001" / store.INPUTS,
        "sums": out / "shards" / "000001" / "sums.json",
    }[what]
    if what == "lost":
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0xFF
        file.write_bytes(bytes(data))
    assert not folder.whole(1)
    audit(spots(), table, out, ["plausibility"], subgroups=["site"], **SMALL)
    assert folder.whole(1)
    assert contents(out) == contents(run.folder)


def test_another_plan_is_refused_with_the_difference(run, table):
    with pytest.raises(UsageError, match=r"run\.seed is 0 there and 7 now") as caught:
        audit(spots(), table, run.folder, ["plausibility"], subgroups=["site"], seed=7, **SMALL)
    assert "never overwritten" in str(caught.value)
    other = spots()
    with torch.no_grad():
        other.net.head.weight[0, 0] = 63.0
    with pytest.raises(UsageError, match="weights_sha256"):
        audit(other, table, run.folder, ["plausibility"], subgroups=["site"], **SMALL)


def test_a_folder_with_other_things_is_refused(table, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no run"):
        audit(spots(), table, tmp_path, [], **SMALL)
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(InputError, match="is a file"):
        audit(spots(), table, tmp_path / "notes.txt", [], **SMALL)


def test_two_writers_at_once_are_refused(run, table):
    with RunFolder.open(run.folder).locked(), pytest.raises(UsageError, match="Another process"):
        audit(spots(), table, run.folder, ["plausibility"], subgroups=["site"], **SMALL)


def test_a_full_disk_stops_cleanly_and_is_resumed(run, table, tmp_path, monkeypatch):
    from heatproof.audit import store as under

    real, count = under.write_folder, 0

    def full(folder, made):
        nonlocal count
        count += 1
        if count == 3:
            raise OSError(28, "No space left on device")
        real(folder, made)

    monkeypatch.setattr(under, "write_folder", full)
    with pytest.raises(InputError, match=r"No space left on device.*make room"):
        audit(spots(), table, tmp_path / "r", ["plausibility"], subgroups=["site"], **SMALL)
    audit(spots(), table, tmp_path / "r", ["plausibility"], subgroups=["site"], **SMALL)
    assert contents(tmp_path / "r") == contents(run.folder)


def test_bad_inputs_are_listed_with_their_reason_and_the_rest_is_done(table, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(table.parent, folder)
    first = sorted((folder / "pictures").rglob("*.png"))
    first[0].write_bytes(b"")
    first[1].write_bytes(first[1].read_bytes()[:60])
    first[2].unlink()
    with (folder / "data.csv").open("a", newline="") as file:
        file.write((folder / "data.csv").read_text().splitlines()[-1] + "\n")  # listed twice
    np.save(folder / "pictures/nan.npy", np.full((3, 32, 32), np.nan, np.float32))
    with (folder / "data.csv").open("a", newline="") as file:
        file.write("pictures/nan.npy,red,,p99,A\n")
    run = audit(spots(), folder / "data.csv", tmp_path / "run", [], **SMALL)
    reasons = {row["id"]: row["reason"] for row in run.failures}
    assert len(reasons) == 5
    assert len(list(read_inputs(run.folder))) == N + 2 - 5
    assert any("listed twice" in reason for reason in reasons.values())
    assert any("not finite" in reason for reason in reasons.values())
    assert all(len(reason) > 10 for reason in reasons.values())
    maps, _ = read_maps(run.folder)
    for row in run.failures:
        assert np.isnan(maps[row["row"]]).all()
    assert run.document.flow.excluded
    assert run.document.flow.analyzed == N + 2 - 5


def test_labels_that_the_model_does_not_have_are_refused_with_the_nearest(table, tmp_path):
    text = table.read_text().replace(",red,", ",rd,")
    other = table.with_name("other.csv")
    other.write_text(text)
    with pytest.raises(UsageError, match=r"'rd'.*did you mean 'red'.*--label-map"):
        audit(spots(), other, tmp_path / "run", [], **SMALL)
    run = audit(spots(), other, tmp_path / "run", [], label_map={"rd": "red"}, **SMALL)
    assert run.performance.whole.measures["accuracy"].estimate == pytest.approx((N - WRONG) / N)


def test_a_batch_that_the_network_refuses_is_tried_one_by_one(table, tmp_path, monkeypatch):
    real = pipeline.shoot

    def picky(explainer, prepared):
        if any(one.tensor[0].max() < 0.6 for one in prepared):  # pictures with a blue spot
            raise RuntimeError("no blue, please")
        return real(explainer, prepared)

    monkeypatch.setattr(pipeline, "shoot", picky)
    run = audit(spots(), table, tmp_path / "run", [], **SMALL)
    assert {row["stage"] for row in run.failures} == {"explain"}
    assert len(run.failures) == N // 2
    assert "no blue, please" in run.failures[0]["reason"]


def test_memory_that_runs_out_halves_the_batch(run, table, tmp_path, monkeypatch):
    real, sizes = pipeline.shoot, []

    def small(explainer, prepared):
        if len(prepared) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        sizes.append(len(prepared))
        return real(explainer, prepared)

    monkeypatch.setattr(pipeline, "shoot", small)
    again = audit(spots(), table, tmp_path / "run", ["plausibility"], subgroups=["site"], **SMALL)
    assert set(sizes) == {2} or set(sizes) == {1, 2}
    assert not again.failures
    a, b = read_maps(again.folder)[0][:], read_maps(run.folder)[0][:]
    assert a == pytest.approx(b, abs=1e-5)


def test_no_verdict_is_given_on_fewer_inputs_than_planned(table, tmp_path):
    text = table.read_text().splitlines()
    bad = [line if i % 3 else line.replace(line.split(",")[0], f"gone/{i}.png") for i, line in enumerate(text[1:])]
    other = table.with_name("gone.csv")
    other.write_text("\n".join([text[0], *(b.replace(b.split(",")[3], f"q{i}") for i, b in enumerate(bad))]))
    run = audit(spots(), other, tmp_path / "run", ["plausibility"], **SMALL)
    (answer,) = [one for one in run.answers if one.primary]
    assert answer.result.n < 0.9 * 30
    assert answer.result.verdict == "inconclusive"
    assert "planned" in answer.result.why
    assert any("were planned" in sentence for sentence in run.document.deviations)


def test_the_user_is_told_of_wishes_that_do_not_exist(table, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'batch_size'"):
        audit(spots(), table, tmp_path / "r", [], batchsize=3)
    with pytest.raises(UsageError, match=r"no column 'sight'.*did you mean 'site'"):
        audit(spots(), table, tmp_path / "r", [], subgroups=["sight"], **SMALL)
    with pytest.raises(UsageError, match="no engine 'spark'"):
        audit(spots(), table, tmp_path / "r", [], engine="spark")
    assert not (tmp_path / "r").exists()
    assert set(engines.engines()) == {"local", "ray"}


def test_manifest_names_every_file_that_counts(run):
    told = json.loads((run.folder / store.MANIFEST).read_text())
    assert told["format"] == "heatproof run 1"
    assert {store.INPUTS, store.RESULTS, store.FAILURES, store.PLAN} <= set(told["sha256"])
    assert sum("explanations.zarr/maps/c/" in name for name in told["sha256"]) == 4
    assert told["seed"] == 0
    assert "torch" in told["versions"]
