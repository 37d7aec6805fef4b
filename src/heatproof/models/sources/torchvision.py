"""torchvision models: `torchvision:NAME` with its default weights, or `torchvision:NAME@WEIGHTS`.

WEIGHTS is an entry ("IMAGENET1K_V2"), "DEFAULT", "none" (random), or a local file or folder of weights.
Preprocessing and labels are read from the entry; without one there is neither. Needs the extra `vision`.
"""

import inspect
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from heatproof.errors import HeatproofWarning, MissingExtraError, ModelError, nearest
from heatproof.inputs.prepare import Preprocess, adopt
from heatproof.models.model import Model
from heatproof.models.sources._hub import site
from heatproof.models.sources._options import LoadOptions, building, keep_trained, take_channels
from heatproof.models.sources.file import load_checkpoint

NAME = "torchvision"
TIER = "core"


def load(rest: str, options: LoadOptions) -> Model:
    """Load a torchvision model.

    Raises:
        MissingExtraError: torchvision is not installed.
        ModelError: there is no such model or weights entry, or its weights cannot be had.

    Warns:
        HeatproofWarning: without a weights entry nothing says what preprocessing the network wants.
    """
    try:
        from torchvision import models
    except ImportError as error:
        raise MissingExtraError("torchvision", "vision") from error
    name, _, which = rest.partition("@")
    if name not in models.list_models():
        raise ModelError(f"torchvision has no model {name!r}{nearest(name, models.list_models()) or '.'}")
    keep_trained(f"torchvision:{rest}", replace(options, pretrained=options.pretrained and which.lower() != "none"))
    if which and Path(which).expanduser().exists():
        return _from_file(name, Path(which).expanduser(), options)
    weights = _entry(name, which) if options.pretrained else None
    kwargs: dict[str, Any] = {} if options.num_classes is None else {"num_classes": options.num_classes}
    if weights is None and "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters:
        kwargs["weights_backbone"] = None  # detection and segmentation builders download a backbone otherwise
    url = getattr(weights, "url", "its URL")
    by_hand = f"download {url} elsewhere and load 'torchvision:{name}@PATH', PATH being the file."
    with building(f"torchvision:{rest}", by_hand), site(getattr(weights, "url", None)), warnings.catch_warnings():
        # inception_v3 and googlenet warn that their own weight initialization will change
        warnings.filterwarnings("ignore", message=".*default weight initialization.*", category=FutureWarning)
        net = take_channels(models.get_model(name, weights=weights, **kwargs), options.in_chans)
    if weights is None:
        if options.preprocess is None:
            warnings.warn(
                f"torchvision:{rest} is built without published weights, so nothing says what preprocessing it wants, "
                "and inputs go in as they are; pass preprocess=.",
                HeatproofWarning,
                stacklevel=2,
            )
        return Model(net, options.preprocess, options.labels, name=name)
    preprocess = options.preprocess if options.preprocess is not None else _preprocess(weights.transforms())
    labels = options.labels or weights.meta.get("categories")
    return Model(net, preprocess, labels, name=f"{name}@{weights.name}")


def _entry(name: str, which: str) -> Any:
    """Return the weights entry of a model; None for "none".

    Raises:
        ModelError: the model has no such entry.
    """
    from torchvision.models import get_model_weights

    if which.lower() == "none":
        return None
    entries = {entry.name: entry for entry in get_model_weights(name)}
    if not which or which == "DEFAULT":
        default: Any = getattr(get_model_weights(name), "DEFAULT", None)
        if default is None:
            raise ModelError(f"torchvision has no weights for {name!r}; write 'torchvision:{name}@none', or @PATH.")
        return default
    if which not in entries:
        raise ModelError(
            f"torchvision:{name} has no weights {which!r}, and there is no such file; "
            f"it has {', '.join(map(repr, entries)) or 'none'}, or write 'none'."
        )
    return entries[which]


def _from_file(name: str, path: Path, options: LoadOptions) -> Model:
    """Load weights from a file or the one file in a folder; a published file's preset and labels are known by its name.

    Raises:
        ModelError: the folder holds no or several weight files, or they do not fit.
    """
    from torchvision.models import get_model_weights

    published = {Path(entry.url).name: entry for entry in get_model_weights(name)}
    if path.is_dir():
        found = [p for p in sorted(path.iterdir()) if p.suffix in (".pth", ".pt", ".safetensors")]
        found = [p for p in found if p.name in published] or found
        if len(found) != 1:
            raise ModelError(
                f"torchvision:{name}@{path}: the folder holds {len(found)} files of weights "
                f"({', '.join(p.name for p in found[:10])}); name the file."
            )
        path = found[0]
    entry = published.get(path.name)
    if entry is not None:
        options = replace(
            options,
            preprocess=options.preprocess if options.preprocess is not None else _preprocess(entry.transforms()),
            labels=options.labels or tuple(entry.meta["categories"]),
        )
    model = load_checkpoint(path, replace(options, arch=f"torchvision:{name}"))
    if entry is not None and hasattr(model.net, "transform_input"):
        net: Any = model.net
        net.transform_input = True  # inception_v3 and googlenet: published weights expect Inception's own scale
    return model


def _preprocess(preset: Any) -> Any:
    """Read the fields of a weights entry's preset; a preset of another kind is used as it is."""
    from torchvision.transforms import _presets as presets  # the only place where their classes are named

    if isinstance(preset, presets.ObjectDetection):
        return Preprocess()
    if not isinstance(preset, presets.ImageClassification | presets.SemanticSegmentation):
        return adopt(preset)
    crop = tuple(getattr(preset, "crop_size", ()))
    resize = tuple(preset.resize_size) if preset.resize_size is not None else ()
    return Preprocess(
        resize=(resize[0] if len(resize) == 1 else resize) or None,
        crop=(crop * 2 if len(crop) == 1 else crop) or None,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    )
