"""Classes of pytorch-grad-cam whose constructor or formula is not the common one."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from heatproof.compat._maps import kernel_component, minmax, principal
from heatproof.compat.pytorch_grad_cam.base_cam import BaseCAM
from heatproof.compat.pytorch_grad_cam.utils.model_targets import FinerWeightedTarget
from heatproof.errors import MethodError, TargetError
from heatproof.types import Capture

Layers = Sequence[nn.Module | str] | nn.Module | str
Transform = Callable[[Tensor], Tensor]


class AblationCAM(BaseCAM):
    """Ablation-CAM; channels are set to zero, and a negative score does not turn the map around.

    Args:
        model, target_layers, reshape_transform: as `BaseCAM`.
        ablation_layer: must be None: activations are changed without replacing a layer of the model.
        batch_size: most ablations in one run; the map does not depend on it.
        ratio_channels_to_ablate: share of the channels to ablate, those with the largest first-order effect.
    """

    method = "ablationcam"

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers,
        reshape_transform: Transform | None = None,
        ablation_layer: Any = None,
        batch_size: int = 32,
        ratio_channels_to_ablate: float = 1.0,
    ) -> None:
        if ablation_layer is not None:
            raise MethodError("There is no ablation_layer here: leave it out, any layer's activations can be changed.")
        super().__init__(model, target_layers, reshape_transform, ratio_channels_to_ablate=ratio_channels_to_ablate)
        self.batch_size = batch_size


class EigenCAM(BaseCAM):
    """Eigen-CAM of centered activations, as pytorch-grad-cam has it; the sign follows the activation energy."""

    method = "eigencam"

    def __init__(
        self, model: nn.Module, target_layers: Layers, reshape_transform: Transform | None = None, **settings: Any
    ) -> None:
        settings.setdefault("centered", True)
        super().__init__(model, target_layers, reshape_transform, **settings)


class EigenGradCAM(BaseCAM):
    """Eigen-Grad-CAM of centered products, as pytorch-grad-cam has it; the sign follows the sum of the products."""

    method = "eigengradcam"

    def _function(self, eigen_smooth: bool) -> Callable[[Capture], Tensor]:
        return lambda capture: principal(capture.activations * capture.gradients[:, 0]).unsqueeze(1)


class KPCA_CAM(BaseCAM):  # noqa: N801 - the peer's name
    """KPCA-CAM; without `gamma` that of our method, which does not depend on the unit of the activations.

    Args:
        model, target_layers, reshape_transform: as `BaseCAM`.
        kernel: a kernel of scikit-learn's KernelPCA.
        gamma: its coefficient.
    """

    method = "kpcacam"

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers,
        reshape_transform: Transform | None = None,
        kernel: str = "sigmoid",
        gamma: float | None = None,
    ) -> None:
        super().__init__(model, target_layers, reshape_transform)
        self.kernel, self.gamma = kernel, gamma

    def _function(self, eigen_smooth: bool) -> Callable[[Capture], Tensor]:
        if self.kernel == "sigmoid" and self.gamma is None:
            return super()._function(eigen_smooth)
        component = partial(kernel_component, kernel=self.kernel, gamma=self.gamma)
        return lambda capture: component(capture.activations).unsqueeze(1)


class FinerCAM:
    """Finer-CAM: the base method, for a class as opposed to the classes with the nearest scores.

    Args:
        model, target_layers, reshape_transform: as `BaseCAM`.
        base_method: the class that makes the maps.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers,
        reshape_transform: Transform | None = None,
        base_method: Any = BaseCAM,
    ) -> None:
        self.base_cam: BaseCAM = base_method(model, target_layers, reshape_transform)

    def __enter__(self) -> "FinerCAM":
        return self

    def __exit__(self, *exception: object) -> None:
        self.base_cam.__exit__(*exception)

    def __call__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Return what `forward` returns."""
        return self.forward(*args, **kwargs)

    def forward(
        self,
        input_tensor: Tensor,
        targets: Sequence[Callable[[Any], Any]] | None = None,
        eigen_smooth: bool = False,
        alpha: float = 1.0,
        comparison_categories: Sequence[int] | None = None,
        target_idx: int | None = None,
    ) -> np.ndarray:
        """Return float32 maps (n, *spatial), each scaled to 0..1.

        Args:
            input_tensor: (n, c, *spatial).
            targets: as in `BaseCAM`; None makes them of the three arguments below.
            eigen_smooth: as in `BaseCAM`.
            alpha: how much of the compared scores is taken off.
            comparison_categories: ranks, by how near their scores are, of the classes to compare with; None is 1, 2, 3.
            target_idx: the class; None is the predicted one.

        Raises:
            TargetError: there is no such class or rank (pytorch-grad-cam drops such ranks silently).
        """
        if targets is None:
            scores: Tensor = self.base_cam._runner.output(input_tensor)  # pyright: ignore[reportPrivateUsage]  of our own base class
            asked = (1, 2, 3) if comparison_categories is None else comparison_categories
            count = scores.shape[1]
            ranks = [rank for rank in asked if comparison_categories is not None or rank < count]
            if any(not 0 <= rank < count for rank in ranks) or not 0 <= (target_idx or 0) < count:
                raise TargetError(
                    f"target_idx is {target_idx} and comparison_categories {list(ranks)}; the model has "
                    f"{count} classes, so that both go from 0 to {count - 1}."
                )
            own = scores.max(1, keepdim=True).values if target_idx is None else scores[:, [target_idx]]
            order = (scores - own).abs().argsort(dim=1, stable=True).tolist()
            targets = [FinerWeightedTarget(row[0], [row[rank] for rank in ranks], alpha) for row in order]
        return self.base_cam.forward(input_tensor, targets, eigen_smooth)


class RefineCAM:
    """The product of one map per layer, scaled to 0..1.

    Args:
        model, target_layers, reshape_transform: as `BaseCAM`.
        base_method: the class that makes the maps; None is Grad-CAM++.
        **kwargs: passed on to it.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layers: Layers,
        reshape_transform: Transform | None = None,
        base_method: Any = None,
        **kwargs: Any,
    ) -> None:
        layers = [target_layers] if isinstance(target_layers, nn.Module | str) else list(target_layers)
        make = base_method or type("GradCAMPlusPlus", (BaseCAM,), {"method": "gradcam_plusplus"})
        self.base_cam_per_layer: list[BaseCAM] = [make(model, [la], reshape_transform, **kwargs) for la in layers]

    def __call__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Return what `forward` returns."""
        return self.forward(*args, **kwargs)

    def forward(
        self,
        input_tensor: Tensor,
        targets: Sequence[Callable[[Any], Any]] | None = None,
        eigen_smooth: bool = False,
    ) -> np.ndarray:
        """Return float32 maps (n, *spatial), each scaled to 0..1."""
        maps = [base.forward(input_tensor, targets, eigen_smooth) for base in self.base_cam_per_layer]
        return minmax(torch.from_numpy(np.prod(maps, axis=0))).numpy()
