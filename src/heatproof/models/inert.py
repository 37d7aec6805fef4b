"""Reading what a pickle would import without running it, and harmless stand-ins for what it names."""

import _compat_pickle as names_of_python_2
import pickletools
from collections import OrderedDict
from collections.abc import Iterable
from io import BufferedIOBase
from typing import IO, Any, cast

from heatproof.errors import ModelError

# What no trainer has a reason to leave in a checkpoint. Stand-ins would make these harmless too; but a file that holds
# them was made to attack, and its weights deserve no trust either.
_HOSTILE_MODULES = {
    "os", "posix", "nt", "sys", "subprocess", "pty", "shutil", "socket", "runpy", "importlib", "ctypes", "code",
    "codeop", "pickle", "_pickle", "marshal", "webbrowser", "timeit", "pdb", "bdb", "cProfile", "profile",
}  # fmt: skip
_HOSTILE_NAMES = {
    *(f"builtins.{name}" for name in ("eval", "exec", "compile", "open", "__import__", "input", "breakpoint")),
    *("io.open", "torch.load", "torch.serialization.load", "torch.hub.load", "torch.utils.cpp_extension.load"),
}
_MARK = object()


class Inert:
    """Stand-in for an object of a class that was not imported: takes anything, does nothing."""

    name = "unknown"
    is_module = False

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        """Forget the state; remember only whether it was that of a torch.nn.Module."""
        self.is_module = isinstance(state, dict) and {"_modules", "_parameters"} <= state.keys()


def imports_of(stream: BufferedIOBase, pickles: int = 1) -> dict[str, str]:
    """Return every name that the next pickles of a stream would import, and whether a "dict" or "list" is filled there.

    The pickles' instructions are followed with names in place of values; nothing is imported or called.

    Raises:
        ModelError: the stream is not made of pickles, or of ones that hide their names.
    """
    found: dict[str, str] = {}
    try:
        for _ in range(pickles):
            _follow(stream, found)
    # a damaged or forged pickle can fail in any of these ways
    except (ValueError, IndexError, KeyError, EOFError, UnicodeDecodeError) as error:
        raise ModelError(f"it is damaged, or no checkpoint of torch.save ({error})") from error
    return found


def _follow(stream: BufferedIOBase, found: dict[str, str]) -> None:
    """Follow one pickle, noting imported names in `found`."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    for opcode, argument, _ in pickletools.genops(cast("IO[bytes]", stream)):
        match opcode.name:
            case "GLOBAL" | "INST":
                name = _python_3(*str(argument).split(" ", 1))
                found.setdefault(name, "object")
                if opcode.name == "INST":
                    _pop_to_mark(stack)
                stack.append(name)
            case "STACK_GLOBAL" | "EXT1" | "EXT2" | "EXT4":
                raise ModelError("it was saved with a pickle protocol above 2; save it with torch.save's own default")
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "REDUCE" | "NEWOBJ" | "BUILD":
                stack.pop()  # what is called or built stays on the stack as a name
            case "SETITEM" | "SETITEMS" | "APPEND" | "APPENDS":
                if opcode.name in ("SETITEMS", "APPENDS"):
                    _pop_to_mark(stack)
                else:
                    del stack[-2 if opcode.name == "SETITEM" else -1 :]
                if stack[-1] in found:
                    found[stack[-1]] = "dict" if opcode.name.startswith("SET") else "list"
            case "MARK":
                stack.append(_MARK)
            case "DUP":
                stack.append(stack[-1])
            case _:
                taken = [kind.name for kind in opcode.stack_before]
                if "mark" in taken:
                    _pop_to_mark(stack)
                    taken = taken[: taken.index("mark")]
                if taken:
                    del stack[-len(taken) :]
                stack.extend(None for _ in opcode.stack_after)


def _pop_to_mark(stack: list[Any]) -> None:
    while stack.pop() is not _MARK:
        pass


def _python_3(module: str, name: str) -> str:
    """Return today's full name of what Python 2 may have called differently, as torch does."""
    if (module, name) in names_of_python_2.NAME_MAPPING:
        module, name = names_of_python_2.NAME_MAPPING[module, name]
    return f"{names_of_python_2.IMPORT_MAPPING.get(module, module)}.{name}"


def refuse_hostile(names: Iterable[str]) -> None:
    """Raise if a pickle names what only an attack would.

    Raises:
        ModelError: it does; nothing of it was run.
    """
    found = sorted(n for n in names if n in _HOSTILE_NAMES or n.partition(".")[0] in _HOSTILE_MODULES)
    if found:
        raise ModelError(
            f"it would call {', '.join(found[:10])} when unpickled, which no checkpoint needs; nothing of it was run; "
            "do not trust this file"
        )


def stand_ins(names: dict[str, str]) -> list[tuple[type, str]]:
    """Return a new stand-in class for each name, as `torch.serialization.safe_globals` takes them.

    Where the pickle fills a dict or list subclass, the stand-in makes a plain one: torch fills no others.
    """
    made: list[tuple[type, str]] = []
    for name, kind in names.items():
        body: dict[str, Any] = {"name": name}
        if kind == "dict":
            body["__new__"] = _new_dict
        elif kind == "list":
            body["__new__"] = _new_list
        made.append((type(name, (Inert,), body), name))
    return made


def _new_dict(cls: type, *args: Any, **kwargs: Any) -> OrderedDict[Any, Any]:
    return OrderedDict()


def _new_list(cls: type, *args: Any, **kwargs: Any) -> list[Any]:
    return []
