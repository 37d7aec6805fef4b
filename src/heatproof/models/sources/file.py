"""Your own weights: `file:PATH` to a .safetensors, .pt, .pth or .ckpt with an architecture, or to a .pt2 program.

`arch` names the network ("timm:resnet18", "torchvision:resnet50", "python:my.module:factory"). Number of classes and of
input channels are read off the weights. No code in the file is ever run.
"""

import logging
from dataclasses import replace
from pathlib import Path

from heatproof.errors import ModelError
from heatproof.inputs.prepare import Preprocess
from heatproof.models.checkpoint import is_exported, read_weights
from heatproof.models.exported import load_exported
from heatproof.models.model import Model
from heatproof.models.sources._dispatch import dispatch
from heatproof.models.sources._options import LoadOptions
from heatproof.models.statedict import differences, match, sizes

NAME = "file"
TIER = "core"

_log = logging.getLogger(__name__)


def load(rest: str, options: LoadOptions) -> Model:
    """Load a checkpoint into its architecture, or an exported program.

    Raises:
        ModelError: the file cannot be read safely, or its weights do not fit the architecture.
    """
    path = Path(rest).expanduser()
    if not path.is_file():
        what = "is a folder; name the file in it" if path.is_dir() else "does not exist; check the path"
        raise ModelError(f"file:{rest} {what}.")
    if is_exported(path):
        return Model(load_exported(path), options.preprocess, options.labels, name=path.stem)
    return load_checkpoint(path, options)


def load_checkpoint(path: Path, options: LoadOptions) -> Model:
    """Build `options.arch` as the weights in `path` want it and load them.

    Raises:
        ModelError: no architecture was given, the file cannot be read, or its weights do not fit.
    """
    weights, taken = read_weights(path)
    if options.arch is None:
        shapes = ", ".join(f"{key} {tuple(value.shape)}" for key, value in list(weights.items())[:3])
        raise ModelError(
            f"{path.name} holds weights only ({len(weights)} tensors: {shapes}, ...); say which network they belong "
            "to with arch='timm:NAME', 'torchvision:NAME' or 'python:package.module:factory'."
        )
    arch, options = options.arch, replace(options, pretrained=False)
    # The first network only tells names and shapes; what it would warn of is said once, by the second.
    quiet = replace(options, preprocess=options.preprocess if options.preprocess is not None else Preprocess())
    wanted = dispatch(arch, quiet).net.state_dict()
    weights = match(weights, wanted, path.name)
    classes, channels = sizes(weights, wanted)
    model = dispatch(
        arch,
        replace(options, num_classes=options.num_classes or classes, in_chans=options.in_chans or channels),
    )
    problem = differences(weights, model.net.state_dict())
    if problem:
        raise ModelError(f"{path.name} does not fit {arch}: {problem}. Name the architecture it was saved from.")
    if options.labels is not None and classes is not None and len(options.labels) != classes:
        raise ModelError(f"{path.name} has {classes} classes, but {len(options.labels)} labels were given.")
    model.net.load_state_dict(weights, strict=False)  # complete but for BatchNorm's counters, see `differences`
    if taken:
        _log.info("%s: took the weights under %r", path.name, taken)
    name = f"{path.stem} [{taken}]" if taken else path.stem
    return Model(model.net, model.preprocess, options.labels or model.labels, name=name)
