"""Programs of torch.export (.pt2), unflattened so that their layers can be seen and hooked.

`torch.export.load` unpickles without limits, evaluates symbolic sizes as Python, calls any attribute of torch that a
graph names, and loads compiled libraries. An archive is therefore read first, and refused unless it holds tensors,
plain operators and plain expressions only.
"""

import io
import json
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import fx, nn

from heatproof.errors import ModelError

_PICKLED = ("serialized_state_dict.json", "serialized_constants.json")  # of the first archives; no JSON, in spite of it

# "torch.ops.aten.relu.default", "_operator.add", "math.ceil", "torch.sym_max"; no dunders, nothing that calls by name
_OPERATOR = re.compile(
    r"torch\.ops\.[a-z]\w*\.(?!__)\w+(\.(?!__)\w+)?"
    r"|_operator\.(?!attrgetter|methodcaller|call)[a-z_]+|math\.[a-z0-9]+|torch\._?sym_[a-z_]+"
)
_RESOLVED = ("torch", "_operator", "math", "#")  # the beginnings that torch looks up; any other target stays a text
# "Max(Integer(1), Add(Symbol('s53', positive=True), Integer(-2)))": upper-case names are sympy's, strings name symbols
_EXPRESSION = re.compile(r"(Symbol\('\w+'|(?!S\b)[A-Z]\w*|[a-z]\w*=(True|False)|[su]\d+|\d+(\.\d+)?|[-+*/(),\s])*")


def load_exported(path: Path) -> nn.Module:
    """Return an exported program as a module tree with the original names, without running code from the file.

    Raises:
        ModelError: the archive is damaged, of another torch version, or holds more than tensors and operators.
    """
    try:
        _refuse_code(path)
        try:
            net = torch.export.unflatten(torch.export.load(path))
        # the reader and the unflattener raise whatever comes from a file that does not fit this version of torch
        except Exception as error:
            line = next(iter(str(error).splitlines()), type(error).__name__)
            raise ModelError(
                f"torch {torch.__version__} cannot load it ({line}); export it anew with torch.export.save"
            ) from error
    except ModelError as error:
        raise ModelError(f"{path.name} cannot be loaded: {str(error).rstrip('.')}.") from error
    _forget_fake_values(net)
    return net


def _refuse_code(path: Path) -> None:
    """Raise unless an archive holds nothing that loading or running it would turn into code."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            if len(set(names)) < len(names):
                raise ModelError("its archive holds two entries of one name, so readers may differ on what it says")
            for name in names:
                _refuse_entry(PurePosixPath(name), archive.read(name))
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"it is no archive of torch.export, or a damaged one ({error})") from error


def _refuse_entry(name: PurePosixPath, content: bytes) -> None:
    if name.suffix in (".so", ".dll", ".dylib", ".pyd") or "aotinductor" in name.parts:
        raise ModelError(f"it holds compiled code ({name}), which is never run; export it with torch.export.save")
    if content[:2] == b"PK":
        _refuse_pickle(name, content)
    elif content and (name.suffix == ".pt" or name.name in _PICKLED or name.parent.name == "sample_inputs"):
        raise ModelError(f"{name} is pickled in another way than torch.save's, and is not opened")
    elif name.suffix == ".json":
        _refuse_json(json.loads(content))


def _refuse_pickle(name: PurePosixPath, content: bytes) -> None:
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content))
    # a forged pickle can make torch raise nearly anything
    except Exception as error:
        raise ModelError(f"{name} cannot be shown to be safe ({error})") from error
    if unsafe:
        raise ModelError(f"{name} would import {', '.join(sorted(unsafe)[:10])}; nothing of it was run")


def _refuse_json(value: Any) -> None:
    """Walk a graph or a table of payloads and raise at the first thing that could become code."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        if not isinstance(item, dict):
            continue
        target, expression, payload = (item.get(key) for key in ("target", "expr_str", "path_name"))
        if isinstance(target, str) and target.startswith(_RESOLVED) and not _OPERATOR.fullmatch(target):
            raise ModelError(f"its graph calls {target!r}, which is no operator; nothing of it was run")
        if isinstance(expression, str) and not _EXPRESSION.fullmatch(expression):
            raise ModelError(f"it holds the expression {expression!r:.100}, which is no size; nothing of it was run")
        if isinstance(payload, str) and ("obj" in payload or item.get("use_pickle")):
            raise ModelError(
                f"it holds a pickled object ({payload}), which is not opened; register it as a plain buffer"
            )
        stack.extend(item.values())


def _forget_fake_values(net: nn.Module) -> None:
    """Drop the example values that export notes on every node: they have no data, and keep the network from copying."""
    for module in net.modules():
        for holder in (module, getattr(module, "graph_module", None)):
            graph = getattr(holder, "graph", None)
            if isinstance(graph, fx.Graph):
                for node in graph.nodes:
                    node.meta.pop("val", None)
                    node.meta.pop("example_value", None)
