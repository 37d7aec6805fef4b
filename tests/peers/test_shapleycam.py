"""ShapleyCAM as grad-cam computes it, before its rescaling."""

import torch
from pytorch_grad_cam import ShapleyCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tests.cam.test_every_method import made
from torch import Tensor

import heatproof as hp


def test_shapleycam_agrees_with_grad_cams():
    net, x = made()
    with ShapleyCAM(net, [net[3]]) as peer:
        raw: list[Tensor] = []
        inner = peer.get_cam_image
        peer.get_cam_image = lambda *a, **k: raw.append(torch.as_tensor(inner(*a, **k))) or raw[-1].numpy().copy()
        peer(x, targets=[ClassifierOutputTarget(1), ClassifierOutputTarget(3)])
    maps = hp.explain(net, x, target=[1, 3], method="shapleycam", layer="3").maps
    torch.testing.assert_close(maps[:, 0], raw[0].to(maps.dtype), rtol=1e-6, atol=1e-9)
    assert not torch.allclose(maps, hp.explain(net, x, target=[1, 3], layer="3").maps)
