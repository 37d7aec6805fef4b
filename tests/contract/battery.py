"""The contract of a CAM method: what every plug-in must satisfy, whoever wrote it.

`run_battery(plugin)` runs it all and raises AssertionError with the property that was broken.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from inspect import signature

import torch
from tests.contract.attention_toys import attention_toy, without_attention_gradient
from tests.contract.captures import GRIDS, HEADS, Toy, as_float32, counted, halved, toy
from torch import Tensor

from heatproof.errors import HeatproofWarning, MethodError
from heatproof.plugins import TIERS, Plugin
from heatproof.types import Capture

RELATIVE = 1e-6  # of a map's largest value; the models under comparison run in float64
RELATIVE_RERUN_IN_HALF = 0.05  # where the method ran a half precision model again, its scores are that coarse


def described(plugin: Plugin) -> None:
    """The method says what it is, and under which name it can be cited."""
    assert plugin.name.isidentifier()
    assert plugin.name == plugin.name.lower()
    assert plugin.title
    assert plugin.tier in TIERS
    assert len(plugin.doc) > len(plugin.summary) > 0, "the docstring gives a summary line, then formula and assumptions"
    if plugin.tier == "core":
        assert plugin.bibtex.startswith("@"), "a core method names its paper"


def shaped(plugin: Plugin) -> None:
    """One finite map per input and target, on the layer's grid, in at least float32, without a graph.

    A method that declares `GRID = "finest"` answers on the finest grid of the layers up to the target layer.
    """
    finer = getattr(import_module(plugin.module), "GRID", "layer") == "finest"
    for capture in _captures(plugin):
        maps = plugin.function(capture)
        n, t = capture.scores.shape
        grid = capture.source.stages()[0].activations.shape[2:] if finer else capture.activations.shape[2:]
        assert maps.shape == (n, t, *grid)
        assert maps.dtype == torch.promote_types(capture.activations.dtype, torch.float32)
        assert maps.device == capture.activations.device
        assert not maps.requires_grad
        assert maps.isfinite().all()


def informative(plugin: Plugin) -> None:
    """A map is not the same everywhere, nor for every input.

    A method that declares `SIGNED = False` shows no evidence against; where there is none for the target, it is blank.
    """
    signed = getattr(import_module(plugin.module), "SIGNED", True)
    for model in _toys(plugin):
        maps = plugin.function(model.capture())
        blank = (maps == 0).flatten(2).all(-1)
        assert signed or (maps >= 0).all()
        assert signed or not blank.all()
        varies = maps.flatten(2).std(-1) > 0
        assert (varies if signed else varies | blank).all(), "a constant map says nothing"
        assert not torch.allclose(maps[0], maps[1]), "two inputs, one map"


def read_only(plugin: Plugin) -> None:
    """The capture is shared by all methods: nobody writes into it."""
    for capture in _captures(plugin):
        held = [capture.activations, capture.gradients, capture.scores, capture.inputs]
        before = [None if tensor is None else tensor.clone() for tensor in held]
        plugin.function(capture)
        for tensor, copy in zip(held, before, strict=True):
            assert tensor is copy or torch.equal(tensor, copy)


def repeatable(plugin: Plugin) -> None:
    """The same capture gives the same map, bit for bit."""
    for capture in _captures(plugin):
        assert torch.equal(plugin.function(capture), plugin.function(capture))


def obeys_its_seed(plugin: Plugin) -> None:
    """A method that draws at random draws what its seed says: the same again, and something else for another."""
    if "seed" in signature(plugin.function).parameters:
        changed = []
        for capture in _captures(plugin):
            maps = plugin.function(capture)
            assert torch.equal(maps, plugin.function(capture, seed=0)), "the default seed is 0"
            changed.append(not torch.equal(maps, plugin.function(capture, seed=1)))
        assert any(changed), "the seed is not read"  # noise changes nothing where the model is linear


def batch_size_is_arbitrary(plugin: Plugin) -> None:
    """How many runs of the model fit into one changes nothing."""
    if "batch_size" in signature(plugin.function).parameters:
        for model in _toys(plugin):
            maps = plugin.function(model.capture())
            for batch_size in (1, 5, 1000):
                _same(maps, plugin.function(model.capture(), batch_size=batch_size))


def batch_equals_singles(plugin: Plugin) -> None:
    """An input's map does not depend on who else is in the batch, nor on the order."""
    for model in _toys(plugin):
        maps = plugin.function(model.capture())
        singles = [plugin.function(model.only(i).capture()) for i in range(len(maps))]
        _same(maps, torch.cat(singles))
        _same(maps, plugin.function(model.reversed_batch().capture()).flip(0))


def targets_are_independent(plugin: Plugin) -> None:
    """A target's map does not depend on which others were asked for."""
    for model in _toys(plugin):
        maps = plugin.function(model.capture())
        singles = [plugin.function(model.only_target(j).capture()) for j in range(maps.shape[1])]
        _same(maps, torch.cat(singles, dim=1))


def channel_order_is_arbitrary(plugin: Plugin) -> None:
    """Numbering the channels differently changes nothing."""
    for model in _toys(plugin):
        _same(plugin.function(model.capture()), plugin.function(model.shuffled_channels(seed=1).capture()))


def dead_channel_is_nothing(plugin: Plugin) -> None:
    """A channel that is always zero, and that the head ignores, changes nothing."""
    for model in _toys(plugin):
        _same(plugin.function(model.capture()), plugin.function(model.with_dead_channel().capture()))


def flips_with_the_grid(plugin: Plugin) -> None:
    """Mirroring the model and its inputs mirrors the map."""
    for model in _toys(plugin):
        for axis in range(2, model.inputs.ndim):
            mirrored = plugin.function(model.flipped(axis).capture())
            _same(plugin.function(model.capture()), mirrored.flip(axis))


def activation_unit_is_arbitrary(plugin: Plugin) -> None:
    """Measuring the activations in another unit changes nothing: no hidden epsilon, no hidden constant.

    A method whose map is in the units of the activations declares `UNITS = "activations"`; its map changes unit alike.
    """
    alike = getattr(import_module(plugin.module), "UNITS", "score") == "activations"
    for model, factor in itertools.product(_toys(plugin), (1e-6, 1e6)):
        expected = (factor if alike else 1) * plugin.function(model.capture())
        _same(expected, plugin.function(model.with_activations_times(factor).capture()))


def scales_with_the_score(plugin: Plugin) -> None:
    """Measuring the score in another unit scales the map, however small or large the gradients become.

    A method whose formula is not linear in the score declares `SCALES_WITH_SCORE = False`; its maps stay finite.
    """
    linear = getattr(import_module(plugin.module), "SCALES_WITH_SCORE", True)
    for model, factor in itertools.product(_toys(plugin), (1e-6, 1e6)):
        maps = plugin.function(model.with_score_times(factor).capture())
        assert maps.isfinite().all()
        if linear:
            _same(factor * plugin.function(model.capture()), maps)


def survives_degenerate_captures(plugin: Plugin) -> None:
    """No activation, no gradient or channels that cancel: finite maps, and a blank one where nothing is active.

    A method that sees attention, not activations, gives one where no attention matters, unless it sees weights only.
    """
    for capture in _captures(plugin):
        if needs(plugin) == "attention":
            blank = plugin.function(without_attention_gradient(capture))
            assert (blank == 0).all() or not _depends_on_target(plugin, capture)
            assert blank.isfinite().all()
            continue
        silent = torch.zeros_like(capture.activations)
        cancelling = capture.activations - capture.activations.flip(-1)
        assert plugin.function(replace(capture, gradients=torch.zeros_like(capture.gradients))).isfinite().all()
        assert (plugin.function(replace(capture, activations=silent)) == 0).all(), "no activation, no map"
        assert plugin.function(replace(capture, activations=cancelling)).isfinite().all()


def half_precision_is_safe(plugin: Plugin) -> None:
    """A capture in half precision gives the map of the same numbers in float32.

    Where the method ran the model again, in half precision, and warns that its formula is unfit for what it found
    (denominators near zero), rounding may decide; elsewhere not.
    """
    for model, dtype in itertools.product(_toys(plugin, torch.float32), (torch.float16, torch.bfloat16)):
        original, reruns = model.capture(), 0

        def count() -> None:
            nonlocal reruns
            reruns += 1

        half = halved(original, dtype)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", HeatproofWarning)
            maps = plugin.function(counted(half, count))
            expected = plugin.function(as_float32(half, original))
        assert maps.dtype == torch.float32
        if reruns and told:
            continue
        _same(expected, maps, RELATIVE_RERUN_IN_HALF if reruns else RELATIVE)


def threads_agree(plugin: Plugin) -> None:
    """Eight calls from four threads give the serial answer."""
    for capture in _captures(plugin):
        serial = plugin.function(capture)
        with ThreadPoolExecutor(4) as pool:
            for maps in pool.map(plugin.function, [capture] * 8):
                assert torch.equal(serial, maps)


BATTERY = (
    described,
    shaped,
    informative,
    read_only,
    repeatable,
    obeys_its_seed,
    batch_size_is_arbitrary,
    batch_equals_singles,
    targets_are_independent,
    channel_order_is_arbitrary,
    dead_channel_is_nothing,
    flips_with_the_grid,
    activation_unit_is_arbitrary,
    scales_with_the_score,
    survives_degenerate_captures,
    half_precision_is_safe,
    threads_agree,
)


def run_property(plugin: Plugin, prop: Callable[[Plugin], None]) -> None:
    """Check one property; a method's warning about the toy's data is no failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeatproofWarning)
        prop(plugin)


def run_battery(plugin: Plugin) -> None:
    """Check every property of the contract."""
    for prop in BATTERY:
        run_property(plugin, prop)


def needs(plugin: Plugin) -> str | None:
    """Return what the method declares to need of a network: "attention", or nothing."""
    return getattr(import_module(plugin.module), "NEEDS", None)


def make_toy(plugin: Plugin) -> Callable[..., Toy]:
    """Return what makes a toy that has what the method needs."""
    return attention_toy if needs(plugin) == "attention" else toy


def _depends_on_target(plugin: Plugin, capture: Capture) -> bool:
    maps = plugin.function(capture)
    return not torch.allclose(maps[:, 0], maps[:, 1])


def _toys(plugin: Plugin, dtype: torch.dtype = torch.float64) -> Iterator[Toy]:
    """Yield the models of 1 to 3 axes that the method takes; it may refuse a head, but never the pooled linear one."""
    for axes, head, rectified in itertools.product(GRIDS, HEADS, (True, False)):
        model = make_toy(plugin)(axes, head, rectified=rectified, dtype=dtype)
        try:
            plugin.function(model.capture())
        except MethodError:
            assert head != "pooled", "every method must explain a pooled linear head"
        else:
            yield model


def _captures(plugin: Plugin) -> Iterator[Capture]:
    """Yield float32 captures of the models that the method takes."""
    return (model.capture() for model in _toys(plugin, torch.float32))


def _same(expected: Tensor, found: Tensor, relative: float = RELATIVE) -> None:
    """Compare maps, each within a fraction of its own largest value."""
    assert expected.shape == found.shape
    off = (expected - found).flatten(2).abs().amax(-1)
    allowed = relative * expected.flatten(2).abs().amax(-1)
    assert (off <= allowed).all(), f"maps differ by {off.max():.3g}, allowed is {allowed.min():.3g}"
