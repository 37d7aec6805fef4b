"""Arguments and options that several commands share, and the model that they name."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.errors import UsageError

if TYPE_CHECKING:
    from heatproof.models import Model

ModelSpec = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="timm:NAME, torchvision:NAME[@WEIGHTS], hf:REPO, file:PATH, python:MODULE:FACTORY or bundled:NAME.",
    ),
]
Arch = Annotated[str | None, typer.Option(help="Architecture of a file:PATH checkpoint, such as timm:resnet50.")]
Labels = Annotated[
    Path | None, typer.Option(help="File with the class names: one a line, or JSON (a list, or index to name).")
]
Preprocess = Annotated[
    Path | None, typer.Option(help="JSON file with the preprocessing: resize, crop, mean, std, interpolation.")
]
InChans = Annotated[int | None, typer.Option(help="Number of input channels, where it cannot be read off the weights.")]
Device = Annotated[str, typer.Option(help="Where to run: auto, cpu, cuda, cuda:1, mps.")]
BatchSize = Annotated[str, typer.Option(help="Inputs in one forward: auto, or a number.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on standard output.")]


def load_model(
    spec: str, arch: str | None, labels: Path | None, preprocess: Path | None, in_chans: int | None, device: str
) -> "Model":
    """Load the model that the command line names, on the device that it names.

    Raises:
        UsageError: there is no such device.
        ModelError: as `heatproof.load`.
    """
    import heatproof

    given: dict[str, Any] = {"arch": arch, "labels": labels, "preprocess": preprocess, "in_chans": in_chans}
    chosen = {name: value for name, value in given.items() if value is not None}
    return heatproof.load(spec, device=find_device(device), **chosen)


def find_device(name: str) -> str:
    """Return the device's name as torch spells it; "auto" is a GPU where there is one.

    Raises:
        UsageError: there is no such device on this machine.
    """
    import torch

    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    there += ["mps"] if torch.backends.mps.is_available() else []
    if name == "auto":
        return there[1] if len(there) > 1 else "cpu"
    if name not in there and not (name == "cuda" and "cuda:0" in there):
        raise UsageError(f"there is no device {name!r} here; use one of auto, {', '.join(there)}.")
    return name


def batch_limit(text: str) -> int | None:
    """Return the number that --batch-size names, or None for "auto".

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--batch-size is {text!r}; give auto, or a number of at least 1.")
    return int(text)


def settings_of(given: list[str]) -> dict[str, Any]:
    """Return the settings that NAME=VALUE arguments name; a value is read as JSON where it is JSON, else as text.

    Raises:
        UsageError: an argument has no name or no value.
    """
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name.isidentifier() and equals and value):
            raise UsageError(f"--setting is {one!r}; write NAME=VALUE, such as centered=true.")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


_NEVER = {"model": "the model is the first argument", "differentiable": "it is for training, in Python"}


def method_settings(given: list[str], options: Collection[str]) -> dict[str, Any]:
    """Return the method's settings that NAME=VALUE arguments name.

    Args:
        given: the arguments.
        options: names that the command has options for.

    Raises:
        UsageError: as for `settings_of`, or one is no setting of a method but an option of its own.
    """
    found = settings_of(given)
    instead = _NEVER | {name: f"pass --{name.replace('_', '-')}" for name in options}
    for name in found:
        if name in instead:
            raise UsageError(f"--setting {name}=...: this is no setting of a method; {instead[name]}.")
    return found
