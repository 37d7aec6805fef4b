"""What the corners of the input move: shows how a tensor lies on a grid where its shape alone does not tell."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.capture.batch import Batch
from heatproof.capture.choose import awakened
from heatproof.models.layers import doubtful
from heatproof.models.layout import Layout
from heatproof.models.outputs import map_tensors, pick, tensors
from heatproof.models.settle import Verdict, agreed, corners, settle
from heatproof.models.trace import Call, Output, Trace

_KEPT = 64
"""Channels of a layer that are compared: a corner moves many or none."""

_Doubt = tuple[Call, Output, tuple[Layout, ...]]


def listen(view: nn.Module, batch: Batch, record: Trace) -> None:
    """Find out how token sequences and channels-last tensors lie on the grid, and note it in `record.layouts`.

    Runs the network once as it is and once for each corner of the input that is changed (4 in 2-D); not at all where
    every layer's shape speaks for itself.

    Args:
        view: the network, whose hooks are ours to set.
        batch: the one input that was traced.
        record: what happened then.
    """
    doubts = doubtful(record)
    if not doubts or _struck(batch, 0, ()) is None:
        return
    verdicts = _verdicts(view, batch, doubts)
    if not any(verdict.heard for _, verdict in verdicts) and (awake := awakened(view)) is not None:
        verdicts = _verdicts(awake, batch, doubts)  # a scale that was initialized to zero let nothing through
    spoke = any(verdict.heard for _, verdict in verdicts)
    for index, (_, output, ways) in enumerate(doubts):
        verdict = agreed(verdicts, index)
        # Beside sequences that were heard, one that was not is a grid only if no token is left over.
        likely = [way for way in ways if not spoke or _left_over(way, output) in ((0, 0), (record.prefix, 0))]
        record.layouts[output.identity] = verdict.layout if verdict.heard else next(iter(likely), None)


def _left_over(way: Layout, output: Output) -> tuple[int, int]:
    """Return how many tokens stand before and behind the grid's."""
    return way.prefix, output.shape[1] - way.prefix - prod(way.grid) if way.kind == "tokens" else 0


def _verdicts(view: nn.Module, batch: Batch, doubts: Sequence[_Doubt]) -> list[tuple[tuple[int, ...], Verdict]]:
    axes = len(batch.size)
    plain: dict[int, Tensor] = {}
    _run(view, batch, doubts, plain.__setitem__)
    moved: list[dict[str, list[Tensor]]] = [{} for _ in doubts]

    def compare(index: int, raw: Tensor) -> None:
        if index not in plain or plain[index].shape != raw.shape:
            return  # the change made the network take another way
        for kind, movement in _movement(plain[index], raw, doubts[index], axes).items():
            moved[index].setdefault(kind, []).append(movement)

    side = _stride(batch.size, doubts)
    ends = corners(axes)
    for seed, corner in enumerate(ends):
        where = tuple(
            slice(size - s, size) if far else slice(0, s) for s, size, far in zip(side, batch.size, corner, strict=True)
        )
        struck = _struck(batch, seed, where)
        assert struck is not None
        _run(view, struck, doubts, compare)
    return [
        (
            output.shape,
            settle(
                ways,
                {kind: torch.stack(each) for kind, each in kinds.items() if len(each) == len(ends)},
                axes,
            ),
        )
        for (_, output, ways), kinds in zip(doubts, moved, strict=True)
    ]


def _run(view: nn.Module, batch: Batch, doubts: Sequence[_Doubt], use: Callable[[int, Tensor], None]) -> None:
    """Run the network and call `use` with the number and a part of every doubtful tensor, as it leaves its module."""
    wanted: dict[str, dict[int, list[int]]] = {}
    for index, (call, _, _) in enumerate(doubts):
        wanted.setdefault(call.name, {}).setdefault(call.count, []).append(index)
    handles: list[Any] = []

    def watch(name: str, indices: dict[int, list[int]]) -> None:
        calls = iter(range(1 << 62))

        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            for index in indices.get(next(calls), []):
                _, known, ways = doubts[index]
                raw: Tensor = pick(output, known.key)
                last = all(way.kind != "channels_first" for way in ways)
                step = max(1, raw.shape[-1] // _KEPT) if last else 1
                use(index, raw[..., ::step].float().clone())

        handles.append(view.get_submodule(name).register_forward_hook(hook))

    try:
        for name, indices in wanted.items():
            watch(name, indices)
        with torch.inference_mode(False), torch.no_grad():
            batch.run(view)
    finally:
        for handle in handles:
            handle.remove()


def _movement(plain: Tensor, raw: Tensor, doubt: _Doubt, axes: int) -> dict[str, Tensor]:
    """Return how far each place moved, relative to how large places are, for every kind of layout that it may have."""
    _, output, ways = doubt
    kinds = {way.kind for way in ways}
    if len(output.shape) == 3:
        kinds.add("tokens")
    found: dict[str, Tensor] = {}
    for kind in kinds:
        channels = 1 if kind == "channels_first" else plain.ndim - 1
        size = plain.norm(dim=channels).nan_to_num()[0]
        far = (raw - plain).norm(dim=channels).nan_to_num()[0]
        usual = size.median().clamp(min=torch.finfo(torch.float32).tiny)
        found[kind] = torch.where(far > _ROUNDING * usual, far / usual, 0.0).cpu()
    return found


_ROUNDING = 1e-5
"""Movements smaller than this, relative to the values themselves, are rounding."""


def _stride(size: tuple[int, ...], doubts: Sequence[_Doubt]) -> tuple[int, ...]:
    """Return the sides of a change that lies within one position of the finest of the grids.

    Where no grid is known, patches are taken for cubes; patches of a video are often flat.
    """
    longest = max(prod(output.shape[1:-1]) for _, output, _ in doubts)
    cube = int((prod(size) / longest) ** (1 / len(size)))
    finest = [max((way.grid[axis] for _, _, ways in doubts for way in ways), default=1) for axis in range(len(size))]
    return tuple(max(1, min(s // 2, cube, s // side)) for s, side in zip(size, finest, strict=True))


def _struck(batch: Batch, seed: int, where: tuple[slice, ...]) -> Batch | None:
    """Return the batch with noise, in the range of its values, at one place; None if these are whole numbers."""
    first = next(tensor for _, tensor in tensors((batch.args, batch.kwargs)) if tensor.ndim >= 3)
    if not first.is_floating_point():
        return None
    low, high = first.amin(), first.amax()
    done = False

    def change(tensor: Tensor) -> Tensor:
        nonlocal done
        if done or tensor is not first:
            return tensor
        done = True
        changed = tensor.clone()
        part = changed[(..., *where)]
        noise = torch.rand(part.shape, generator=torch.Generator().manual_seed(seed)).to(tensor)
        # A constant input has no range: there the noise makes its own.
        part.copy_(low + noise * torch.where(high > low, high - low, 1.0))
        return changed

    args, kwargs = map_tensors((batch.args, batch.kwargs), change)
    return Batch(args, batch.n, batch.size, kwargs)
