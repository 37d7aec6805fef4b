"""DICOM Segmentation: the regions above the level, as one segment, on the slide's own frame of reference."""

from pathlib import Path

import numpy as np

from heatproof.wsi.exports import _dicom
from heatproof.wsi.regions import Region
from heatproof.wsi.result import SlideMap

NAME = "DICOM SEG"
ALIASES = ("segmentation", "seg")
TIER = "experimental"


def export(found: SlideMap, regions: list[Region], folder: Path) -> list[Path]:
    """Write `regions.seg.dcm`; nothing where no place is above the level."""
    from pydicom.sr.codedict import codes

    hd = _dicom.library()
    level, values = found.working()
    mask = np.where(np.isfinite(values), values, -np.inf) > found.level
    path = folder / "regions.seg.dcm"
    path.unlink(missing_ok=True)
    if not mask.any():
        return []
    header = _dicom.source(found)
    algorithm = hd.AlgorithmIdentificationSequence(
        name=f"heatproof {found.about['method']}",
        version=found.about["heatproof"],
        family=codes.DCM.ArtificialIntelligence,
    )
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=f"{found.target} above {found.level:.3g}"[:64],
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.MorphologicallyAbnormalStructure,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
    )
    made = hd.seg.Segmentation(
        source_images=[header],
        pixel_array=mask,
        segmentation_type="BINARY",
        segment_descriptions=[segment],
        series_instance_uid=_dicom.uid(found, "segmentation"),
        series_number=1002,
        sop_instance_uid=_dicom.uid(found, "segmentation instance"),
        instance_number=1,
        content_label="HEATMAP",
        content_description=f"Regions of evidence for {found.target}"[:64],
        tile_pixel_array=True,
        tile_size=_dicom.TILE,
        **_dicom.placement(found, level, header),
        **_dicom.equipment(),
    )
    made.PatientOrientation = None
    made.save_as(path)
    return [path]
