"""From a spec's prefix to its source."""

from heatproof.errors import ModelError
from heatproof.models.model import Model
from heatproof.models.sources._options import LoadOptions
from heatproof.plugins import discover, resolve


def dispatch(spec: str, options: LoadOptions) -> Model:
    """Load "prefix:rest" with the source of that prefix.

    Raises:
        ModelError: the spec has no prefix, or none that is known.
    """
    sources = discover("heatproof.models.sources", "load", "heatproof.models")
    prefix, colon, rest = spec.partition(":")
    if not colon or not prefix or not rest.strip():
        raise ModelError(f"{spec!r} names no model; write one of {', '.join(f'{name}:...' for name in sources)}.")
    model = resolve(prefix, sources, "model source", ModelError).function(rest.strip(), options)
    assert isinstance(model, Model)
    return model
