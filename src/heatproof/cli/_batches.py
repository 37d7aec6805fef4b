"""Many inputs, a batch at a time: one that cannot be used is set aside with its reason, and the rest are done."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from heatproof.cli import DONE, SOME_SKIPPED, UNUSABLE
from heatproof.cli._output import progress
from heatproof.errors import ExplainError, HeatproofError, InputError

if TYPE_CHECKING:
    from heatproof.explain import Explainer
    from heatproof.types import Explanation, Input

CHUNK = 32
"""Inputs held in memory at once where the user does not say."""


@dataclass
class Skipped:
    """Inputs that were set aside.

    Attributes:
        reasons: for each, a sentence why.
    """

    reasons: dict[str, str] = field(default_factory=dict[str, str])

    def report(self) -> None:
        """List them on standard error."""
        for name, reason in self.reasons.items():
            typer.secho(f"skipped {name}: {reason}", fg=typer.colors.YELLOW, err=True)

    def exit_code(self, done: int) -> int:
        """Return the exit code, where `done` inputs were done."""
        if not self.reasons:
            return DONE
        return SOME_SKIPPED if done else UNUSABLE


def find_files(patterns: Sequence[str], skipped: Skipped) -> list[Path]:
    """Return the files that the arguments stand for; an argument that stands for none is skipped."""
    from heatproof.inputs import expand

    files: dict[Path, None] = {}
    for pattern in patterns:
        try:
            files.update(dict.fromkeys(expand(pattern)))
        except InputError as error:
            skipped.reasons[pattern] = str(error)
    return list(files)


def in_batches(files: Sequence[Path], size: int, skipped: Skipped) -> Iterator[tuple[list[Path], list["Input"]]]:
    """Read the files, `size` at a time; one that cannot be read is skipped."""
    from heatproof.inputs import read

    for begin in range(0, len(files), size):
        paths: list[Path] = []
        inputs: list[Input] = []
        for path in files[begin : begin + size]:
            try:
                inputs.append(read(path))
                paths.append(path)
            except InputError as error:
                skipped.reasons[str(path)] = str(error)
        if inputs:
            yield paths, inputs


def each_or_alone(
    run: Callable[[list["Input"]], Any], paths: Sequence[Path], inputs: list["Input"], skipped: Skipped, *, first: bool
) -> list[tuple[list[Path], Any]]:
    """Return what `run` makes of the batch; if that fails, of each input alone, skipping those that fail again.

    Args:
        run: the work.
        paths: the inputs' files.
        inputs: the batch.
        skipped: takes those that failed, with their reasons.
        first: whether nothing has been done yet.

    Raises:
        HeatproofError: the call is wrong (a target, layer or method that does not exist), so that no input can be done.
    """
    try:
        return [(list(paths), run(inputs))]
    # torch reports what a network cannot take as a RuntimeError
    except (HeatproofError, RuntimeError) as error:
        _raise_if_the_call_is_wrong(error, first)
        if len(inputs) == 1:
            skipped.reasons[str(paths[0])] = _sentence(error)
            return []
    results: list[tuple[list[Path], Any]] = []
    for path, one in zip(paths, inputs, strict=True):
        results += each_or_alone(run, [path], [one], skipped, first=first and not results)
    return results


def usable(
    explainer: "Explainer", files: Sequence[Path], target: Any, size: int, skipped: Skipped
) -> tuple[list[int], list["Input"], str]:
    """Return the places and contents of the files that can be explained, and the layer; the others are skipped.

    One that fails within a check would end all checks.
    """

    def run(batch: list["Input"]) -> "Explanation":
        return explainer(batch, target)

    place = {file: i for i, file in enumerate(files)}
    twice = len({file.name for file in files}) < len(files)
    places: list[int] = []
    inputs: list[Input] = []
    layer = ""
    with progress(len(files), "explaining") as bar:
        for paths, batch in in_batches(files, size, skipped):
            read = dict(zip(paths, batch, strict=True))
            for done, explanation in each_or_alone(run, paths, batch, skipped, first=not inputs):
                layer = explanation.layer
                places += [place[path] for path in done]
                inputs += [replace(read[path], name=path.as_posix()) if twice else read[path] for path in done]
            bar.advance(len(batch))
    return places, inputs, layer


def _raise_if_the_call_is_wrong(error: Exception, first: bool) -> None:
    about_one_input = isinstance(error, InputError | ExplainError) or not isinstance(error, HeatproofError)
    if first and not about_one_input:
        raise error


def _sentence(error: Exception) -> str:
    return (
        str(error) if isinstance(error, HeatproofError) else f"the model failed on it: {' '.join(str(error).split())}"
    )
