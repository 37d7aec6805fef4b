"""Measuring: interleaved rounds of wall-clock time, exact peaks of tensor memory, start-up times."""

import gc
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

Run = Callable[[], Any]
SHORTEST = 0.2  # seconds that one timing lasts at least, so that the clock and the scheduler do not matter
WARM_UP = 2


def interleaved(runs: Mapping[str, Run], rounds: int, device: str) -> dict[str, list[float]]:
    """Return the seconds of one call of each run, in every round.

    A round times each run once, in shuffled order, so that a machine that slows down or speeds up does so for all, and
    nobody always follows the same neighbor: compare within a round, then take the median over rounds (`ratio`).
    """
    repeats = {}
    for name, run in runs.items():
        for _ in range(WARM_UP):
            run()
        repeats[name] = max(1, math.ceil(SHORTEST / _seconds(run, 1, device)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    shuffle = random.Random(0).shuffle
    names = list(runs)
    for _ in range(rounds):
        shuffle(names)
        for name in names:
            gc.collect()
            times[name].append(_seconds(runs[name], repeats[name], device))
    return times


def ratio(times: Mapping[str, list[float]], name: str, to: str) -> float:
    """Return the median over rounds of one run's time divided by another's."""
    return statistics.median(a / b for a, b in zip(times[name], times[to], strict=True))


def peak_memory(run: Run, device: str) -> int:
    """Return the most tensor memory, in bytes, that one call holds at once beyond what was there before.

    On CUDA this is the allocator's own count. On a CPU it is summed from the profiler's record of every allocation:
    exact, unlike the resident size, which depends on what malloc kept from earlier calls.
    """
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = run()
        torch.cuda.synchronize()
        del result
        return torch.cuda.max_memory_allocated() - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # the profiler greets on standard error otherwise
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = run()
    del result
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    allocations = [event for event in events if event.get("name") == "[memory]"]
    held = peak = 0
    for event in sorted(allocations, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def startup(rounds: int) -> dict[str, float]:
    """Return the median seconds of starting Python, of `import heatproof`, and of `heatproof --help`."""
    clocked = "import time; t = time.perf_counter(); import heatproof; print(time.perf_counter() - t)"
    return {
        "python": _median(lambda: _wall([sys.executable, "-c", "pass"]), rounds),
        "import heatproof": _median(lambda: float(_output([sys.executable, "-c", clocked])), rounds),
        "heatproof --help": _median(lambda: _wall([sys.executable, "-m", "heatproof", "--help"]), rounds),
    }


def _seconds(run: Run, repeats: int, device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    _wait(device)
    return (time.perf_counter() - start) / repeats


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _median(measure: Callable[[], float], rounds: int) -> float:
    measure()
    return statistics.median(measure() for _ in range(rounds))


def _wall(command: list[str]) -> float:
    start = time.perf_counter()
    _output(command)
    return time.perf_counter() - start


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
