"""Fitting the names and shapes of a checkpoint's weights to those of a network."""

import re
from collections import Counter
from collections.abc import Mapping

from torch import Tensor

from heatproof.errors import ModelError

# What training code registers beside the network: losses, metrics, the counter of torch's AveragedModel.
_BESIDE = re.compile(r"(n_averaged$|(criterion|loss|.*_loss|loss_\w+|metrics?|\w+_metrics?)(\.|$))")
_COUNTER = "num_batches_tracked"  # of BatchNorm; torch before 0.4.1 did not save it, and nothing depends on it
_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")  # torchvision's published DenseNets


def match(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Return weights under the network's own names, without what wrappers put before them.

    torch.compile's "_orig_mod." goes wherever it stands. A prefix ("module.", "model.", "net.module.", ...) goes if the
    network's names are found behind it, and every other name belongs to a loss or a metric.

    Raises:
        ModelError: the network is found under more than one prefix.
    """
    found = {key.replace("_orig_mod.", ""): value for key, value in weights.items()}
    if any(_DENSE_LAYER.search(key) and key not in wanted for key in found):
        found = {_DENSE_LAYER.sub(r"\1\2.", key): value for key, value in found.items()}
    needed = {key for key in wanted if not key.endswith(_COUNTER)}
    hits = Counter(prefix for key in found for prefix in _prefixes(key) if key.removeprefix(prefix) in needed)
    complete = sorted(prefix for prefix, count in hits.items() if count == len(needed))
    if len(complete) > 1:
        raise ModelError(
            f"{what} holds this network {len(complete)} times, under {', '.join(map(repr, complete))}; "
            "save the one that is meant by itself."
        )
    # where none is complete, the fullest one makes the list of differences worth reading
    prefix = complete[0] if complete else max(hits, key=hits.__getitem__, default="")
    return {
        key.removeprefix(prefix) if key.startswith(prefix) else key: value
        for key, value in found.items()
        if key.removeprefix(prefix) in wanted or not _beside(key)
    }


def _prefixes(key: str) -> list[str]:
    """Return "", "a.", "a.b." for "a.b.c"."""
    return [key[:i] for i in range(len(key)) if i == 0 or key[i - 1] == "."]


def _beside(key: str) -> bool:
    return _BESIDE.match(key) is not None


def sizes(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[int | None, int | None]:
    """Return how many classes and input channels the weights have where they differ from the network's, else None.

    Classes are read off the last linear or convolutional weight whose first axis differs, channels off the first
    convolution, if its second axis differs.
    """
    classes = channels = None
    differing = [k for k, v in wanted.items() if v.ndim >= 2 and k in weights and weights[k].shape != v.shape]
    for key in differing:
        ours, theirs = wanted[key].shape, weights[key].shape
        if len(ours) == len(theirs) and ours[1:] == theirs[1:]:
            classes = theirs[0]
    first = next((key for key, value in wanted.items() if value.ndim >= 3), None)
    if first in differing:
        ours, theirs = wanted[first].shape, weights[first].shape
        if len(ours) == len(theirs) and ours[0] == theirs[0] and ours[2:] == theirs[2:]:
            channels = theirs[1]
    return classes, channels


def differences(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Return what is missing, unexpected or of another shape, the first ten of each and how many; "" if nothing is."""
    missing = [k for k in wanted if k not in weights and not k.endswith(_COUNTER)]
    unexpected = [k for k in weights if k not in wanted]
    shapes = [
        f"{k} is {tuple(weights[k].shape)}, not {tuple(v.shape)}"
        for k, v in wanted.items()
        if k in weights and weights[k].shape != v.shape
    ]
    parts = [
        f"{len(keys)} {what} ({', '.join(keys[:10])}{', ...' if len(keys) > 10 else ''})"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if keys
    ]
    return "; ".join(parts)
