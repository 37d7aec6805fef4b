"""What all classes of pytorch-grad-cam share: constructor, call, context manager, scaling to 0..1."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from heatproof.cam import method as find_method
from heatproof.compat._engine import Runner
from heatproof.compat._maps import contributions, minmax, principal, rectified, resized
from heatproof.compat._names import has_setting, settings_of
from heatproof.errors import InputError, MethodError, TargetError
from heatproof.models.outputs import tensors
from heatproof.types import Capture

SEPARABLE = ("gradcam", "gradcam_plusplus", "xgradcam", "hirescam", "layercam", "gradcam_elementwise")
"""Methods whose map is a sum of what each channel gives by itself, so that the sum can be smoothed."""

SMOOTH_ALREADY = ("eigencam", "eigengradcam", "kpcacam", "fem", "fullgrad")
"""Methods for which pytorch-grad-cam leaves `eigen_smooth` without effect."""

WITHOUT_TARGET = ("eigencam", "kpcacam", "fem", "random_cam")
"""Methods that read no score, so that the output may be anything."""

_NEVER_CALLED = (
    "get_cam_weights",
    "get_cam_image",
    "compute_cam_per_layer",
    "aggregate_multi_layers",
    "get_target_width_height",
)


@runtime_checkable
class Augmentation(Protocol):
    """One change of the input that can be undone on the map."""

    def augment_image(self, image: Tensor) -> Tensor:
        """Return the changed input."""
        ...

    def deaugment_mask(self, mask: Tensor) -> Tensor:
        """Return the map of the changed input (n, 1, *spatial) as one of the input."""
        ...


class FlipAndScale:
    """Flip the last axis or not, and multiply the values: the test-time augmentation of `aug_smooth`."""

    def __init__(self, flip: bool, factor: float) -> None:
        self._flip, self._factor = flip, factor

    def augment_image(self, image: Tensor) -> Tensor:
        """Return the changed input."""
        return (image.flip(-1) if self._flip else image) * self._factor

    def deaugment_mask(self, mask: Tensor) -> Tensor:
        """Return the map of the changed input as one of the input."""
        return mask.flip(-1) if self._flip else mask


class BaseCAM:
    """A CAM method with the constructor and call of pytorch-grad-cam; subclasses name the method.

    Args:
        model: the network; unlike there it is neither hooked nor put in eval mode.
        target_layers: modules (or dotted names) of the network, one map each, averaged after scaling; None chooses.
        reshape_transform: turns what the layers return into (n, k, *grid); mostly not needed: the grid is found.
        compute_input_gradient: accepted; the gradients that a method needs are always there.
        uses_gradients: accepted likewise.
        tta_transforms: what `aug_smooth` averages over; None is two flips times the factors 0.9, 1 and 1.1.
        detach: must be True: maps are arrays and keep no graph.
        **settings: settings of the method, in our spelling or in theirs.

    Attributes:
        outputs: what the network returned for the last batch, detached.
        batch_size: set it to bound the memory of methods that run the network many times.

    Raises:
        MethodError: the method has no such setting, or `detach` is False; a subclass defines what is never called here.
    """

    method: str = "gradcam"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse classes of users that would be overlooked: their own map would silently be that of Grad-CAM."""
        super().__init_subclass__(**kwargs)
        lost = [name for name in _NEVER_CALLED if name in vars(cls)]
        if lost:
            raise MethodError(
                f"{cls.__name__} defines {lost[0]}, which is not called here: write a function from a "
                "heatproof.types.Capture to a map instead, as CONTRIBUTING shows, which any network can use."
            )

    def __init__(
        self,
        model: nn.Module,
        target_layers: Sequence[nn.Module | str] | nn.Module | str | None,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        compute_input_gradient: bool = False,
        uses_gradients: bool = True,
        tta_transforms: Iterable[Augmentation] | None = None,
        detach: bool = True,
        **settings: Any,
    ) -> None:
        if not detach:
            raise MethodError("detach=False is not offered: these maps are arrays. Use heatproof.explain for tensors.")
        self.model = model
        single = isinstance(target_layers, nn.Module | str)
        self.target_layers = [target_layers] if single else list(target_layers or ())
        self.reshape_transform = reshape_transform
        self.compute_input_gradient = compute_input_gradient
        self.uses_gradients = uses_gradients
        self.detach = detach
        flips = [FlipAndScale(flip, factor) for flip in (False, True) for factor in (0.9, 1.0, 1.1)]
        self.tta_transforms = flips if tta_transforms is None else tta_transforms
        self.plugin = find_method(self.method)
        self.settings = settings_of(self.plugin, settings)
        self.batch_size: int | None = None
        self.outputs: Any = None
        self._runner = Runner(model)

    def __enter__(self) -> "BaseCAM":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner = Runner(self.model)  # lets go of views of the network

    def __call__(
        self,
        input_tensor: Tensor,
        targets: Sequence[Callable[[Any], Any]] | None = None,
        aug_smooth: bool = False,
        eigen_smooth: bool = False,
    ) -> np.ndarray:
        """Return float32 maps (n, *spatial) of the size of the input, each scaled to 0..1 after the ReLU.

        Args:
            input_tensor: (n, c, *spatial).
            targets: one callable per input, from the output of that input to a scalar; None is the predicted class.
            aug_smooth: average over `tta_transforms`; as there, the average is not scaled again.
            eigen_smooth: replace the sum over the channels by their first principal component.

        Raises:
            TargetError: there is not one target per input (pytorch-grad-cam drops inputs or targets silently), or the
                output has no classes to choose from and the method needs a target.
            LayerError, InputError, MethodError: as their names say.

        Warns:
            HeatproofWarning: a map is blank because everything in it speaks against its target.
        """
        if not aug_smooth:
            return self.forward(input_tensor, targets, eigen_smooth)
        maps: list[Tensor] = []
        for transform in self.tta_transforms:
            one = self.forward(transform.augment_image(input_tensor), targets, eigen_smooth)
            maps.append(transform.deaugment_mask(torch.from_numpy(one).unsqueeze(1)).squeeze(1))
        return torch.stack(maps).mean(0).numpy()

    def forward(
        self,
        input_tensor: Tensor,
        targets: Sequence[Callable[[Any], Any]] | None,
        eigen_smooth: bool = False,
    ) -> np.ndarray:
        """Return what a call returns, without augmentation."""
        if not isinstance(input_tensor, Tensor) or input_tensor.ndim not in (3, 4, 5):  # pyright: ignore[reportUnnecessaryIsInstance]  not every user runs a type checker
            shape = tuple(getattr(input_tensor, "shape", ()))
            raise InputError(f"input_tensor is of shape {shape}; pass a batch (n, c, *spatial) as one tensor.")
        wanted = self._wanted(targets, len(input_tensor))
        maps, self.outputs, _ = self._runner.explain(
            input_tensor, self.target_layers or None, wanted, self._function(eigen_smooth), self.reshape_transform
        )
        size = input_tensor.shape[2:]
        scaled = [resized(minmax(rectified(m, f"layer {i}")), size) for i, m in enumerate(maps)]
        return minmax(torch.stack(scaled).mean(0)).float().cpu().numpy()

    def _wanted(self, targets: Any, n: int) -> Any:
        """Return what is asked for, one per input."""
        if targets is None:
            return anything if self.method in WITHOUT_TARGET and self.target_layers else None
        if callable(targets) or not isinstance(targets, Iterable):
            raise TargetError(f"targets is {type(targets).__name__}; pass a list with one target per input.")
        wanted: list[Any] = list(targets)  # pyright: ignore[reportUnknownArgumentType]
        if len(wanted) != n:
            raise TargetError(f"{len(wanted)} targets for {n} inputs: give one target per input.")
        return wanted

    def _function(self, eigen_smooth: bool) -> Callable[[Capture], Tensor]:
        settings = dict(self.settings)
        if self.batch_size is not None and has_setting(self.plugin, "batch_size"):
            settings["batch_size"] = self.batch_size
        function = partial(self.plugin.function, **settings)
        if not eigen_smooth or self.method in SMOOTH_ALREADY:
            return function
        if self.method not in SEPARABLE:
            raise MethodError(
                f"eigen_smooth is not offered for {self.plugin.title}, which weighs channels against each other; use "
                f"one of {', '.join(SEPARABLE)}, or EigenCAM."
            )
        return lambda capture: principal(contributions(function, capture)).unsqueeze(1)


def anything(output: Any) -> Tensor:
    """Return the sum of all numbers of an output: a score for methods that do not read it."""
    return torch.stack([tensor.sum().float() for _, tensor in tensors(output) if tensor.is_floating_point()]).sum()
