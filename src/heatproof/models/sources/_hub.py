"""Asking first whether a download can succeed: the hub's own client tries for half a minute and prints every try."""

import urllib.error
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SECONDS = 4.0
"""How long a site may take to answer."""


@contextmanager
def hub(repo: str, files: Sequence[str]) -> Generator[None]:
    """Let libraries ask the Hugging Face hub if it answers, else only what is in its cache, which they do at once.

    Args:
        repo: of the hub.
        files: any of which must be in the cache where the hub does not answer.

    Raises:
        OSError: the hub does not answer, and nothing is in the cache.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    settings: Any = constants
    reason = None if settings.HF_HUB_OFFLINE else unreachable(settings.ENDPOINT)
    if reason is None:
        yield
        return
    if not any(isinstance(try_to_load_from_cache(repo, file), str) for file in files):
        raise OSError(reason)
    settings.HF_HUB_OFFLINE = True  # of the whole process; but for it the hub cannot be reached at this time
    try:
        yield
    finally:
        settings.HF_HUB_OFFLINE = False


@contextmanager
def site(url: str | None) -> Generator[None]:
    """Let torch fetch a file that is not in its cache yet only if the site answers.

    Raises:
        OSError: it does not.
    """
    import torch

    cached = url is None or Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2]).is_file()
    if url is not None and not cached and (reason := unreachable(url)) is not None:
        raise OSError(reason)
    yield


def unreachable(url: str) -> str | None:
    """Return why a site cannot be reached, None if it can; the proxies of the environment are used."""
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "heatproof"})  # noqa: S310  the hub's own address, or a published file's
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
            return None
    except urllib.error.HTTPError:
        return None  # it answers; what it thinks of the question is for the library to find out
    except (OSError, ValueError) as error:
        return f"{request.host} does not answer: {getattr(error, 'reason', error)}"
