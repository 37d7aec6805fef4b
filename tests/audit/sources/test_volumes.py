"""A table may list volumes, each with an annotation of its own: NIfTI files, and DICOM series as folders."""

import csv

import nibabel
import numpy as np
import pytest
from tests.volumes.series import write_series

from heatproof.audit.entry import Roles
from heatproof.audit.sources import open_source
from heatproof.errors import InputError


@pytest.fixture
def volumes(tmp_path):
    """Two NIfTI volumes with a bright block that is marked, and one whose file is cut off."""
    rows = [("volume", "label", "mask", "patient_id")]
    for number in range(3):
        values = np.random.default_rng(number).normal(100, 5, (12, 10, 8)).astype(np.float32)
        mask = np.zeros(values.shape, np.uint8)
        mask[2:5, 3:6, number : number + 2] = 1
        values[mask > 0] += 80
        affine = np.diag([0.7, 0.7, 2.5, 1.0])
        for name, data in ((f"v{number}.nii.gz", values), (f"m{number}.nii.gz", mask)):
            nibabel.save(nibabel.Nifti1Image(data, affine), tmp_path / name)
        rows.append((f"v{number}.nii.gz", "bright", f"m{number}.nii.gz", f"p{number}"))
    whole = (tmp_path / "v2.nii.gz").read_bytes()
    (tmp_path / "v2.nii.gz").write_bytes(whole[: len(whole) // 2])
    with (tmp_path / "volumes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "volumes.csv"


def test_volumes_and_their_masks_are_read(volumes):
    source = open_source(str(volumes))
    assert source.roles == Roles("volume", "label", "mask", "patient_id")
    one, other, broken = source
    for entry in (one, other):
        read, _ = source.read(entry)
        mask = source.annotation(entry)
        assert len(read.size) == 3
        assert tuple(mask.shape) == read.size
        inside = read.data[0][mask]
        assert int(mask.sum()) == 18
        assert float(inside.min()) > float(read.data[0][~mask].max()) - 30
        assert read.affine is not None
    with pytest.raises(InputError, match=r"v2\.nii\.gz"):
        source.read(broken)


def test_a_folder_of_dicom_files_is_one_volume(tmp_path):
    stored = np.random.default_rng(0).integers(0, 1000, (4, 6, 5)).astype(np.int16)
    write_series(tmp_path / "ct", stored, step=2.5)
    (tmp_path / "empty").mkdir()
    (tmp_path / "scans.csv").write_text("scan,label\nct,bright\nempty,bright\n")
    source = open_source(str(tmp_path / "scans.csv"))
    one, other = source
    (found, digest), (_, again) = source.read(one), source.read(one)
    assert found.size == (4, 6, 5)
    assert found.name == "ct"
    assert digest == again
    first = sorted((tmp_path / "ct").iterdir())[0]
    first.write_bytes(first.read_bytes()[:-2] + b"\1\1")
    assert source.read(one)[1] != digest
    with pytest.raises(InputError, match="empty is a folder; name a file"):
        source.read(other)
