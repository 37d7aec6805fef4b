"""What a run must reach to be let through: a policy in TOML, read strictly, so that no slip of the pen passes."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from heatproof.errors import InputError, UsageError, nearest
from heatproof.types import Verdict

NOT_ASKED = "not asked"
VERDICTS = (*get_args(Verdict), NOT_ASKED)
SHORTCUTS = ("confirmed", "relies but relevance unclear", "not reliant", "inconclusive", NOT_ASKED)
MEASURES = ("accuracy", "AUROC", "sensitivity", "specificity", "calibration error")
Judge = Literal["interval", "estimate"]


@dataclass(frozen=True)
class Bound:
    """Limits of a measure; None: no limit on this side."""

    least: float | None
    most: float | None


@dataclass(frozen=True)
class Policy:
    """What a run must reach.

    Attributes:
        verdicts: question or check -> the verdicts that pass; "not asked" may be one of them.
        forbidden: verdicts that no candidate for a shortcut may have; "not asked" forbids a run that did not ask.
        performance: measure -> limits over all inputs.
        groups: column -> measure -> limits in every group of it.
        judge: what must keep within a limit: the far end of the "interval", or the "estimate".
        most_failures: largest share of the planned inputs that may be left out.
        deviations: whether deviations from the plan are let through.
    """

    verdicts: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    forbidden: tuple[str, ...] = ()
    performance: Mapping[str, Bound] = field(default_factory=dict[str, Bound])
    groups: Mapping[str, Mapping[str, Bound]] = field(default_factory=dict[str, Mapping[str, Bound]])
    judge: Judge = "interval"
    most_failures: float | None = None
    deviations: bool = True


def read_policy(path: str | Path) -> Policy:
    """Return the policy in a TOML file.

    Raises:
        InputError: there is no such file, or it is no TOML.
        UsageError: it asks for nothing, or for something that is not known.
    """
    try:
        told = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The policy {path} cannot be read ({error.strerror or error}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The policy {path} is no TOML ({error}).") from error
    return policy_of(told)


def policy_of(told: Mapping[str, Any]) -> Policy:
    """Return the policy that a document says.

    Raises:
        UsageError: it asks for nothing, or for something that is not known.
    """
    _known(told, ("verdicts", "shortcuts", "performance", "run"), "the policy")
    shortcuts, performance, run = (_table(told, name) for name in ("shortcuts", "performance", "run"))
    _known(shortcuts, ("forbid",), "[shortcuts]")
    _known(performance, (*MEASURES, "judge", "groups"), "[performance]")
    _known(run, ("most_failures", "deviations"), "[run]")
    judge = performance.get("judge", "interval")
    if judge not in get_args(Judge):
        raise UsageError(f'[performance] judge is {judge!r}; write "interval" or "estimate".')
    policy = Policy(
        verdicts={name: _words(name, one, VERDICTS) for name, one in _table(told, "verdicts").items()},
        forbidden=_words("[shortcuts] forbid", shortcuts.get("forbid", []), SHORTCUTS),
        performance=_bounds(performance, "[performance]"),
        groups={by: _bounds(one, f"[performance.groups] {by}") for by, one in _table(performance, "groups").items()},
        judge=judge,
        most_failures=_share(run.get("most_failures")),
        deviations=_flag(run.get("deviations", True)),
    )
    if policy == Policy(judge=policy.judge):
        raise UsageError("The policy asks for nothing; state [verdicts], [shortcuts], [performance] or [run].")
    return policy


def _table(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = told.get(name, {})
    if not isinstance(found, Mapping):
        raise UsageError(f"[{name}] of the policy is {found!r}; it must be a table.")
    return found


def _known(told: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for name in told:
        if name not in names:
            raise UsageError(f"{where} has {name!r}, which is not known{nearest(name, names, 1) or '.'}")


def _words(name: str, told: Any, known: Sequence[str]) -> tuple[str, ...]:
    listed = [told] if isinstance(told, str) else told
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise UsageError(f"{name} of the policy is {told!r}; give a list of {', '.join(known)}.")
    for one in listed:
        if one not in known:
            close = nearest(one, known, 1) or f"; choose of {', '.join(known)}."
            raise UsageError(f"{name} of the policy has {one!r}, which is no verdict{close}")
    return tuple(listed)


def _bounds(told: Any, where: str) -> dict[str, Bound]:
    if not isinstance(told, Mapping):
        raise UsageError(f"{where} is {told!r}; write measures with limits, such as accuracy = {{ least = 0.9 }}.")
    if where != "[performance]":
        _known(told, MEASURES, where)
    found: dict[str, Bound] = {}
    for name, one in told.items():
        if name not in MEASURES:
            continue  # judge and groups
        fits = isinstance(one, Mapping) and one and set(one) <= {"least", "most"}
        if not fits or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in one.values()):
            raise UsageError(f"{where} {name} is {one!r}; write {{ least = 0.9 }}, {{ most = 0.1 }}, or both.")
        ends = {end: float(x) for end, x in one.items()}
        found[name] = Bound(ends.get("least"), ends.get("most"))
    return found


def _share(told: Any) -> float | None:
    if told is None:
        return None
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told <= 1:
        raise UsageError(f"[run] most_failures is {told!r}; give a share between 0 and 1.")
    return float(told)


def _flag(told: Any) -> bool:
    if not isinstance(told, bool):
        raise UsageError(f"[run] deviations is {told!r}; write true or false.")
    return told
