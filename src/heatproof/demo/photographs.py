"""scikit-image's photographs, explained with an ImageNet network if its weights can be had."""

import hashlib
import json
import os
import time
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import numpy as np
from jaxtyping import UInt8

from heatproof.errors import HeatproofError
from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model, load

CREDITS = {
    "chelsea": "Chelsea the cat: Stefan van der Walt, CC0",
    "coffee": "Coffee cup: Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0",
    "rocket": "Launch of DSCOVR: SpaceX, public domain",
}
_CONNECT, _DOWNLOAD = 3.0, 20.0  # seconds: a demonstration must not wait for a network that is not there


@dataclass(frozen=True)
class NoWeights:
    """Why no ImageNet network could be had, as one sentence."""

    reason: str


def photograph(name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return one of scikit-image's own photographs; they lie in its wheel."""
    from skimage import data

    return getattr(data, name)()


def imagenet_model(offline: bool) -> Model | NoWeights:
    """Return a MobileNetV2: from the folder of real data, else from torchvision's cache, else from its site.

    Args:
        offline: do not try to download.
    """
    if find_spec("torchvision") is None:
        return NoWeights("torchvision is not installed; pip install 'heatproof[vision]' brings it.")
    try:
        folder = os.environ.get("HEATPROOF_DATA")
        if folder and (local := Path(folder, "weights", "mobilenet_v2.safetensors")).is_file():
            return _from_data(local)
        missing = _fetch(offline)
        return missing or load("torchvision:mobilenet_v2")
    except HeatproofError as error:
        return NoWeights(f"its weights could not be loaded: {error}")


def _from_data(weights: Path) -> Model:
    names = json.loads(weights.with_name("imagenet_labels.json").read_text(encoding="utf-8"))
    # these weights were converted from a network with this preprocessing, not with torchvision's
    settings = Preprocess(resize=257, crop=(225, 225), mean=(0.5,) * 3, std=(0.5,) * 3)
    return load(f"file:{weights}", arch="torchvision:mobilenet_v2", labels=names, preprocess=settings)


def _fetch(offline: bool) -> NoWeights | None:
    """Put torchvision's default weights into its cache, or say why they are not there."""
    import torch
    from torchvision.models import MobileNet_V2_Weights

    url = str(MobileNet_V2_Weights.DEFAULT.url)
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
    if cached.is_file():
        return None
    if offline:
        return NoWeights(f"{cached.name} is not in {cached.parent}, and --offline forbids to download it.")
    partial = cached.with_suffix(f".{os.getpid()}.part")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + _DOWNLOAD
        digest = hashlib.sha256()
        asked = urllib.request.urlopen(url, timeout=_CONNECT)  # noqa: S310  the address is torchvision's own constant
        with asked as source, partial.open("wb") as sink:
            while chunk := source.read(1 << 18):
                sink.write(chunk)
                digest.update(chunk)
                if time.monotonic() > end:
                    raise TimeoutError(f"more than {_DOWNLOAD:.0f} s")
        # torch's file names end in the first digits of the content's hash
        if not digest.hexdigest().startswith(cached.stem.rpartition("-")[2]):
            raise OSError("what arrived is not what the file's name promises")
        partial.replace(cached)
    except (URLError, OSError) as error:  # no network, no such file, no room, too slow: all leave us without weights
        return NoWeights(f"{cached.name} is not in {cached.parent} and could not be downloaded ({error}).")
    finally:
        partial.unlink(missing_ok=True)
    return None
