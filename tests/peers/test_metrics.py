"""The same numbers as grad-cam, captum and quantus, wherever the peer is right."""

from importlib import import_module

import numpy as np
import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, ROADCombined
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import spsolve
from tests.metrics.toys import draw
from torch import nn

from heatproof.metrics._subsets import drawn
from heatproof.metrics.complexity import entropy, sparseness
from heatproof.metrics.drop import average_drop, increase_in_confidence
from heatproof.metrics.imputers import constant, noisy_linear
from heatproof.metrics.infidelity import infidelity
from heatproof.metrics.localization import pointing_game, relevance_mass, relevance_rank
from heatproof.metrics.pixel_flipping import pixel_flipping
from heatproof.metrics.road import road
from heatproof.metrics.sensitivity import max_sensitivity

N, SIZE = 3, 16


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv2d(2, 4, 5, padding=2), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 3)
        return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture
def problem(net):
    """Maps at the size of the input, since that is where the peers work; smooth inputs; class 1."""
    inputs = nn.functional.interpolate(draw(N, 2, 5, 5), size=(SIZE, SIZE), mode="bilinear").float()
    maps = draw(N, 1, SIZE, SIZE, seed=3).float()
    return inputs, maps, lambda x, rows: net(x)[:, 1:2]


def gradient_times_input(net, x):
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        return (x * torch.autograd.grad(net(x)[:, 1].sum(), x)[0]).sum(1, keepdim=True).detach()


def impute_with_grad_cam(self, picture, mask):
    """Grad-cam's equations, solved; its own last step hands a tensor to a function of numpy that refuses it."""
    mask, values = mask.numpy(), picture.numpy().copy()
    system, right = self.setup_sparse_system(mask, values, self.weighting)
    solved = spsolve(csc_matrix(system), right).T.reshape(len(values), -1)
    values[:, mask == 0] = solved + self.noise * np.random.default_rng(0).standard_normal(solved.shape)
    return torch.from_numpy(values)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_grad_cam_imputes_alike(problem, share):
    inputs, _, _ = problem
    gone = torch.rand(N, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) < share
    found = noisy_linear(std=0.0)(inputs, gone.float())
    for i in range(N):
        wanted = impute_with_grad_cam(NoisyLinearImputer(noise=0.0), inputs[i], (~gone[i, 0]).float())
        assert (found[i] - wanted).abs().max() < 1e-3 * np.ptp(inputs[i].numpy())


def test_grad_cam_has_the_same_road(net, problem, monkeypatch):
    inputs, _, score = problem
    targets = [lambda output: output[1]] * N
    monkeypatch.setattr(NoisyLinearImputer, "__call__", impute_with_grad_cam)
    maps = gradient_times_input(net, inputs)  # informative, so that the gap is far larger than what noise does
    peer = ROADCombined()(inputs, maps[:, 0].numpy(), targets, net)
    found = road(maps, inputs, score, imputer=noisy_linear(std=0.01)).values[:, 0].numpy()
    # it draws its noise anew for each input, and its percentiles cut one pixel earlier or later
    assert np.abs(found - peer).max() < 0.03 * np.abs(peer).max()


def test_grad_cam_has_the_same_drop_and_increase(net, problem):
    inputs, maps, _ = problem
    maps = maps.clamp(min=0) / maps.amax((2, 3), keepdim=True)
    targets = [lambda output: output[1] + 5] * N  # positive, since we divide by it and grad-cam does not
    drop = DropInConfidence()(inputs, maps[:, 0].numpy(), targets, net)
    rise = IncreaseInConfidence()(inputs, maps[:, 0].numpy(), targets, net)
    assert set(rise) == {0.0, 1.0}

    def score(x, rows):
        return net(x)[:, 1:2] + 5

    before = score(inputs, torch.arange(N))[:, 0]
    found = average_drop(maps, inputs, score).values[:, 0]
    assert (found * before).tolist() == pytest.approx(list(drop), abs=1e-5)
    assert increase_in_confidence(maps, inputs, score).values[:, 0].tolist() == list(rise)


@pytest.mark.parametrize("scaled", [False, True])
def test_captum_has_the_same_infidelity(net, problem, scaled):
    inputs, maps, score = problem
    subsets = drawn(SIZE * SIZE, 51, 12, seed=4).reshape(12, 1, SIZE, SIZE).float()
    calls = iter(range(N))

    def perturb(x):  # one input at a time, all its subsets at once
        next(calls)
        return subsets.expand(-1, 2, -1, -1) / 2, x * (1 - subsets)

    for i in range(N):
        wanted = captum_infidelity(
            net,
            perturb,
            inputs[i : i + 1],
            maps[i : i + 1].expand(-1, 2, -1, -1),
            target=1,
            n_perturb_samples=12,
            normalize=scaled,
        )
        options = {"imputer": constant(0.0), "subsets": 12, "seed": 4, "scaled": scaled}
        found = infidelity(maps[i : i + 1], inputs[i : i + 1], score, **options)
        assert float(found.values) == pytest.approx(float(wanted), rel=1e-4)


def test_captum_has_the_same_max_sensitivity(net, problem):
    inputs, _, _ = problem
    draws, radius = 5, 0.1
    noise = torch.rand(draws, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(6), dtype=torch.float64) * 2 - 1

    def explain(x, rows=None):
        return gradient_times_input(net, x)

    def explain_for_captum(x):  # of one tensor it would take each input for a map of its own
        return (explain(x[0] if isinstance(x, tuple) else x),)

    found = max_sensitivity(explain(inputs), inputs, explain, radius=radius, draws=draws, seed=6)
    moved = [
        sensitivity_max(explain_for_captum, inputs, lambda x, _, e=e: x + radius * e.float(), n_perturb_samples=1)
        for e in noise
    ]
    moved = torch.stack(moved)
    assert found.values[:, 0].tolist() == pytest.approx(moved.amax(0).tolist(), rel=1e-4)


@pytest.fixture
def quantus():
    """Imported within a test that ignores warnings: its own source gives some."""
    return import_module("quantus")


@pytest.mark.filterwarnings("ignore")  # its own, about calling its metrics
def test_quantus_has_the_same_localization_and_complexity(net, problem, quantus):
    inputs, maps, _ = problem
    masks = torch.zeros(N, 1, SIZE, SIZE, dtype=torch.bool)
    masks[0, 0, 2:9, 3:12] = masks[1, 0, 5:6] = masks[2, 0, 8:, 8:] = True
    options = {"disable_warnings": True, "abs": False, "normalise": False}

    def peer(metric, values, **more):
        call = metric(**{**options, **more})
        s = masks.numpy().astype(int) if metric in located else None
        return [float(v) for v in call(net, inputs.numpy(), np.array([1] * N), values.numpy(), s_batch=s)]

    located = (quantus.RelevanceRankAccuracy, quantus.RelevanceMassAccuracy, quantus.PointingGame)
    positive = maps.clamp(min=0)  # it takes negative evidence for mass
    assert relevance_mass(maps, masks)[:, 0].tolist() == pytest.approx(peer(quantus.RelevanceMassAccuracy, positive))
    assert relevance_rank(maps, masks)[:, 0].tolist() == pytest.approx(peer(quantus.RelevanceRankAccuracy, maps))
    assert pointing_game(maps, masks)[:, 0].tolist() == pytest.approx(peer(quantus.PointingGame, maps))
    assert sparseness(maps)[:, 0].tolist() == pytest.approx(peer(quantus.Sparseness, maps, abs=True), rel=1e-4)
    assert entropy(maps)[:, 0].tolist() == pytest.approx(peer(quantus.Complexity, maps, abs=True), rel=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_quantus_flips_pixels_alike(net, problem, quantus):
    inputs, maps, score = problem
    maps = maps[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)
    metric = quantus.PixelFlipping(
        features_in_step=SIZE * SIZE // 8,
        perturb_baseline=0.0,
        return_auc_per_sample=False,
        disable_warnings=True,
        abs=False,
        normalise=False,
    )
    one = inputs[:, :1].expand(-1, 2, -1, -1).contiguous()  # it flips features, not positions: both channels alike
    distinct = maps + 1e-4 * draw(N, 1, SIZE, SIZE, seed=8).float()

    class Summed(nn.Module):
        def forward(self, x):
            return net(x.expand(-1, 2, -1, -1))

    wanted = metric(Summed().eval(), one[:, :1].numpy(), np.array([1] * N), distinct.numpy(), softmax=False)
    found = pixel_flipping(distinct, one, score, imputer=constant(0.0), steps=8)
    assert found.most_first[:, 0, 1:].numpy() == pytest.approx(np.array(wanted), abs=1e-5)
