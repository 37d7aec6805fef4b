"""What the DICOM exports share: the slide as a source image, identifiers, and where the map lies on the glass."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import heatproof
from heatproof.errors import MissingExtraError
from heatproof.inputs.readers._reader import NotMine
from heatproof.inputs.readers._series import series_of
from heatproof.wsi.result import SlideMap

MANUFACTURER = "heatproof"
PIXELS = 16_000_000
"""Positions of the largest level that is written: one frame holds a tile, but all are held in memory."""
TILE = (256, 256)

_VL_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


def library() -> Any:
    """Return highdicom.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import highdicom
    except ImportError as error:
        raise MissingExtraError("highdicom", "medical") from error
    return highdicom


def uid(found: SlideMap, what: str) -> str:
    """Return an identifier that is the same whenever the same run is exported again."""
    from pydicom.uid import generate_uid

    told = json.dumps(found.about, sort_keys=True, default=str)
    return str(generate_uid(entropy_srcs=[told, what]))


def source(found: SlideMap) -> Any:
    """Return the slide's own DICOM header; for any other format, one that describes the slide."""
    import pydicom

    own = _own_header(found.slide.path)
    if own is not None:
        return own
    now = datetime.now(UTC)
    width, height = found.slide.size
    data = pydicom.Dataset()
    data.SOPClassUID = _VL_WHOLE_SLIDE
    data.SOPInstanceUID = uid(found, "slide")
    data.StudyInstanceUID = uid(found, "study")
    data.SeriesInstanceUID = uid(found, "series of the slide")
    data.FrameOfReferenceUID = uid(found, "glass")
    data.PositionReferenceIndicator = "SLIDE_CORNER"
    data.Modality = "SM"
    data.PatientID = data.AccessionNumber = data.StudyID = ""
    data.PatientName = data.PatientBirthDate = data.PatientSex = data.ReferringPhysicianName = ""
    data.StudyDate, data.StudyTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ContainerIdentifier = found.slide.path.stem[:64]
    data.IssuerOfTheContainerIdentifierSequence = []
    data.ContainerTypeCodeSequence = [_code("433466003", "SCT", "Microscope slide")]
    specimen = pydicom.Dataset()
    specimen.SpecimenIdentifier = found.slide.path.stem[:64]
    specimen.SpecimenUID = uid(found, "specimen")
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    specimen.SpecimenPreparationSequence = []
    data.SpecimenDescriptionSequence = [specimen]
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.ImageOrientationSlide = [0.0, -1.0, 0.0, -1.0, 0.0, 0.0]  # rows run up the glass, as scanners deliver them
    origin = pydicom.Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = (
        round(height * found.slide.mpp[1] / 1000, 6),
        round(width * found.slide.mpp[0] / 1000, 6),
    )
    origin.ZOffsetInSlideCoordinateSystem = 0.0
    data.TotalPixelMatrixOriginSequence = [origin]
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = width, height
    data.TotalPixelMatrixFocalPlanes = 1
    data.NumberOfOpticalPaths = 1
    data.DimensionOrganizationType = "TILED_FULL"
    data.Rows, data.Columns = TILE
    data.NumberOfFrames = -(-width // TILE[1]) * -(-height // TILE[0])
    data.ImagedVolumeWidth = round(width * found.slide.mpp[0] / 1000, 6)
    data.ImagedVolumeHeight = round(height * found.slide.mpp[1] / 1000, 6)
    data.ImagedVolumeDepth = 0.001
    shared = pydicom.Dataset()
    measures = pydicom.Dataset()
    measures.PixelSpacing = [found.slide.mpp[1] / 1000, found.slide.mpp[0] / 1000]
    measures.SliceThickness = 0.001
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    path = pydicom.Dataset()
    path.OpticalPathIdentifier = "1"
    data.OpticalPathSequence = [path]
    return data


def _own_header(path: Path) -> Any:
    """Return the header of the finest level of a DICOM slide; None for every other format."""
    import pydicom

    try:
        files = series_of(path)
    except NotMine:
        return None
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    headers = [
        one for one in headers if one.get("SOPClassUID") == _VL_WHOLE_SLIDE and "VOLUME" in one.get("ImageType", [])
    ]
    return max(headers, key=lambda header: header.TotalPixelMatrixColumns, default=None)


def placement(found: SlideMap, level: int, header: Any) -> dict[str, Any]:
    """Return where a level of the map lies, as highdicom takes it: spacing, orientation and the corner's position."""
    hd = library()
    spacing = found.canvas.microns * 2**level / 1000
    origin = header.TotalPixelMatrixOriginSequence[0]
    corner = (
        float(origin.XOffsetInSlideCoordinateSystem),
        float(origin.YOffsetInSlideCoordinateSystem),
        float(origin.get("ZOffsetInSlideCoordinateSystem", 0.0)),
    )
    return {
        "pixel_measures": hd.PixelMeasuresSequence(pixel_spacing=(spacing, spacing), slice_thickness=0.001),
        "plane_orientation": hd.PlaneOrientationSequence(
            coordinate_system="SLIDE", image_orientation=[float(v) for v in header.ImageOrientationSlide]
        ),
        "plane_positions": [
            hd.PlanePositionSequence(
                coordinate_system="SLIDE",
                image_position=_centered(corner, found, spacing, header),
                pixel_matrix_position=(1, 1),
            )
        ],
    }


def _centered(
    corner: tuple[float, float, float], found: SlideMap, spacing: float, header: Any
) -> tuple[float, float, float]:
    """Return the center of the map's first position: the origin is the center of the slide's first pixel."""
    shift_x, shift_y = ((spacing - mpp / 1000) / 2 for mpp in found.slide.mpp)
    along = [float(v) for v in header.ImageOrientationSlide]  # of a row, then of a column
    x, y, z = (c + shift_x * along[i] + shift_y * along[i + 3] for i, c in enumerate(corner))
    return round(x, 6), round(y, 6), round(z, 6)


def equipment() -> dict[str, Any]:
    """Return who made the object."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MANUFACTURER,
        "software_versions": heatproof.__version__,
        "device_serial_number": hashlib.sha256(MANUFACTURER.encode()).hexdigest()[:16],
    }


def _code(value: str, scheme: str, meaning: str) -> Any:
    import pydicom

    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
