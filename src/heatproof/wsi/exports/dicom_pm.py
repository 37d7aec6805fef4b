"""DICOM Parametric Map: the map's float32 values as a pyramid on the slide's own frame of reference."""

from pathlib import Path
from typing import Any

import numpy as np

from heatproof.report.dicom_codes import quantity
from heatproof.wsi.exports import _dicom
from heatproof.wsi.regions import Region
from heatproof.wsi.result import SlideMap

NAME = "DICOM Parametric Map"
ALIASES = ("parametric map", "pm")
TIER = "experimental"

PADDING = float(np.finfo(np.float32).min)
"""Value of positions that were not looked at, declared as Float Pixel Padding Value."""


def export(found: SlideMap, regions: list[Region], folder: Path) -> list[Path]:
    """Write `dicom_pm/level_N.dcm`, one instance per level of the pyramid."""
    hd = _dicom.library()
    header = _dicom.source(found)
    place = folder / "dicom_pm"
    place.mkdir(exist_ok=True)
    paths: list[Path] = []
    for level in range(found.canvas.level_within(_dicom.PIXELS), found.canvas.levels):
        values = np.asarray(found.canvas.level(level)[:], np.float32)
        made = hd.pm.ParametricMap(
            source_images=[header],
            pixel_array=np.where(np.isfinite(values), values, PADDING).astype(np.float32),
            series_instance_uid=_dicom.uid(found, "parametric map"),
            series_number=1001,
            sop_instance_uid=_dicom.uid(found, f"parametric map {level}"),
            instance_number=level + 1,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[_mapping(hd, found, values)],
            voi_lut_transformations=[
                hd.VOILUTTransformation(window_center=found.vmax / 2, window_width=max(found.vmax, 1e-6))
            ],
            content_label="HEATMAP",
            content_description=f"Evidence for {found.target}"[:64],
            image_flavor="VOLUME",
            derived_pixel_contrast="QUANTITY",
            tile_pixel_array=True,
            tile_size=_dicom.TILE,
            pyramid_uid=_dicom.uid(found, "pyramid"),
            pyramid_label="evidence",
            **_dicom.placement(found, level, header),
            **_dicom.equipment(),
        )
        made.FloatPixelPaddingValue = made.FloatPixelPaddingRangeLimit = PADDING
        path = place / f"level_{level}.dcm"
        made.save_as(path)
        paths.append(path)
    return paths


def _mapping(hd: Any, found: SlideMap, values: Any) -> Any:
    from pydicom.sr.codedict import codes

    seen = values[np.isfinite(values)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    return hd.pm.RealWorldValueMapping(
        lut_label="evidence",
        lut_explanation=f"Evidence for {found.target}, in units of the score"[:64],
        unit=codes.UCUM.NoUnits,
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=hd.sr.CodedConcept.from_code(quantity(found.about["method"])),
    )
