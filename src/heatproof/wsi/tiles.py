"""Tiles read ahead of the model, in threads, in order; one that cannot be read is handed on as its reason."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from heatproof.inputs.slide import Slide, Unreadable
from heatproof.wsi.plan import Plan

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")

Tile = UInt8[np.ndarray, "h w 3"] | Unreadable


def read_tile(slide: Slide, plan: Plan, tile: int) -> Tile:
    """Return a tile's pixels, or the reason why there are none."""
    try:
        return slide.read(*plan.pixels(tile), plan.side, plan.side, plan.mpp)
    except Unreadable as reason:
        return reason


def ahead(make: Callable[[_Item], _Made], items: Iterable[_Item], workers: int = 2, depth: int = 4) -> Iterator[_Made]:
    """Yield what `make` makes of each item, in order, with at most `depth` made in advance."""
    source = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="heatproof-tiles") as pool:
        waiting: deque[Future[_Made]] = deque(pool.submit(make, item) for item in islice(source, depth))
        try:
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(make, item) for item in islice(source, 1))
                yield done
        finally:
            for one in waiting:
                one.cancel()
