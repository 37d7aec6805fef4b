"""Explain a volume (NIfTI, DICOM series, arrays) by a sliding window; the map keeps the source's place in space."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.cli import DONE, _options
from heatproof.cli._output import print_json, progress
from heatproof.errors import UsageError

if TYPE_CHECKING:
    from heatproof.types import Input

_OPTIONS = ("method", "layer", "batch_size", "seed")


def command(
    model: _options.ModelSpec,
    data: Annotated[
        Path, typer.Argument(help="A NIfTI file, a folder with one DICOM series, a multi-frame file, .npy.")
    ],
    target: Annotated[str | None, typer.Option(help="Class index or label.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("heatproof-volume"),
    window: Annotated[
        str | None, typer.Option(help="Voxels per window, as Z,Y,X in the order of the file's axes.")
    ] = None,
    overlap: Annotated[float, typer.Option(help="Share of a window that the next one covers, too.")] = 0.5,
    spacing: Annotated[str | None, typer.Option(help="mm per axis that the model was trained at, as Z,Y,X.")] = None,
    region: Annotated[
        Path | None, typer.Option(help="Mask of the same shape: explain a segmentation's mean logit inside it.")
    ] = None,
    method: Annotated[str, typer.Option(help="Method, see `heatproof methods`.")] = "gradcam",
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Setting of the method, see `heatproof methods NAME`."),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Dotted name of the target layer, see `heatproof inspect`.")] = None,
    no_dicom: Annotated[bool, typer.Option("--no-dicom", help="Write no DICOM Parametric Map.")] = False,
    batch_size: _options.BatchSize = "auto",
    device: _options.Device = "auto",
    arch: _options.Arch = None,
    labels: _options.Labels = None,
    preprocess: _options.Preprocess = None,
    in_chans: _options.InChans = None,
    as_json: _options.Json = False,
) -> None:
    """Explain DATA; writes a three-plane picture, the map, NIfTI with the source's affine, and DICOM for DICOM."""
    import heatproof
    from heatproof.volumes import explain_volume
    from heatproof.volumes.exports import to_nifti, to_parametric_map
    from heatproof.volumes.windows import places

    volume = heatproof.read(data)
    inside = None if region is None else _mask(heatproof.read(region), volume)
    sides = None if window is None else tuple(round(side) for side in _three(window, "--window"))
    chosen = None if spacing is None else _three(spacing, "--spacing")
    count = len(places(volume.size, sides, overlap)) if sides and len(volume.size) == 3 and 0 <= overlap < 1 else 1
    with progress(count, "windows") as bar:
        found = explain_volume(
            _options.load_model(model, arch, labels, preprocess, in_chans, device),
            volume,
            int(target) if target is not None and target.lstrip("-").isdecimal() else target,
            window=sides,
            overlap=overlap,
            spacing=chosen,
            region=inside,
            method=method,
            layer=layer,
            batch_size=_options.batch_limit(batch_size) or 1,
            advance=bar.advance,
            **_options.method_settings(setting or [], _OPTIONS),
        )
    found.explanation.save(out)
    files = ["overlay.png", "map.npz", "manifest.json"]
    if volume.affine is not None:
        files.append(to_nifti(found, out / "map.nii.gz").name)
        if not no_dicom and data.is_dir():
            files.append(to_parametric_map(found, out / "map.dcm").name)
    told: dict[str, Any] = {
        "input": data,
        "folder": out,
        "target": found.explanation.targets[0][0].name,
        "windows": found.windows,
        "highest_score": float(found.scores.max()),
        "mean_score": float(found.scores.mean()),
        "layer": found.explanation.layer,
        "peak": float(found.map.max()),
        "peak_voxel": [int(i) for i in (found.map == found.map.max()).nonzero()[0]],
        "flags": found.explanation.flags[0][0],
        "files": files,
    }
    if as_json:
        print_json(told)
    else:
        typer.echo(f"{data} -> {out}")
        typer.echo(f"  {told['target']}: highest score {told['highest_score']:.3g} of {found.windows} windows")
        typer.echo(f"  strongest evidence {told['peak']:.3g} at voxel {told['peak_voxel']}; layer {told['layer']}")
    raise typer.Exit(DONE)


def _three(text: str, option: str) -> tuple[float, float, float]:
    try:
        parts = [float(part) for part in text.split(",")]
    except ValueError:
        parts = []
    if len(parts) == 1:
        parts = parts * 3
    if len(parts) != 3 or any(not part > 0 for part in parts):
        raise UsageError(
            f"{option} is {text!r}; give three numbers above 0 in the order of the axes, such as 32,96,96."
        )
    return parts[0], parts[1], parts[2]


def _mask(mask: "Input", volume: "Input") -> Any:
    import numpy as np

    if mask.size != volume.size:
        raise UsageError(
            f"--region has the shape {mask.size}, the volume {volume.size}; give a mask of the same voxels."
        )
    both = mask.affine is not None and volume.affine is not None
    if both and not np.allclose(mask.affine, volume.affine, atol=1e-3):  # pyright: ignore[reportArgumentType]  both are there
        raise UsageError(
            f"--region {mask.name} has another affine than {volume.name}; resample it onto the volume first."
        )
    return mask.data[0] > 0
