"""The page as PDF, printed by a Chromium or Chrome that is already there."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from heatproof.errors import HeatproofError, UsageError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_SECONDS = 180


def pdf(page: str) -> bytes:
    """Return a page as PDF.

    Args:
        page: HTML that asks nothing of any network, as `html` gives it.

    Raises:
        UsageError: there is no Chromium here.
        HeatproofError: it is there and does not print.
    """
    program = browser()
    if program is None:
        raise UsageError(
            "A PDF is printed by Chromium or Chrome, and none of them is here "
            f"({', '.join(_NAMES[:3])}); install one, name it in CHROMIUM, or print the HTML report from any browser."
        )
    with tempfile.TemporaryDirectory(prefix="heatproof-") as folder:
        source, sink = Path(folder, "report.html"), Path(folder, "report.pdf")
        source.write_text(page, encoding="utf-8")
        words = [program, "--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}/profile"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            words.append(
                "--no-sandbox"
            )  # Chromium refuses its sandbox to root; the page is ours and runs no other script
        words += [f"--print-to-pdf={sink}", source.as_uri()]
        try:
            done = subprocess.run(words, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603  a fixed program, no shell
        except subprocess.TimeoutExpired as error:
            raise HeatproofError(f"{program} printed nothing within {_SECONDS} s; print the HTML report.") from error
        if not sink.is_file():
            said = " ".join(done.stderr.decode(errors="replace").split())[-300:] or "it says nothing"
            raise HeatproofError(f"{program} printed nothing (exit code {done.returncode}: {said}).")
        return sink.read_bytes()


def browser() -> str | None:
    """Return the program that prints: the one that CHROMIUM names, or the first found on the path."""
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else next((found for name in _NAMES if (found := shutil.which(name))), None)
