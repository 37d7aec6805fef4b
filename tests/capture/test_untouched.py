"""The user's network is never touched: generated over odd networks and kinds of calls, also calls that raise."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests import odd_models
from tests.odd_models import IMAGE_NETS, everything, make, pictures
from torch import Tensor, nn

import heatproof as hp
from heatproof.explain import Explainer
from heatproof.types import Capture


class Stop(Exception):
    """Raised in the middle of things."""


def reaches_itself_by_name(net: nn.Module) -> bool:
    return net is getattr(odd_models, "BY_GLOBAL_NAME", None)


def _raise(*_: Any) -> Any:
    raise Stop


def explains(net: nn.Module) -> None:
    explainer = Explainer(net)
    explainer(pictures())
    explainer(pictures(2, seed=1), target=[[0, 1], [1, 2]])


def explains_named_layer(net: nn.Module) -> None:
    name = "conv2" if hasattr(net, "conv2") else next(n for n, _ in net.named_children())
    Explainer(net, layer=name)(pictures(), target=1)


def checks(net: nn.Module) -> None:
    explanation = hp.explain(net, pictures())
    if reaches_itself_by_name(net):  # no copy of it can be given random weights
        with pytest.raises(hp.HeatproofError, match="random weights"):
            hp.quick_checks(explanation)
    else:
        hp.quick_checks(explanation)


def replays_and_rescores(net: nn.Module) -> None:
    def method(capture: Capture) -> Tensor:
        rows = torch.tensor([1, 0, 1])
        capture.replay(capture.activations[rows] * 0.5, rows)
        assert capture.inputs is not None
        capture.rescore(capture.inputs[rows] * 0.5, rows)
        return capture.activations.mean(1, keepdim=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hp.HeatproofWarning)
        Explainer(net, method=method)(pictures())


def under_inference_mode(net: nn.Module) -> None:
    with torch.inference_mode():
        Explainer(net)(pictures())


def target_raises(net: nn.Module) -> None:
    with pytest.raises(Stop):
        Explainer(net)(pictures(), target=_raise)


def method_raises(net: nn.Module) -> None:
    with pytest.raises(Stop):
        Explainer(net, method=_raise)(pictures())


def layer_does_not_exist(net: nn.Module) -> None:
    with pytest.raises(hp.HeatproofError, match="no layer"):
        Explainer(net, layer="nowhere")(pictures())


CALLS = [
    explains,
    explains_named_layer,
    checks,
    replays_and_rescores,
    under_inference_mode,
    target_raises,
    method_raises,
    layer_does_not_exist,
]


@pytest.mark.parametrize("call", CALLS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", IMAGE_NETS)
def test_network_is_the_same_after_a_call(name: str, call: Callable[[nn.Module], None]) -> None:
    net = make(name)
    before = everything(net)
    call(net)
    after = everything(net)
    assert after.keys() == before.keys()
    assert [k for k in before if before[k] != after[k]] == []


@pytest.mark.parametrize("place", ["conv", "conv2", "fc"])
@pytest.mark.parametrize("late", [False, True], ids=["first call", "third call"])
def test_network_is_the_same_after_a_layer_raised(place: str, late: bool) -> None:
    """In the trunk, in the target layer and in the tail; at once, or when views were in use already."""

    class Fragile(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.broken = inner, {"now": False}

        def forward(self, x: Tensor) -> Tensor:
            if self.broken["now"]:
                raise Stop
            return self.inner(x)

    net = make("plain")
    setattr(net, place, Fragile(getattr(net, place)))
    explainer = Explainer(net, layer="conv2")
    if late:
        explainer(pictures())
        explainer(pictures())
    getattr(net, place).broken["now"] = True
    before = everything(net)
    with pytest.raises(Stop):
        explainer(pictures())
    assert everything(net) == before
    getattr(net, place).broken["now"] = False
    explainer(pictures())


@pytest.mark.parametrize("name", IMAGE_NETS)
def test_explanation_does_not_depend_on_mode_and_agrees_with_a_copy(name: str) -> None:
    """A network left in training mode is explained as in eval mode; nothing adds up between calls."""
    net = make(name)
    explainer = Explainer(net)
    first = explainer(pictures(), target=1)
    second = explainer(pictures(), target=1)
    net.eval()
    third = explainer(pictures(), target=1)
    for other in (second, third):
        torch.testing.assert_close(other.maps, first.maps, rtol=0, atol=0)
        torch.testing.assert_close(other.scores, first.scores, rtol=0, atol=0)
    plain = copy.deepcopy(make("plain")).eval() if name == "plain" else net.eval()
    with torch.no_grad():
        out = plain(pictures())
    scores = out if isinstance(out, Tensor) else getattr(out, "logits", None)
    if scores is None:
        scores = out["logits"] if isinstance(out, dict) else out[0]
    torch.testing.assert_close(first.scores[:, 0], scores[:, 1].detach())


def test_user_inputs_are_not_written_to() -> None:
    net, x = make("in-place input"), pictures()
    kept = x.clone()
    explainer = Explainer(net)
    first = explainer(x, target=0)
    assert torch.equal(x, kept)
    assert torch.equal(explainer(x, target=0).maps, first.maps)
