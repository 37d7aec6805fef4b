"""A network together with what belongs to it: its own preprocessing, its labels, where it came from."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from heatproof.errors import ModelError, TargetError, nearest
from heatproof.inputs.prepare import Preprocess, adopt
from heatproof.inputs.probe import Adopted
from heatproof.types import Geometry, Input, Prepared

_RGB = 3
Labels = Sequence[str] | Mapping[int, str] | Mapping[str, str]


@dataclass(frozen=True, eq=False, init=False)
class Model:
    """A network with its own preprocessing and labels.

    Attributes:
        net: the network, as it is; it is never changed.
        preprocess: turns an `Input` into what the network was trained on; None when inputs go in as they are.
        labels: name of every class, by index; None when nobody said.
        name: what reports call it.
        source: the spec it was loaded from, if any.

    Raises:
        ModelError: `net` cannot be run as it is (not a module, lazy, on the meta device, TorchScript), or `labels` is
            not a sequence of names or a mapping from index to name.
    """

    net: nn.Module
    preprocess: Preprocess | Callable[[Any], Any] | None
    labels: tuple[str, ...] | None
    name: str
    source: str | None

    # Written by hand, because labels may be given as a list or a mapping but are always kept as a tuple.
    def __init__(
        self,
        net: nn.Module,
        preprocess: Preprocess | Callable[[Any], Any] | None = None,
        labels: Labels | None = None,
        name: str = "model",
        source: str | None = None,
    ) -> None:
        _refuse_unusable(net)
        _refuse_uncallable(preprocess)
        # adopted once, because an opaque function's geometry is measured once per input size and remembered
        prepare = preprocess
        if prepare is not None and not isinstance(prepare, Preprocess | Adopted):
            prepare = adopt(prepare)
        object.__setattr__(self, "_prepare", prepare)
        object.__setattr__(self, "net", net)
        object.__setattr__(self, "preprocess", preprocess)
        object.__setattr__(self, "labels", None if labels is None else as_labels(labels))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "source", source)

    def prepare(self, input: Input) -> Prepared:
        """Return `input` as the network gets it, with the way back to the original.

        A gray picture becomes one of three equal channels where the network's first convolution takes three.

        Raises:
            InputError: the preprocessing does not fit this input.
        """
        prepare: Callable[[Input], Prepared] | None = self.__dict__["_prepare"]
        found = Prepared(input.data, Geometry.identity(input.size), input) if prepare is None else prepare(input)
        if not input.picture or len(found.tensor) != 1 or _first_channels(self.net) != _RGB:
            return found
        return replace(found, tensor=found.tensor.expand(_RGB, *found.tensor.shape[1:]))

    def label(self, index: int) -> str:
        """Return the name of a class, or "class 7" where the model has no labels.

        Raises:
            TargetError: the model has labels, and none with this index.
        """
        if self.labels is None:
            return f"class {index}"
        if not 0 <= index < len(self.labels):
            raise TargetError(
                f"class index {index} does not exist: {self.name} has {len(self.labels)} labels, "
                f"0 ({self.labels[0]!r}) to {len(self.labels) - 1} ({self.labels[-1]!r})."
            )
        return self.labels[index]

    def index(self, label: str) -> int:
        """Return the index of a label: spelled exactly, or in other case, or as one part between its commas.

        "tabby, tabby cat" is found by "tabby cat" too, if no other label has that part.

        Raises:
            TargetError: no label, or more than one, answers to this name.
        """
        if self.labels is None:
            raise TargetError(
                f"{self.name} has no labels, so {label!r} cannot be found; give the class index or pass labels=."
            )
        wanted = label.strip().casefold()
        parts = [[part.strip().casefold() for part in name.split(",")] for name in self.labels]
        for found in (
            [i for i, name in enumerate(self.labels) if name == label],
            [i for i, name in enumerate(self.labels) if name.strip().casefold() == wanted],
            [i for i, names in enumerate(parts) if wanted in names],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                which = ", ".join(f"{i} ({self.labels[i]!r})" for i in found[:10])
                raise TargetError(f"label {label!r} is not unique: it names classes {which}; give the index.")
        known = {part.strip() for name in self.labels for part in (name, *name.split(","))}
        hint = nearest(label, known) or nearest(wanted, known) or "."
        raise TargetError(f"label {label!r} does not exist among the {len(self.labels)} labels of {self.name}{hint}")

    def weights_sha256(self) -> str:
        """Return the SHA-256 of all parameters and buffers (name, dtype, shape, bytes), in the order of their names.

        Computed anew at each call, because weights can be trained on; 100 MB take about 0.1 s.
        """
        digest = hashlib.sha256()
        named = dict(self.net.named_parameters(remove_duplicate=False))
        named |= dict(self.net.named_buffers(remove_duplicate=False))
        for name in sorted(named):
            value = named[name].detach()
            digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
            digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def _first_channels(net: nn.Module) -> int | None:
    """Return how many channels the first convolution takes; None where there is none."""
    return next((one.in_channels for one in net.modules() if isinstance(one, nn.Conv1d | nn.Conv2d | nn.Conv3d)), None)


def as_model(model: Any) -> Model:
    """Return a `Model` itself, or a bare `torch.nn.Module` as a `Model` without preprocessing and labels.

    Raises:
        ModelError: it is neither, or cannot be run as it is.
    """
    # typed Any, because the sentences for what it is not are worth more than the type checker's
    if isinstance(model, Model):
        return model
    _refuse_unusable(model)
    return Model(model, name=type(model).__name__)


def as_labels(labels: Any) -> tuple[str, ...]:
    """Return labels as a tuple by index; what a mapping leaves out is called "class 7".

    Raises:
        ModelError: they are no sequence of names, or a mapping's keys are no class indices.
    """
    names: list[Any]
    if isinstance(labels, Mapping):
        by_index: dict[int, Any] = {}
        for key, name in cast(Mapping[Any, Any], labels).items():
            if isinstance(key, bool) or not str(key).strip().isdecimal():
                raise ModelError(f"labels: the key {key!r} (of {name!r}) is no class index; map 0, 1, 2, ... to names.")
            if int(key) in by_index:
                raise ModelError(f"labels: class {int(key)} is named twice, {by_index[int(key)]!r} and {name!r}.")
            by_index[int(key)] = name
        highest = max(by_index, default=-1)
        if highest >= 10 * len(by_index) + 1000:
            raise ModelError(f"labels: {len(by_index)} names, but the highest index is {highest}; are these indices?")
        names = [by_index.get(i, f"class {i}") for i in range(highest + 1)]
    elif isinstance(labels, str | bytes) or not isinstance(labels, Iterable):
        raise ModelError(f"labels must be a list of names, but are {labels!r:.200}; write [{labels!r:.50}].")
    else:
        names = [*cast(Iterable[Any], labels)]
    if not names:
        raise ModelError("labels are empty; give one name for each class, or None.")
    for i, name in enumerate(names):
        if not isinstance(name, str):
            raise ModelError(f"labels: class {i} is called {name!r}, a {type(name).__name__}; names must be text.")
    return tuple(names)


def _refuse_uncallable(preprocess: object) -> None:
    if preprocess is not None and not callable(preprocess):
        raise ModelError(
            f"preprocess must be a Preprocess or a function, but is {preprocess!r:.200}; "
            "for a dict of its fields write Preprocess(**fields)."
        )


def _refuse_unusable(net: object) -> None:
    """Raise the sentence for what cannot be explained as it is."""
    if isinstance(net, Model):
        raise ModelError(f"{net.name} is a heatproof Model already; use it as it is, or wrap its .net.")
    if isinstance(net, Mapping):
        raise ModelError(
            f"a dict with {len(net)} entries was given where a network was expected; if it is a state dict, "
            "build the network and call net.load_state_dict(...), or load('file:PATH', arch='timm:NAME')."
        )
    if isinstance(net, type):
        raise ModelError(f"{net.__name__} is a class, not a network; call it first: {net.__name__}(...).")
    if isinstance(net, str):
        raise ModelError(f"{net!r} is a text, not a network; use heatproof.load({net!r}).")
    if not isinstance(net, nn.Module):
        raise ModelError(f"a torch.nn.Module was expected, but got {type(net).__name__}: {net!r:.200}.")
    if isinstance(net, torch.jit.ScriptModule):
        raise ModelError(
            f"{type(net).__name__} is TorchScript: its layers run inside the interpreter, where activations cannot be "
            "read; give the Python network that was scripted, or export it anew with torch.export (.pt2)."
        )
    for name, value in (*net.named_parameters(), *net.named_buffers()):
        if is_lazy(value):
            raise ModelError(
                f"{type(net).__name__} has lazy layers (parameter {name!r} has no shape yet); "
                "run it once on one input before explaining it."
            )
        if value.is_meta:
            raise ModelError(
                f"{type(net).__name__} has no weights: {name!r} of shape {tuple(value.shape)} is on the meta device; "
                "materialize it (net.to_empty(device='cpu')) and load its weights first."
            )
