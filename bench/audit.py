"""`make audit-bench`: what audits promise, measured.

    python -m bench.audit kills                         20 times kill -9, then compare with an uninterrupted run
    python -m bench.audit memory                        peak memory of 100,000 entries beside that of 1,000
    HEATPROOF_DATA=FOLDER python -m bench.audit overhead    1,000 photographs with MobileNetV2, from the real data
    python -m bench.audit ray                           two single-threaded actors beside one single-threaded worker

Each prints its figures and writes them to bench/results/audit.json under its own name.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "audit.json"
KILLS, ENTRIES, RAY = 20, (1_000, 100_000), (40, 400)


def main() -> None:
    """Measure one thing, or start one of the runs that are measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["kills", "memory", "overhead", "ray", "_run"])
    parser.add_argument("rest", nargs="*")
    args = parser.parse_args()
    if args.what == "_run":
        _run(json.loads(args.rest[0]))
        return
    found = {"kills": kills, "memory": memory, "overhead": overhead, "ray": ray}[args.what]()
    told: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    about = {"date": datetime.now(UTC).date().isoformat(), "torch": version("torch"), "cores": os.cpu_count()}
    told[args.what] = {**about, "command": f"python -m bench.audit {args.what}", **found}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told[args.what], indent=1))


def kills() -> dict[str, Any]:
    """Kill a run again and again at random moments, then compare it with one that was left alone."""
    from tests.audit.problem import write

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write(folder / "data", 400, 20)
        job = {"model": "spots", "data": str(data), "checks": ["plausibility", "faithfulness"], "shard_size": 8}
        began = time.perf_counter()
        _wait(_start({**job, "out": str(folder / "whole")}))
        whole = time.perf_counter() - began
        drawn, killed = random.Random(0), 0
        while killed < KILLS:
            process = _start({**job, "out": str(folder / "killed")})
            try:
                process.wait(drawn.uniform(0.2, 1.0) * whole)
                break  # it was done sooner
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
        _wait(_start({**job, "out": str(folder / "killed")}))
        same = _same(folder / "whole", folder / "killed")
    return {"killed": killed, "seconds uninterrupted": round(whole, 1), **same}


def memory() -> dict[str, Any]:
    """Compare peak memory for few and for many entries, which are all the same small picture."""
    peaks: dict[int, float] = {}
    for n in ENTRIES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            table = _synthetic(folder, n)
            job = {"model": "tiny", "data": str(table), "checks": [], "out": str(folder / "run"), "shard_size": 256}
            peaks[n] = float(_wait(_start(job))["peak_mib"])
    few, many = (peaks[n] for n in ENTRIES)
    return {"entries": list(ENTRIES), "peak MiB": [round(few), round(many)], "ratio": round(many / few, 3)}


def overhead() -> dict[str, Any]:
    """Compare an audit's time for 1,000 photographs with that of the model alone on what it was given."""
    data = Path(os.environ["HEATPROOF_DATA"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = sorted((data / "photos").rglob("*.JPEG")) or sorted((data / "photos").rglob("*.jpg"))
        (folder / "data").mkdir()
        for i in range(1000):
            shutil.copy(files[i % len(files)], folder / "data" / f"{i:04}.jpg")
        job = {"model": "mobilenet", "data": str(folder / "data"), "checks": [], "out": str(folder / "run")}
        found = _wait(_start({**job, "shard_size": 250, "alone": True}))
    ratio = found["seconds"] / found["alone"]
    return {"audit s": found["seconds"], "model alone s": found["alone"], "overhead": round(ratio - 1, 3)}


def ray() -> dict[str, Any]:
    """Compare two single-threaded actors with one single-threaded worker on the same shards.

    Two sizes of data tell what starting a cluster and loading a model in each actor takes from what the work takes.
    """
    data = Path(os.environ["HEATPROOF_DATA"])
    took: dict[tuple[str, int], float] = {}
    same: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = sorted((data / "photos").rglob("*.JPEG")) or sorted((data / "photos").rglob("*.jpg"))
        for n in RAY:
            place = folder / f"data{n}"
            place.mkdir()
            for i in range(n):
                shutil.copy(files[i % len(files)], place / f"{i:04}.jpg")
            for engine in ("local", "ray"):
                job = {"model": "mobilenet", "data": str(place), "checks": [], "out": str(folder / f"{engine}{n}")}
                took[engine, n] = _wait(_start({**job, "shard_size": 20, "engine": engine, "threads": 1}))["shards"]
            same = _same(folder / f"local{n}", folder / f"ray{n}", exact=False)
            pair = [
                _start({"model": "mobilenet", "data": str(place), "checks": [], "out": str(folder / f"{side}{n}"),
                        "shard_size": 20, "threads": 1})
                for side in ("left", "right")
            ]  # fmt: skip
            took["pair", n] = max(_wait(process)["shards"] for process in pair)
    few, many = RAY
    rest = {engine: took[engine, many] - took[engine, few] for engine in ("local", "ray", "pair")}
    return {
        "inputs": RAY,
        "local s": [took["local", n] for n in RAY],
        "ray s": [took["ray", n] for n in RAY],
        "speed-up of the whole": round(took["local", many] / took["ray", many], 2),
        # starting Ray varies by more than the work takes, now and then: then a difference says nothing
        "speed-up of the work": round(rest["local"] / rest["ray"], 2) if rest["ray"] > 0 else None,
        "speed-up of two processes without Ray": round(2 * rest["local"] / rest["pair"], 2),
        "start of Ray s": round(took["ray", few] - rest["ray"] * few / (many - few), 1),
        **same,
    }


def _run(job: dict[str, Any]) -> None:
    """Make one audit; print how long it took and how much memory."""
    import torch

    from heatproof.audit.run import Watch, audit

    if "threads" in job:
        torch.set_num_threads(job["threads"])
    model = _model(job["model"])
    marks: list[float] = []
    watch = Watch(
        planned=lambda _: marks.append(time.perf_counter()), begin=lambda _: marks.append(time.perf_counter())
    )
    rest = {"workers": 2 if job.get("engine") == "ray" or "threads" not in job else 1}
    audit(
        model, job["data"], job["out"], job["checks"], engine=job.get("engine", "local"), watch=watch,
        shard_size=job["shard_size"], **rest,
    )  # fmt: skip
    told: dict[str, Any] = {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    told["shards"] = round(marks[1] - marks[0], 2)
    if job.get("alone"):
        told |= {"seconds": told["shards"], "alone": _alone(model, job)}
    print("\n" + json.dumps(told))


def _alone(model: Any, job: dict[str, Any]) -> float:
    """Return the seconds that explaining takes where all inputs lie ready in memory."""
    from heatproof.audit.reading import Ready, ready
    from heatproof.audit.shooting import shoot
    from heatproof.audit.sources import open_source
    from heatproof.explain import Explainer

    source = open_source(job["data"])
    prepared = [one.prepared for entry in source if isinstance(one := ready(source, entry, model), Ready)]
    explainer = Explainer(model)
    shoot(explainer, prepared[:32])
    began = time.perf_counter()
    for begin in range(0, len(prepared), 32):
        shoot(explainer, prepared[begin : begin + 32])
    return round(time.perf_counter() - began, 2)


def _model(name: str) -> Any:
    import torch

    import heatproof as hp
    from heatproof.inputs.prepare import Preprocess

    if name == "spots":
        from tests.audit.problem import spots

        return spots()
    if name == "tiny":
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 2, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        )
        return hp.Model(net.eval(), labels=("a", "b"), name="tiny")
    file = Path(os.environ["HEATPROOF_DATA"]) / "weights" / "mobilenet_v2.safetensors"
    preprocess = Preprocess(resize=257, crop=(225, 225), mean=(0.5,) * 3, std=(0.5,) * 3)
    return hp.load(f"file:{file}", arch="torchvision:mobilenet_v2", preprocess=preprocess)


def _synthetic(folder: Path, n: int) -> Path:
    """Return a table of n rows, whose files are links to a few pictures."""
    from PIL import Image

    (folder / "p").mkdir()
    first = folder / "first.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(first)
    table = folder / "data.csv"
    with table.open("w") as file:
        file.write("path,label\n")
        for i in range(n):
            os.link(first, folder / "p" / f"{i:06}.png") if i % 30_000 else shutil.copy(
                first, folder / "p" / f"{i:06}.png"
            )
            first = folder / "p" / f"{i:06}.png" if i % 30_000 == 0 else first
            file.write(f"p/{i:06}.png,{'ab'[i % 2]}\n")
    return table


def _start(job: dict[str, Any]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.audit", "_run", json.dumps(job)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors)
    return json.loads(out.strip().splitlines()[-1])


def _same(a: Path, b: Path, *, exact: bool = True) -> dict[str, Any]:
    """Compare maps byte for byte (or to 1e-5), and tables row for row."""
    from heatproof.audit.store import FAILURES, INPUTS, MAPS, RESULTS, read_maps
    from heatproof.audit.tables import rows_of

    files = [sorted(f.relative_to(run) for f in (run / MAPS).rglob("*") if f.is_file()) for run in (a, b)]
    bytes_same = files[0] == files[1] and all((a / f).read_bytes() == (b / f).read_bytes() for f in files[0])
    rows = {name: str(list(rows_of(a / name))) == str(list(rows_of(b / name))) for name in (INPUTS, FAILURES, RESULTS)}
    if exact:
        return {"maps equal byte for byte": bytes_same, "tables equal row for row": all(rows.values())}
    one, other = (np.asarray(read_maps(run)[0][:]) for run in (a, b))
    return {
        "largest difference of a map": float(np.abs(one - other).max()),
        "tables equal row for row": all(rows.values()),
    }


if __name__ == "__main__":
    main()
