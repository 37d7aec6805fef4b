"""From a spec ("timm:resnet50") to a `Model`, ready to explain."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from heatproof.errors import ModelError
from heatproof.inputs.prepare import Preprocess
from heatproof.models.model import Labels, Model
from heatproof.models.sources._dispatch import dispatch
from heatproof.models.sources._given import read_labels, read_preprocess
from heatproof.models.sources._options import LoadOptions, first_line


def load(
    spec: str | Path,
    *,
    arch: str | None = None,
    labels: Labels | str | Path | None = None,
    preprocess: Preprocess | Callable[[Any], Any] | Mapping[str, Any] | str | Path | None = None,
    in_chans: int | None = None,
    num_classes: int | None = None,
    device: str | torch.device | None = None,
    pretrained: bool = True,
) -> Model:
    """Load a model with its own preprocessing and labels, in eval mode.

    Args:
        spec: "timm:NAME", "torchvision:NAME[@WEIGHTS]", "hf:REPO", "file:PATH", "python:package.module:factory" or
            "bundled:NAME"; the path of an existing file is read as "file:PATH".
        arch: with "file:", the spec of the network that the weights belong to.
        labels: list, {index: name}, or the path of a .json with either or of a .txt with one name a line.
        preprocess: a `Preprocess`, a dict of its fields, the path of a .json with them, or any function.
        in_chans: number of input channels to build; read off the weights with "file:".
        num_classes: number of outputs to build; read off the weights with "file:".
        device: where to put the network.
        pretrained: False builds the network with random weights.

    Raises:
        ModelError: the model cannot be loaded; the sentence says why and what to do.
        MissingExtraError: the source needs a package that is not installed.
    """
    spec = str(spec)
    if ":" not in spec.removeprefix(Path(spec).drive) and Path(spec).expanduser().is_file():
        spec = f"file:{spec}"
    for name, value in (("in_chans", in_chans), ("num_classes", num_classes)):
        if value is not None and value < 1:
            raise ModelError(f"{name}={value} must be 1 or more.")
    options = LoadOptions(arch, read_labels(labels), read_preprocess(preprocess), in_chans, num_classes, pretrained)
    model = dispatch(spec, options)
    net = model.net.eval()
    if device is not None:
        try:
            net = net.to(device)
        # torch's errors for a device that it does not know, or that this machine or build lacks
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"device={str(device)!r}: the model cannot be put there ({first_line(error)}); choose one that "
                "'heatproof doctor' lists."
            ) from error
    return Model(net, model.preprocess, model.labels, model.name, source=spec)
