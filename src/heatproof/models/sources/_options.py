"""What every model source is told beside the name, and what several of them need."""

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from heatproof.errors import HeatproofError, HeatproofWarning, ModelError
from heatproof.inputs.prepare import Preprocess


@dataclass(frozen=True)
class LoadOptions:
    """The user's wishes; None leaves the choice to the source.

    Attributes:
        arch: spec of the network that a bare checkpoint belongs to ("timm:resnet18").
        labels: class names by index.
        preprocess: what to do to inputs instead of what the source says.
        in_chans: input channels of the network to build.
        num_classes: outputs of the network to build.
        pretrained: False builds the network with random weights and downloads nothing.
    """

    arch: str | None = None
    labels: tuple[str, ...] | None = None
    preprocess: Preprocess | Callable[[Any], Any] | None = None
    in_chans: int | None = None
    num_classes: int | None = None
    pretrained: bool = True


@contextmanager
def building(what: str, by_hand: str) -> Generator[None]:
    """Build a network: torch's random state is put back, and foreign errors become one ModelError sentence.

    Args:
        what: what is being built, for the sentence.
        by_hand: how to get by without a network connection.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        except HeatproofError:
            raise
        # libraries raise their own errors for a failed download (URLError, HTTPError, huggingface_hub's, requests'),
        # all of which derive from OSError
        except OSError as error:
            raise ModelError(f"{what} could not be fetched ({first_line(error)}); {by_hand}") from error
        # and anything at all where a name, an option or a file does not fit
        except Exception as error:
            raise ModelError(f"{what} could not be built: {type(error).__name__}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def for_channels(preprocess: Preprocess, channels: int | None, what: str) -> Preprocess:
    """Return a published preprocessing for a network with another number of input channels.

    Mean and std are averaged over the published channels, which is a guess unless they are all equal.

    Warns:
        HeatproofWarning: it was a guess.
    """
    published = preprocess.mean if preprocess.mean is not None else preprocess.std
    if channels is None or published is None or len(published) == channels:
        return preprocess
    mean, std = (None if v is None else (sum(v) / len(v),) * channels for v in (preprocess.mean, preprocess.std))
    if any(v is not None and len(set(v)) > 1 for v in (preprocess.mean, preprocess.std)):
        warnings.warn(
            f"{what}: the published preprocessing is for {len(published)} channels, the network takes {channels}; mean "
            f"and std are averaged to {mean} and {std}. Pass preprocess= with what the network was trained on.",
            HeatproofWarning,
            stacklevel=2,
        )
    return replace(preprocess, mean=mean, std=std)


def take_channels(net: nn.Module, channels: int | None) -> nn.Module:
    """Give a freshly built network a new first convolution for `channels` input channels; return the network.

    For sources whose builders have no such option. The convolution's weights are new and random.

    Raises:
        ModelError: the network has no convolution.
    """
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            if channels is None or channels == module.in_channels:
                return net
            fields = ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
            kwargs = {field: getattr(module, field) for field in fields}
            net.set_submodule(name, type(module)(channels, bias=module.bias is not None, **kwargs))
            return net
    if channels is None:
        return net
    raise ModelError(f"{type(net).__name__} has no convolution that could be made to take {channels} channels.")


def keep_trained(what: str, options: LoadOptions) -> None:
    """Refuse to resize a trained network, which would put random weights in place of trained ones.

    Raises:
        ModelError: trained weights and another number of channels or classes are both asked for.
    """
    resized = [k for k in ("in_chans", "num_classes") if getattr(options, k) is not None]
    if options.pretrained and resized:
        raise ModelError(
            f"{what}: {' and '.join(resized)} would replace trained weights by random ones; pass pretrained=False, "
            "or load your own checkpoint with load('file:PATH', arch=...)."
        )
