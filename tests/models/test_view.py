"""Views share parameters, own all else, follow the network, and redirect functions that close over it."""

import copy
import threading
import time
from typing import Any

import pytest
import torch
from tests.odd_models import IMAGE_NETS, AppendsToList, Small, make, pictures
from torch import Tensor, nn

import heatproof as hp
from heatproof.explain import Explainer
from heatproof.models.closures import uses_globals
from heatproof.models.pool import ViewPool
from heatproof.models.view import make_view, unwrap
from heatproof.models.watch import Watch


@pytest.mark.parametrize("name", [n for n in IMAGE_NETS if n != "patched by global"])
def test_view_shares_parameters_and_owns_modules_and_buffers(name: str) -> None:
    net = make(name)
    view = make_view(net)
    assert not any(m.training for m in view.modules())
    theirs = dict(net.named_parameters())
    mine = dict(view.named_parameters())
    assert {id(p) for p in mine.values()} == {id(p) for p in theirs.values()}
    assert not {id(m) for m in view.modules()} & {id(m) for m in net.modules()}
    pointers = {b.data_ptr() for b in net.buffers() if b.numel()}
    assert not {b.data_ptr() for b in view.buffers() if b.numel()} & pointers


@pytest.mark.parametrize("name", IMAGE_NETS)
def test_view_computes_what_the_network_computes_in_eval_mode(name: str) -> None:
    net = make(name)
    with ViewPool(net).borrow() as view, torch.no_grad():
        found = view(pictures())
    with torch.no_grad():
        expected = net.eval()(pictures())
    torch.testing.assert_close(_scores(found), _scores(expected))


def _scores(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    if hasattr(output, "logits"):
        return output.logits
    return output["logits"] if isinstance(output, dict) else output[0]


@pytest.mark.parametrize(
    "name", ["patched whole", "patched submodule", "patched by partial", "list of lambdas", "user hooks"]
)
def test_closures_run_on_the_view_and_never_on_the_network(name: str) -> None:
    net = make(name)
    ran: list[str] = []
    for module_name, module in net.named_modules():
        if type(module).__module__.startswith("torch.nn"):
            module.register_forward_pre_hook(lambda m, a, n=module_name: ran.append(n) if m.training else None)
    with ViewPool(net.train()).borrow() as view, torch.no_grad():
        view(pictures())
    assert ran == []
    assert not uses_globals(list(net.modules()))


def test_a_counter_in_a_closure_goes_on_counting() -> None:
    net, calls, notes = Small(), 0, []

    def forward(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        notes.append(net.training)
        return Small.forward(net, x)

    net.forward = forward
    with ViewPool(net).borrow() as view:
        view(pictures())
    assert (calls, notes, net.training) == (1, [False], True)


def test_a_forward_that_looks_itself_up_by_name_runs_on_the_network_locked_and_restored() -> None:
    net = make("patched by global")
    assert uses_globals(list(net.modules()))
    pool = ViewPool(net)
    with pool.borrow() as lent:
        assert lent is net
        assert not any(m.training for m in net.modules())
        net.bn.running_mean.add_(1)
        net.bn.register_buffer("running_var", torch.zeros(6))
        net.extra = 3
        taken: list[bool] = []
        other = threading.Thread(target=lambda: taken.append(_borrowed(pool)), daemon=True)
        other.start()
        time.sleep(0.05)
        assert taken == []
    other.join(5)
    assert taken == [True]
    assert net.training
    assert torch.equal(net.bn.running_mean, torch.zeros(6))
    assert torch.equal(net.bn.running_var, torch.ones(6))
    assert not hasattr(net, "extra")
    plain = Small().eval()
    plain.load_state_dict(net.state_dict())
    found, expected = (hp.explain(m, pictures(), target=1, layer="conv2") for m in (net, plain))
    torch.testing.assert_close(found.maps, expected.maps)


def _borrowed(pool: ViewPool) -> bool:
    with pool.borrow():
        return True


def test_uncopyable_things_are_shared_and_the_rest_of_their_container_is_not() -> None:
    net = make("locks and generators")
    net.parts["numbers"] = [1, 2]
    view: Any = make_view(net)
    assert view.lock is net.lock
    assert view.numbers is net.numbers
    assert view.parts["lock"] is net.parts["lock"]
    assert view.parts is not net.parts
    assert view.parts["numbers"] is not net.parts["numbers"]


def test_unwrap() -> None:
    net = Small()
    assert unwrap(nn.DataParallel(torch.compile(nn.DataParallel(net), backend="eager"))) is net


def test_lazy_and_scripted_networks_are_refused_with_a_sentence() -> None:
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(hp.HeatproofError, match="run the network once"):
        make_view(lazy)
    with pytest.raises(hp.HeatproofError, match="lazy"):
        hp.explain(lazy, pictures())
    lazy(pictures())
    assert hp.explain(lazy, pictures(), layer="0").maps.shape == (3, 1, 8, 10)


CHANGES = {
    "layer": lambda net: setattr(net, "fc", nn.Linear(5, 4)),
    "activation": lambda net: setattr(net, "act2", nn.Tanh()),
    "attribute": lambda net: setattr(net, "factor", 3.0),
    "list": lambda net: net.numbers.append(2.0),
    "nested": lambda net: net.options["a"].__setitem__("b", 7.0),
    "tensor attribute": lambda net: net.plain.mul_(2),
    "hook": lambda net: net.conv2.register_forward_hook(lambda m, i, o: o * 2),
    "pre-hook": lambda net: net.conv2.register_forward_pre_hook(lambda m, i: (i[0] * 2,)),
    "buffer in place": lambda net: net.shift.add_(1),
    "buffer replaced": lambda net: setattr(net, "shift", torch.full((4,), 5.0)),
    "buffer of another shape": lambda net: setattr(net, "shift", torch.full((1,), 5.0)),
    "buffer registered": lambda net: net.register_buffer("late", torch.full((4,), 9.0)),
    "buffer filled in": lambda net: setattr(net, "empty", torch.full((4,), 9.0)),
    "parameter in place": lambda net: net.fc.weight.data.mul_(2),
    "parameter replaced": lambda net: setattr(net.fc, "weight", nn.Parameter(torch.ones(4, 5))),
    "double precision": lambda net: [m.double() for m in (net, *net.held)],
    "half precision": lambda net: [m.bfloat16() for m in (net, *net.held)],
    "module in a list": lambda net: setattr(net.held[0], "stride", (2, 2)),
    "buffer of a module in a list": lambda net: net.held[1].running_mean.add_(1),
    "stride": lambda net: setattr(net.conv2, "stride", (1, 1)),
}


class Changeable(Small):
    def __init__(self) -> None:
        super().__init__()
        self.factor, self.numbers, self.options = 1.0, [1.0], {"a": {"b": 2.0}}
        self.plain = torch.ones(4)
        self.register_buffer("shift", torch.zeros(4))
        self.register_buffer("empty", None)
        self.held = [nn.Conv2d(5, 4, 1), nn.BatchNorm2d(4).eval()]

    def features(self, x: Tensor) -> Tensor:
        a = super().features(x)
        self_made = self.held[1](self.held[0](a))
        return a + self_made.amax((1, 2, 3), keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        extra = self.shift + self._buffers.get("late", 0) + (0 if self.empty is None else self.empty)
        return super().forward(x) * self.factor * sum(self.numbers) * self.options["a"]["b"] * self.plain + extra


@pytest.mark.parametrize("name", CHANGES)
def test_an_explainer_follows_what_is_changed_on_the_network(name: str) -> None:
    torch.manual_seed(0)
    net = Changeable()
    explainer = Explainer(net)
    before = explainer(pictures(), target=1)
    CHANGES[name](net)
    for _ in range(2):
        found, fresh = explainer(pictures(), target=1), Explainer(net)(pictures(), target=1)
        assert torch.equal(found.maps, fresh.maps)
        assert torch.equal(found.scores, fresh.scores)
    assert not torch.equal(found.scores.float(), before.scores)


def test_short_lived_attributes_at_one_place_in_memory_are_told_apart() -> None:
    net = Changeable()
    explainer = Explainer(net)
    for i in range(1, 40):
        net.factor = i * 1.5
        net.factor = i * 0.5
        x = pictures()
        with torch.no_grad():
            expected = copy.deepcopy(net).eval()(x)[:, 1]
        torch.testing.assert_close(explainer(x, target=1).scores[:, 0], expected)


def test_watch_notices_nothing_where_nothing_happened_and_ignores_training_mode() -> None:
    net = make("plain")
    watch = Watch(net.modules())
    net(pictures())
    net.eval()
    net.bn.train()
    assert not watch.changed()
    net.act2.inplace = False
    assert watch.changed()


def test_views_are_used_again_unless_a_run_left_something_behind() -> None:
    for name, again in (("plain", True), ("caches activations", False), ("appends", False)):
        pool = ViewPool(make(name) if name != "appends" else AppendsToList())
        views: list[nn.Module] = []
        for _ in range(2):
            with pool.borrow() as view, torch.no_grad():
                view(pictures())
                views.append(view)
        assert (views[0] is views[1]) is again


def test_what_a_run_leaves_on_its_view_does_not_change_the_next() -> None:
    explainer = Explainer(AppendsToList())
    first = explainer(pictures(), target=1)
    assert all(torch.equal(explainer(pictures(), target=1).scores, first.scores) for _ in range(3))


def test_expanded_buffers() -> None:
    net = Small()
    net.register_buffer("ones", torch.ones(1).expand(4))
    explainer = Explainer(net)
    assert torch.equal(explainer(pictures(), target=1).maps, explainer(pictures(), target=1).maps)
