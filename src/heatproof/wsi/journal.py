"""What is done of a long run, so that a killed one goes on where it stopped: one line per batch, after its results."""

import json
from pathlib import Path
from typing import Any

from heatproof.errors import UsageError


class Journal:
    """A file of finished batches, under the plan that they belong to.

    Attributes:
        done: what was noted for each finished batch, by its number.
    """

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        """Open the journal of a run, or begin one.

        Raises:
            UsageError: the folder holds a run with another plan.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.done: dict[int, Any] = {}
        self._path = folder / "journal.jsonl"
        document = folder / "plan.json"
        told = json.dumps(plan, indent=2, sort_keys=True)
        if document.exists():
            before: dict[str, Any] = json.loads(document.read_text(encoding="utf-8"))
            now: dict[str, Any] = json.loads(told)
            changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
            if changed:
                raise UsageError(
                    f"{folder} holds a run with another {', '.join(changed)}; choose another folder with --out, or "
                    "remove this one."
                )
            self._read()
        else:
            aside = folder / ".plan.json.part"
            aside.write_text(told, encoding="utf-8")
            aside.replace(document)

    def _read(self) -> None:
        if not self._path.exists():
            return
        whole: list[str] = []
        for line in self._path.read_text(encoding="utf-8").split("\n")[:-1]:  # what follows the last newline was cut
            entry = json.loads(line)
            self.done[int(entry["batch"])] = entry["noted"]
            whole.append(line + "\n")
        self._path.write_text("".join(whole), encoding="utf-8")

    def note(self, batch: int, noted: Any) -> None:
        """Note a finished batch, once its results are on disk."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"batch": batch, "noted": noted}) + "\n")
        self.done[batch] = noted
