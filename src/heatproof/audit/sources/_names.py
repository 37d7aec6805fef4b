"""Names of files as identifiers: valid Unicode that any table can hold, and the way back."""

import re

_ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")
_UNPRINTABLE = re.compile("[\\\\\x00-\x1f\x7f\ud800-\udfff]")


def id_of(name: str) -> str:
    r"""Return a name without what no table or terminal takes; `name_of` undoes it, so that no two become one.

    Bytes that are not UTF-8 (as Python's "surrogateescape" holds them) and control characters, newlines among them,
    become `\xNN`, other lone surrogates `\uNNNN`, and the backslash itself `\\`.
    """
    return _UNPRINTABLE.sub(_escape, name)


def place_of(location: str) -> str:
    """Return a location as it is where any table can hold it, otherwise as `id_of` writes names."""
    return id_of(location) if _UNPRINTABLE.search(location.replace("\\", "")) else location


def name_of(identifier: str) -> str:
    """Return the name that `id_of` made the identifier of."""
    return _ESCAPED.sub(_unescape, identifier)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def _unescape(match: re.Match[str]) -> str:
    if match[1] == "\\":
        return "\\"
    code = int(match[1][1:], 16)
    return chr(0xDC00 + code if match[1][0] == "x" and code >= 0x80 else code)
