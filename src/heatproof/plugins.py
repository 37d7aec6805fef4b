"""Find plug-ins: one file with one function of a fixed name, no registration.

A plug-in is described by literals at the top of its file: `NAME` (display name), `ALIASES`, `TIER` ("core" or
"experimental"), `BIBTEX`, and its docstring. They are read from the source without running it, so listing a hundred
methods imports nothing; the module is imported when its function is first used. Other packages add theirs through an
entry point of the same group that names such a module.
"""

import ast
import difflib
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from heatproof.errors import HeatproofWarning, UsageError

TIERS = ("core", "experimental")


@dataclass(frozen=True)
class Plugin:
    """One plug-in, described without importing it.

    Attributes:
        name: the file's name, an identifier: what users pass.
        title: display name ("Grad-CAM++").
        aliases: other accepted spellings; case and punctuation never matter.
        tier: "core" (under the stability promise) or "experimental".
        bibtex: the paper's BibTeX entry, or an empty string.
        doc: the file's docstring.
        module: dotted name of the module.
        attribute: name of the function in it.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    tier: str
    bibtex: str
    doc: str
    module: str
    attribute: str

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The plug-in's function; its module is imported on first use."""
        return getattr(import_module(self.module), self.attribute)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.partition("\n")[0]


def discover(package: str, function: str, group: str) -> dict[str, Plugin]:
    """Return every plug-in of a package's folder and of an entry-point group, sorted by name, without importing any.

    Args:
        package: dotted name of the package whose files are plug-ins (those that begin with "_" are not).
        function: name of the function that every plug-in defines.
        group: entry-point group through which other packages add theirs. Each entry point names a module.

    Raises:
        UsageError: a file of the package is not a plug-in, or two plug-ins claim one name or alias.

    Warns:
        HeatproofWarning: an entry point of another package is broken; it is left out.
    """
    own = [_describe(name, f"{package}.{name}", function) for name in plugin_names(package)]
    found = [*own, *_foreign(group, function)]
    _refuse_clashes(found)
    return {plugin.name: plugin for plugin in sorted(found, key=lambda plugin: plugin.name)}


def plugin_names(package: str) -> list[str]:
    """Return the names of a package's own plug-ins, sorted, from its folder listing alone."""
    modules = pkgutil.iter_modules(import_module(package).__path__)
    return sorted(module.name for module in modules if not module.ispkg and not module.name.startswith("_"))


def resolve(name: str, plugins: Mapping[str, Plugin], kind: str, error: type[UsageError] = UsageError) -> Plugin:
    """Return the plug-in that `name` means: its own name, title or an alias, in any case and punctuation.

    Raises:
        UsageError: (or the given subclass) there is none; the sentence names the nearest.
    """
    wanted = simplify(name)
    for plugin in plugins.values():
        if wanted in _spellings(plugin):
            return plugin
    owner = {spelling: plugin.name for plugin in plugins.values() for spelling in _spellings(plugin)}
    close = dict.fromkeys(owner[spelling] for spelling in difflib.get_close_matches(wanted, owner, n=5, cutoff=0.5))
    if close:
        raise error(f"there is no {kind} {name!r}; did you mean {' or '.join(map(repr, close))}?")
    raise error(f"there is no {kind} {name!r}; choose one of {', '.join(plugins)}.")


def simplify(name: str) -> str:
    """Reduce a name to what tells it from others: lower case letters and digits ("Grad-CAM++" -> "gradcamplusplus")."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "plus"))


def _spellings(plugin: Plugin) -> set[str]:
    return {simplify(spelling) for spelling in (plugin.name, plugin.title, *plugin.aliases)}


def _foreign(group: str, function: str) -> list[Plugin]:
    found: list[Plugin] = []
    for entry in entry_points(group=group):
        try:
            found.append(_describe_entry(entry, function))
        # other people's code, found in the user's environment: whatever is wrong with it must not stop the rest
        except Exception as error:  # noqa: BLE001
            owner = entry.dist.name if entry.dist else "an unknown package"
            message = f"the plug-in {entry.name!r} ({entry.value}) of {owner} is left out: {error}"
            warnings.warn(message, HeatproofWarning, stacklevel=3)
    return found


def _describe_entry(entry: EntryPoint, function: str) -> Plugin:
    attribute = entry.value.partition(":")[2]  # entry.attr is declared a string, but is None here
    if attribute not in ("", function):
        raise UsageError(f"its entry point must name a module with a function {function!r}, not {entry.value!r}.")
    return _describe(entry.name, entry.module, function)


def _describe(name: str, module: str, function: str) -> Plugin:
    if not name.isidentifier():
        raise UsageError(f"the plug-in name {name!r} is not an identifier; rename it to letters, digits and '_'.")
    try:
        tree = _parse(_source(module))
    except SyntaxError as error:
        raise UsageError(f"{module} is not valid Python: {error.msg}, line {error.lineno}.") from error
    values = _literals(tree, module)
    if not any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body):
        raise UsageError(f"{module} defines no function {function!r}; add it, or begin the file's name with '_'.")
    tier = values.get("TIER", "experimental")
    if tier not in TIERS:
        raise UsageError(f"{module} says TIER = {tier!r}; it must be one of {', '.join(map(repr, TIERS))}.")
    aliases = values.get("ALIASES", ())
    if isinstance(aliases, str):
        raise UsageError(f"{module} says ALIASES = {aliases!r}; it must be a tuple of strings.")
    return Plugin(
        name=name,
        title=values.get("NAME", name),
        aliases=tuple(aliases),
        tier=tier,
        bibtex=values.get("BIBTEX", "").strip(),
        doc=ast.get_docstring(tree) or "",
        module=module,
        attribute=function,
    )


def _parse(source: str, tries: int = 100) -> ast.Module:
    """Return the syntax tree of a source, also while other threads parse.

    Up to Python 3.12 all threads count the depth of their trees in one place, so that a tree built while another thread
    parses (as every traceback does that it prints) can end in a SystemError that says nothing of the source.
    """
    for _ in range(tries - 1):
        try:
            return ast.parse(source)
        except SystemError:
            continue
    return ast.parse(source)


def _source(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.loader is None:
        raise UsageError(f"there is no module {module!r}; correct the name, or reinstall the package it belongs to.")
    get_source = getattr(spec.loader, "get_source", None)
    source = get_source(module) if get_source else None
    if source is None:
        raise UsageError(f"the source of {module!r} cannot be read; a plug-in is a Python source file.")
    return source


def _literals(tree: ast.Module, module: str) -> dict[str, Any]:
    """Return the described constants of a module, by name."""
    values: dict[str, Any] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        if name not in ("NAME", "ALIASES", "TIER", "BIBTEX"):
            continue
        try:
            values[name] = ast.literal_eval(value)
        except ValueError as error:
            raise UsageError(f"{name} in {module} must be a literal: it is read without running the file.") from error
    return values


def _refuse_clashes(plugins: Iterable[Plugin]) -> None:
    taken: dict[str, Plugin] = {}
    for plugin in plugins:
        for spelling in sorted(_spellings(plugin)):
            other = taken.setdefault(spelling, plugin)
            if other is not plugin:
                raise UsageError(
                    f"two plug-ins claim the name {spelling!r}: {other.name!r} ({other.module}) and "
                    f"{plugin.name!r} ({plugin.module}); rename one, or uninstall the package it came with."
                )
