"""Files that are there as a whole or not at all, also when the power fails: written aside, flushed, renamed."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

ASIDE = ".part"
"""End of the names of what is being written; whatever bears it after a crash is worth nothing."""


def write_file(path: Path, data: bytes) -> None:
    """Write a file, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ASIDE)
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    flush_folder(path.parent)


def move_file(source: Path, path: Path) -> None:
    """Move a file that was written elsewhere on the same disk into place, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb+") as file:
        os.fsync(file.fileno())
    source.replace(path)
    flush_folder(path.parent)


def write_folder(folder: Path, made: Mapping[str, bytes]) -> None:
    """Write a folder with its files; one that is there already is replaced."""
    aside = folder.with_name(folder.name + ASIDE)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for name, data in made.items():
        write_file(aside / name, data)
    if folder.exists():
        shutil.rmtree(folder)
    aside.replace(folder)
    flush_folder(folder.parent)


def clear_aside(folder: Path) -> None:
    """Remove what an interrupted writer left."""
    for path in sorted(folder.rglob(f"*{ASIDE}"), reverse=True):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read a piece at a time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_folder(folder: Path) -> None:
    """Let a rename survive a power failure; a no-op where folders cannot be opened (Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot; the rename itself has happened
    finally:
        os.close(descriptor)
