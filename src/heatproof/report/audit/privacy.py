"""What a report may not give away: where files lie, who is in them, and more of a DICOM header than is needed."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

ATTRIBUTES = (
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsStored",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "KVP",
    "ConvolutionKernel",
    "MagneticFieldStrength",
    "SequenceName",
)
"""Keywords of DICOM attributes that may be shown: how a picture was made, and nothing of whom."""

_START = r"(?<![\w./~\\-])"
_MORE = r"""(?:[^\s'"<>|:,;)\]]|[ ](?=[^\s'"]*(?:[\\/]|\.\w{2,5}\b)))*"""  # a space, where more of a path follows
_PATH = re.compile(
    r"""[a-z][a-z0-9+.-]*://[^\s'"<>|,;)\]]+"""  # a URL, with whatever credentials it carries
    rf"|{_START}(?:[A-Za-z]:[\\/]|\\\\|/|~[\\/])(?=[\w.~-]){_MORE}"  # an absolute path, POSIX or Windows
)
_QUOTED = re.compile(r"""(?P<quote>['"])(?P<path>(?:[A-Za-z]:[\\/]|\\\\|/|~[\\/]).*?)(?P=quote)""", re.DOTALL)


def hashed(name: str, salt: str = "") -> str:
    """Return ten hexadecimal digits that stand for an identifier: the same for the same salt, and not to be read back.

    A short list of names can be tried one by one against them: only a salt that nobody knows hides those.
    """
    return hashlib.sha256(f"{salt}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()[:10]


def allowed(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return those attributes of an input that may be shown, in the order of `ATTRIBUTES`."""
    return {name: str(attributes[name]) for name in ATTRIBUTES if name in attributes}


def redact(value: Any, *, keep_names: bool) -> Any:
    """Return a value without absolute paths and URLs, in its keys, its texts and everything that it holds.

    Args:
        value: texts, mappings, lists and tuples; all else is returned as it is.
        keep_names: whether a file's own name stays (that of weights), or goes (that of an input may be a person's).
    """
    match value:
        case str():
            hidden = _QUOTED.sub(
                lambda found: found["quote"] + _short(found["path"], keep_names) + found["quote"], value
            )
            return _PATH.sub(lambda found: _short(found[0], keep_names), hidden)
        case Mapping():
            return {
                redact(key, keep_names=keep_names): redact(one, keep_names=keep_names) for key, one in value.items()
            }
        case list() | tuple():
            return [redact(one, keep_names=keep_names) for one in value]
        case _:
            return value


def _short(path: str, keep_names: bool) -> str:
    name = re.split(r"[\\/]", re.sub(r"[?#].*", "", path).rstrip("\\/"))[-1]
    return name if keep_names and name else "[path]"
