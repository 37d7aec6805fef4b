"""Programs of torch.export (.pt2), unflattened so that their layers can be seen and hooked.

`torch.export.load` unpickles without limits, evaluates symbolic sizes as Python, calls any attribute of torch that a
graph names, imports the modules that an input's structure names, and loads compiled libraries. Its reader also takes
names that differ from those it writes, and may read a forged archive otherwise than Python does. So an archive is read
first, refused unless every entry is known and holds tensors, plain operators and plain expressions only, and written
anew: torch gets what was checked and nothing else. Both layouts are known, that of torch 2.6 and the later one.
"""

import io
import json
import re
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import fx, nn

from heatproof.errors import ModelError

# What torch.export.save writes; in the later layout under one folder, which is matched without its name.
_JSON = re.compile(
    r"serialized_exported_program\.json"  # until torch 2.7
    r"|/(models/[^/]+|data/weights/[^/]+_weights_config|data/constants/[^/]+_constants_config)\.json"
)
_PICKLES = re.compile(
    r"serialized_(state_dict|constants|example_inputs)\.pt|serialized_(state_dict|constants)\.json"  # no JSON
    r"|/data/(weights|constants|sample_inputs)/[^/]+\.pt"
)
# bytes of tensors, and notes; "extra" is left out of the copy, as nothing here reads it
_PLAIN = re.compile(
    r"version|/data/(weights/weight|constants/tensor)_\d+|/(archive_format|archive_version|byteorder|version)"
    r"|/\.data/(version|serialization_id)"
)
_EXTRA = re.compile(r"extra_files/.+|/extra/.+")

# "torch.ops.aten.relu.default", "_operator.add", "math.ceil", "torch.sym_max"; no dunders, nothing that calls by name
_OPERATOR = re.compile(
    r"torch\.ops\.[a-z]\w*\.(?!__)\w+(\.(?!__)\w+)?"
    r"|_operator\.(?!attrgetter|methodcaller|call)[a-z_]+|math\.[a-z0-9]+|torch\._?sym_[a-z_]+"
)
_NESTED = ("in_spec", "out_spec", "context")
_RESOLVED = ("torch", "_operator", "math", "#")  # the beginnings that torch looks up; any other target stays a text
# "Max(Integer(1), Add(Symbol('s53', positive=True), Integer(-2)))": upper-case names are sympy's, strings name symbols
_EXPRESSION = re.compile(r"(Symbol\('\w+'|(?!S\b)[A-Z]\w*|[a-z]\w*=(True|False)|[su]\d+|\d+(\.\d+)?|[-+*/(),\s])*")


def load_exported(path: Path) -> nn.Module:
    """Return an exported program as a module tree with the original names, without running code from the file.

    Raises:
        ModelError: the archive is damaged, of another torch version, or holds more than tensors and operators.
    """
    try:
        checked = _checked_copy(path)
        try:
            net = torch.export.unflatten(torch.export.load(checked))
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


def _checked_copy(path: Path) -> io.BytesIO:
    """Return an archive of the same entries; raise if loading or running one of them would turn it into code."""
    copy = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as new:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            if len(set(names)) < len(names):
                raise ModelError("its archive holds two entries of one name, so readers may differ on what it says")
            folders = {name.split("/")[0] for name in names if "/" in name and not name.startswith("extra_files/")}
            if len(folders) > 1:
                raise ModelError(f"its archive holds more than one folder ({', '.join(sorted(folders)[:5])})")
            for name in names:
                content = archive.read(name)
                if not _is_extra(name, content):
                    new.writestr(name, content)
    # what zipfile raises, also for encrypted entries and compressions that it does not know
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"it is no archive of torch.export, or a damaged one ({error})") from error
    copy.seek(0)
    return copy


def _is_extra(name: str, content: bytes) -> bool:
    """Say whether an entry is one of the user's own notes; raise if it is not known, or holds code."""
    path = PurePosixPath(name)
    if path.suffix in (".so", ".dll", ".dylib", ".pyd") or "aotinductor" in path.parts:
        raise ModelError(f"it holds compiled code ({name}), which is never run; export it with torch.export.save")
    known = name[name.find("/") :] if "/" in name and not name.startswith("extra_files/") else name
    if _JSON.fullmatch(known):
        _refuse_json(json.loads(content.decode()))
    elif _PICKLES.fullmatch(known):
        _refuse_pickle(name, content)
    elif not _PLAIN.fullmatch(known):
        if _EXTRA.fullmatch(known):
            return True
        raise ModelError(f"it holds {name!r:.100}, which torch.export.save does not write; export it anew with that")
    return False


def _refuse_pickle(name: str, content: bytes) -> None:
    if not content:
        return
    if content[:2] != b"PK":
        raise ModelError(f"{name} is pickled in another way than torch.save's, and is not opened")
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content))
        if not unsafe:  # what the restricted reader can do, the unrestricted one does in the same way
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # a forged pickle can make torch raise nearly anything
    except Exception as error:
        raise ModelError(f"{name} cannot be shown to be safe ({str(error)[:200]})") from error
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
        if "default_factory_module" in item or "__enum__" in item:  # torch imports the module that these name
            raise ModelError("its inputs or outputs hold a defaultdict or an enum, which import code; use a plain dict")
        stack.extend(item.values())
        # the structure of inputs and outputs is JSON in a text, and so is what a container in it notes of itself
        for key in _NESTED:
            if isinstance(text := item.get(key), str):
                with suppress(json.JSONDecodeError):  # a mere name; torch reads JSON here with the same parser
                    stack.append(json.loads(text))


def _forget_fake_values(net: nn.Module) -> None:
    """Drop the example values that export notes on every node: they have no data, and keep the network from copying."""
    for module in net.modules():
        for holder in (module, getattr(module, "graph_module", None)):
            graph = getattr(holder, "graph", None)
            if isinstance(graph, fx.Graph):
                for node in graph.nodes:
                    node.meta.pop("val", None)
                    node.meta.pop("example_value", None)
