"""Tell what is installed and what this machine can do."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import typer

from heatproof import __version__
from heatproof.cli._output import print_json, print_table

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"extra == ['\"]([^'\"]+)['\"]")


def command(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Tell what is installed, which devices there are, and where downloaded weights are kept."""
    groups = _packages()
    extras = {extra: all(packages.values()) for extra, packages in groups.items() if extra not in ("core", "all")}
    devices, caches = _devices(), _caches()
    if as_json:
        print_json(
            {
                "heatproof": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "packages": {extra: packages for extra, packages in groups.items() if extra != "all"},
                "extras": extras,
                "devices": devices,
                "weights": caches,
            }
        )
        return
    typer.echo(f"heatproof {__version__}, Python {platform.python_version()}, {platform.platform()}\n")
    print_table(
        ("package", "version", "for"),
        [
            (name, found or "not installed", extra if extra == "core" else f"[{extra}]")
            for extra, packages in groups.items()
            if extra != "all"
            for name, found in packages.items()
        ],
    )
    for extra, complete in extras.items():
        if not complete:
            typer.echo(f"extra [{extra}] is incomplete; to add it: pip install 'heatproof[{extra}]'")
    typer.echo()
    print_table(("device", "what it is"), devices.items())
    typer.echo()
    print_table(
        ("weights of", "folder", "kept there"),
        [(source, c["folder"], f"{c['files']} files, {c['megabytes']:.1f} MB") for source, c in caches.items()],
    )


def _packages() -> dict[str, dict[str, str | None]]:
    """Return, for the core and each extra, every declared dependency with its version, or None where it is missing."""
    groups: dict[str, dict[str, str | None]] = {"core": {}}
    for requirement in requires("heatproof") or []:
        name, extra = _NAME.match(requirement), _EXTRA.search(requirement)
        if name is not None:
            groups.setdefault(extra[1] if extra else "core", {})[name[0]] = _version(name[0])
    return groups


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> dict[str, str]:
    import torch

    found = {"cpu": f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        found["mps"] = "Apple GPU"
    return found


def _caches() -> dict[str, dict[str, str | int | float]]:
    """Return where each source of models keeps what it downloaded, and how much is there."""
    import torch

    import heatproof

    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    folders = {
        "heatproof (bundled)": Path(heatproof.__file__).parent / "weights",
        "torchvision": Path(torch.hub.get_dir()) / "checkpoints",
        "timm, Hugging Face": Path(os.environ.get("HF_HUB_CACHE", home / "hub")),
    }
    return {source: _measure(folder) for source, folder in folders.items()}


def _measure(folder: Path) -> dict[str, str | int | float]:
    # a hub's cache links each file to its content: only the content counts
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()] if folder.is_dir() else []
    return {"folder": str(folder), "files": len(files), "megabytes": sum(f.stat().st_size for f in files) / 1e6}
