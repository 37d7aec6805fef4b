"""Volumes: windows blended as a slow loop does, spacing and affine kept, exports read back by their own libraries."""

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import torch
from tests.volumes.series import write_series
from torch import nn

import heatproof
from heatproof.errors import InputError, UsageError
from heatproof.inputs import Preprocess
from heatproof.types import Axis, Input
from heatproof.volumes import explain_volume
from heatproof.volumes.exports import to_nifti, to_parametric_map
from heatproof.volumes.windows import places, starts, weights


class Bright(nn.Module):
    """Scores the mean of what exceeds 0.5, through a 3-D convolution; every weight is written by hand."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(1, 2, 1), nn.ReLU())
        self.head = nn.Linear(2, 1)
        with torch.no_grad():
            self.features[0].weight[:] = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1, 1)
            self.features[0].bias[:] = torch.tensor([-0.5, 0.5])
            self.head.weight[:] = torch.tensor([[4.0, -1.0]])
            self.head.bias[:] = 0.25

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3, 4)))


class Voxels(nn.Module):
    """A segmentation network: two classes at every voxel."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.ReLU())
        self.out = nn.Conv3d(3, 2, 1)

    def forward(self, x):
        return self.out(self.features(x))


def evidence(values):
    """What Bright says of each voxel: 4 (v - 0.5) above 0.5, v - 0.5 below."""
    return np.where(values > 0.5, 4 * (values - 0.5), values - 0.5)


def volume_of(values, affine=None, sides=(3.0, 1.0, 1.0)):
    axes = tuple(Axis(n, "mm", np.arange(k) * s) for n, k, s in zip("zyx", values.shape, sides, strict=True))
    data = torch.from_numpy(np.asarray(values, np.float32))[None]
    return Input(data, axes, ("value",), name="ball", affine=affine)


@pytest.fixture
def values():
    return np.random.default_rng(0).uniform(0, 1, (7, 12, 10)).astype(np.float32)


def test_the_whole_volume_in_one_window_has_the_evidence_worked_out_by_hand(values):
    found = explain_volume(Bright(), volume_of(values))
    assert found.windows == 1
    np.testing.assert_allclose(found.map.numpy(), evidence(values), atol=1e-5)
    assert float(found.scores[0]) == pytest.approx(evidence(values).mean() + 0.25, abs=1e-5)


def test_windows_blend_without_seams(values):
    found = explain_volume(Bright(), volume_of(values), window=(4, 6, 5), batch_size=3)
    assert found.windows == len(places(values.shape, (4, 6, 5), 0.5)) == 3 * 3 * 4
    np.testing.assert_allclose(found.map.numpy(), evidence(values), atol=1e-5)


def test_windows_cover_every_voxel_and_end_at_the_end():
    assert starts(10, 4, 0.5) == [0, 2, 4, 6]
    assert starts(11, 4, 0.5) == [0, 2, 4, 6, 7]
    assert starts(3, 4, 0.5) == [0]
    assert float(weights((4, 6, 5)).min()) > 0


def test_a_network_of_coarse_grid_blends_as_a_slow_loop(values):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 4, 2, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 2 * 3 * 3, 2)).eval()
    window = (4, 6, 6)
    found = explain_volume(net, volume_of(values), 1, window=window)
    total, mass = np.zeros(values.shape), np.zeros(values.shape)
    hann = [np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in window]
    for z in (0, 2, 3):
        for y in (0, 3, 6):
            for x in (0, 3, 4):
                part = torch.from_numpy(values[z : z + 4, y : y + 6, x : x + 6])[None, None]
                map = heatproof.explain(net, part, 1).maps * 18
                full = nn.functional.interpolate(map, size=window, mode="trilinear", align_corners=False)[0, 0].numpy()
                weight = hann[0][:, None, None] * hann[1][None, :, None] * hann[2]
                total[z : z + 4, y : y + 6, x : x + 6] += weight * full
                mass[z : z + 4, y : y + 6, x : x + 6] += weight
    np.testing.assert_allclose(found.map.numpy(), total / mass, atol=1e-5)


def test_anisotropic_voxels_are_brought_to_the_models_spacing_and_back():
    values = np.zeros((6, 18, 18), np.float32)
    values[2:4, 6:12, 6:12] = 1  # 6 mm by 6 mm by 6 mm
    seen = []

    class Watched(Bright):
        def forward(self, x):
            seen.append(tuple(x.shape[2:]))
            return super().forward(x)

    found = explain_volume(Watched(), volume_of(values), spacing=(1.0, 1.0, 1.0))
    assert set(seen) == {(18, 18, 18)}
    assert found.map.shape == (6, 18, 18)
    hot = found.map.numpy()
    assert hot[2:4, 7:11, 7:11].min() > 1
    assert hot[[0, 5]].max() <= 0
    center = np.argwhere(hot > 0).mean(0)
    np.testing.assert_allclose(center, (2.5, 8.5, 8.5), atol=0.01)


def test_a_region_restricts_the_segmentation_target(values):
    torch.manual_seed(0)
    net = Voxels().eval()
    region = torch.zeros(values.shape, dtype=torch.bool)
    region[2:4, 3:6, 4:8] = True
    found = explain_volume(net, volume_of(values), 1, region=region)
    with torch.no_grad():
        logits = net(torch.from_numpy(values)[None, None])[0, 1]
    assert float(found.scores[0]) == pytest.approx(float(logits[region].mean()), abs=1e-5)
    few = explain_volume(net, volume_of(values), 1, region=region, window=(4, 6, 5), overlap=0.0)
    assert few.windows < len(places(values.shape, (4, 6, 5), 0.0))


AFFINES = {
    "oblique": nibabel.affines.from_matvec(
        np.array([[0.9, -0.3, 0.2], [0.3, 0.95, 0.1], [-0.2, 0.05, 2.9]]), [10.0, -20.0, 5.0]
    ),
    "flipped": np.array([[-1.5, 0, 0, 40], [0, 1, 0, -7], [0, 0, -3, 12], [0, 0, 0, 1]], float),
    "turned": np.array([[0, 0, 2, 1], [-1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 0, 1]], float),
}


@pytest.mark.parametrize("kind", AFFINES)
def test_nifti_goes_round_with_its_affine(tmp_path, values, kind):
    source = nibabel.Nifti1Image(values, AFFINES[kind])
    source.set_sform(AFFINES[kind], code=1)
    nibabel.save(source, tmp_path / "in.nii.gz")
    volume = heatproof.read(tmp_path / "in.nii.gz")
    np.testing.assert_array_equal(volume.data[0].numpy(), values)
    np.testing.assert_allclose(volume.affine, AFFINES[kind], atol=1e-6)
    expected = [np.linalg.norm(AFFINES[kind][:3, i]) for i in range(3)]
    assert [axis.spacing() for axis in volume.axes] == pytest.approx(expected)
    ways = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "head", "I": "feet"}
    assert [a.name for a in volume.axes] == [f"to {ways[c]}" for c in nibabel.aff2axcodes(AFFINES[kind])]
    found = explain_volume(Bright(), volume)
    back = nibabel.load(to_nifti(found, tmp_path / "out.nii.gz"))
    np.testing.assert_allclose(back.affine, AFFINES[kind], atol=1e-5)
    np.testing.assert_array_equal(np.asarray(back.dataobj), found.map.numpy())


def test_the_scale_factor_of_nifti_is_applied(tmp_path):
    image = nibabel.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "a.nii")
    raw = nibabel.load(tmp_path / "a.nii").get_fdata()
    np.testing.assert_allclose(heatproof.read(tmp_path / "a.nii").data[0].numpy(), raw)


def test_nifti_without_a_valid_affine_is_refused(tmp_path, values):
    image = nibabel.Nifti1Image(values, None)
    nibabel.save(image, tmp_path / "none.nii")
    with pytest.raises(InputError, match=r"none\.nii has no valid affine \(sform and qform codes are 0\)"):
        heatproof.read(tmp_path / "none.nii")
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.set_sform(flat, code=1)
    nibabel.save(image, tmp_path / "flat.nii")
    with pytest.raises(InputError, match=r"flat\.nii has no valid affine: its axes span no volume"):
        heatproof.read(tmp_path / "flat.nii")


def test_a_dicom_series_goes_round_in_its_frame_of_reference(tmp_path):
    stored = np.random.default_rng(1).integers(0, 2000, (5, 8, 6)).astype(np.uint16)
    write_series(tmp_path / "ct", stored, orientation=(0.8, 0.6, 0, 0, 0, -1), step=2.5, spacing=(0.7, 0.9))
    volume = heatproof.read(tmp_path / "ct")
    assert volume.channels == ("HU",)
    np.testing.assert_allclose(volume.data[0].numpy(), stored * 2.0 - 1000)
    for index in [(0, 0, 0), (3, 5, 2)]:
        header = pydicom.dcmread(tmp_path / "ct" / f"{index[0]:03d}.dcm")
        along, down = np.array(header.ImageOrientationPatient[:3]), np.array(header.ImageOrientationPatient[3:])
        place = np.array(header.ImagePositionPatient) + along * 0.9 * index[2] + down * 0.7 * index[1]
        np.testing.assert_allclose(volume.affine @ (*index, 1), (-place[0], -place[1], place[2], 1), atol=1e-5)
    net = heatproof.Model(Bright(), Preprocess(mean=(-1000.0,), std=(4000.0,)))
    found = explain_volume(net, volume)
    image = highdicom.imread(to_parametric_map(found, tmp_path / "map.dcm"))
    back = image.get_volume()
    lps = np.diag([-1, -1, 1, 1]) @ volume.affine
    aligned = back.match_geometry(highdicom.Volume(np.zeros(found.map.shape), lps, "PATIENT"))
    np.testing.assert_allclose(aligned.array, found.map.numpy(), atol=1e-5)
    assert image.FrameOfReferenceUID == header.FrameOfReferenceUID
    assert image.ContentLabel == "HEATMAP"


def test_slices_are_ordered_by_place_not_by_name(tmp_path):
    stored = np.arange(4 * 3 * 2, dtype=np.uint16).reshape(4, 3, 2)
    write_series(tmp_path / "ct", stored, names=[2, 0, 3, 1])
    np.testing.assert_allclose(heatproof.read(tmp_path / "ct").data[0].numpy(), stored * 2.0 - 1000)


def test_broken_series_are_refused(tmp_path):
    stored = np.zeros((6, 4, 4), np.uint16)
    write_series(tmp_path / "gap", stored)
    (tmp_path / "gap" / "003.dcm").unlink()
    with pytest.raises(InputError, match=r"gap has missing slices: 3 mm lie between most, but 6 mm after .* 1 of 6"):
        heatproof.read(tmp_path / "gap")
    write_series(tmp_path / "mixed", stored)
    header = pydicom.dcmread(tmp_path / "mixed" / "001.dcm")
    header.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    header.save_as(tmp_path / "mixed" / "001.dcm")
    with pytest.raises(InputError, match="mixed mixes orientations: 1 of 6 slices are turned"):
        heatproof.read(tmp_path / "mixed")
    write_series(tmp_path / "two", stored[:3])
    write_series(tmp_path / "two", stored[:3], names=[7, 8, 9])
    with pytest.raises(InputError, match="two holds 2 series"):
        heatproof.read(tmp_path / "two")
    write_series(tmp_path / "double", stored[:3])
    again = pydicom.dcmread(tmp_path / "double" / "001.dcm")
    again.SOPInstanceUID = pydicom.uid.generate_uid()
    again.save_as(tmp_path / "double" / "009.dcm")
    with pytest.raises(InputError, match="double has 1 slices at the place of another"):
        heatproof.read(tmp_path / "double")


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_a_single_picture_is_windowed_and_monochrome1_inverted(tmp_path, photometric):
    stored = np.array([[[0, 500, 520], [540, 560, 2000]]], np.uint16)
    write_series(tmp_path / "cr", stored, photometric=photometric, window=(40, 80))
    read = heatproof.read(tmp_path / "cr" / "000.dcm")
    units = stored[0] * 2.0 - 1000
    expected = np.clip((units - (40 - 0.5 - 39.5)) / 79, 0, 1)  # the standard's linear window
    inverted = photometric == "MONOCHROME1"
    np.testing.assert_allclose(read.data[0].numpy(), 1 - expected if inverted else expected, atol=1e-6)
    assert read.channels == ("window 40/80, inverted" if inverted else "window 40/80",)
    assert read.picture


def test_multi_frame_files_are_volumes(tmp_path, values):
    stored = np.random.default_rng(1).integers(0, 2000, (5, 8, 6)).astype(np.uint16)
    write_series(tmp_path / "ct", stored, orientation=(0.8, 0.6, 0, 0, 0, -1), step=2.5)
    net = heatproof.Model(Bright(), Preprocess(mean=(-1000.0,), std=(4000.0,)))
    found = explain_volume(net, heatproof.read(tmp_path / "ct"))
    again = heatproof.read(to_parametric_map(found, tmp_path / "map.dcm"))
    np.testing.assert_allclose(again.affine, found.input.affine, atol=1e-4)
    np.testing.assert_allclose(again.data[0].numpy(), found.map.numpy(), atol=1e-5)


def test_wrong_calls_are_refused(values):
    net, volume = Bright(), volume_of(values)
    flat = Input(torch.zeros(1, 4, 4), (Axis("y"), Axis("x")), ("v",), name="flat")
    with pytest.raises(InputError, match="flat has 2 spatial axes; a volume has 3"):
        explain_volume(net, flat)
    with pytest.raises(UsageError, match=r"window=\(4, 4\) must be three numbers"):
        explain_volume(net, volume, window=(4, 4))
    with pytest.raises(UsageError, match=r"overlap=1\.0 must be at least 0 and below 1"):
        explain_volume(net, volume, overlap=1.0)
    with pytest.raises(UsageError, match=r"The region has shape \(2, 2, 2\)"):
        explain_volume(net, volume, region=torch.ones(2, 2, 2, dtype=torch.bool))
    unplaced = Input(volume.data, tuple(Axis(n) for n in "zyx"), ("v",), name="bare")
    with pytest.raises(InputError, match="bare does not say its voxels' size in mm"):
        explain_volume(net, unplaced, spacing=(1.0, 1.0, 1.0))
