"""`heatproof audit`, `report` and `verify` as a person calls them, also wrongly, also killed."""

import io
import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest
from tests.audit.problem import write

from heatproof.cli import main


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"), 40, 3)


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def call(*words):
    """Run the program in this process."""
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors), pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return Done(stop.value.code, out.getvalue(), errors.getvalue())


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "a"
    words = (
        "audit",
        "python:tests.audit.problem:spots",
        table,
        "-o",
        out,
        "--check",
        "plausibility",
        "--split",
        "test",
    )
    return call(*words, "--subgroup", "site"), out


def test_it_says_the_plan_the_verdict_and_where_the_report_is(finished):
    done, out = finished
    assert done.returncode == 0, done.stderr
    assert "data.csv: 40 inputs (table); columns: path = path, label = label, annotation = mask" in done.stdout
    assert "sanity is not asked" not in done.stdout.splitlines()[0]
    assert "plausibility: supports" in done.stdout
    assert f"-> {out / 'report.html'}" in done.stdout
    page = (out / "report.html").read_text()
    assert "spots" in page
    assert str(out) not in page


def test_the_report_is_written_anew_in_every_form(finished, tmp_path):
    _, out = finished
    for form, start in (("md", "# "), ("json", "{"), ("card", "#"), ("html", "<!doctype html>")):
        done = call("report", out, "--format", form, "-o", tmp_path / form)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / form).read_text().lower().lstrip("-\n ").startswith(start)
    assert json.loads((tmp_path / "json").read_text())["model"] == "spots"
    wrong = call("report", out, "--format", "docx")
    assert wrong.returncode == 2
    assert "'docx'" in wrong.stderr
    assert call("report", tmp_path).returncode == 2


def test_verify_finds_what_was_changed(finished, table):
    _, out = finished
    model = "python:tests.audit.problem:spots"
    good = call("verify", out, "--data", table, "--model", model)
    assert good.returncode == 0, good.stderr
    assert "16 maps were made anew and agree" in good.stdout
    assert "5 measures" in good.stdout
    results = out / "results.parquet"
    before = results.read_bytes()
    try:
        results.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        bad = call("verify", out)
        assert bad.returncode == 1
        assert "results.parquet has other bytes" in bad.stderr
    finally:
        results.write_bytes(before)


@pytest.mark.slow
def test_kill_9_and_the_same_command_again(table, tmp_path):
    out = tmp_path / "r"
    words = (
        "audit",
        "python:tests.audit.problem:spots",
        table,
        "-o",
        out,
        "--check",
        "plausibility",
        "--shard-size",
        "2",
    )
    command = [sys.executable, "-m", "heatproof", *map(str, words)]
    for wanted in (1, 12):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            if len(list((out / "shards").glob("0*"))) >= wanted:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.01)
        process.wait()
    done = call(*words)
    assert done.returncode == 0, done.stderr
    whole = call(*words[:4], tmp_path / "whole", *words[5:])
    assert whole.returncode == 0, whole.stderr
    from heatproof.audit.store import FAILURES, INPUTS, MAPS, RESULTS
    from heatproof.audit.tables import rows_of

    for name in (INPUTS, FAILURES, RESULTS):
        assert list(rows_of(out / name)) == list(rows_of(tmp_path / "whole" / name))
    for file in (out / MAPS).rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "whole" / file.relative_to(out)).read_bytes()


def test_wrong_calls_are_answered_with_a_sentence(table, tmp_path):
    for words, told in {
        ("--budget", "soon"): "--budget is 'soon'",
        ("--fail-on", "maybe"): "--fail-on is 'maybe'",
        ("--check", "sanitty"): "no check 'sanitty'",
        ("--subgroup", "sight"): "did you mean 'site'",
        ("--engine", "spark"): "no engine 'spark'",
    }.items():
        done = call("audit", "python:tests.audit.problem:spots", table, "-o", tmp_path / "r", *words)
        assert done.returncode == 2, done.stdout
        assert told in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "r").exists()


def test_plan_alone_writes_a_plan_and_stops(table, tmp_path):
    done = call("audit", "python:tests.audit.problem:spots", table, "-o", tmp_path / "r", "--plan")
    assert done.returncode == 0, done.stderr
    assert "faithfulness" in done.stdout
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["plan.toml"]
