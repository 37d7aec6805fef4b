"""Physics: does the map lie where known physics sees something, does the model change as the truth does?

Up to three questions, for as many as there are means (`heatproof.physics`):

- **agreement** (`field`): rank correlation of the map with a field derived from the input (vorticity, known lines,
  ...), amplitude and position partialled out: a bright line attracts any map. Never the raw value but its margin over
  two
  nulls: maps with the same power spectrum and random phases, and the maps of the same network with random weights.
- **causal** (`simulate`): regions are changed, the simulator says by how much the true answer changes, and the model's
  change is regressed on that. Slope 1 is right; where the truth stays, the model must stay.
- **conservation** (`balance`): how far the marked region violates a conservation law, beside the rest of the input.

Never a pass by itself: regions that matter moderately need not be the most extreme ones, and a map may rightly miss
what the model does not use. Claims finer than the map's resolution are inconclusive. Every answer says what was
compared.
"""

from typing import Any

from heatproof.checks._agreement import agreement
from heatproof.checks._balance import conservation
from heatproof.checks._causal import causal
from heatproof.checks._study import Study
from heatproof.errors import UsageError
from heatproof.physics import Balance
from heatproof.physics.fields import known
from heatproof.types import CheckResult

NAME = "Physics"
ALIASES = ("causal", "conservation", "known physics")
TIER = "core"
BIBTEX = """
@article{theiler1992testing,
  title   = {Testing for nonlinearity in time series: the method of surrogate data},
  author  = {Theiler, James and Eubank, Stephen and Longtin, Andr{\\'e} and Galdrikian, Bryan and Farmer, J. Doyne},
  journal = {Physica D},
  volume  = {58},
  pages   = {77--94},
  year    = {1992}
}
"""


def check(
    study: Study,
    *,
    field: Any = None,
    simulate: Any = None,
    balance: Any = None,
    edit: Any = None,
    region: float = 0.1,
    surrogates: int = 20,
    draws: int = 5,
    margin: float = 0.1,
    slope_margin: float = 0.25,
) -> list[CheckResult]:
    """Hold maps and model against known physics, one answer for each of field, simulator and balance.

    Args:
        study: of a network that takes one tensor.
        field: a `heatproof.physics` field, or a function `input -> (*spatial)`.
        simulate: `data (c, *spatial) -> number`: the true answer for an input, in the units of the explained score.
        balance: a `heatproof.physics` balance.
        edit: `(data (c, *spatial), mask (*spatial), dose) -> data`, how a region is changed; None moves its values
            toward their mean there (dose 0.5 and 1) and away from it (-0.5).
        region: share of the grid that is changed, or counts as marked.
        surrogates: maps with random phases.
        draws: networks with random weights.
        margin: rank correlation above both nulls up to which a map counts as no better; likewise, violation of the
            balance relative to the sizes of its terms.
        slope_margin: how far the slope may lie from 1, and what changes without need from 0.

    Raises:
        UsageError: there is nothing to compare with, or a setting is out of range; the simulator fails on every state.
        InputError: an input lacks what is needed, such as units.
    """
    if field is None and simulate is None and balance is None:
        raise UsageError(
            "There is no physics to compare with; give field=, simulate= or balance=, such as "
            "settings={'physics': {'field': heatproof.physics.vorticity()}}."
        )
    if not 0 < region < 1 or surrogates < 1 or draws < 1 or not 0 <= margin < 1 or not 0 < slope_margin < 1:
        raise UsageError(
            f"region is {region:g} (between 0 and 1), surrogates {surrogates} and draws {draws} (1 or more), margin "
            f"{margin:g} and slope_margin {slope_margin:g} (between 0 and 1); one is out of range."
        )
    if simulate is not None and not callable(simulate):
        raise UsageError(f"simulate is {simulate!r}; give a function from the data of one input to its true answer.")
    if balance is not None and not isinstance(balance, Balance):
        raise UsageError(f"balance is {balance!r}; give one of heatproof.physics, such as continuity('rho', ...).")
    found: list[CheckResult] = []
    if field is not None:
        found.append(agreement(study, known(field), surrogates=surrogates, draws=draws, margin=margin))
    if simulate is not None:
        found.append(causal(study, simulate, edit, region=region, margin=slope_margin))
    if balance is not None:
        found.append(conservation(study, balance, region=region, margin=margin))
    return found
