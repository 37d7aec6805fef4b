"""The one call that most users make."""

from collections.abc import Callable, Sequence
from typing import Any, overload

from torch import Tensor, nn

from heatproof.capture.engine import LayerSpec
from heatproof.explain.explainer import Explainer
from heatproof.explain.methods import MethodSpec
from heatproof.explain.several import Explanations
from heatproof.explain.spellings import layer_of, split, target_of
from heatproof.models import Model
from heatproof.types import Capture, Explanation

_EXPLAINER = ("batch_size", "combine", "augment", "noise", "samples", "seed", "differentiable")


@overload
def explain(
    model: nn.Module | Model,
    x: Any,
    target: Any = None,
    method: str | Callable[[Capture], Tensor] = "gradcam",
    layer: LayerSpec = None,
    **settings: Any,
) -> Explanation: ...


@overload
def explain(
    model: nn.Module | Model,
    x: Any,
    target: Any = None,
    *,
    method: Sequence[MethodSpec],
    layer: LayerSpec = None,
    **settings: Any,
) -> Explanations: ...


def explain(
    model: nn.Module | Model,
    x: Any,
    target: Any = None,
    method: MethodSpec | Sequence[MethodSpec] = "gradcam",
    layer: LayerSpec = None,
    **settings: Any,
) -> Explanation | Explanations:
    """Explain what `model` looked at in `x`: one call of an `Explainer`, see there for arguments and errors.

    A list of methods, or "all", gives `Explanations`: one `Explanation` per method, all from one capture.

    Source: Selvaraju et al. 2017, "Grad-CAM", eqs. 1 and 2, for the default method.
    """
    spelled, settings = split(settings)
    layer = layer_of(layer, {k: v for k, v in spelled.items() if k.startswith("target_layer")})
    target = target_of(target, {k: v for k, v in spelled.items() if not k.startswith("target_layer")})
    given = {name: settings[name] for name in settings if name in _EXPLAINER}
    own = {name: settings[name] for name in settings if name not in _EXPLAINER}
    if isinstance(method, Sequence) and (method == "all" or not isinstance(method, str)):
        return Explainer(model, layer, **given).compare(x, target, method, **own)
    return Explainer(model, layer, method, **settings)(x, target)
