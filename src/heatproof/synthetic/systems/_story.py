"""Tell the story of a simulated system: its right network and its wrong twin, held against what is known."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from heatproof.checks._run import check
from heatproof.errors import InputError
from heatproof.explain import explain
from heatproof.metrics.localization import pointing_game, to_grid
from heatproof.models import Model, load
from heatproof.report.checks import checks_document, save_checks
from heatproof.report.field import plot_field
from heatproof.report.overlay import overlay
from heatproof.synthetic.systems import system
from heatproof.synthetic.systems._drawn import Drawn
from heatproof.types import CheckResult, Explanation

STEPS = 2
"""Networks of a story."""
DRAWN, DRAWN_SEED = 60, 2001
"""Inputs of a story, and their seed: nothing was learned from these."""


@dataclass(frozen=True, eq=False)
class Story:
    """What was found, by network.

    Attributes:
        name: of the system.
        sentence: what it is about.
        about: by network, what it is.
        results: by network, the answers.
        numbers: by network, how well the maps find the place where the answer lies.
    """

    name: str
    sentence: str
    about: dict[str, str] = field(default_factory=dict[str, str])
    results: dict[str, list[CheckResult]] = field(default_factory=dict[str, list[CheckResult]])
    numbers: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "example": self.name,
            "sentence": self.sentence,
            "networks": {
                kind: {
                    **checks_document(self.results[kind], model=self.about[kind]),
                    "localization": self.numbers[kind],
                }
                for kind in self.results
            },
        }


def tell(
    name: str, *, seed: int = 0, out: Path | None = None, progress: Callable[[str], None] = lambda _: None
) -> Story:
    """Hold a system's right network and its wrong twin against what is known, and write pictures into a folder.

    Raises:
        UsageError: there is no such system.
        InputError: the folder cannot be written.
    """
    module = system(name)
    drawn: Drawn = module.draw(DRAWN, DRAWN_SEED + seed)
    told = Story(name, (module.__doc__ or "").split("\n\n")[0])
    for kind in ("right", "wrong"):
        progress(kind)
        model = load(f"bundled:{name}_{kind}")
        told.about[kind] = getattr(module, kind.upper()).what
        told.results[kind] = examine(model, module, drawn, seed=seed)
        ex = explain(model, drawn.inputs(name), targets_of(module, drawn))
        told.numbers[kind] = localization(ex, drawn)
        if out is not None:
            _write(told, kind, ex, out)
    return told


def examine(model: Model, module: Any, drawn: Drawn, *, seed: int = 0) -> list[CheckResult]:
    """Put a network to the checks that a system has the means for."""
    inputs, target = drawn.inputs(module.__name__.rpartition(".")[2]), targets_of(module, drawn)
    settings: dict[str, dict[str, Any]] = {"symmetry": {"laws": module.laws()}, "physics": {"field": module.known()}}
    found = check(model, inputs, ["symmetry", "physics"], target=target, seed=seed, settings=settings)
    if hasattr(module, "causal"):
        how: dict[str, Any] = module.causal()
        goal = how.pop("target", target)
        found += check(model, inputs, "physics", target=goal, seed=seed, settings={"physics": how})
    return found


def targets_of(module: Any, drawn: Drawn) -> Any:
    """Return what is explained: what the system says, or else the true class, or the value."""
    if hasattr(module, "targets"):
        return module.targets(drawn)
    return 0 if drawn.answers.is_floating_point() else drawn.answers.tolist()


def localization(ex: Explanation, drawn: Drawn, tolerance: float = 1.0) -> dict[str, float]:
    """Return how often the highest position is right, within one position, and the mean area under the ROC curve."""
    masks = to_grid(drawn.where.unsqueeze(1), ex.maps.shape[2:])
    return {
        "pointing": float(pointing_game(ex.maps, masks, tolerance).nanmean()),
        "auc": float(auc(ex.maps[:, 0], masks[:, 0]).nanmean()),
    }


def auc(maps: Float[Tensor, "n *grid"], masks: Tensor) -> Float[Tensor, " n"]:
    """Return per map the area under the ROC curve of its values inside against outside; NaN where one is empty.

    Source: Mann and Whitney 1947; ties count half.
    """
    flat, inside = maps.flatten(1).double(), masks.flatten(1)
    order = torch.from_numpy(rankdata(flat.numpy(), axis=1))
    count, rest = inside.sum(1).double(), (~inside).sum(1).double()
    high = (order * inside).sum(1) - count * (count + 1) / 2
    return torch.where((count > 0) & (rest > 0), high / (count * rest), torch.nan)


def _write(told: Story, kind: str, ex: Explanation, out: Path) -> None:
    folder = out / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_checks(told.results[kind], folder, model=told.about[kind], example=told.name)
        (folder / f"{told.name}_{kind}.png").write_bytes(picture(ex))
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); name a folder that can be.") from error


def picture(ex: Explanation, index: int = 0) -> bytes:
    """Return one input with its map as a PNG: contours over a field, bands behind a signal."""
    buffer = io.BytesIO()
    if len(ex.inputs[index].axes) == 2:
        plot_field(ex, index).savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    else:
        overlay(ex, index).save(buffer, format="PNG")
    return buffer.getvalue()
