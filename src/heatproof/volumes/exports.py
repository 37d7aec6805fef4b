"""A volume's map as NIfTI with the source's affine, and as DICOM Parametric Map in the source's frame of reference."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import heatproof
from heatproof.errors import InputError, MissingExtraError
from heatproof.inputs.dicom import is_dicom, open_dicom
from heatproof.report.dicom_codes import quantity
from heatproof.volumes.run import VolumeMap


def to_nifti(found: VolumeMap, path: Path) -> Path:
    """Write the map, float32, voxel for voxel where the source's are.

    A volume from DICOM is written with its axes in its own order (slice, row, column); its affine says so.

    Raises:
        InputError: the source has no affine.
        MissingExtraError: nibabel is not installed.
    """
    try:
        import nibabel
    except ImportError as error:
        raise MissingExtraError("nibabel", "medical") from error
    if found.input.affine is None:
        raise InputError(f"{found.input.name} has no affine, so that its map has no place in space; save it as .npz.")
    values = found.map.detach().float().cpu().numpy()
    image: Any = nibabel.Nifti1Image(values, found.input.affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = f"heatproof {found.explanation.method}"[:79].encode()
    image.set_sform(found.input.affine, code=1)
    image.set_qform(found.input.affine, code=1)
    nibabel.save(image, path)
    return path


def to_parametric_map(found: VolumeMap, path: Path) -> Path:
    """Write the map as one DICOM Parametric Map that refers to the source's slices.

    Raises:
        InputError: the source is no DICOM series.
        MissingExtraError: highdicom is not installed.
    """
    try:
        import highdicom as hd
        from pydicom.sr.codedict import codes
    except ImportError as error:
        raise MissingExtraError("highdicom", "medical") from error
    source = found.input.source
    if source is None or not source.is_dir():
        raise InputError(f"{found.input.name} is no DICOM series, whose frame of reference a parametric map needs.")
    assert found.input.affine is not None
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ found.input.affine  # DICOM runs to the left and back
    headers = [open_dicom(file, file.name) for file in sorted(source.iterdir()) if is_dicom(file)]
    values = found.map.detach().float().cpu().numpy()
    volume = hd.Volume(
        values, affine=affine, coordinate_system="PATIENT", frame_of_reference_uid=headers[0].FrameOfReferenceUID
    )
    top = float(max(np.abs(values).max(), 1e-6))
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="evidence",
        lut_explanation=f"Evidence for {found.explanation.targets[0][0].name}, in units of the score"[:64],
        unit=codes.UCUM.NoUnits,
        value_range=(float(values.min()), float(values.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=hd.sr.CodedConcept.from_code(quantity(found.explanation.method)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on the patient's name, which is the source's own
        made = _parametric_map(hd, found, headers, volume, mapping, top)
    made.save_as(path)
    return path


def _parametric_map(hd: Any, found: VolumeMap, headers: Sequence[Any], volume: Any, mapping: Any, top: float) -> Any:
    return hd.pm.ParametricMap(
        source_images=headers,
        pixel_array=volume,
        series_instance_uid=hd.UID(),
        series_number=1001,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="heatproof",
        manufacturer_model_name="heatproof",
        software_versions=heatproof.__version__,
        device_serial_number="0",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=top / 2, window_width=top)],
        content_label="HEATMAP",
        content_description=f"Evidence for {found.explanation.targets[0][0].name}"[:64],
    )
