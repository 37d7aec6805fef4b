"""Your own code: `python:package.module:factory`, a function or class that returns a network or a `heatproof.Model`.

The module is imported and the factory called without arguments, except `num_classes` and `in_chans` where they are
asked for and it takes them.
"""

import inspect
from importlib import import_module
from typing import Any

from heatproof.errors import ModelError, nearest
from heatproof.models.model import Model, as_model
from heatproof.models.sources._options import LoadOptions, building

NAME = "python"
TIER = "core"


def load(rest: str, options: LoadOptions) -> Model:
    """Import a factory and call it.

    Raises:
        ModelError: the module or the factory does not exist, or what it returns is no network.
    """
    factory = find(rest)
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError:  # a callable of an extension module
        parameters = {}
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    kwargs: dict[str, Any] = {}
    for key in ("num_classes", "in_chans"):
        value = getattr(options, key)
        if value is not None and (key in parameters or open_ended):
            kwargs[key] = value
    with building(f"python:{rest}", "see that the files it reads are there."):
        made = factory(**kwargs)
        model = made if isinstance(made, Model) else as_model(made)
    preprocess = options.preprocess if options.preprocess is not None else model.preprocess
    return Model(model.net, preprocess, options.labels or model.labels, name=model.name)


def find(rest: str) -> Any:
    """Import what "package.module:factory" names.

    Raises:
        ModelError: it cannot be imported, does not exist or cannot be called.
    """
    module_name, colon, attribute = rest.partition(":")
    if not (module_name and colon and attribute):
        raise ModelError(f"'python:{rest}' must read 'python:package.module:factory'.")
    try:
        module = import_module(module_name)
    # whatever the user's module raises while it is imported is reported in one sentence
    except Exception as error:
        raise ModelError(f"python:{rest}: {module_name} cannot be imported: {type(error).__name__}: {error}") from error
    found: Any = module
    for step in attribute.split("."):
        if not hasattr(found, step):
            raise ModelError(f"python:{rest}: {module_name} has no {attribute!r}{nearest(step, dir(found)) or '.'}")
        found = getattr(found, step)
    if not callable(found):
        raise ModelError(f"python:{rest} is a {type(found).__name__}, not a function that returns a network.")
    return found
