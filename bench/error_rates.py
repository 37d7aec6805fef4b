"""`python -m bench.error_rates`: how often the statistics under the checks err, on maps and numbers without a model.

    python -m bench.error_rates                 1,000 trials each; minutes on one core
    python -m bench.error_rates --trials 100    a quick look

Unrelated: 20 smooth random maps of 7 x 7 and, under 20 seeds, other such maps, each as like itself under jitter as real
ones: the sanity check must not call them similar. Center prior: the same with one bump at the center that all share.
At the margin: similarities whose true gap to the ceiling is the margin exactly, where a verdict `similar` is wrong.
Pairs: how often a fresh pair is more alike than 95 % of the pairs of different inputs. Coverage: how often the interval
of the crossed bootstrap holds the true mean where clusters and seeds vary it equally.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._levels import across, gaps, judged, levels, pairs
from heatproof.checks._stats import crossed_bootstrap, decide
from heatproof.synthetic._fields import smooth

INPUTS, SEEDS, SIDE, MARGIN = 20, 20, 7, 0.15
DESIGNS = ((20, 20, 1), (50, 20, 1), (8, 20, 1), (60, 20, 4), (30, 2, 1), (30, 5, 1))
"""Inputs, seeds, inputs per cluster."""


def bump(weight: float) -> Float[Tensor, "side side"]:
    """Return a Gaussian at the center."""
    at = (torch.arange(SIDE) - SIDE // 2) ** 2 / (2 * (SIDE / 4) ** 2)
    return weight * torch.exp(-(at[:, None] + at))


def maps(count: int, seed: int, center: float) -> Float[Tensor, "n 1 side side"]:
    """Return smooth random maps, all with the same bump."""
    return smooth((count, 1, SIDE, SIDE), 2, seed).double() + bump(center)


def verdict(trial: int, center: float = 0.0) -> str:
    """Return what the sanity check says of maps that share nothing, or a center prior alone, with those to compare."""
    begin = (SEEDS + 3) * trial
    trained, noise = maps(INPUTS, begin, center), maps(INPUTS, begin + 1, 0.0)
    drawn = [maps(INPUTS, begin + 2 + seed, center) for seed in range(SEEDS)]
    found = levels(across(trained, drawn), pairs(trained), across(trained, [trained + 0.05 * noise]), range(INPUTS))
    told, why, _ = judged(found, gaps(found, range(INPUTS), seed=trial, level=0.95), range(INPUTS), MARGIN)
    return "similar" if told == "undermines" and "stay what they are" in why else f"{told}: {why.split(' (')[0]}"


def at_the_margin(trial: int, draws: int = 1000) -> bool:
    """Return whether a true gap of exactly the margin is taken for one below it."""
    generator = torch.Generator().manual_seed(trial)
    of_input, of_seed = torch.randn(INPUTS, 1, generator=generator), torch.randn(1, SEEDS, generator=generator)
    gap = MARGIN + 0.1 * of_input + 0.1 * of_seed + 0.1 * torch.randn(INPUTS, SEEDS, generator=generator)
    return decide(crossed_bootstrap(gap, seed=trial, draws=draws), MARGIN).at_most


def fresh_pairs(count: int, center: float = 0.0) -> float:
    """Return the share of fresh pairs that are more alike than 95 % of the pairs of different inputs."""
    null = pairs(maps(100, 7, center)).abs()
    among = null[*torch.triu_indices(100, 100, 1)]
    fresh = across(maps(count, 8, center), [maps(count, 9, center)]).abs()
    return float((fresh > among.quantile(0.95)).double().mean())


def covered(n: int, s: int, per: int, trial: int, draws: int = 1000) -> bool:
    """Return whether the interval holds the true mean, 0, where clusters and seeds vary the mean equally."""
    generator = torch.Generator().manual_seed(1000 * trial + n + s)
    of_cluster = torch.randn(n // per, 1, generator=generator).repeat_interleave(per, 0)
    of_seed = torch.randn(1, s, generator=generator) * math.sqrt(s * per / n)
    values = of_cluster + of_seed + torch.randn(n, s, generator=generator)
    found = crossed_bootstrap(values, [i // per for i in range(n)], seed=trial, draws=draws)
    return found.low < 0 < found.high


def share(trials: int, one: Callable[[int], bool]) -> float:
    """Return how often a trial says yes."""
    return sum(one(trial) for trial in range(trials)) / trials


def main() -> None:
    """Print all shares."""
    parser = argparse.ArgumentParser(prog="python -m bench.error_rates", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    torch.set_num_threads(1)
    for name, center in (("unrelated", 0.0), ("center prior", 3.0)):
        for told, count in Counter(verdict(trial, center) for trial in range(trials)).most_common():
            print(f"{name}: {count / trials:.1%} {told}", flush=True)
        print(f"{name}, fresh pairs beyond 95 % of the null: {fresh_pairs(trials, center):.1%}", flush=True)
    print(f"at the margin, called similar: {share(trials, at_the_margin):.1%}", flush=True)
    for n, s, per in DESIGNS:
        rate = share(trials, lambda trial, n=n, s=s, per=per: covered(n, s, per, trial))
        print(f"coverage with {n} inputs in {n // per} clusters, {s} seeds: {rate:.1%}", flush=True)


if __name__ == "__main__":
    main()
