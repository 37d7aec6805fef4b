"""grad-cam's target objects work unchanged: they see what that package shows them, one input's output."""

import numpy as np
import pytest
import pytorch_grad_cam as cam
import pytorch_grad_cam.utils.model_targets as peers
import torch
from torch import nn

import heatproof as hp
from heatproof.errors import TargetError

# the package imports what warns about itself
pytestmark = pytest.mark.filterwarnings("ignore")


def net(classes=4, dense=False):
    torch.manual_seed(0)
    head = [nn.Conv2d(6, classes, 3, padding=1)]
    pool = [] if dense else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), *head, *pool)


X = torch.rand(2, 3, 8, 10, generator=torch.Generator().manual_seed(1))
MASK = np.eye(8, 10, dtype=np.float32)

CASES = {
    "ClassifierOutputTarget": ({}, (2,), lambda y: y[:, 2]),
    "ClassifierOutputSoftmaxTarget": ({}, (2,), lambda y: y.softmax(1)[:, 2]),
    "ClassifierOutputReST": ({}, (2,), lambda y: y[:, 2] + y.log_softmax(1)[:, 2]),
    "RawScoresOutputTarget": ({"classes": 1}, (), lambda y: y[:, 0]),
    "BinaryClassifierOutputTarget": ({"classes": 1}, (0,), lambda y: -y[:, 0]),
    "SemanticSegmentationTarget": (
        {"dense": True},
        (1, MASK),
        lambda y: (y[:, 1] * torch.from_numpy(MASK)).sum((1, 2)),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_score_and_map(kind):
    build, arguments, formula = CASES[kind]
    network = net(**build)
    ex = hp.explain(network, X, target=getattr(peers, kind)(*arguments), layer="1")
    acts = network[:2](X)
    y = formula(network[2:](acts))
    (g,) = torch.autograd.grad(y.sum(), acts)
    torch.testing.assert_close(ex.scores[:, 0], y.detach())
    wanted = (g.mean((2, 3), keepdim=True) * acts).sum(1, keepdim=True).detach()
    torch.testing.assert_close(ex.maps, wanted)
    assert ex.targets[0][0].name == kind


def test_the_output_is_the_one_that_the_peer_shows_its_targets():
    seen = []

    class Spy(peers.ClassifierOutputTarget):
        def __call__(self, model_output):
            seen.append(model_output.detach().clone())
            return super().__call__(model_output)

    network = net().eval()
    with cam.GradCAM(network, [network[1]]) as peer:
        peer(X, [Spy(2), Spy(2)])
    theirs = seen[:2]
    seen.clear()
    hp.explain(network, X, target=[Spy(2), Spy(2)], layer="1")
    for mine, wanted in zip(seen[-2:], theirs, strict=True):
        torch.testing.assert_close(mine, wanted)


def test_raw_scores_of_several_classes_are_refused_as_the_peer_does():
    with pytest.raises(TargetError, match=r"'RawScoresOutputTarget' returned shape \(4,\), not one number"):
        hp.explain(net(), X, target=peers.RawScoresOutputTarget(), layer="1")


class Detector(nn.Module):
    """A detector with one box, whose score is the mean of what a convolution sees."""

    def __init__(self):
        super().__init__()
        self.body = net(classes=2)

    def forward(self, x):
        scores = self.body(x).sigmoid()
        box = torch.tensor([[0.0, 0, 4, 4], [4.0, 4, 8, 8]])
        return [{"boxes": box, "labels": torch.tensor([1, 2]), "scores": s} for s in scores]


def test_boxes_of_a_detector():
    target = peers.FasterRCNNBoxScoreTarget([2], [np.array([4.0, 4, 8, 7])], 0.5)
    detector = Detector()
    ex = hp.explain(detector, X, target=target, layer="body.1")
    wanted = torch.stack([0.75 + one["scores"][1] for one in detector(X)])
    torch.testing.assert_close(ex.scores[:, 0], wanted.detach())
    ours = hp.explain(detector, X, target=hp_box(), layer="body.1")
    torch.testing.assert_close(ours.maps, ex.maps)


def hp_box():
    from heatproof import targets

    return targets.Box((4, 4, 8, 7), label=2)
