"""This process: threads decode ahead of the model, one writes behind it."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from heatproof.audit.pipeline import Tally, Worker, explained, missing
from heatproof.audit.store import RunFolder

NAME = "Local"
ALIASES = ("threads",)
TIER = "core"
BIBTEX = ""


def run_shards(worker: Worker, folder: RunFolder, tally: Tally) -> bool:
    """Do all shards that are not whole; return whether all are, False if it was asked to stop.

    Raises:
        InputError: the folder cannot be written.
        UsageError: the data has changed since the plan was made.
    """
    plan = worker.plan
    tally.total = plan.data.entries
    with ThreadPoolExecutor(plan.run.workers) as readers, ThreadPoolExecutor(1) as writer:
        written: deque[Future[None]] = deque()
        for number, entries in missing(worker.source, folder, tally):
            if tally.stop:
                break
            shard = explained(worker, number, entries, readers, tally)
            written.append(writer.submit(folder.commit, number, shard.rows, shard.failures, shard.maps))
            while len(written) > 1:  # a slow disk holds the model up, so that memory does not fill
                written.popleft().result()
        for one in written:
            one.result()
    return not tally.stop or all(folder.whole(number) for number in range(folder.shards))
