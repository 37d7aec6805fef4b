"""Log a finished run to TensorBoard: numbers as scalars, the verdicts and the conclusion as text."""

from pathlib import Path
from typing import Any

from heatproof.audit.trackers._numbers import numbers_of, open_run, settings_of, verdicts_of
from heatproof.errors import MissingExtraError


def log_run(run: str | Path, log_dir: str | Path, *, step: int = 0) -> Path:
    """Log a run folder and return the folder of the logs.

    Args:
        run: folder of a finished audit.
        log_dir: where TensorBoard looks; runs of the same model at several steps go into one.
        step: of the scalars, such as the epoch.

    Raises:
        MissingExtraError: tensorboard is not installed.
        InputError: the folder holds no finished run.
    """
    folder, rows = open_run(run)
    with _writer(log_dir) as writer:
        for name, value in numbers_of(folder, rows).items():
            writer.add_scalar(f"heatproof/{name}", value, step)
        lines = [*verdicts_of(rows).items(), *settings_of(folder).items()]
        told = ["| | |", "|---|---|", *(f"| {_plain(name)} | {_plain(word)} |" for name, word in lines)]
        writer.add_text("heatproof", "\n".join(told), step)
    return Path(log_dir)


def _plain(text: str) -> str:
    """Return a text that TensorBoard's Markdown shows as it is, in one cell."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*[]|#" else c for c in line)


def _writer(log_dir: str | Path) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("tensorboard", "tensorboard") from error
    return SummaryWriter(str(log_dir))
