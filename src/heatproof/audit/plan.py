"""What is fixed before anything runs: frozen dataclasses, their TOML, and how two plans differ."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, cast, get_args, get_origin, get_type_hints

from heatproof.audit.files import write_file
from heatproof.errors import InputError, MissingExtraError

FORMAT = "heatproof plan 1"
QUESTIONS = ("sanity", "faithfulness", "plausibility", "shortcuts")
"""The four questions of every audit, in this order."""
CORRECTION = (
    "each primary question has its part of alpha; the checks share theirs by Holm's procedure, the candidates for "
    "shortcuts theirs; everything else is exploratory"
)
_MEASURED = {"cost", "asks.seconds", "budget", "run.workers"}
"""What says how long things take on one machine; two plans that differ in nothing else are the same."""


@dataclass(frozen=True)
class ModelPlan:
    """Attributes: name and source of the model; SHA-256 of its weights; its number of classes and their names."""

    name: str
    source: str
    weights_sha256: str
    classes: int
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataPlan:
    """The data.

    Attributes:
        name: what the data is called in reports.
        kind: of source.
        entries: how many there are.
        fingerprint: changes when entries do.
        roles: which column means what: "label" -> "diagnosis".
        columns: the data's own columns -> their type.
        split: which split this is; "" where nobody said.
        annotations_from: who made the annotations, and how; "" where nobody said.
        annotated: entries with an annotation.
        labelled: entries with a label.
        cluster_name: what clusters are called; "input" without them.
        subgroups: columns that results are split by.
    """

    name: str
    kind: str
    entries: int
    fingerprint: str
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    split: str = ""
    annotations_from: str = ""
    annotated: int = 0
    labelled: int = 0
    cluster_name: str = "input"
    subgroups: tuple[str, ...] = ()


@dataclass(frozen=True)
class MapsPlan:
    """How maps are made: the one primary method and layer, for the predicted class and the runner-up."""

    method: str
    layer: str
    units: str
    targets: tuple[str, ...]
    grid: tuple[int, ...]
    input_size: tuple[int, ...]
    spacing: tuple[float, ...]
    receptive_field: tuple[float, ...] | None = None
    dtype: str = "float32"


@dataclass(frozen=True)
class RunPlan:
    """Attributes: seed of everything drawn; inputs in a forward and in a shard; the device; decoding threads."""

    seed: int
    batch_size: int
    shard_size: int
    device: str
    workers: int


@dataclass(frozen=True)
class Ask:
    """One question with all that decides its verdict.

    Attributes:
        question: one of the four.
        statistic: the primary one.
        margin: fixed beforehand.
        needed: units that the planned power needs.
        planned: units that will be looked at; no verdict is given before so many were.
        forwards: expected cost per input.
        seconds: expected time.
        primary: whether it shares alpha; the verdicts of others are exploratory.
        settings: of the check.
    """

    question: str
    statistic: str
    margin: float
    needed: int
    planned: int
    forwards: float
    seconds: float
    primary: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Cost:
    """Expected cost: forwards in all, seconds in all, milliseconds of one forward of one input on this machine."""

    forwards: float
    seconds: float
    forward_ms: float


@dataclass(frozen=True)
class Budget:
    """The time that was allowed, in seconds (0: any), and what was given up for it; sentences."""

    seconds: float = 0.0
    given_up: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A plan, frozen before anything runs.

    Attributes:
        intended_use: what the model is for, in the user's words.
        alpha: error rate that all primary verdicts share.
        correction: how they share it.
        asks: the questions that are asked, in order.
        not_asked: question -> why not.
        artifacts: suspects given by name: columns, cues, color rules.
        warnings: what a reader should know of the plan itself.
    """

    model: ModelPlan
    data: DataPlan
    maps: MapsPlan
    run: RunPlan
    asks: tuple[Ask, ...]
    not_asked: Mapping[str, str]
    cost: Cost
    intended_use: str = ""
    alpha: float = 0.05
    correction: str = CORRECTION
    artifacts: Mapping[str, str] = field(default_factory=dict[str, str])
    budget: Budget = Budget()
    warnings: tuple[str, ...] = ()


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan as TOML."""
    try:
        import tomli_w
    except ImportError as error:
        raise MissingExtraError("tomli-w", "audit") from error
    write_file(path, tomli_w.dumps({"format": FORMAT, **as_dict(plan)}).encode())


def read_plan(path: Path) -> Plan:
    """Return the plan in a file.

    Raises:
        InputError: it cannot be read, or is no plan of this version.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a plan ({error}).") from error
    if told.get("format") != FORMAT:
        raise InputError(
            f"{path} is of the format {told.get('format')!r}, not {FORMAT!r}; use the version that made it."
        )
    try:
        return _build(Plan, told)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} was changed by hand and lacks or misspells {error}; restore it.") from error


def as_dict(value: Any) -> Any:
    """Return a plan, or a part of one, as plain values; what is None is left out."""
    if is_dataclass(value):
        named = {one.name: getattr(value, one.name) for one in fields(value)}
        return {name: as_dict(one) for name, one in named.items() if one is not None}
    if isinstance(value, Mapping):
        return {str(key): as_dict(one) for key, one in cast(Mapping[Any, Any], value).items() if one is not None}
    if isinstance(value, list | tuple):
        return [as_dict(one) for one in cast(tuple[Any, ...], value)]
    return value


def difference(old: Plan, new: Plan) -> list[str]:
    """Return what tells two plans apart, but for what was measured on a machine, in sentences."""
    before, after = _flat(as_dict(old)), _flat(as_dict(new))
    keys = [key for key in dict.fromkeys([*before, *after]) if not _measured(key) and before.get(key) != after.get(key)]
    keys.sort(key=lambda key: key.count("."))  # what was asked comes before what follows from it
    return [f"{key} is {before.get(key, 'absent')!r} there and {after.get(key, 'absent')!r} now" for key in keys]


def _measured(key: str) -> bool:
    parts = [part for part in key.split(".") if not part.isdigit()]
    return any(".".join(parts[: len(one.split("."))]) == one for one in _MEASURED)


def _flat(value: Any, before: str = "") -> dict[str, Any]:
    items: Any
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
    elif isinstance(value, list) and any(isinstance(one, dict) for one in cast(list[Any], value)):
        items = enumerate(cast(list[Any], value))
    else:
        return {before: value}
    found: dict[str, Any] = {}
    for key, one in items:
        found |= _flat(one, f"{before}.{key}" if before else str(key))
    return found


def _build(kind: Any, told: Any) -> Any:
    """Return a dataclass from plain values."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return cast(Any, kind)(**{f.name: _build(hints[f.name], told[f.name]) for f in fields(kind) if f.name in told})
    if get_origin(kind) is tuple:
        return tuple(_build(get_args(kind)[0], one) for one in told)
    if any(get_origin(one) is tuple for one in get_args(kind)):  # tuple | None
        return _build(next(one for one in get_args(kind) if get_origin(one) is tuple), told)
    return float(told) if kind is float else told
