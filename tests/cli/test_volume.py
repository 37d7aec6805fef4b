"""`heatproof volume` from end to end, and what it refuses."""

import nibabel
import numpy as np
import pytest


def bright():
    """A network for python:tests.cli.test_volume:bright."""
    from tests.volumes.test_volumes import Bright

    return Bright()


SPEC = "python:tests.cli.test_volume:bright"


@pytest.fixture
def ball(tmp_path):
    values = np.zeros((8, 12, 12), np.float32)
    values[3:5, 6:10, 4:8] = 1
    nibabel.save(nibabel.Nifti1Image(values, np.diag([3.0, 1, 1, 1])), tmp_path / "ball.nii.gz")
    return tmp_path / "ball.nii.gz"


def test_a_volume_becomes_a_folder(run_json, ball, tmp_path):
    code, told = run_json("volume", SPEC, ball, "--window", "4,6,6", "-o", tmp_path / "out")
    assert code == 0
    assert told["windows"] == 27
    assert told["peak"] == pytest.approx(2.0, abs=1e-4)  # 4 (1 - 0.5)
    z, y, x = told["peak_voxel"]
    assert 3 <= z < 5
    assert 6 <= y < 10
    assert 4 <= x < 8
    for name in told["files"]:
        assert (tmp_path / "out" / name).is_file()
    back = nibabel.load(tmp_path / "out" / "map.nii.gz")
    np.testing.assert_allclose(back.affine, np.diag([3.0, 1, 1, 1]))
    assert np.asarray(back.dataobj)[3, 6, 4] == pytest.approx(2.0, abs=1e-4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--window", "4,6"], "--window is '4,6'; give three numbers"),
        (["--spacing", "fine"], "--spacing is 'fine'"),
        (["--overlap", "1"], "must be at least 0 and below 1"),
    ],
)
def test_wrong_use_is_one_sentence(run, ball, tmp_path, words, sentence):
    code, _, err = run("volume", SPEC, ball, "-o", tmp_path / "out", *words)
    assert code == 2
    assert sentence in err


def test_a_region_of_other_voxels_is_refused(run, ball, tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 12, 11), np.float32), np.eye(4)), tmp_path / "small.nii")
    code, _, err = run("volume", SPEC, ball, "--region", tmp_path / "small.nii", "-o", tmp_path / "out")
    assert code == 2
    assert "--region has the shape (8, 12, 11), the volume (8, 12, 12)" in err
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 12, 12), np.float32), np.eye(4)), tmp_path / "moved.nii")
    code, _, err = run("volume", SPEC, ball, "--region", tmp_path / "moved.nii", "-o", tmp_path / "out")
    assert code == 2
    assert "has another affine" in err
