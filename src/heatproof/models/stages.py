"""The stages of a network that are randomized one after the other: its children, in the order in which they run."""

from collections.abc import Iterable, Sequence

from torch import nn

from heatproof.models.norms import frozen
from heatproof.models.view import make_view

Cut = tuple[tuple[str, ...] | None, tuple[str, ...] | None]
"""What is drawn anew, and whose statistics are taken anew, as `randomized` takes them."""

CASCADES = ("top-down", "bottom-up", "independent")

_FEWEST = 4
"""Stages below which the largest one is taken apart."""


Stage = tuple[str, ...]
"""Dotted names of modules and raw parameters that are drawn anew together."""


def stages(net: nn.Module, order: Iterable[str] = (), *, every_layer: bool = False) -> list[Stage]:
    """Return stages that together hold every parameter once, from the input to the output.

    Children without parameters are left out. While there are fewer than four the largest that has children is taken
    apart. Raw parameters (class tokens, position embeddings) of a module that is taken apart come first. A module
    without any matrix, such as a normalization, belongs to what comes before it.

    Args:
        net: the network.
        order: names of modules in the order of their calls; what is not called keeps its place before its followers.
        every_layer: take everything apart, down to the modules that own parameters, each a stage.
    """
    view = make_view(net)
    found = _parts(view, "")
    while every_layer or len(found) < _FEWEST:
        modules = {name: view.get_submodule(name) for name in found if not _raw(view, name)}
        whole = [name for name, module in modules.items() if any(True for c in module.children() if _size(c))]
        if not whole:
            break
        largest = max(whole, key=lambda name: _size(modules[name]))
        at = found.index(largest)
        found[at : at + 1] = _parts(modules[largest], largest + ".")
    called = list(order)

    def first(name: str) -> int:
        calls = [i for i, call in enumerate(called) if call == name or call.startswith(name + ".")]
        return calls[0] if calls else -1

    together: list[Stage] = []
    for name in sorted(found, key=first):
        scales = not _raw(view, name) and all(p.ndim < 2 for p in view.get_submodule(name).parameters())
        if scales and together and not every_layer:
            together[-1] = (*together[-1], name)
        else:
            together.append((name,))
    return together


def steps(cascade: str, parts: Sequence[Stage]) -> list[Cut]:
    """Return what each step of a cascade draws anew, and whose statistics change with it: what comes after.

    Args:
        cascade: "top-down" (the last, the last two, ...), "bottom-up" (the first, the first two, ...), or
            "independent" (each alone).
        parts: stages, from the input to the output.
    """
    k = len(parts)

    def names(begin: int, end: int) -> Stage:
        return tuple(name for part in parts[begin:end] for name in part)

    if cascade == "independent":
        return [(names(i, i + 1), names(i, k)) for i in range(k)]
    if cascade == "top-down":
        found: list[Cut] = [(names(k - i, k), names(k - i, k)) for i in range(1, k)]
    else:
        found = [(names(0, i), None) for i in range(1, k)]
    return [*found, (None, None)]


def _parts(module: nn.Module, prefix: str) -> list[str]:
    own = [prefix + name for name, _ in module.named_parameters(recurse=False)]
    return own + [prefix + name for name, child in module.named_children() if _size(child)]


def _raw(view: nn.Module, name: str) -> bool:
    """Return whether the name is that of a parameter."""
    above, _, last = name.rpartition(".")
    return last in dict(view.get_submodule(above).named_parameters(recurse=False))


def _size(module: nn.Module) -> int:
    """Return how many numbers were learned, those of frozen normalization layers among them."""
    drawn = sum(p.numel() for p in module.parameters() if p.is_floating_point() or p.is_complex())
    return drawn + sum(b.numel() for m in module.modules() if frozen(m) for b in m.buffers(recurse=False))
