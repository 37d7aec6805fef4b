"""Which input a name means: its file's name, or as much of its path as tells it from the others."""

from collections.abc import Sequence
from pathlib import Path

from heatproof.errors import UsageError, nearest


class Named:
    """The inputs' files, findable by name.

    A name may be the file's, or end in more of its path ("b/1.png"), with or without the suffix.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)
        self._places: dict[str, list[int]] = {}
        for place, file in enumerate(self.files):
            for ending in dict.fromkeys(_endings(file) + _endings(file.with_suffix(""))):
                self._places.setdefault(ending, []).append(place)

    def __contains__(self, name: str) -> bool:
        return _plain(name) in self._places

    def place(self, name: str, source: Path) -> int:
        """Return the place, among the files, of the one that `name` means.

        Raises:
            UsageError: none is called so, or several are; the sentence names `source`, where the name stands.
        """
        places = self._places.get(_plain(name), [])
        if not places:
            close = nearest(name, (file.name for file in self.files), 2) or "; correct or remove it."
            raise UsageError(f"{source} names {name!r}, but no input is called so{close}")
        if len(places) > 1:
            called = " and ".join(str(self.files[place]) for place in places[:2])
            raise UsageError(
                f"{source} names {name!r}, which may be {called}; write as much of the path as tells them apart."
            )
        return places[0]

    def complete(self, found: dict[int, object], source: Path, lacks: str, mend: str) -> None:
        """Raise where an input has nothing in `found`.

        Raises:
            UsageError: it says how many inputs `lacks` what, and how to mend it.
        """
        missing = [file.name for place, file in enumerate(self.files) if place not in found]
        if missing:
            shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise UsageError(f"{len(missing)} of {len(self.files)} inputs {lacks} in {source} ({shown}); {mend}.")


def _plain(name: str) -> str:
    return Path(name.strip()).as_posix()


def _endings(path: Path) -> list[str]:
    parts = [part for part in path.parts if part not in (path.anchor, ".", "..")]
    return ["/".join(parts[begin:]) for begin in range(len(parts))]
