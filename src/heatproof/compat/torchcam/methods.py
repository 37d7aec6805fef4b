"""torchcam's extractors: `extractor = GradCAM(model, "layer4"); out = model(x); maps = extractor(281, out)`."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.cam import methods
from heatproof.compat._names import class_named
from heatproof.compat.torchcam._extractor import Extractor, Layers, Targets
from heatproof.compat.torchcam._wrappers import FinerCAM, RefineCAM
from heatproof.errors import LayerError, MethodError, TargetError, nearest
from heatproof.models.view import unwrap
from heatproof.plugins import Plugin
from heatproof.types import Capture

__all__ = [
    "CAM",
    "ISCAM",
    "SSCAM",
    "FinerCAM",
    "LayerCAM",
    "LeGrad",
    "OutputTarget",
    "RefineCAM",
    "ScoreCAM",
    "SmoothGradCAMpp",
]

OutputTarget = Callable[[Any], Tensor]


class CAM(Extractor):
    """The original CAM, signed before scaling, as in torchcam: there is no ReLU.

    Args:
        model, target_layer, input_shape, **settings: as `Extractor`.
        fc_layer: the linear (or 1 x 1 convolution) layer whose weights are taken; None finds what the head does.
    """

    method = "cam"
    rectify = False

    def __init__(
        self,
        model: nn.Module,
        target_layer: Layers = None,
        fc_layer: nn.Module | str | None = None,
        input_shape: tuple[int, ...] = (3, 224, 224),
        **settings: Any,
    ) -> None:
        if isinstance(target_layer, list) and len(target_layer) > 1:
            raise LayerError(f"CAM explains one layer, but {len(target_layer)} were given; pass the last one.")
        super().__init__(model, target_layer, input_shape, **settings)
        head = _head(model, fc_layer) if isinstance(fc_layer, str) else fc_layer
        weight: Any = None if head is None else getattr(head, "weight", None)
        if head is not None and not (isinstance(weight, Tensor) and weight.flatten(1).shape == weight.shape[:2]):
            raise LayerError(f"fc_layer is {type(head).__name__}; pass the linear layer that makes the scores.")
        self._weight: Tensor | None = weight

    def __call__(
        self,
        class_idx: int | list[int] | None = None,
        scores: Any = None,
        normalized: bool = True,
        *,
        targets: Targets | None = None,
        **kwargs: Any,
    ) -> list[Tensor]:
        """Explain the last input; see `Extractor`. Only classes, no other targets.

        Raises:
            MethodError: the head is not a linear function of the means of the channels.
        """
        if targets is not None:
            raise MethodError("CAM reads a class's weights off the head, so it knows no other targets; use GradCAM.")
        return super().__call__(class_idx, scores, normalized, **kwargs)

    def _function(self, targets: list[Any]) -> Callable[[Capture], Tensor]:
        if self._weight is not None:
            count = len(self._weight)
            if missing := [index for index in targets if index >= count]:
                raise TargetError(f"Class {missing[0]} does not exist: fc_layer has {count} classes, 0 to {count - 1}.")
            rows = self._weight.detach().flatten(1)[targets]
            return lambda capture: _with_weights(capture, rows)
        return super()._function(targets)


class LayerCAM(Extractor):
    """LayerCAM; `fuse_cams` passes the maps through tanh(2 x) first, eq. 9 of the paper."""

    method = "layercam"

    @staticmethod
    def _scaled(cam: Tensor) -> Tensor:
        return torch.tanh(2 * cam)


class LeGrad(Extractor):
    """LeGrad of all attention layers for the model's own score, as one map.

    Args:
        model, input_shape, **settings: as `Extractor`.
        target_layer: one layer, which says where the tokens lie; None chooses.

    Raises:
        MethodError: several layers, or settings of torchcam's scores of single layers are given.
    """

    method = "legrad"

    def __init__(
        self,
        model: nn.Module,
        target_layer: Layers = None,
        input_shape: tuple[int, ...] = (3, 224, 224),
        **settings: Any,
    ) -> None:
        if isinstance(target_layer, list) and len(target_layer) > 1:
            raise MethodError(
                f"LeGrad takes all attention layers here, and {len(target_layer)} were chosen; leave target_layer out."
            )
        super().__init__(model, target_layer, input_shape, **settings)


class ScoreCAM(Extractor):
    """Score-CAM.

    Args:
        model, target_layer, input_shape, **settings: as `Extractor`.
        batch_size: most masked inputs in one run; the map does not depend on it.
    """

    method = "scorecam"

    def __init__(
        self,
        model: nn.Module,
        target_layer: Layers = None,
        batch_size: int = 32,
        input_shape: tuple[int, ...] = (3, 224, 224),
        **settings: Any,
    ) -> None:
        super().__init__(model, target_layer, input_shape, batch_size=batch_size, **settings)


class SSCAM(Extractor):
    """SS-CAM: Score-CAM with noisy masks, averaged.

    Args:
        model, target_layer, input_shape, **settings: as `Extractor`.
        batch_size: most masked inputs in one run.
        num_samples: noisy masks per channel; None is our method's own number.
        std: standard deviation of the noise; None is our method's own.
    """

    method = "ss_cam"

    def __init__(
        self,
        model: nn.Module,
        target_layer: Layers = None,
        batch_size: int | None = None,
        num_samples: int | None = None,
        std: float | None = None,
        input_shape: tuple[int, ...] = (3, 224, 224),
        **settings: Any,
    ) -> None:
        settings = {"batch_size": batch_size, "num_samples": num_samples, "std": std, **settings}
        super().__init__(model, target_layer, input_shape, **settings)


class ISCAM(Extractor):
    """IS-CAM: Score-CAM with masks that grow in steps, integrated.

    Args:
        model, target_layer, input_shape, **settings: as `Extractor`.
        batch_size: most masked inputs in one run.
        num_samples: steps per channel; None is our method's own number.
    """

    method = "is_cam"

    def __init__(
        self,
        model: nn.Module,
        target_layer: Layers = None,
        batch_size: int | None = None,
        num_samples: int | None = None,
        input_shape: tuple[int, ...] = (3, 224, 224),
        **settings: Any,
    ) -> None:
        settings = {"batch_size": batch_size, "num_samples": num_samples, **settings}
        super().__init__(model, target_layer, input_shape, **settings)


class SmoothGradCAMpp(Extractor):
    """Smooth Grad-CAM++: Grad-CAM++ of noisy inputs.

    Args:
        model, target_layer, input_shape, **settings: as `Extractor`.
        num_samples: noisy inputs; None is our method's own number.
        std: standard deviation of the noise; None is our method's own.
    """

    method = "smoothgradcam_plusplus"

    def __init__(
        self,
        model: nn.Module,
        target_layer: Layers = None,
        num_samples: int | None = None,
        std: float | None = None,
        input_shape: tuple[int, ...] = (3, 224, 224),
        **settings: Any,
    ) -> None:
        settings = {"num_samples": num_samples, "std": std, **settings}
        super().__init__(model, target_layer, input_shape, **settings)


def _head(model: nn.Module, name: str) -> nn.Module:
    """Return the module of a network, or inside its wrapper, that is called so."""
    modules = {**dict(model.named_modules()), **dict(unwrap(model).named_modules())}
    if not name or name not in modules:
        raise LayerError(f"There is no layer {name!r}{nearest(name, modules)} to take as fc_layer.")
    return modules[name]


def _with_weights(capture: Capture, weights: Tensor) -> Tensor:
    """Return the activations weighted with one row of a head's matrix per input."""
    if weights.shape[1] != capture.activations.shape[1]:
        raise LayerError(
            f"fc_layer takes {weights.shape[1]} values and the layer {capture.layer!r} has "
            f"{capture.activations.shape[1]} channels; pass the layer whose means fc_layer takes."
        )
    return torch.einsum("nk,nk...->n...", weights, capture.activations.to(weights)).unsqueeze(1)


@cache
def _make(name: str, method: str, title: str) -> type:
    return type(name, (Extractor,), {"method": method, "__doc__": f"{title} (`{method}`).", "__module__": __name__})


def __getattr__(name: str) -> Any:
    """Return the extractor of a method, under any name that the method answers to (PEP 562)."""

    def make(name: str, plugin: Plugin) -> type:
        return _make(name, plugin.name, plugin.title)

    return class_named(name, __name__, make, {})


def __dir__() -> list[str]:
    aliases = [alias for plugin in methods().values() for alias in plugin.aliases]
    return sorted({*__all__, *(alias for alias in aliases if alias.isidentifier())})
