"""Networks whose weights come with the package: `bundled:NAME`, made by the scripts in training/."""

import json
from importlib.resources import files
from typing import Any

from heatproof.errors import ModelError
from heatproof.models.model import Model
from heatproof.models.sources._given import read_preprocess
from heatproof.models.sources._options import LoadOptions, building
from heatproof.models.sources.python import find

NAME = "bundled"
TIER = "core"


def load(rest: str, options: LoadOptions) -> Model:
    """Build the network that a card names and load the weights beside it.

    Raises:
        ModelError: there are no such weights in the package.
    """
    folder = files("heatproof") / "weights"
    names = sorted(item.name.removesuffix(".json") for item in folder.iterdir() if item.name.endswith(".json"))
    if rest not in names:
        raise ModelError(f"there is no bundled model {rest!r}; the package holds {', '.join(names) or 'none'}.")
    card: dict[str, Any] = json.loads((folder / f"{rest}.json").read_text(encoding="utf-8"))
    if options.in_chans is not None or options.num_classes is not None:
        raise ModelError(f"bundled:{rest} has a fixed number of channels and classes; leave out in_chans, num_classes.")
    with building(f"bundled:{rest}", "reinstall heatproof."):
        net = find(card["factory"])(**card.get("kwargs", {}))
    if options.pretrained:
        weights = folder / f"{rest}.safetensors"
        if not weights.is_file():
            raise ModelError(f"bundled:{rest}: the weights are missing from the installation; reinstall heatproof.")
        from safetensors.torch import load as read

        net.load_state_dict(read(weights.read_bytes()))
    preprocess = options.preprocess if options.preprocess is not None else read_preprocess(card.get("preprocess"))
    return Model(net, preprocess, options.labels or card.get("labels"), name=rest)
