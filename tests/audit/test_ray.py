"""Shards on a real Ray cluster of two nodes: the same rows and maps, also when a node is killed under way."""

import os
import signal

import numpy as np
import pytest
from tests.audit.problem import spots, write

from heatproof.audit.pipeline import Tally
from heatproof.audit.run import Watch, audit
from heatproof.audit.store import FAILURES, INPUTS, RESULTS, read_maps
from heatproof.audit.tables import rows_of

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SMALL = {"shard_size": 4, "batch_size": 4, "split": "test"}


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    os.environ["RAY_DISABLE_IMPORT_WARNING"] = "1"
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False},
    )
    made.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.mark.filterwarnings("ignore")  # Ray's own, in its own threads
def test_two_nodes_give_the_rows_of_one_process_and_a_killed_worker_costs_only_its_shard(cluster, tmp_path):
    data = write(tmp_path / "data", 48, 3)
    local = audit(spots(), data, tmp_path / "local", [], **SMALL)
    tally, killed = Tally(), []

    def kill(now):
        if now.done >= 8 and not killed:
            killed.append(_kill_one_worker())

    tally.changed = kill
    far = audit(spots(), data, tmp_path / "ray", [], engine="ray", watch=Watch(tally=tally), **SMALL)
    assert killed
    assert killed[0] > 0
    for name in (INPUTS, FAILURES, RESULTS):
        assert list(rows_of(local.folder / name)) == list(rows_of(far.folder / name))
    one, other = (np.asarray(read_maps(run.folder)[0][:]) for run in (local, far))
    assert other == pytest.approx(one, abs=1e-6, nan_ok=True)


def _kill_one_worker() -> int:
    """Kill a process that holds a model; return how many there were."""
    import psutil

    workers = [
        p for p in psutil.process_iter(["cmdline"]) if any("ray::MapWorker" in w for w in p.info["cmdline"] or ())
    ]
    for process in workers[:1]:
        os.kill(process.pid, signal.SIGKILL)
    return len(workers)
