"""PyTorch image models: `timm:NAME`, `timm:hf-hub:REPO`, or `timm:FOLDER` with a config.json and weights.

Preprocessing and labels are read from the model's pretrained configuration. Needs the extra `vision`.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from heatproof.errors import MissingExtraError, ModelError, nearest
from heatproof.inputs.prepare import Preprocess, adopt
from heatproof.models.model import Model
from heatproof.models.sources._hub import hub, site
from heatproof.models.sources._options import LoadOptions, building, for_channels, keep_trained

NAME = "timm"
ALIASES = ("pytorch-image-models",)
TIER = "core"


def load(rest: str, options: LoadOptions) -> Model:
    """Load a timm model.

    Raises:
        MissingExtraError: timm is not installed.
        ModelError: there is no such model, or its weights cannot be had.
    """
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", "vision") from error
    name = _name(rest)
    if options.num_classes is not None:  # in_chans is fine: timm sums or repeats the trained first convolution
        keep_trained(f"timm:{rest}", options)
    wanted = {"in_chans": options.in_chans, "num_classes": options.num_classes}
    kwargs: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
    by_hand = (
        f"put model.safetensors and config.json of timm/{rest} into a folder and load 'timm:FOLDER', "
        f"or load('file:WEIGHTS', arch='timm:{rest}')."
    )
    with building(f"timm:{rest}", by_hand), _reachable(name) if options.pretrained else nullcontext():
        net = timm.create_model(name, pretrained=options.pretrained, **kwargs)
    preprocess = options.preprocess
    if preprocess is None:
        preprocess = _preprocess(net, options.in_chans, f"timm:{rest}")
    labels = options.labels
    if labels is None and options.pretrained:
        labels = _labels(net)
    return Model(net, preprocess, labels, name=Path(rest).name)


def _reachable(name: str) -> AbstractContextManager[None]:
    """Return what makes sure that the weights of a model can be had at all, before timm tries for long."""
    import timm

    if name.startswith("local-dir:"):
        return nullcontext()
    if name.startswith(("hf-hub:", "hf_hub:")):
        return hub(name.partition(":")[2].partition("@")[0], ["config.json"])
    config: Any = timm.get_pretrained_cfg(name)
    if getattr(config, "hf_hub_id", None):
        return hub(config.hf_hub_id, [config.hf_hub_filename or "model.safetensors", "pytorch_model.bin"])
    return site(getattr(config, "url", None) or None)


def _name(rest: str) -> str:
    """Return what timm calls it; a folder gets timm's own prefix."""
    import timm

    folder = Path(rest).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"timm:{rest}: the folder holds no config.json, which says the architecture; "
                f"add it, or load('file:{rest}/WEIGHTS', arch='timm:NAME')."
            )
        return f"local-dir:{folder}"
    if ":" in rest:
        return rest
    architecture, _, tag = rest.partition(".")
    if not timm.is_model(architecture):
        raise ModelError(f"timm has no model {architecture!r}{nearest(architecture, timm.list_models()) or '.'}")
    tags = [name.partition(".")[2] for name in timm.list_pretrained(architecture)]
    if tag and tag not in tags:
        raise ModelError(f"timm:{architecture} has no weights {tag!r}; it has {', '.join(map(repr, tags)) or 'none'}.")
    return rest


def _preprocess(net: nn.Module, channels: int | None, what: str) -> Any:
    """Read the evaluation preprocessing from a model's configuration."""
    from timm.data.config import resolve_model_data_config
    from timm.data.transforms_factory import create_transform

    config = resolve_model_data_config(net)
    size = tuple(config["input_size"][1:])
    scaled = tuple(math.floor(side / config["crop_pct"]) for side in size)
    mode = config["crop_mode"]
    interpolation = "bilinear" if config["interpolation"] == "random" else config["interpolation"]
    if mode != "squash" and len(set(scaled)) > 1:
        # an aspect-preserving resize to cover a rectangle depends on the picture; its geometry is measured instead
        transform: Any = create_transform(**config)
        return adopt(transform, channels=3)
    found = Preprocess(
        resize=scaled if mode == "squash" else scaled[0],
        crop=size,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=interpolation,
        fit="longer" if mode == "border" else "shorter",
    )
    return for_channels(found, channels, what)


def _labels(net: nn.Module) -> tuple[str, ...] | None:
    """Return the label names that the configuration gives or that its data set is known by."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    config: dict[str, Any] = dict(getattr(net, "pretrained_cfg", {}))
    classes = getattr(net, "num_classes", None)
    names = config.get("label_names")
    if names:
        described = config.get("label_descriptions") or {}
        return tuple(str(described.get(name, name)) for name in names)
    if config.get("num_classes") != classes:
        return None
    subset = infer_imagenet_subset(config)
    if subset is None:
        return None
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(i) for i in range(info.num_classes()))
