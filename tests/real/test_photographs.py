"""Real weights on real photographs: MobileNetV2 names them as its README says, and its maps move with the class."""

import csv
import json

import pytest
import torch

import heatproof as hp
from heatproof.inputs.prepare import Preprocess
from heatproof.metrics.similarity import spearman

pytestmark = pytest.mark.real

TOP1, TOP5 = 0.88, 0.96
"""Measured by those who provide the data, on all 200 photographs."""


@pytest.fixture(scope="module")
def model(data_folder):
    labels = json.loads((data_folder / "weights" / "imagenet_labels.json").read_text())
    return hp.load(
        f"file:{data_folder / 'weights' / 'mobilenet_v2.safetensors'}",
        arch="torchvision:mobilenet_v2",
        labels=labels,
        preprocess=Preprocess(resize=257, crop=(225, 225), mean=(0.5,) * 3, std=(0.5,) * 3),
    )


@pytest.fixture(scope="module")
def photographs(data_folder):
    with (data_folder / "photos" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [(data_folder / "photos" / row["file"], int(row["index"])) for row in rows]


@pytest.fixture(scope="module")
def explained(model, photographs):
    """Predicted class of all photographs, one forward each, with its map."""
    return hp.explain(model, [path for path, _ in photographs])


def test_accuracy_is_the_published_one(explained, photographs):
    hits = [row[0].index == truth for row, (_, truth) in zip(explained.targets, photographs, strict=True)]
    assert len(hits) == 200
    assert abs(sum(hits) / len(hits) - TOP1) <= 0.015


def test_maps_are_signed_finite_and_neither_blank_nor_constant(explained):
    assert explained.layer == "features"
    assert explained.maps.shape == (200, 1, 8, 8)
    spoiled = [flags for row in explained.flags for flags in row if flags]
    assert spoiled == []
    assert (explained.maps.amax((1, 2, 3)) > 0).all()


def test_grad_cam_of_a_pooled_linear_head_adds_up_to_the_score(explained, model):
    """The head is linear after the pooling, so the map's sum and the class's bias are the logit, exactly."""
    bias = model.net.classifier[1].bias.detach()
    expected = torch.stack([bias[row[0].index] for row in explained.targets]) + explained.maps.sum((1, 2, 3))
    torch.testing.assert_close(explained.scores[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_maps_move_when_the_class_changes(model, photographs):
    """Over 100 photographs, the map of the right class and that of a class half the label list away are not alike."""
    some = photographs[::2]
    ex = hp.explain(model, [p for p, _ in some], target=[[truth, (truth + 500) % 1000] for _, truth in some])
    rho = spearman(ex.maps[:, :1], ex.maps[:, 1:])[:, 0]
    assert rho.isfinite().all()
    assert rho.median() < 0.5
    assert ((ex.maps[:, 0] - ex.maps[:, 1]).abs().amax((1, 2)) > 1e-3).all()


def test_a_photograph_by_its_label(model, photographs):
    path, truth = photographs[2]
    by_label = hp.explain(model, path, target=model.label(truth))
    by_index = hp.explain(model, path, target=truth)
    assert torch.equal(by_label.maps, by_index.maps)
    assert by_label.targets[0][0].index == truth


def test_the_overlay_comes_back_at_the_photographs_size(model, photographs):
    path, _ = photographs[0]
    ex = hp.explain(model, path)
    caption = ex.overlay().info["caption"]
    assert any("features" in line for line in caption) if isinstance(caption, list) else "features" in caption
    left, top, right, bottom = ex.overlay().info["picture_box"]
    assert (bottom - top, right - left) == ex.inputs[0].size


def test_five_most_likely_classes(model, photographs):
    """Top-5 through the public preprocessing, on every photograph, in batches."""
    prepared = [model.prepare(hp.read(path)).tensor for path, _ in photographs]
    with torch.inference_mode():
        net = model.net.eval()
        top = torch.cat([net(torch.stack(prepared[i : i + 50])).topk(5).indices for i in range(0, 200, 50)])
    hits = [truth in row.tolist() for row, (_, truth) in zip(top, photographs, strict=True)]
    assert abs(sum(hits) / 200 - TOP5) <= 0.015
