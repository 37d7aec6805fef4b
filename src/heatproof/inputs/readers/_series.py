"""The files of one DICOM series: folders of archives hold several slides, and everything else."""

from pathlib import Path

from heatproof.inputs.readers._reader import NotMine

_SERIES = "SeriesInstanceUID"


def series_of(path: Path) -> list[Path]:
    """Return the files of the series that a file belongs to, or of the only series in a folder.

    Raises:
        NotMine: the file is not DICOM, or the folder holds no series or several.
    """
    if path.is_file():
        own = _series(path)
        if own is None:
            raise NotMine("it is no DICOM file")
        return [file for file in sorted(path.parent.iterdir()) if _series(file) == own]
    found: dict[str, list[Path]] = {}
    for file in sorted(path.iterdir()):
        if (series := _series(file)) is not None:
            found.setdefault(series, []).append(file)
    if not found:
        raise NotMine("it holds no DICOM file")
    if len(found) > 1:
        raise NotMine(f"it holds {len(found)} series; name a file of one of them")
    return next(iter(found.values()))


def _series(file: Path) -> str | None:
    import pydicom

    try:
        return str(pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[_SERIES])[_SERIES].value)
    except Exception:  # noqa: BLE001  whatever else lies in the folder is no part of the slide
        return None
