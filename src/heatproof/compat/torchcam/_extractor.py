"""What all extractors of torchcam share: one hook that remembers the model's input, and the call that explains it."""

import threading
import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.cam import method as find_method
from heatproof.compat._engine import Runner
from heatproof.compat._maps import minmax, rectified, resized
from heatproof.compat._names import settings_of
from heatproof.errors import InputError, LayerError, TargetError, UsageError
from heatproof.models.layers import title_of
from heatproof.types import Capture

Layers = nn.Module | str | list[nn.Module | str] | None
Targets = Callable[[Any], Tensor] | list[Callable[[Any], Tensor]]


class Extractor:
    """A CAM method with the constructor and call of torchcam; subclasses name the method.

    Between construction and `remove_hooks` (or the end of the `with` block) one forward pre-hook of the model remembers
    its last input. No layer is hooked, and calling the extractor runs a view of the model.

    Args:
        model: the network.
        target_layer: a module, its dotted name, or a list of these; None chooses.
        input_shape: accepted; the layer is chosen when an input has been seen.
        enable_hooks: whether to remember inputs from the start.
        reshape_transform: turns what the layers return into (n, k, *grid); mostly not needed: the grid is found.
        **settings: settings of the method, in our spelling or in theirs.

    Raises:
        LayerError: the model has no such layer.
        MethodError: the method does not exist here, or has no such setting.
    """

    method: str = "gradcam"
    rectify: bool = True

    def __init__(
        self,
        model: nn.Module,
        target_layer: Layers = None,
        input_shape: tuple[int, ...] = (3, 224, 224),
        enable_hooks: bool = True,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        **settings: Any,
    ) -> None:
        self.model = model
        self.input_shape = input_shape
        self.plugin = find_method(self.method)
        self.settings = settings_of(self.plugin, settings)
        given = target_layer if isinstance(target_layer, list) else [target_layer]
        self._layers = None if target_layer is None else [_located(model, layer) for layer in given]
        self._chosen: list[str] = []
        if reshape_transform is not None and self._layers is None:
            raise LayerError("A reshape_transform was given without a target_layer; name the layer that it is for.")
        self._transform = reshape_transform
        self._runner = Runner(model)
        self._hooks_enabled = enable_hooks
        self._input: Tensor | None = None
        self._explaining = threading.local()
        handle = model.register_forward_pre_hook(_remembering(self), with_kwargs=True)
        self.hook_handles = [handle]
        weakref.finalize(self, handle.remove)  # an extractor that is dropped leaves nothing on the model

    @property
    def target_names(self) -> list[str]:
        """Dotted names of the target layers, in the order of the maps; of a choice left open, after the first map."""
        return list(self._chosen if self._layers is None else self._layers)

    def enable_hooks(self) -> None:
        """Remember inputs from now on."""
        self._hooks_enabled = True

    def disable_hooks(self) -> None:
        """Do not remember inputs from now on."""
        self._hooks_enabled = False

    def reset_hooks(self) -> None:
        """Forget the last input."""
        self._input = None

    def remove_hooks(self) -> None:
        """Take the hook off the model."""
        for handle in self.hook_handles:
            handle.remove()
        self.hook_handles.clear()

    @contextmanager
    def _hooks_off(self) -> Generator[None]:
        before = self._hooks_enabled
        self._hooks_enabled = False
        try:
            yield
        finally:
            self._hooks_enabled = before

    def __enter__(self) -> "Extractor":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove_hooks()
        self.reset_hooks()
        self._runner = Runner(self.model)  # lets go of views of the network

    def __repr__(self) -> str:
        return f"{type(self).__name__}(target_layer={self.target_names})"

    def __call__(
        self,
        class_idx: int | list[int] | None = None,
        scores: Any = None,
        normalized: bool = True,
        *,
        targets: Targets | None = None,
        **kwargs: Any,
    ) -> list[Tensor]:
        """Explain the last input of the model: one tensor (n, *grid) per target layer, on the layer's grid.

        Args:
            class_idx: a class, or one per input.
            scores: what the model returned; compared with what is explained, because no gradient is taken from it.
            normalized: scale each map to 0..1; otherwise it is in the units of the method, after the ReLU.
            targets: instead of classes, a callable from the output of one input to a scalar, or one per input.
            **kwargs: `retain_graph` is accepted (there is no graph to keep); anything else is refused.

        Raises:
            InputError: the model has not run since the extractor was made, or `scores` are of something else.
            TargetError: not exactly one of `class_idx` and `targets`, a negative class, or a list of another length.
        """
        if kwargs.keys() - {"retain_graph", "eps"}:
            raise UsageError(f"There is no argument {sorted(kwargs)[0]!r}; settings belong to the constructor.")
        x = self.seen()
        return self.of(x, wanted_of(class_idx, targets, len(x)), normalized, scores)

    compute_cams = __call__

    def seen(self) -> Tensor:
        """Return the model's last input.

        Raises:
            InputError: there is none.
        """
        if self._input is None:
            raise InputError("The model has not run since the extractor was made; call it on an input first.")
        return self._input

    def of(self, x: Tensor, targets: list[Any], normalized: bool = True, scores: Any = None) -> list[Tensor]:
        """Explain a batch with one target (a class or a callable) per input; what a call returns."""
        with self._alone():
            maps, output, names = self._runner.explain(
                x, self._layers, targets, self._function(targets), self._transform
            )
        _compare(scores, output)
        self._chosen = names
        if self.rectify:
            maps = [rectified(m, name) for m, name in zip(maps, names, strict=True)]
        return [minmax(m) for m in maps] if normalized else maps

    def output(self, x: Tensor) -> Any:
        """Return what the model, in eval mode, makes of a batch; it is not remembered."""
        with self._alone():
            return self._runner.output(x)

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Remember nothing that this thread runs meanwhile."""
        self._explaining.now = True
        try:
            yield
        finally:
            self._explaining.now = False

    def _function(self, targets: list[Any]) -> Callable[[Capture], Tensor]:
        return partial(self.plugin.function, **self.settings)

    @classmethod
    def fuse_cams(cls, cams: list[Tensor], target_shape: tuple[int, ...] | None = None) -> Tensor:
        """Return the maximum over maps (n, *grid) of several layers, resampled linearly to the largest grid.

        Raises:
            InputError: `cams` is not a list of tensors, or empty.
        """
        if not isinstance(cams, list) or not cams or not all(isinstance(cam, Tensor) for cam in cams):  # pyright: ignore[reportUnnecessaryIsInstance]  not every user runs a type checker
            raise InputError(f"cams is {type(cams).__name__}; pass a list of at least one tensor (n, *grid).")
        if len(cams) == 1:
            return cams[0]
        size = target_shape or tuple(map(max, zip(*(cam.shape[1:] for cam in cams), strict=True)))
        return torch.stack([resized(cls._scaled(cam), size) for cam in cams]).amax(0)

    @staticmethod
    def _scaled(cam: Tensor) -> Tensor:
        return cam


def _located(model: nn.Module, layer: Any) -> str:
    """Return the name of a layer of the network."""
    if not isinstance(layer, str | nn.Module):
        raise LayerError(f"The layer {layer!r} is {type(layer).__name__}; pass a module of the network or its name.")
    return title_of(model, layer)


def _remembering(extractor: Extractor) -> Callable[..., None]:
    """Return a hook that notes the model's input for as long as the extractor lives."""
    reference = weakref.ref(extractor)
    model = weakref.ref(extractor.model)

    def remember(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        owner = reference()
        # Views of the model carry its hooks; where there can be no view, the model itself runs while it is explained.
        if owner is None or module is not model() or getattr(owner._explaining, "now", False):  # pyright: ignore[reportPrivateUsage]  the hook is a part of its owner
            return
        if owner._hooks_enabled:  # pyright: ignore[reportPrivateUsage]
            given: Sequence[Any] = (*args, *kwargs.values())
            if len(given) != 1 or not isinstance(given[0], Tensor):
                raise InputError(
                    f"The model was called with {len(given)} arguments; torchcam's calls explain networks that take "
                    "one tensor. heatproof.explain takes tuples and dicts."
                )
            owner._input = given[0].detach().clone()  # pyright: ignore[reportPrivateUsage]

    return remember


def wanted_of(class_idx: int | list[int] | None, targets: Targets | None, n: int) -> Any:
    """Return the targets as one list of n."""
    if (class_idx is None) == (targets is None):
        raise TargetError("Pass either class_idx or targets.")
    given: Any = class_idx if targets is None else targets
    wanted: list[Any] = list(given) if isinstance(given, list | tuple) else [given] * n
    if len(wanted) != n:
        raise TargetError(f"{len(wanted)} targets for {n} inputs: give one entry per input.")
    bad = [one for one in wanted if not (callable(one) if targets is not None else isinstance(one, int) and one >= 0)]
    if bad:
        raise TargetError(f"{bad[0]!r} is not a target; class_idx takes classes from 0 on, targets takes callables.")
    return wanted


def _compare(scores: Any, output: Any) -> None:
    """Refuse scores that are not of what was explained: torchcam would have taken the gradient of these."""
    if not isinstance(scores, Tensor) or not isinstance(output, Tensor):
        return
    # scores made under autocast are as coarse as their type, layer upon layer
    close = max(1e-2, 16 * torch.finfo(scores.dtype).eps) if scores.is_floating_point() else 1e-2
    given, top = scores.detach().to(output), float(output.abs().max())
    if given.shape != output.shape or not torch.allclose(given, output, rtol=close, atol=close * top):
        raise InputError(
            "The scores are not what the model, in eval mode, returns for its last input. Call model.eval(), pass what "
            "the model returned, and for anything made of it pass targets=a_function_of_the_output."
        )
