"""Whether a TIFF is whole: a copy that was cut off opens well, and fails in the middle of the work."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heatproof.errors import InputError

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def check_complete(path: Path) -> None:
    """Raise for a TIFF whose directories point beyond its end; all other files pass.

    Raises:
        InputError: it is truncated.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        if file.read(4) not in _MAGIC:
            return
    try:
        import tifffile
    except ImportError:  # the reader will say what is missing
        return
    size, reach = path.stat().st_size, 0
    try:
        with _complaints() as complaints, tifffile.TiffFile(path) as tiff:
            for page in _pages(tiff):
                offsets, counts = page.dataoffsets, page.databytecounts
                reach = max(reach, *(int(o) + int(n) for o, n in zip(offsets, counts, strict=False)), 0)
    except Exception as error:  # tifffile raises whatever the missing bytes lead it to
        raise InputError(_sentence(path, f"its directories cannot be read: {type(error).__name__}")) from error
    if complaints:
        raise InputError(_sentence(path, f"its directories cannot be read: {complaints[0]}"))
    if reach == 0:
        raise InputError(_sentence(path, "it holds no picture"))
    if reach > size:
        raise InputError(_sentence(path, f"its tiles reach to byte {reach:,}, but the file ends at byte {size:,}"))


@contextmanager
def _complaints() -> Generator[list[str]]:
    """Collect what tifffile logs as errors instead of raising, and keep it from the user's screen."""
    log, found = logging.getLogger("tifffile"), list[str]()

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            found.append(" ".join(record.getMessage().split()))
        return False

    log.addFilter(keep)
    try:
        yield found
    finally:
        log.removeFilter(keep)


def _pages(tiff: Any) -> list[Any]:
    found: list[Any] = []
    for page in tiff.pages:
        found.append(page)
        found.extend(page.pages or ())  # the sub-directories of OME-TIFF
    return found


def _sentence(path: Path, why: str) -> str:
    return f"{path.name} is truncated or broken ({why}); copy it again."
