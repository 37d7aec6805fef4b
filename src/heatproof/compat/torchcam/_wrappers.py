"""torchcam's extractors around another extractor: RefineCAM multiplies its maps, FinerCAM changes what it explains."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.compat._maps import minmax, resized
from heatproof.compat.torchcam._extractor import Extractor, Layers, Targets, wanted_of
from heatproof.errors import InputError, LayerError, MethodError, TargetError


class Wrapper:
    """What both share: everything but the call is that of the extractor inside, `base_cam`."""

    def __init__(self, base_cam: Extractor) -> None:
        self.base_cam = base_cam

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self.base_cam.model

    @property
    def target_names(self) -> list[str]:
        """Dotted names of the target layers; see `Extractor`."""
        return self.base_cam.target_names

    def enable_hooks(self) -> None:
        """Remember inputs from now on."""
        self.base_cam.enable_hooks()

    def disable_hooks(self) -> None:
        """Do not remember inputs from now on."""
        self.base_cam.disable_hooks()

    def reset_hooks(self) -> None:
        """Forget the last input."""
        self.base_cam.reset_hooks()

    def remove_hooks(self) -> None:
        """Take the hook off the model."""
        self.base_cam.remove_hooks()

    @contextmanager
    def _hooks_off(self) -> Generator[None]:
        with self.base_cam._hooks_off():  # pyright: ignore[reportPrivateUsage]  as torchcam's metrics call it
            yield

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        self.base_cam.__exit__(*exception)

    def output(self, x: Tensor) -> Any:
        """Return what the model, in eval mode, makes of a batch; it is not remembered."""
        return self.base_cam.output(x)


class RefineCAM(Wrapper):
    """The product of one map per layer, each scaled to 0..1, on the finest grid.

    Args:
        model: the network.
        target_layer: at least two layers, modules or dotted names.
        input_shape: accepted.
        base_method: the class that makes the maps; None is Grad-CAM++.
        **settings: passed on to it.

    Raises:
        LayerError: fewer than two layers are given.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layer: list[nn.Module | str],
        input_shape: tuple[int, ...] = (3, 224, 224),
        *,
        base_method: type[Extractor] | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(target_layer, list) or len(target_layer) < 2:  # pyright: ignore[reportUnnecessaryIsInstance]  not every user runs a type checker
            raise LayerError("RefineCAM multiplies the maps of several layers; pass a list of at least two.")
        make = base_method or type("GradCAMpp", (Extractor,), {"method": "gradcam_plusplus"})
        super().__init__(make(model, target_layer, input_shape, **settings))

    def __repr__(self) -> str:
        return f"RefineCAM(base_method={type(self.base_cam).__name__}, target_layer={self.target_names})"

    def __call__(
        self,
        class_idx: int | list[int] | None = None,
        scores: Any = None,
        normalized: bool = True,
        target_shape: tuple[int, ...] | None = None,
        *,
        targets: Targets | None = None,
        **kwargs: Any,
    ) -> list[Tensor]:
        """Return a list of one tensor (n, *grid); see `Extractor`. `normalized` scales the product to 0..1."""
        cams = self.base_cam(class_idx, scores, True, targets=targets, **kwargs)
        return [self.fuse_cams(cams, target_shape, normalized)]

    compute_cams = __call__

    def of(self, x: Tensor, targets: list[Any], normalized: bool = True, scores: Any = None) -> list[Tensor]:
        """Explain a batch with one target per input; what a call returns."""
        return [self.fuse_cams(self.base_cam.of(x, targets, True, scores), None, normalized)]

    @staticmethod
    def fuse_cams(cams: list[Tensor], target_shape: tuple[int, ...] | None = None, normalized: bool = True) -> Tensor:
        """Return the product of maps (n, *grid), each scaled to 0..1 and resampled linearly to the largest grid.

        Raises:
            InputError: `cams` is not a list of tensors, or empty.
        """
        if not isinstance(cams, list) or not cams or not all(isinstance(cam, Tensor) for cam in cams):  # pyright: ignore[reportUnnecessaryIsInstance]  not every user runs a type checker
            raise InputError(f"cams is {type(cams).__name__}; pass a list of at least one tensor (n, *grid).")
        size = target_shape or tuple(map(max, zip(*(cam.shape[1:] for cam in cams), strict=True)))
        product = torch.stack([resized(minmax(cam), size) for cam in cams]).prod(0)
        return minmax(product) if normalized else product


class FinerCAM(Wrapper):
    """What tells a class from others: the maps of y_c - gamma * mean(y_d) over the classes d to compare with.

    Args:
        model, target_layer, input_shape: as `Extractor`.
        base_method: the class that makes the maps; None is Grad-CAM.
        gamma: how much of the others is taken off, 0 or more.
        num_references: how many classes, those with the nearest scores, where none are named.
        **settings: passed on to `base_method`.

    Raises:
        MethodError: `gamma` or `num_references` is out of its range.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layer: Layers = None,
        input_shape: tuple[int, ...] = (3, 224, 224),
        *,
        base_method: type[Extractor] | None = None,
        gamma: float = 0.6,
        num_references: int = 3,
        **settings: Any,
    ) -> None:
        if not 0 <= gamma < float("inf") or num_references < 1:
            raise MethodError(
                f"gamma is {gamma} and num_references {num_references}; a gamma of 0 or more, and at least 1 reference."
            )
        make = base_method or type("GradCAM", (Extractor,), {"method": "gradcam"})
        super().__init__(make(model, target_layer, input_shape, **settings))
        self.gamma, self.num_references = float(gamma), num_references

    def __repr__(self) -> str:
        return (
            f"FinerCAM(base_method={type(self.base_cam).__name__}, target_layer={self.target_names}, "
            f"gamma={self.gamma}, num_references={self.num_references})"
        )

    def __call__(
        self,
        class_idx: int | list[int] | None = None,
        scores: Tensor | None = None,
        comparison_idx: int | list[int] | list[list[int]] | None = None,
        normalized: bool = True,
        *,
        targets: Any = None,
        **kwargs: Any,
    ) -> list[Tensor]:
        """Explain the last input of the model; see `Extractor`.

        Args:
            class_idx: a class, or one per input.
            scores: what the model returned.
            comparison_idx: the classes to compare with: one, several, or a list per input; None takes the nearest.
            normalized: scale each map to 0..1.
            targets: must be None: classes are compared.
            **kwargs: as `Extractor`.

        Raises:
            MethodError: `targets` are given.
            TargetError: a class does not exist, is compared with itself, or there is not one entry per input.
        """
        if targets is not None:
            raise MethodError("FinerCAM compares classes, so it knows no other targets; use GradCAM.")
        x = self.base_cam.seen()
        output = scores if isinstance(scores, Tensor) else self.output(x)
        functions = self._functions(wanted_of(class_idx, None, len(x)), output, comparison_idx)
        return self.base_cam(None, scores, normalized, targets=functions, **kwargs)

    compute_cams = __call__

    def of(self, x: Tensor, targets: list[Any], normalized: bool = True, scores: Any = None) -> list[Tensor]:
        """Explain a batch with one class per input; what a call returns."""
        return self.base_cam.of(x, self._functions(targets, self.output(x), None), normalized, scores)

    def fuse_cams(self, cams: list[Tensor], target_shape: tuple[int, ...] | None = None) -> Tensor:
        """Return what `base_method` makes of several layers' maps."""
        return self.base_cam.fuse_cams(cams, target_shape)

    def _functions(self, classes: list[Any], output: Any, comparison: Any) -> list[Callable[[Tensor], Tensor]]:
        """Return a target per input.

        Args:
            classes: one per input.
            output: (n, classes) scores.
            comparison: as `comparison_idx`.
        """
        if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] < 2:
            shape = tuple(getattr(output, "shape", ()))
            raise TargetError(f"FinerCAM compares classes; the model returns {type(output).__name__} of shape {shape}.")
        if not all(isinstance(own, int) for own in classes):
            raise MethodError("FinerCAM compares classes, so it knows no other targets; use GradCAM.")
        n, count = output.shape
        if comparison is None:
            rows = [
                self._nearest(row, own) if 0 <= own < count else [] for row, own in zip(output, classes, strict=True)
            ]
        elif isinstance(comparison, list) and comparison and all(isinstance(row, list) for row in comparison):
            rows: list[list[int]] = comparison
        else:
            rows = [comparison if isinstance(comparison, list) else [comparison]] * n
        if len(rows) != n:
            raise TargetError(f"{len(rows)} lists of classes to compare with for {n} inputs: give one per input.")
        for own, row in zip(classes, rows, strict=True):
            bad = [one for one in (own, *row) if not (isinstance(one, int) and 0 <= one < count)]  # pyright: ignore[reportUnnecessaryIsInstance]
            if bad:
                raise TargetError(f"Class {bad[0]!r} does not exist: the model has {count} classes, 0 to {count - 1}.")
            if not row or own in row or len(set(row)) < len(row):
                raise TargetError(f"Class {own} is compared with {row}; name other classes, each once, at least one.")
        return [
            partial(_contrast, own=own, others=row, gamma=self.gamma) for own, row in zip(classes, rows, strict=True)
        ]

    def _nearest(self, scores: Tensor, own: int) -> list[int]:
        """Return the other classes of nearest score, as many as asked for or as there are."""
        distance = (scores.detach().float() - float(scores[own].detach())).abs()
        distance[own] = torch.inf
        return distance.argsort(stable=True)[: min(self.num_references, len(scores) - 1)].tolist()


def _contrast(output: Tensor, own: int, others: list[int], gamma: float) -> Tensor:
    """Return y_c - gamma * mean(y_d) of the scores of one input."""
    return output[own] - gamma * output[others].mean()
