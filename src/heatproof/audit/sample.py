"""Which inputs a question looks at: drawn by a hash of the seed, so that no order and no interruption changes them."""

import heapq
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any


def draw(
    rows: Iterable[Mapping[str, Any]],
    count: int,
    seed: int,
    name: str,
    *,
    usable: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    one_per_cluster: bool = True,
) -> list[dict[str, Any]]:
    """Return `count` rows, or all there are, in the order of the data; memory does not grow with the number of rows.

    Args:
        rows: with "id", "cluster" and "map_row".
        count: how many.
        seed: of the run.
        name: of what they are drawn for: each question draws for itself.
        usable: which rows count at all.
        one_per_cluster: of each cluster only the input that its own hash puts first.
    """
    kept: dict[str, tuple[int, int, dict[str, Any]]] = {}
    worst: list[tuple[int, str]] = []
    for row in rows:
        if not usable(row):
            continue
        own = f"input {row['id']}"
        alone = row["cluster"] is None or not one_per_cluster
        cluster = own if alone else f"cluster {row['cluster']}"
        key = _hash(seed, name, cluster)
        if cluster not in kept and len(kept) == count and key >= -worst[0][0]:
            continue
        found = (key, _hash(seed, name, own), dict(row))
        if cluster in kept:
            if found[1] < kept[cluster][1]:
                kept[cluster] = found
            continue
        kept[cluster] = found
        heapq.heappush(worst, (-key, cluster))
        if len(kept) > count:
            del kept[heapq.heappop(worst)[1]]
    return sorted((row for _, _, row in kept.values()), key=lambda row: row["map_row"])


def _hash(seed: int, name: str, what: str) -> int:
    return int.from_bytes(blake2b(f"{seed} {name} {what}".encode(errors="surrogatepass"), digest_size=8).digest())
