"""How gradients pass ReLUs: exchanged for one run of one thread, wherever and however the network calls them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor
from torch.overrides import TorchFunctionMode

PLAIN_ACTIVATIONS = frozenset(
    ("gelu", "silu", "mish", "elu", "selu", "celu", "leaky_relu", "prelu", "rrelu", "softplus", "hardswish", "hardtanh")
)
"""What stands in a ReLU's place in other networks, and has no rule of its own."""


class Rectified(TorchFunctionMode):
    """While it is entered, ReLUs of this thread hand back gradients by another rule.

    Seen are modules and functions, in place or not: relu, relu6, `threshold(0, 0)`, and a clamp to 0 and above (or to
    0..6). Functions compiled by torch.jit are not seen, nor a ReLU spelled with other operations, x * (x > 0).

    Args:
        rule: "guided": only positive gradients enter a ReLU from above (Springenberg et al. 2015, fig. 1); "deconvnet":
            likewise, and they leave it below also where its input was negative (Zeiler and Fergus 2014).

    Attributes:
        rectified: how many ReLUs ran.
        plain: names of the other activations that ran, whose gradient stays what it is.
    """

    def __init__(self, rule: Literal["guided", "deconvnet"]) -> None:
        super().__init__()
        self._rule = rule
        self.rectified = 0
        self.plain: set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one function of torch; its own calls are not seen any more."""
        kwargs = kwargs or {}
        name = function_name(func)
        base = name.strip("_")  # in place: relu_; F.threshold calls itself _threshold
        if not _is_relu(base, args, kwargs):
            if base in PLAIN_ACTIVATIONS:
                self.plain.add(base)
            return func(*args, **kwargs)
        self.rectified += 1
        result = func(*args, **kwargs) if self._rule == "guided" else _straight_through(func, name, args, kwargs)
        if result.requires_grad:
            # The rule of the ReLU itself comes after this; what is written into the result later, before it.
            result.register_hook(_positive)
        return result


def function_name(func: Callable[..., Any]) -> str:
    """Return the name of a function of torch, the same for `torch.relu`, `Tensor.relu` and `aten.relu.default`."""
    return getattr(func, "__name__", "").partition(".")[0]


def _positive(gradient: Tensor) -> Tensor:
    return gradient.clamp(min=0)


def _straight_through(func: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """Return what `func` returns, with the gradient of the identity."""
    named = dict(kwargs)
    x: Tensor = args[0] if args else named.pop("input")
    value = func(x.detach().clone(), *args[1:], **named)  # a copy: it may write in place
    result = x - x.detach() + value
    if name.endswith("_") or _argument(args, named, _INPLACE.get(name.strip("_"), 1), "inplace", default=False):
        return x.copy_(result)
    return result


_INPLACE = {"threshold": 3, "hardtanh": 3}
"""Position of the argument `inplace`, where it is not 1."""


def _is_relu(base: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    match base:
        case "relu" | "relu6":
            return True
        case "threshold":
            return _zero(_argument(args, kwargs, 1, "threshold")) and _zero(_argument(args, kwargs, 2, "value"))
        case "clamp_min":
            return _zero(_argument(args, kwargs, 1, "min"))
        case "clamp" | "clip":
            top = _argument(args, kwargs, 2, "max")
            return _zero(_argument(args, kwargs, 1, "min")) and (top is None or _six(top))
        case "hardtanh":
            return _zero(_argument(args, kwargs, 1, "min_val")) and _six(_argument(args, kwargs, 2, "max_val"))
        case _:
            return False


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], position: int, name: str, default: Any = None) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


def _zero(value: Any) -> bool:
    return not isinstance(value, Tensor) and value is not None and value == 0


def _six(value: Any) -> bool:
    return not isinstance(value, Tensor) and value == 6
