"""One plain run of a network, written down: which module was called when, what came out, what it could see."""

import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.models.grids import GridAxes
from heatproof.models.layout import Layout
from heatproof.models.outputs import Key, map_tensors, tensors

Identity = tuple[int, int]
"""Names one state of one tensor: its number in the run and how often it had been written in place."""


@dataclass(frozen=True)
class Output:
    """One tensor that a module call returned; `first` where it is known to be channels first."""

    key: Key
    shape: tuple[int, ...]
    floating: bool
    identity: Identity
    reach: tuple[float, ...] | None
    first: bool = False


@dataclass
class Call:
    """One call of one module.

    Attributes:
        name: dotted name of the module.
        count: which call of this module it was (0 is the first).
        start: position of its beginning in the run.
        end: position of its end; a call lies wholly before another if its `end` is less than the other's `start`.
        inputs: the tensors it was given.
        outputs: the tensors it returned.
        learned: whether the module or anything in it has parameters.
        projects: whether any of these is a matrix, so that it mixes channels; a normalization does not.
        passive: it has no parameters and only passed on or resampled what it was given (pooling, dropout, permuting).
    """

    name: str
    count: int
    start: int
    end: int = -1
    inputs: tuple[Identity, ...] = ()
    outputs: tuple[Output, ...] = ()
    learned: bool = False
    projects: bool = False
    passive: bool = False


@dataclass
class Trace:
    """The calls of one run in the order in which they ended, the root last.

    Attributes:
        calls: every module call.
        output: the model's output.
        input_size: spatial size of the input.
        n: batch size.
        prefix: tokens before the grid's, where the network's configuration says it.
        layouts: how the tensors lie on a grid whose shapes alone do not tell, as far as that was found out; None for
            those that lie on none.
    """

    input_size: tuple[int, ...]
    n: int
    calls: list[Call] = field(default_factory=list[Call])
    output: Any = None
    prefix: int | None = None
    layouts: dict[Identity, Layout | None] = field(default_factory=dict[Identity, Layout | None])


class _Numbers:
    """Gives every live tensor object a number; a number is never used twice, though `id` may be."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._next = 0

    def __call__(self, tensor: Tensor) -> Identity:
        entry = self._known.get(id(tensor))
        if entry is None or entry[0]() is not tensor:
            entry = (weakref.ref(tensor), self._next)
            self._known[id(tensor)] = entry
            self._next += 1
        # Inference tensors count no versions; nothing of ours runs in inference mode, but the user's forward may.
        return entry[1], 0 if tensor.is_inference() else tensor._version


def trace(view: nn.Module, run: Callable[[nn.Module], Any], input_size: tuple[int, ...], n: int) -> Trace:
    """Run `view` once without recording gradients and return what happened."""
    record = Trace(input_size, n, prefix=_configured_prefix(view))
    number = _Numbers()
    reaches = _Reach(input_size)
    axes = GridAxes(input_size)
    counts: dict[str, int] = {}
    open_calls: dict[str, list[Call]] = {}
    clock = iter(range(1 << 62))
    handles: list[Any] = []
    probing: list[nn.Module] = []

    def passive(module: nn.Module, args: Any, kwargs: Any, returned: list[Tensor]) -> bool:
        """Say whether a module without parameters merely passed on, rearranged or resampled what it was given."""
        given = [t for _, t in tensors((args, kwargs))]
        known = _passive(given, returned)
        if known is not None:
            return known
        probing.append(module)  # its calls are ours, not the network's
        try:
            return _passes_on(module, args, kwargs)
        finally:
            probing.pop()

    def watch(name: str, module: nn.Module) -> None:
        learned = any(True for _ in module.parameters())
        projects = any(p.ndim > 1 for p in module.parameters())

        def before(_module: nn.Module, args: Any, kwargs: Any) -> None:
            if probing:
                return
            call = Call(name, counts.get(name, 0), next(clock), learned=learned, projects=projects)
            counts[name] = call.count + 1
            open_calls.setdefault(name, []).append(call)
            call.inputs = tuple(number(t) for _, t in tensors((args, kwargs)))
            reaches.enter(number, args, kwargs)
            axes.enter((args, kwargs))

        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if probing:
                return
            call = open_calls[name].pop()
            call.end = next(clock)
            found = list(tensors(output))
            reach = reaches.leave(module, number, args, kwargs, [t for _, t in found])
            call.outputs = tuple(
                Output(key, tuple(t.shape), t.is_floating_point(), number(t), reach, axes.first(t)) for key, t in found
            )
            if not learned and found:
                handed_on = call.outputs[0].identity in call.inputs
                call.passive = handed_on or passive(module, args, kwargs, [t for _, t in found])
            record.calls.append(call)

        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after, with_kwargs=True))

    try:
        for name, module in view.named_modules():
            watch(name, module)
        with torch.inference_mode(False), torch.no_grad(), axes:
            record.output = run(view)
    finally:
        for handle in handles:
            handle.remove()
    return record


def _configured_prefix(net: nn.Module) -> int | None:
    """Return how many tokens stand before the grid's by what the network's own attributes say; None if nothing."""
    for module in net.modules():
        # timm: class, distillation and register tokens together
        if isinstance(count := getattr(module, "num_prefix_tokens", None), int):
            return count
        # transformers: registers stand between the class token and the grid, detection tokens after it
        config = getattr(module, "config", None)
        if isinstance(count := getattr(config, "num_register_tokens", None), int):
            return 1 + count
        if isinstance(getattr(config, "num_detection_tokens", None), int):
            return 1
    return None


def _passive(given: list[Tensor], returned: list[Tensor]) -> bool | None:
    """Say so as far as one call shows it; None where it returned a copy, which a ReLU of what is positive does, too."""
    if not given or not returned:
        return False
    source, result = given[0], returned[0]
    if source.numel() != result.numel():
        return True
    if result is source:
        return False  # written in place: what came before is no more
    if source.untyped_storage().data_ptr() == result.untyped_storage().data_ptr():
        return True
    return None if source.shape == result.shape and torch.equal(source, result) else False


def _passes_on(module: nn.Module, args: Any, kwargs: Any) -> bool:
    """Say whether the module returns inputs of other signs and sizes, too, as they are: no activation does."""

    def same(change: Callable[[Tensor], Tensor]) -> bool:
        other = map_tensors((args, kwargs), lambda t: change(t) if t.is_floating_point() else t)
        source = next(t for _, t in tensors(other)).clone()
        result = next((t for _, t in tensors(module(*other[0], **other[1]))), None)
        return result is not None and result.shape == source.shape and torch.equal(source, result)

    return same(lambda t: -1000 * (t.abs() + 1)) and same(lambda t: t / 1000 + 0.001)


_ATTENTION = re.compile("attention|attn|mhsa")


@dataclass(frozen=True)
class _Seen:
    """What an output position sees: how many input samples in a row, and how many lie between one and the next."""

    reach: tuple[float, ...]
    jump: tuple[float, ...]


class _Reach:
    """Receptive fields, followed from module to module: how many input samples an output position can see.

    A convolution or pooling with kernel k and dilation d widens what it was given by (k - 1) * d of its input's
    spacing, which its stride multiplies (Araujo et al. 2019, "Computing receptive fields", eq. 1). What functional code
    between modules returns (a sum, a concatenation) is taken to see as much as everything before it. Outputs without a
    grid (global context, as in squeeze-and-excitation) are not followed: they gate, they do not place.
    """

    def __init__(self, input_size: tuple[int, ...]) -> None:
        self._input = input_size
        self._known: dict[Identity, _Seen] = {}
        self._widest: tuple[float, ...] = (1.0,) * len(input_size)
        self._jumps: dict[tuple[int, ...], tuple[float, ...]] = {}
        self._started = False

    def enter(self, number: _Numbers, args: Any, kwargs: Any) -> None:
        """Note the network's own input: every tensor of the first call sees itself."""
        if not self._started:
            self._started = True
            for _, tensor in tensors((args, kwargs)):
                self._known[number(tensor)] = _Seen(self._widest, self._widest)

    def leave(
        self, module: nn.Module, number: _Numbers, args: Any, kwargs: Any, outputs: list[Tensor]
    ) -> tuple[float, ...] | None:
        """Return what the outputs of a finished call can see, per axis; None when it has no grid."""
        given = next((t for _, t in tensors((args, kwargs))), None)
        if not outputs:
            return None
        if _ATTENTION.search(type(module).__name__.lower()):  # whatever its code, it lets places see each other
            self._widest = tuple(float(s) for s in self._input)
            self._known |= {number(output): _Seen(self._widest, self._jump(output)) for output in outputs}
        already = self._known.get(number(outputs[0]))
        if already is not None:
            return already.reach
        # a container whose result is new came out of functional code
        source = None if given is None or list(module.children()) else self._known.get(number(given))
        base = self._widest if source is None else source.reach
        jump = self._jump(outputs[0])
        windows = None if given is None or list(module.children()) else self._windows(module, given, outputs[0])
        if given is not None and windows is not None:
            before = self._jump(given) if source is None else source.jump
            base = tuple(b + (seen - 1) * j for b, (seen, _), j in zip(base, windows, before, strict=True))
            jump = tuple(step * j for (_, step), j in zip(windows, before, strict=True))
        elif source is not None and given is not None and given.shape[2:] == outputs[0].shape[2:]:
            jump = source.jump
        grid = tuple(outputs[0].shape[2:])
        if max(grid, default=1) > 1:
            self._known |= {number(output): _Seen(base, jump) for output in outputs}
            self._jumps[grid] = jump
            self._widest = tuple(max(a, b) for a, b in zip(self._widest, base, strict=True))
        return base

    def _jump(self, tensor: Tensor) -> tuple[float, ...]:
        """Return the spacing of what functional code made: that of the latest grid like it, else by its size alone."""
        grid = tuple(tensor.shape[2:])
        if len(grid) != len(self._input) or 0 in grid:
            return (1.0,) * len(self._input)
        return self._jumps.get(grid, tuple(s / g for s, g in zip(self._input, grid, strict=True)))

    def _windows(self, module: nn.Module, given: Tensor, output: Tensor) -> list[tuple[float, float]] | None:
        """Return how many positions in a row a convolution or pooling looks at, and its step, per axis."""
        axes = len(self._input)
        if given.ndim != axes + 2 or output.ndim != axes + 2:
            return None
        sides = [*zip(given.shape[2:], output.shape[2:], strict=True)]
        kernel, dilation, stride = (
            _per_axis(getattr(module, name, default), axes)
            for name, default in (("kernel_size", None), ("dilation", 1), ("stride", None))
        )
        if kernel is None or dilation is None:
            if getattr(module, "output_size", None) is None:
                return None
            return [(float(_widest_bin(old, new)), old / new) for old, new in sides]  # adaptive pooling
        steps = stride or tuple(max(1, round(old / new)) for old, new in sides)
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        if getattr(module, "transposed", False):  # an output sees every step-th place of the span
            return [(float(-(-span // step)), 1 / step) for span, step in zip(spans, steps, strict=True)]
        return [(float(span), float(step)) for span, step in zip(spans, steps, strict=True)]


def _per_axis(value: Any, axes: int) -> tuple[int, ...] | None:
    """Return a module's setting with one number per axis; None where it is something else."""
    values = (value,) * axes if isinstance(value, int) else tuple(value) if isinstance(value, list | tuple) else ()
    return values if len(values) == axes and all(isinstance(v, int) for v in values) else None


def _widest_bin(old: int, new: int) -> int:
    """Return how many of `old` positions the largest of `new` bins of adaptive pooling holds."""
    return max(-(-(i + 1) * old // new) - i * old // new for i in range(new))
