"""Where the target layer is: found by what a real run showed (shapes, call order), never by class name."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from torch import nn

from heatproof.errors import LayerError, TargetError, nearest
from heatproof.models.layout import Layout, options
from heatproof.models.outputs import Key, class_scores
from heatproof.models.trace import Call, Identity, Output, Trace
from heatproof.models.view import unwrap

WRAPPERS = ("_orig_mod.", "module.")
"""Prefixes that torch.compile and DataParallel put before the names users know."""


@dataclass(frozen=True)
class TargetLayer:
    """One tensor of one call of one module, and how it lies on a grid.

    Attributes:
        name: dotted name of the module.
        count: which call of the module (0 is the first).
        key: path of the tensor in what the module returns; empty when it returns the tensor itself.
        layout: where the grid lies in the tensor.
        reach: receptive field in samples of the model's input, per axis; None when it is the whole input.
        start: when the module was called, in the order of the trace.
        last: whether the module was not called again after this.
    """

    name: str
    count: int
    key: Key
    layout: Layout
    reach: tuple[float, ...] | None
    start: int
    last: bool = True

    @property
    def title(self) -> str:
        """The name; "relu#2" for the second of more calls, "backbone[0]" for one of several tensors returned."""
        call = "" if self.last else f"#{self.count + 1}"
        return self.name + call + "".join(f"[{k}]" for k in self.key)


def candidates(trace: Trace, read: Collection[Key] | None = None) -> list[TargetLayer]:
    """Return every tensor of the run that lies on a grid, the last one first, each named by its outermost module.

    The model's own output and what merely pools, passes on or rearranges are left out.

    Args:
        trace: of the run.
        read: where in the output the tensors lie that are explained; what else is in it counts as a layer. None: all.
    """
    root = trace.calls[-1]
    final = {o.identity for o in root.outputs if read is None or o.key in read}
    groups: dict[Identity, list[tuple[Call, Output]]] = {}
    for call in trace.calls[:-1]:
        for output in call.outputs:
            groups.setdefault(output.identity, []).append((call, output))
    found: list[TargetLayer] = []
    for identity, members in reversed(groups.items()):
        if identity in final or all(call.passive for call, _ in members):
            continue
        layer = _place(trace, *_outermost(members))
        if layer is not None:
            found.append(layer)
    return found


def _outermost(members: list[tuple[Call, Output]]) -> tuple[Call, Output]:
    """Return the outermost module around the one that made the tensor; what only passed it on later does not count."""
    made = members[0]
    for call, output in members[1:]:
        if made[0].name.startswith(call.name + ".") and not output.key:
            made = (call, output)
    return made


def before_attention(trace: Trace, layer: TargetLayer, found: list[TargetLayer]) -> TargetLayer:
    """Return, for a token sequence made inside a module (keys, values), the sequence which that module was given.

    Where a class token reads the others through attention, the last tensors with a gradient are its projections; the
    sequence before them is the whole of what it reads.
    """
    made = next(c for c in trace.calls if (c.name, c.count) == (layer.name, layer.count))
    around = [c for c in trace.calls[:-1] if c.start < made.start and c.end > made.end]
    whole = any(c.start > made.start and c.end < made.end for c in trace.calls)  # a block of an encoder, say
    if layer.layout.kind != "tokens" or not made.projects or whole or not around:
        return layer
    given = set(min(around, key=lambda c: c.end).inputs)
    if not given.intersection(made.inputs):
        return layer
    for other in found:
        call = next(c for c in trace.calls if (c.name, c.count) == (other.name, other.count))
        if other.layout == layer.layout and any(o.identity in given for o in call.outputs):
            return other
    return layer


def scales(trace: Trace) -> list[TargetLayer]:
    """Return the scales of the backbone of a dense or detection network, coarse last; empty for a classifier.

    The backbone is the outermost module, besides the network itself, that returns a collection of feature grids.
    Each grid is named by the module that made it, where there is one.
    """
    try:
        class_scores(trace.output, trace.n)
    except TargetError:
        pass
    else:
        return []
    best: list[TargetLayer] = []
    depth = 1 << 30
    for call in trace.calls[:-1]:
        level = call.name.count(".")
        keyed = list({o.identity: o for o in call.outputs if o.key}.values())
        placed = [p for o in keyed if (p := _place(trace, *_maker(trace, call, o), strict=False)) is not None]
        if placed and len(placed) == len({p.layout.grid for p in placed}) and level < depth:
            best, depth = placed, level
    return best


def _maker(trace: Trace, user: Call, output: Output) -> tuple[Call, Output]:
    """Return the outermost module inside `user` that returned this very tensor by itself."""
    made = (user, output)
    for call in trace.calls:
        if call.start > user.start and call.end < user.end:
            made = next(((call, o) for o in call.outputs if not o.key and o.identity == output.identity), made)
    return made


def named(trace: Trace, net: nn.Module, layer: str | nn.Module) -> TargetLayer:
    """Return the target layer that the user named (any `TargetLayer.title`) or passed as a module.

    Of several calls of the module it is the last, unless "#2" after the name says otherwise.

    Raises:
        LayerError: there is no such module, it never ran, or what it returned lies on no grid.
    """
    modules = dict(_named_modules(unwrap(net)))
    name, count, keys = _find(modules, layer)
    calls = [c for c in trace.calls if c.name == name and count in (None, c.count + 1)]
    if not calls:
        inside = [c.name for c in trace.calls if c.name.startswith(name + ".")]
        hint = f"; it only holds others, such as {inside[-1]!r}" if inside else ""
        raise LayerError(f"The layer {name!r} never ran for this input{hint}; choose one that does.")
    call = calls[-1]
    for output in call.outputs:
        placed = _place(trace, call, output, strict=False)
        if placed is not None and keys in ([], [str(k) for k in output.key]):
            return placed
    shapes = ", ".join(str(o.shape) for o in call.outputs) or "no tensor"
    usable = [c.title for c in candidates(trace)[:5]]
    raise LayerError(
        f"The layer {name!r} returns {shapes} for an input of size {trace.input_size}, which lies on no grid of at "
        f"least 2 positions a side; layers that do: {', '.join(usable) or 'none'}."
    )


def title_of(net: nn.Module, layer: str | nn.Module) -> str:
    """Return the name under which `named` finds a layer of `net`, wrappers such as DataParallel left out.

    Raises:
        LayerError: there is no such module.
    """
    name, count, keys = _find(dict(_named_modules(unwrap(net))), layer)
    return name + ("" if count is None else f"#{count}") + "".join(f"[{key}]" for key in keys)


def _find(modules: dict[str, nn.Module], layer: str | nn.Module) -> tuple[str, int | None, list[str]]:
    """Return the module's first name, the number of the call and the path of the tensor that `layer` asks for."""
    if isinstance(layer, nn.Module):
        asked, count, keys = unwrap(layer), None, list[str]()
        if not any(m is asked for name, m in modules.items() if name):
            raise LayerError(
                f"The layer {type(layer).__name__} is not a module of this network; pass one of its own modules or a "
                "dotted name (heatproof inspect lists them)."
            )
    else:
        name, _, path = layer.partition("[")
        name, _, number = name.partition("#")
        count = int(number) if number.isdecimal() else None
        keys = path.rstrip("]").split("][") if path else []
        asked = modules.get(name) or modules.get(_without_wrappers(name))
        if not name or asked is None:
            raise LayerError(f"There is no layer {layer!r}{nearest(name, modules)} (heatproof inspect lists all).")
    return next(name for name, m in modules.items() if m is asked), count, keys


def _named_modules(
    net: nn.Module, name: str = "", above: tuple[nn.Module, ...] = ()
) -> Iterator[tuple[str, nn.Module]]:
    """Yield every module under each of its names, as a view calls them: wrappers left out."""
    yield name, net
    children: dict[str, nn.Module | None] = vars(net)["_modules"]
    for child, module in children.items():
        inner = None if module is None else unwrap(module)
        if inner is not None and inner not in above:
            yield from _named_modules(inner, f"{name}.{child}" if name else child, (*above, net))


def _without_wrappers(name: str) -> str:
    name = name + "."
    for prefix in WRAPPERS:
        name = name.removeprefix(prefix).replace("." + prefix, ".")
    return name.rstrip(".")


def doubtful(trace: Trace) -> list[tuple[Call, Output, tuple[Layout, ...]]]:
    """Return every tensor whose shape does not tell how it lies on a grid, with the ways in which it may."""
    found: dict[Identity, tuple[Call, Output, tuple[Layout, ...]]] = {}
    axes = len(trace.input_size)
    for call in trace.calls[:-1]:
        for output in call.outputs:
            told = output.first or not output.floating or output.shape[:1] != (trace.n,)
            if told or output.identity in found:
                continue
            ways = _options(trace, call, output, strict=True)
            sequence = len(output.shape) == 3 and output.shape[1] > 3 and 0 not in output.shape
            if (sequence and axes > 1) or any(way.kind != "channels_first" for way in ways):
                found[output.identity] = (call, output, ways)
    return list(found.values())


def _options(trace: Trace, call: Call, output: Output, *, strict: bool) -> tuple[Layout, ...]:
    # A token sequence keeps the grid of the feature map that it was cut from: the latest that fits.
    seen = [
        o.shape[2:]
        for c in reversed(trace.calls)
        if c.end <= call.end
        for o in c.outputs
        if len(o.shape) == len(trace.input_size) + 2 and len(output.shape) == 3
    ]
    lengths = {o.shape[1] for c in trace.calls for o in c.outputs if len(o.shape) == 3}
    shape, size, prefix, first = output.shape, trace.input_size, trace.prefix, output.first
    return options(shape, trace.n, size, seen, lengths, prefix=prefix, first=first, strict=strict)


def _place(trace: Trace, call: Call, output: Output, *, strict: bool = True) -> TargetLayer | None:
    if not output.floating:
        return None
    if output.identity in trace.layouts:
        layout = trace.layouts[output.identity]
    else:
        layout = next(iter(_options(trace, call, output, strict=strict)), None)
    if layout is None:
        return None
    reach = output.reach if layout.kind == "channels_first" else None  # the others mix places by attention
    if reach is not None:
        reach = tuple(min(r, float(s)) for r, s in zip(reach, trace.input_size, strict=True))
    last = all(c.count <= call.count for c in trace.calls if c.name == call.name)
    return TargetLayer(call.name, call.count, output.key, layout, reach, call.start, last)
