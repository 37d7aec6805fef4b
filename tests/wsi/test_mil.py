"""Multiple-instance models: each way of asking gives the number worked out by hand; features must fit the slide."""

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import heatproof
from heatproof.errors import InputError, ModelError, TargetError
from heatproof.inputs.features import Features, read_features
from heatproof.wsi.mil import encode, explain_bag
from heatproof.wsi.network import Network, Way
from heatproof.wsi.plan import make_plan
from heatproof.wsi.regions import find_regions
from heatproof.wsi.table import table_map
from heatproof.wsi.tissue import find_tissue


class Attending(nn.Module):
    """Attention looks at the first feature; the score comes from the second alone."""

    def __init__(self, *, batched=True):
        super().__init__()
        self.batched = batched

    def forward(self, bag):
        if self.batched != (bag.ndim == 3):
            raise RuntimeError(f"a bag of {bag.ndim} axes")
        bag = bag[0] if self.batched else bag
        weights = torch.softmax(bag[:, 0], dim=0)
        mean = (weights[:, None] * bag).sum(0)
        return torch.stack([-mean[1], mean[1]])[None]


class Clam(Attending):
    def forward(self, bag):
        logits = super().forward(bag)
        return logits, logits.softmax(1), logits.argmax(1), bag[:, 0][None], {}


def features_of(values):
    corners = np.array([[256.0 * (i % 4), 256.0 * (i // 4)] for i in range(len(values))])
    return Features(torch.tensor(values, dtype=torch.float32), corners, 256.0)


VALUES = [[0.0, 1.0], [2.0, 0.5], [-1.0, 3.0], [1.0, -2.0], [0.5, 0.0]]


@pytest.mark.parametrize("net", [Attending(), Attending(batched=False), Clam(batched=False)])
def test_attention_gradient_and_perturbation_are_those_worked_out_by_hand(net):
    x = np.array(VALUES)
    weights = np.exp(x[:, 0]) / np.exp(x[:, 0]).sum()
    score = weights @ x[:, 1]
    bag = explain_bag(heatproof.Model(net, labels=["normal", "tumor"]), features_of(VALUES), "tumor")
    assert (bag.target, bag.score) == ("tumor", pytest.approx(score, rel=1e-5))
    np.testing.assert_allclose(bag.maps["attention"], weights * 5, rtol=1e-5)
    gradient = weights * (x[:, 1] + (x[:, 1] - score) * x[:, 0])  # x dy/dx of both features
    np.testing.assert_allclose(bag.maps["gradient"], gradient * 5, rtol=1e-4, atol=1e-6)
    without = [(np.delete(weights, i) @ np.delete(x[:, 1], i)) / np.delete(weights, i).sum() for i in range(5)]
    np.testing.assert_allclose(bag.maps["perturbation"], (score - np.array(without)) * 5, rtol=1e-4, atol=1e-5)
    assert bag.agreement["attention and perturbation"] < 0.5  # attention misleads here


def test_a_model_without_attention_says_nothing_of_it():
    class Mean(nn.Module):
        def forward(self, bag):
            return bag.mean(1)

    bag = explain_bag(heatproof.Model(Mean()), features_of(VALUES), 1)
    assert set(bag.maps) == {"gradient", "perturbation"}
    np.testing.assert_allclose(bag.maps["gradient"], np.array(VALUES)[:, 1], atol=1e-6)


def test_many_patches_are_left_out_in_groups_of_neighbors():
    rng = np.random.default_rng(0)
    corners = np.array([[256.0 * x, 256.0 * y] for y in range(40) for x in range(40)])
    features = Features(torch.from_numpy(rng.normal(size=(1600, 2)).astype(np.float32)), corners, 256.0)
    counted = []
    bag = explain_bag(heatproof.Model(Attending()), features, 1, counted.append)
    assert (len(counted), bag.group) == (400, 4)
    square = bag.maps["perturbation"].reshape(20, 2, 20, 2)
    assert (np.ptp(square, axis=(1, 3)) == 0).all()


def test_wrong_features_and_targets_are_refused():
    model = heatproof.Model(nn.Sequential(nn.Linear(7, 2)))
    with pytest.raises(ModelError, match="runs on 5 patches of 2 features in neither form"):
        explain_bag(model, features_of(VALUES), 1)
    with pytest.raises(TargetError, match="The model has 2 classes; name the one"):
        explain_bag(heatproof.Model(Attending()), features_of(VALUES))


def write(path, values, corners, **told):
    with h5py.File(path, "w") as file:
        file["features"] = np.asarray(values, np.float32)
        file["coords"] = np.asarray(corners)
        file["coords"].attrs.update(told)


def test_stored_features_are_read_in_both_layouts(tmp_path, slide):
    corners = [[0, 0], [512, 0], [0, 512]]
    write(tmp_path / "trident.h5", np.eye(3), corners, patch_size_level0=512)
    read = read_features(tmp_path / "trident.h5", slide)
    assert (read.side, read.values.tolist()) == (512, np.eye(3).tolist())
    write(tmp_path / "clam.h5", np.eye(3), corners, patch_size=256, downsample=[2.0, 2.0])
    assert read_features(tmp_path / "clam.h5", slide).side == 512
    write(tmp_path / "bare.h5", np.eye(3)[None], corners)
    assert read_features(tmp_path / "bare.h5", slide).side == 512


def test_features_that_do_not_belong_to_the_slide_are_refused(tmp_path, slide):
    write(tmp_path / "far.h5", np.eye(2), [[0, 0], [90000, 0]])
    with pytest.raises(InputError, match=r"The coordinates in far\.h5 do not belong to planted\.tiff: 1 of 2 patches"):
        read_features(tmp_path / "far.h5", slide)
    write(tmp_path / "odd.h5", np.eye(2), [[0, 0]])
    with pytest.raises(InputError, match=r"features of shape \(2, 2\) and coords of shape \(1, 2\)"):
        read_features(tmp_path / "odd.h5", slide)
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file["embeddings"] = np.eye(2)
    with pytest.raises(InputError, match=r"holds no 'features' and no 'coords' \(it holds embeddings\)"):
        read_features(tmp_path / "none.h5", slide)
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(InputError, match="is no intact HDF5 file"):
        read_features(tmp_path / "text.h5", slide)


def test_an_encoders_features_are_those_of_each_tile(slide, dab):
    encoder = heatproof.Model(nn.Sequential(dab.net.features, nn.AdaptiveAvgPool2d(1), nn.Flatten()), dab.preprocess)
    network = Network.of(encoder, None)
    way = Way("seamless", "", None, 128.0, 0, None, None, "features")
    plan = make_plan(slide, find_tissue(slide), way, 1.0, 128, 128)
    made = encode(network, slide, plan, 4, lambda _: None)
    assert len(made.values) == len(plan.tiles)
    assert made.side == 256
    x, y = (round(v / 2) for v in made.corners[5])
    with torch.no_grad():
        expected = encoder.net(network.batch([slide.read(x, y, 128, 128, 1.0)]).args[0])[0]
    torch.testing.assert_close(made.values[5], expected, rtol=1e-4, atol=1e-5)


def test_a_table_is_a_map(slide, tmp_path):
    corners = np.array([[256.0 * x, 256.0 * y] for y in range(4) for x in range(5)])
    values = np.zeros(20)
    values[7] = 5.0
    found = table_map(
        slide, corners, 256.0, values, tmp_path, {"target": "t", "method": "score", "model": "m", "layer": "l"}
    )
    (region,) = find_regions(found)
    assert region.at == (2 * 256 + 128, 256 + 128)
    assert region.area == pytest.approx(0.128**2)
    assert np.asarray(found.canvas.level(0)[:]).tolist() == values.reshape(4, 5).tolist()
