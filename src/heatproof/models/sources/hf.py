"""Image classifiers of Hugging Face transformers: `hf:REPO`, or `hf:FOLDER` written by save_pretrained.

Preprocessing is read from the image processor's configuration and labels from the model's. Code from a repository is
never run. Needs the extra `vision`.
"""

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from heatproof.errors import HeatproofWarning, MissingExtraError, ModelError
from heatproof.inputs.prepare import Preprocess, adopt
from heatproof.inputs.probe import to_picture
from heatproof.models.model import Model
from heatproof.models.sources._hub import hub
from heatproof.models.sources._options import LoadOptions, building, keep_trained

NAME = "Hugging Face transformers"
ALIASES = ("transformers", "huggingface")
TIER = "core"

_RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box")  # Pillow's numbers, which the configurations hold


def load(rest: str, options: LoadOptions) -> Model:
    """Load an image classifier with its processor.

    Raises:
        MissingExtraError: transformers is not installed.
        ModelError: the repository or folder cannot be had, needs its own code, or holds no trained classifier.

    Warns:
        HeatproofWarning: it comes without an image processor.
    """
    try:
        from transformers import AutoConfig, AutoModelForImageClassification
    except ImportError as error:
        raise MissingExtraError("transformers", "vision") from error
    keep_trained(f"hf:{rest}", options)
    place = str(Path(rest).expanduser()) if Path(rest).expanduser().is_dir() else rest
    by_hand = (
        "download config.json, preprocessor_config.json and model.safetensors of the repository into a folder "
        "and load 'hf:FOLDER'."
    )
    asked = {"num_labels": options.num_classes, "num_channels": options.in_chans}
    kwargs: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    local = Path(place).is_dir()
    with building(f"hf:{rest}", by_hand), nullcontext() if local else hub(rest, ["config.json"]):
        if options.pretrained:
            net, info = AutoModelForImageClassification.from_pretrained(
                place, trust_remote_code=False, output_loading_info=True
            )
            untrained = sorted({*info["missing_keys"], *(str(key) for key in info["mismatched_keys"])})
            if untrained:
                raise ModelError(
                    f"hf:{rest} is no trained classifier: its weights lack {', '.join(untrained[:10])} "
                    f"({len(untrained)} in all), which would be random; choose a checkpoint trained to classify."
                )
        else:
            config = AutoConfig.from_pretrained(place, trust_remote_code=False, **kwargs)
            net = AutoModelForImageClassification.from_config(config, trust_remote_code=False)
        preprocess = options.preprocess if options.preprocess is not None else _preprocess(place, rest)
    net = net.float()
    labels = options.labels
    if labels is None and options.pretrained:
        names = {int(index): str(name) for index, name in net.config.id2label.items()}
        # transformers calls classes LABEL_0, LABEL_1, ... where nobody named them
        named = any(name != f"LABEL_{index}" for index, name in names.items())
        labels = tuple(names[i] for i in sorted(names)) if named else None
    return Model(net, preprocess, labels, name=Path(rest).name)


def _preprocess(place: str, rest: str) -> Any:
    """Read the image processor's configuration; where it says more than `Preprocess` can, use the processor itself."""
    from transformers import AutoImageProcessor

    try:
        processor: Any = AutoImageProcessor.from_pretrained(place, trust_remote_code=False)
    # OSError: there is no configuration of a processor; ValueError: it names none that is known
    except (OSError, ValueError) as error:
        warnings.warn(
            f"hf:{rest} comes without a usable image processor ({type(error).__name__}), so inputs go in as they are; "
            "pass preprocess=.",
            HeatproofWarning,
            stacklevel=3,
        )
        return None
    read = _read(processor.to_dict())
    if read is not None and _agrees(read, processor):
        return read

    def whole(image: Any) -> Any:
        return processor(image, return_tensors="pt")

    return adopt(whole, channels=3)


def _read(config: dict[str, Any]) -> Preprocess | None:
    """Return what the usual fields of a configuration say; None where they say what cannot be expressed."""
    resize: Any = None
    crop: Any = None
    if config.get("do_resize"):
        size = config.get("size") or {}
        resize = size.get("shortest_edge") or (size.get("height"), size.get("width"))
        if resize == (None, None) or "longest_edge" in size:
            return None
    if config.get("do_center_crop"):
        size = config.get("crop_size") or {}
        crop = (size.get("height"), size.get("width"))
        if None in crop:
            return None
    resample = int(config.get("resample") or 0)
    if resample >= len(_RESAMPLE):
        return None
    normalize = bool(config.get("do_normalize"))
    factor = float(config.get("rescale_factor") or 1 / 255) * 255 if config.get("do_rescale") else 255.0
    return Preprocess(
        resize=resize,
        crop=crop,
        mean=tuple(config["image_mean"]) if normalize else None,
        std=tuple(config["image_std"]) if normalize else None,
        interpolation=_RESAMPLE[resample],
        scale=1.0 if abs(factor - 1) < 1e-6 else factor,
    )


def _agrees(read: Preprocess, processor: Any) -> bool:
    """Whether the fields tell the whole story: some processors resize or normalize in their own way under these names.

    Both are tried on one smooth picture; they may differ by the rounding of 8-bit values.
    """
    from heatproof.inputs import read as read_input

    y, x = torch.meshgrid(torch.linspace(0, 1, 301), torch.linspace(0, 1, 427), indexing="ij")
    picture = to_picture(torch.stack([x, y, 0.5 + 0.5 * torch.sin(9 * x * y)]))
    theirs = torch.as_tensor(processor(picture, return_tensors="pt")["pixel_values"][0])
    ours = read(read_input(picture)).tensor
    if ours.shape != theirs.shape:
        return False
    level = read.scale / 255 / min(read.std or (1.0,))
    return bool((ours - theirs).abs().max() <= 3 * level)
