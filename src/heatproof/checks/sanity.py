"""Sanity: does the map depend on what the model learned?

The model parameter randomization test (Adebayo et al. 2018, arXiv:1810.03292, section 3): all that was learned is drawn
anew, the explained class stays. Statistic: |Spearman rho| of the signed maps before and after, per input, on the map's
own grid. It is compared with two levels of the same model: maps of different inputs (the null), and of the same input
under a tiny jitter (the ceiling). Randomized maps must be as unlike as those of different inputs. What passes is not
refuted: necessary, not sufficient. The cascades (from the output, from the input, each stage alone) are drawn without
verdict. Smooth variant: Hedstrom et al. 2024, "Sanity Checks Revisited" (sMPRT).

Cost: a backward counts as a forward, and a run whose beginning is not run again counts in full. A method that takes
more than one run counts as if it took one.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from heatproof.checks._levels import Gaps, Levels, across, constant, dead, gaps, judged, levels, pairs
from heatproof.checks._rerun import input_tensor
from heatproof.checks._reuse import Reuse, reusable
from heatproof.checks._shown import controls, literature, random_logit
from heatproof.checks._stats import crossed_bootstrap
from heatproof.checks._study import Study
from heatproof.checks._twins import (
    jittered,
    layers_of,
    maps_for,
    masked,
    same_first,
    seeds,
    twin_of,
)
from heatproof.checks._verdict import FEWEST, LEFT_OUT, units
from heatproof.errors import UsageError
from heatproof.explain import Explainer
from heatproof.explain.variants import IDENTITY, variants
from heatproof.models import Model
from heatproof.models.stages import CASCADES, Cut, Stage, stages, steps
from heatproof.types import CheckResult, Interval, Verdict

NAME = "Sanity"
ALIASES = ("mprt", "randomization", "model parameter randomization")
TIER = "core"
BIBTEX = """
@inproceedings{adebayo2018sanity,
  title     = {Sanity Checks for Saliency Maps},
  author    = {Adebayo, Julius and Gilmer, Justin and Muelly, Michael and Goodfellow, Ian and Hardt, Moritz and
               Kim, Been},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  volume    = {31},
  year      = {2018}
}
"""
CLAIM = "The map depends on what the model learned."


def check(
    study: Study,
    *,
    margin: float = 0.15,
    draws: int = 20,
    cascades: Sequence[str] = CASCADES,
    cascade_draws: int = 3,
    every_layer: bool = False,
    recalibrate: bool = True,
    jitter: float = 0.02,
    smooth: int = 0,
    smooth_noise: float = 0.1,
) -> CheckResult:
    """Return whether the maps change when all that was learned is replaced.

    Args:
        study: of a network that takes one tensor.
        margin: difference in |rho| up to which two levels count as the same.
        draws: random models for the verdict. With fewer than 20 it stays as certain, but intervals grow (they hold the
            true mean with 2, too) and the verdict is seldomer decided.
        cascades: which to draw: "top-down", "bottom-up", "independent"; () for none.
        cascade_draws: random models for each step of a cascade, for the controls and the literature's protocol.
        every_layer: cascades go layer by layer instead of stage by stage.
        recalibrate: take normalization statistics anew from the inputs, or keep the trained ones.
        jitter: noise of the ceiling, in standard deviations of each input.
        smooth: noisy copies that each map is averaged over (sMPRT); 0 for none.
        smooth_noise: their noise, as a fraction of each input's range.

    Raises:
        UsageError: a setting is out of range, or the network cannot be copied.
        InputError: the network takes several tensors.
        TargetError: the target is not the same under a randomized model.
    """
    unknown = [name for name in cascades if name not in CASCADES]
    input_tensor(study)
    if unknown or draws < 2 or cascade_draws < 1 or jitter <= 0 or smooth < 0 or not 0 <= margin < 1:
        raise UsageError(
            f"margin {margin:g} (0 or more, below 1), cascades {list(cascades)} (of {', '.join(CASCADES)}), draws "
            f"{draws} (2 or more), cascade_draws {cascade_draws} (1 or more), jitter {jitter:g} (above 0), smooth "
            f"{smooth} (0 or more); one is out of range."
        )
    settings: dict[str, Any] = {
        "seed": study.seed, "margin": margin, "draws": draws, "cascades": list(cascades),
        "cascade_draws": cascade_draws, "every_layer": every_layer, "recalibrate": recalibrate, "jitter": jitter,
        "smooth": smooth, "smooth_noise": smooth_noise,
    }  # fmt: skip
    order, parts = _stages(study)
    if not parts:
        return _result(study, margin, settings, "not applicable", "The model has no parameters: nothing to randomize.")
    return _Sanity(study, settings, parts, order).result()


def cascade(
    study: Study, name: str = "top-down", *, draws: int = 1, every_layer: bool = False, recalibrate: bool = True
) -> tuple[list[float], list[float]]:
    """Return one cascade alone, without a verdict: the steps and the mean |rho| at each, see `check`.

    Raises:
        UsageError: there is no such cascade, or nothing to randomize.
    """
    order, parts = _stages(study)
    if name not in CASCADES or draws < 1 or not parts:
        raise UsageError(
            f"cascade is {name!r} (one of {', '.join(CASCADES)}), draws {draws} (1 or more), and the model has "
            f"{len(parts)} stages with parameters (at least one); one is out of range."
        )
    settings = {
        "draws": draws, "cascade_draws": draws, "cascades": [name], "every_layer": every_layer,
        "recalibrate": recalibrate, "smooth": 0,
    }  # fmt: skip
    return _Sanity(study, settings, parts, order).cascade(name)


def _stages(study: Study) -> tuple[list[str], list[Stage]]:
    """Return the names of what is called, in order, and the stages."""
    order = [call.name for call in study.explainer.engine.trace(study.batches[0].batch).calls]
    return order, stages(study.explainer.model.net, order)


class _Sanity:
    """One run of the check: the maps made so far, and what they cost."""

    def __init__(self, study: Study, settings: dict[str, Any], parts: list[Stage], order: list[str]) -> None:
        self.study, self.settings, self.parts = study, settings, parts
        self.seeds = seeds(study.seed, settings["draws"])
        self.few = self.seeds[: settings["cascade_draws"]]
        self.base = study.explainer.with_model(study.explainer.model, study.explainer.layer)
        self.base.engine = study.explainer.engine  # what it found out about the network holds
        if settings["smooth"]:
            self.base.noise, self.base.samples, self.base.seed = settings["smooth_noise"], settings["smooth"], 0
        self.layers = layers_of(study)
        self.forwards = 0.0
        smooth = bool(settings["smooth"])
        self.maps = self._maps(self.base) if smooth else masked(study.explanation.maps, study.explanation.scores)
        finer = stages(study.explainer.model.net, order, every_layer=True) if settings["every_layer"] else parts
        self.head: Cut = (parts[-1], parts[-1])
        self.cascades = {name: steps(name, finer) for name in settings["cascades"]}
        cuts = [self.head, *(cut for cuts in self.cascades.values() for cut in cuts)]
        self.reuse: Reuse | None = None
        if reusable(study) and not settings["smooth"] and self.layers:
            self.reuse = Reuse(study, self.layers, cuts, self._holds, self._count, settings["recalibrate"])
        self.known: dict[tuple[int, Cut], Tensor] = {}

    def _maps(self, explainer: Explainer, reuse: Reuse | None = None) -> Tensor:
        self.forwards += self._runs
        return maps_for(self.study, explainer, layers=self.layers, reuse=reuse)

    def _count(self, inputs: int) -> None:
        self.forwards += inputs / self.study.n

    @property
    def _runs(self) -> float:
        base, axes = self.base, len(self.study.explanation.input_size)
        made = variants(base.augment, base.noise, base.samples, 0, axes)
        return 2.0 * (len(made) + (IDENTITY not in made))  # a backward counts as a forward

    def _holds(self, net: nn.Module) -> bool:
        """Return whether the first input's score and map under `net` are the trained model's."""
        self._count(2)
        model = replace(self.study.explainer.model, net=net)
        return same_first(self.study, self._lent(model), self.layers, self.maps)

    def _lent(self, model: Model) -> Explainer:
        """Return the explainer of a copy of the network that is ours: no view of it is needed."""
        explainer = self.base.with_model(model, self.base.layer)
        if not self.study.explainer.engine.pool.hooked:
            explainer.engine.pool.lend_itself()
        return explainer

    def _twin(self, seed: int, cut: Cut, drawn: dict[int, nn.Parameter] | None = None) -> Explainer:
        again: bool = self.settings["recalibrate"]
        model = twin_of(self.study, seed, cut, recalibrate=again, reuse=self.reuse, drawn=drawn, count=self._count)
        return self._lent(model)

    def _under(self, seed: int, cut: Cut, drawn: dict[int, nn.Parameter] | None = None) -> Tensor:
        """Return the maps with what the cut names drawn anew; each is made once."""
        if (seed, cut) not in self.known:
            self.known[seed, cut] = self._maps(self._twin(seed, cut, drawn), self.reuse)
        return self.known[seed, cut]

    def result(self) -> CheckResult:
        study, margin = self.study, self.settings["margin"]
        full = [self._under(seed, (None, None)) for seed in self.seeds]
        head = [self._under(seed, self.head) for seed in self.seeds]
        shaken = jittered(study, self.base, self.settings["jitter"], seeds(study.seed + 1, 2), self.layers)
        self.forwards += self._runs * len(shaken)
        signed, between, ceiling = across(self.maps, full), pairs(self.maps), across(self.maps, shaken)
        of_head = levels(across(self.maps, head), between, ceiling, study.clusters)
        models = [self._twin(seed, (None, None)).model for seed in self.few]
        shown, spent = controls(study, models, self.maps.shape[2:])
        other = random_logit(study, self.base, self.maps, self.layers)
        self.forwards += spent + self._runs * (other is not None)
        fixed: dict[str, Any] = {
            "dead and constant": {
                "trained": (int(dead(self.maps).sum()), int(constant(self.maps).sum())),
                "randomized": (int(sum(dead(m).sum() for m in full)), int(sum(constant(m).sum() for m in full))),
                "randomized maps": len(full) * study.n,
            },
            "stages": [" + ".join(part) for part in self.parts],
            "literature's protocol": literature(self.maps, full[: len(self.few)], study.explanation.input_size),
        }
        curves = {name: self.cascade(name) for name in self.settings["cascades"]}
        found = levels(signed, between, ceiling, study.clusters)
        per_input = {
            "input": list(study.names()),
            "target": [row[0].name for row in study.explanation.targets],
            "S_rand": found.rand.nanmean(1).tolist(),
            "S_null": found.null.tolist(),
            "S_ceil": found.ceil.tolist(),
            "S_rand, head alone": of_head.rand.nanmean(1).tolist(),
            **{f"S_rand, {name}": rho.abs().nanmean(1).tolist() for name, rho in shown.items()},
        }

        def answer(study: Study) -> CheckResult:
            at = copy(self)
            at.study = study  # of another alpha, maybe
            gap = at._gaps(found)
            verdict, why, needed = at._judged(found, gap, margin)
            details: dict[str, Any] = {
                "S_rand - S_null": gap.rand_null,
                "S_ceil - S_rand": gap.ceil_rand,
                "S_ceil - S_null": gap.ceil_null,
                "signed rho": at._crossed(signed),
                "head alone": at._head(of_head, decided=verdict in ("supports", "undermines")),
                "controls": {name: at._crossed(rho.abs()) for name, rho in shown.items()},
                **fixed,
            }
            if other is not None:
                details["random logit"] = study.interval(other.abs())
            return _result(
                study, margin, self.settings, verdict, why,
                value=at._crossed(found.rand),
                null=study.interval(found.null_values),
                ceiling=study.interval(found.ceil),
                n=units(found.rand.nanmean(1), study.clusters),
                n_needed=needed, forwards=self.forwards, curves=curves, details=details, per_input=per_input,
            )  # fmt: skip

        return study.answered(answer)

    def _judged(self, found: Levels, gap: Gaps, margin: float) -> tuple[Verdict, str, int | None]:
        """Return the verdict, why, and how many units one would need."""
        if bool((dead(self.maps) | constant(self.maps)).all()):
            return self._nothing()
        verdict, why, needed = judged(found, gap, self.study.clusters, margin)
        missing = int((~(found.rand.nanmean(1) + found.null + found.ceil).isfinite()).sum())
        left_out = f" {missing} of {self.study.n} inputs are left out: their maps compare with nothing."
        return verdict, why + (left_out if missing else ""), needed

    def _nothing(self) -> tuple[Verdict, str, int | None]:
        """Return what is to be said where no map shows anything."""
        if not bool(self.study.explanation.scores.isfinite().any()):
            return (
                "inconclusive",
                "Every score is NaN or infinite, so that there is no map; mend the model first.",
                None,
            )
        scored = self.study.explanation.scores.isfinite().all(1)
        unscored, n = int((~scored).sum()), self.study.n
        if unscored > LEFT_OUT * n:
            why = f"The scores of {unscored} of {n} inputs are NaN or infinite, and the other maps are constant."
            return "inconclusive", why, None
        broken = int((~self.maps.flatten(1).isfinite().all(1).to(scored.device) & scored).sum())
        if broken > LEFT_OUT * n:
            every = "every map holds" if broken == n else f"{broken} of {n} maps hold"
            rest = "" if broken == n else " and the others are constant"
            return (
                "inconclusive",
                f"Scores are finite, but {every} NaN or infinite values{rest}, so that there is nothing to compare; "
                "look for what has no finite gradient, such as the root of 0.",
                None,
            )
        count = len(set(self.study.clusters))
        if count < FEWEST:
            why = f"Every map is constant, all zero or not finite; a verdict takes {FEWEST} or more, there are {count}."
            return "inconclusive", why, FEWEST
        why = "The explainer is input-insensitive: every map is constant, all zero or not finite."
        return "undermines", why, None

    def _head(self, found: Levels, *, decided: bool) -> dict[str, Any]:
        """Return what holds for the last stage alone; its verdict stands behind the primary one, which gates it."""
        gap = self._gaps(found)
        verdict, why, _ = judged(found, gap, self.study.clusters, self.settings["margin"])
        return {
            "stage": " + ".join(self.parts[-1]),
            "S_rand": self._crossed(found.rand),
            "S_rand - S_null": gap.rand_null,
            "S_ceil - S_rand": gap.ceil_rand,
            "verdict": verdict if decided else "inconclusive",
            "why": why,
        }

    def cascade(self, name: str) -> tuple[list[float], list[float]]:
        """Return the number of stages drawn anew, and mean |rho|; for "independent" the stage's number."""
        cuts = self.cascades[name]
        made: list[list[Tensor]] = []
        for seed in self.few:
            drawn: dict[int, nn.Parameter] = {}  # a step draws only what the one before has not
            made.append([self._under(seed, cut, drawn) for cut in cuts])
        means = [float(across(self.maps, [maps[i] for maps in made]).abs().nanmean()) for i in range(len(cuts))]
        return [float(i + 1) for i in range(len(cuts))], means

    def _gaps(self, found: Levels) -> Gaps:
        return gaps(found, self.study.clusters, seed=self.study.seed, level=1 - self.study.alpha)

    def _crossed(self, values: Tensor) -> Interval:
        return crossed_bootstrap(values, self.study.clusters, seed=self.study.seed, level=1 - self.study.alpha)


def _result(study: Study, margin: float, settings: dict[str, Any], verdict: Any, why: str, **found: Any) -> CheckResult:
    given: dict[str, Any] = {"value": None, "null": None, "ceiling": None, "n": len(set(study.clusters)), **found}
    return CheckResult(
        check="sanity",
        claim=CLAIM,
        about="map",
        statistic="|Spearman rho| with random weights",
        null_name="maps of different inputs",
        margin=margin,
        alpha=study.alpha,
        unit=study.cluster_name,
        verdict=verdict,
        why=why,
        settings=settings,
        **given,
    )
