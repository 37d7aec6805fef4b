"""A file with laws: what `heatproof physics --laws FILE` reads and `--init` writes."""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatproof.errors import UsageError

if TYPE_CHECKING:
    from heatproof.physics import Law

TEMPLATE = '''"""What is known of the system: read by `heatproof physics MODEL DATA --laws {name}`. Leave out what you
do not need."""

import heatproof as hp
from heatproof import physics

# How the files are read: axes with units, channel names, the layout of arrays.
READ = {{"layout": "chw", "axis": [hp.Axis("y", "m"), hp.Axis("x", "m")], "channels": ["u", "v"]}}


# A law of your own: if an input (channels, *axes) is changed so, ...
def act(x):
    return x + 1.0


# ... the model's output for it (classes) must change so.
def act_target(y):
    return y


# Ready laws; see `python -m pydoc heatproof.physics`.
LAWS = [physics.mirror("x", vector={{"x": "u", "y": "v"}}, target=physics.swapped(0, 1))]

# Where known physics sees something.
FIELD = physics.vorticity("u", "v")


# The true answer for an input, in the units of the explained score. Delete it if there is no simulator.
def simulate(x):
    return float(x.mean())
'''
_NAMES = ("READ", "act", "act_target", "act_map", "simulate", "edit", "LAWS", "FIELD", "BALANCE")


@dataclass(frozen=True, eq=False)
class Laws:
    """What a file says of a system.

    Attributes:
        laws: pairs of actions.
        read: options for reading the data.
        physics: settings of the check `physics`.
    """

    laws: "list[Law]"
    read: dict[str, Any] = field(default_factory=dict[str, Any])
    physics: dict[str, Any] = field(default_factory=dict[str, Any])


def write_template(path: Path) -> None:
    """Write a file with laws to start from.

    Raises:
        UsageError: there is a file already, or it cannot be written.
    """
    if path.exists():
        raise UsageError(f"{path} is there already; name another file, or move it away.")
    try:
        path.write_text(TEMPLATE.format(name=path.name), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}); name a file in a folder that is there."
        ) from error


def read_laws(path: Path) -> Laws:
    """Run a file with laws, which is the user's own code, and return what it says.

    Raises:
        UsageError: it is not there, fails, or says nothing.
    """
    from heatproof.physics import Law, same

    if not path.is_file():
        raise UsageError(f"{path} is not there; write one with `heatproof physics --init {path}`.")
    spec = importlib.util.spec_from_file_location("heatproof_user_laws", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file; give it the suffix .py.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    # the user's own code: whatever it raises is told in one sentence
    except Exception as error:
        raise UsageError(f"{path} fails: {type(error).__name__}: {error}") from error
    given = {name: getattr(module, name) for name in _NAMES if hasattr(module, name)}
    listed = given.get("LAWS", [])
    laws = [listed] if isinstance(listed, Law) else list(listed)
    wrong = [one for one in laws if not isinstance(one, Law)]
    if wrong:
        raise UsageError(f"{path}: LAWS holds {wrong[0]!r}, which is no heatproof.physics law.")
    if "act" in given:
        own = Law(getattr(module, "NAME", path.stem), given["act"], given.get("act_target", same), given.get("act_map"))
        laws.append(own)
    names = {"simulate": "simulate", "edit": "edit", "FIELD": "field", "BALANCE": "balance"}
    settings = {setting: given[name] for name, setting in names.items() if name in given}
    if not laws and not settings.keys() - {"edit"}:
        raise UsageError(f"{path} says nothing: define LAWS, act(x), FIELD, simulate(x) or BALANCE.")
    return Laws(laws, dict(given.get("READ", {})), settings)
