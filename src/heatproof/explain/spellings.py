"""The peers' names for our arguments: accepted where they mean the same, answered with the right one otherwise."""

from typing import Any

from heatproof.errors import UsageError, nearest

_LAYER = ("target_layer", "target_layers")
_TARGET = ("class_idx", "targets", "target_class", "category")


def layer_of(layer: Any, spellings: dict[str, Any]) -> Any:
    """Return the target layer from `layer` or one of the peers' spellings of it."""
    return _one("layer", layer, _LAYER, spellings)


def target_of(target: Any, spellings: dict[str, Any]) -> Any:
    """Return the target from `target` or one of the peers' spellings of it."""
    return _one("target", target, _TARGET, spellings)


def split(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the peers' spellings of `layer` and `target`, and all that is left."""
    spelled = {name: value for name, value in settings.items() if name in (*_LAYER, *_TARGET)}
    return spelled, {name: value for name, value in settings.items() if name not in spelled}


def _one(name: str, value: Any, accepted: tuple[str, ...], spellings: dict[str, Any]) -> Any:
    for other, given in spellings.items():
        if other not in accepted:
            known = ("layer", "method", "target", "batch_size", *accepted)
            raise UsageError(f"There is no argument {other!r}{nearest(other, known)}.")
        if value is not None:
            raise UsageError(f"{other!r} and {name!r} are two spellings of one argument; give {name!r} only.")
        value = given
    return value
