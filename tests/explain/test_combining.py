"""Several layers, symmetric and noisy copies, several methods at once, maps in a training loss."""

import inspect
import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.odd_models import Residual, Signal, Small, Volume, make, pictures
from torch import Tensor, nn

import heatproof as hp
from heatproof import attribution, cam
from heatproof.errors import MethodError, UsageError
from heatproof.explain import Explainer
from heatproof.explain.combine import combined
from heatproof.explain.methods import find_method
from heatproof.explain.variants import variants


@pytest.mark.parametrize("name", [*cam.methods(), *attribution.methods()])
def test_no_setting_of_a_method_is_hidden_by_an_argument_of_the_explainer(name: str) -> None:
    own = {*inspect.signature(Explainer).parameters} - {"batch_size", "seed"}  # these are passed on
    assert own.isdisjoint(find_method(name, {}, {}).accepted())


def test_settings_of_a_method_reach_it_from_every_call() -> None:
    net, x = make("plain"), pictures()
    found = hp.explain(net, x, method="smoothgrad", copies=2, sigma=0.3, seed=5, batch_size=2)
    again = Explainer(net, method="smoothgrad", copies=2, sigma=0.3, seed=5, batch_size=2)(x)
    beside = hp.explain(net, x, method=["gradcam", "smoothgrad"], copies=2, sigma=0.3, seed=5, batch_size=2)
    other = Explainer(net).compare(x, methods=["smoothgrad"], copies=2, sigma=0.3, seed=5, batch_size=2)
    assert found.provenance["settings"] == {"copies": 2, "sigma": 0.3, "seed": 5, "batch_size": 2}
    for one in (again, beside["smoothgrad"], other["smoothgrad"]):
        assert one.provenance["settings"] == found.provenance["settings"]
        torch.testing.assert_close(one.maps, found.maps)


def test_two_layers_by_hand() -> None:
    a = torch.tensor([[[[4.0, -1.0], [2.0, 0.0]]]])
    b = torch.tensor([[[[9.0, 5.0], [8.0, 3.0]]]])
    assert combined([a, b], "mean")[0, 0].tolist() == [[6.5, 2.0], [5.0, 1.5]]
    assert combined([a, b], "max")[0, 0].tolist() == [[9.0, 5.0], [8.0, 3.0]]
    torch.testing.assert_close(combined([a, b], "product")[0, 0], torch.tensor([[6.0, 0.0], [4.0, 0.0]]))


def test_product_of_many_tiny_maps_does_not_vanish() -> None:
    tiny = torch.full((1, 1, 2), 1e-30)
    torch.testing.assert_close(combined([tiny] * 4, "product"), tiny)


def test_coarse_maps_are_resampled_to_the_finest_grid() -> None:
    coarse, fine = torch.rand(2, 1, 2, 3), torch.rand(2, 1, 4, 6)
    expected = (F.interpolate(coarse, size=(4, 6), mode="bilinear", align_corners=False) + fine) / 2
    torch.testing.assert_close(combined([coarse, fine], "mean"), expected)


@pytest.mark.parametrize("combine", ["mean", "product", "max"])
def test_the_order_of_layers_does_not_matter(combine: str) -> None:
    net, x = make("plain"), pictures()
    one = hp.explain(net, x, target=1, layer=["conv", "conv2"], combine=combine)
    other = hp.explain(net, x, target=1, layer=["conv2", "conv"], combine=combine)
    torch.testing.assert_close(one.maps, other.maps)
    assert combine[:3] in one.provenance["several_layers"] or combine == "product"


class Equivariant(nn.Module):
    """A network of 1 x 1 convolutions: turning its input turns its maps."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 4)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x).relu()).relu().mean((2, 3)))


@pytest.mark.parametrize("step", ["flip_x", "flip_y", "rot90", "rot180", "rot270", "flip_x+rot90", "rot90+flip_y"])
def test_every_augmentation_is_undone_exactly(step: str) -> None:
    """Where the network does not mind, the average is the map itself; also where turning changes the shape."""
    net, x = Equivariant().double(), torch.rand(2, 3, 5, 8, dtype=torch.float64)
    for method in ("gradcam", "layercam"):
        plain = hp.explain(net, x, target=1, method=method)
        torch.testing.assert_close(hp.explain(net, x, target=1, method=method, augment=[step]).maps, plain.maps)


def test_an_augmented_map_is_the_mean_of_maps_brought_back() -> None:
    net, x = make("plain"), pictures()
    explainer = Explainer(net, layer="conv2")
    found = Explainer(net, layer="conv2", augment=["flip_x", "*0.5+flip_y"])(x, target=2)
    flipped = explainer(x.flip(-1), target=2).maps.flip(-1)
    dimmed = explainer((x * 0.5).flip(-2), target=2).maps.flip(-2)
    torch.testing.assert_close(found.maps, (explainer(x, target=2).maps + flipped + dimmed) / 3)
    torch.testing.assert_close(found.scores, explainer(x, target=2).scores)
    assert "flip_x, *0.5+flip_y" in found.provenance["averaged"]


def test_the_predicted_class_is_that_of_the_unchanged_input() -> None:
    net, x = make("plain"), pictures(6)
    predicted = [row[0].index for row in hp.explain(net, x).targets]
    found = hp.explain(net, x, augment="*0.01", noise=2.0, samples=3)
    assert [row[0].index for row in found.targets] == predicted
    torch.testing.assert_close(
        found.maps, hp.explain(net, x, target=predicted, augment="*0.01", noise=2.0, samples=3).maps
    )


@pytest.mark.parametrize(("net", "shape"), [(Signal, (2, 3, 40)), (Volume, (1, 2, 8, 10, 12))])
def test_augmentations_of_signals_and_volumes(net: type[nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = net()
    x = torch.rand(2, next(network.parameters()).shape[1], *shape[2:])
    found = hp.explain(network, x, target=0, augment="flip_x").maps
    there, back = hp.explain(network, x, target=0).maps, hp.explain(network, x.flip(-1), target=0).maps.flip(-1)
    torch.testing.assert_close(found, (there + back) / 2)


def test_noise_is_seeded_relative_to_each_input_and_the_same_in_any_batch() -> None:
    net, x = make("plain"), pictures(3)
    smooth = Explainer(net, noise=0.3, samples=4, seed=5)
    whole = smooth(x, target=1)
    torch.testing.assert_close(whole.maps, torch.cat([smooth(x[i : i + 1], target=1).maps for i in range(3)]))
    torch.testing.assert_close(whole.maps, Explainer(net, noise=0.3, samples=4, seed=5, batch_size=2)(x, target=1).maps)
    assert not torch.allclose(whole.maps, Explainer(net, noise=0.3, samples=4, seed=6)(x, target=1).maps)
    noisy = variants((), 0.3, 400, 0, 2)
    spread = torch.stack([v.change(x)[0] - x[0] for v in noisy]).std()
    assert math.isclose(float(spread), 0.3 * float(x[0].max() - x[0].min()), rel_tol=0.02)


def test_several_methods_share_one_forward() -> None:
    net, x = make("plain"), pictures(4)
    runs = 0

    def count(*_: object) -> None:
        nonlocal runs
        runs += 1

    explainer = Explainer(net)
    explainer(x)  # traces, chooses the layer
    net.register_forward_hook(count)
    explainer(x)
    before, runs = runs, 0
    found = explainer.compare(x, methods=["gradcam", "hirescam", "layercam", "gradcam_plusplus", "eigencam"])
    assert runs == before
    for name, ex in found.items():
        torch.testing.assert_close(ex.maps, hp.explain(net, x, method=name).maps)
        assert ex.method == name


def test_all_methods_and_why_some_were_left_out() -> None:
    net = make("plain")
    found = hp.explain(net, pictures(2), target=1, method="all", layer="conv")
    assert {"gradcam", "hirescam", "eigencam", "scorecam", "ablationcam"} <= set(found)
    assert "cam" in found.skipped  # the head is not one pooled linear layer after conv1
    assert all(sentence.endswith(".") for sentence in found.skipped.values())
    assert set(found).isdisjoint(found.skipped)


def test_agreement_is_the_rank_correlation_of_every_two() -> None:
    net, x = make("plain"), pictures(2)
    found = hp.explain(net, x, target=[[0, 1], [2, 3]], method=["gradcam", "hirescam", "eigencam"], layer="conv2")
    matrix = found.agreement()
    assert matrix.shape == (2, 2, 3, 3)
    torch.testing.assert_close(matrix, matrix.mT)
    torch.testing.assert_close(matrix.diagonal(dim1=-2, dim2=-1), torch.ones(2, 2, 3, dtype=torch.float64))
    a, b = (found[name].maps[1, 0].flatten() for name in ("gradcam", "eigencam"))
    ranks = torch.stack([a.argsort().argsort(), b.argsort().argsort()]).double()
    torch.testing.assert_close(matrix[1, 0, 0, 2], torch.corrcoef(ranks)[0, 1])


def test_settings_reach_the_method_and_the_manifest(tmp_path: Path) -> None:
    net, x = make("plain"), pictures(2)
    one, other = (hp.explain(net, x, target=0, method="random_cam", seed=seed) for seed in (1, 2))
    assert not torch.allclose(one.maps, other.maps)
    assert one.provenance["settings"] == {"seed": 1}
    hp.explain(net, x, target=0, method=["eigencam", "random_cam"], seed=1, centered=True).save(tmp_path)
    manifest = json.loads((tmp_path / "eigencam" / "manifest.json").read_text())
    assert manifest["provenance"]["settings"] == {"centered": True}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"method": "eigencam", "centred": True}, "did you mean 'centered'"),
        ({"method": ["gradcam", "eigencam"], "centred": True}, "did you mean 'centered'"),
        ({"method": ["gradcam", "GradCAM"]}, "more than once"),
        ({"method": []}, "list of methods is empty"),
        ({"method": ["gradcam", "nothing"]}, "there is no method 'nothing'"),
        ({"combine": "median"}, "'mean', 'product', 'max'"),
        ({"augment": ["flip_q"]}, "There is no augmentation 'flip_q'"),
        ({"augment": ["flip_z"]}, "There is no augmentation 'flip_z' for 2 axes"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"noise": 0.1, "samples": 0}, "samples is 0"),
        ({"method": "eigencam", "differentiable": True}, "no gradient with respect to the network's parameters"),
    ],
)
def test_refused(given: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        hp.explain(make("plain"), pictures(), **given)


def test_methods_that_need_a_network_say_so_in_a_list() -> None:
    with pytest.raises(MethodError):
        hp.explain(make("plain"), pictures(), layer="conv", method=["gradcam", "cam"])


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam", "gradcam_plusplus", "xgradcam"])
def test_gradient_of_a_map_with_respect_to_parameters(method: str) -> None:
    """Against finite differences in float64: through activations and through their weights."""
    net, x = Small().double(), pictures(2).double()
    explainer = Explainer(net, method=method, differentiable=True)

    def loss() -> Tensor:
        return (explainer(x, target=[[0, 1]] * 2).maps ** 2).sum()

    loss().backward()
    for parameter in (net.conv.weight, net.conv2.weight):
        assert parameter.grad is not None
        index = int(parameter.grad.abs().argmax())
        flat = parameter.detach().view(-1)
        kept, step = float(flat[index]), 1e-6
        values: list[float] = []
        for sign in (1, -1):
            flat[index] = kept + sign * step
            values.append(float(loss().detach()))
        flat[index] = kept
        slope = (values[0] - values[1]) / (2 * step)
        assert math.isclose(slope, float(parameter.grad.view(-1)[index]), rel_tol=1e-4)


def test_two_maps_in_one_loss_and_a_plain_call_between() -> None:
    """Buffers that a graph lives on are not written to by later calls."""
    net, x = Residual(), pictures(2)
    explainer = Explainer(net, differentiable=True)
    one = explainer(x[:1], target=0).maps.sum()
    Explainer(net)(x)
    two = explainer(x[1:], target=0).maps.sum()
    with torch.no_grad():
        assert explainer(x, target=0).maps.requires_grad, "also where the caller records nothing"
    (one + two).backward()
    both = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    explainer(x, target=0).maps.sum().backward()
    for a, b in zip(both, [p.grad for p in net.parameters() if p.grad is not None], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_network_learns_to_look_away_from_a_corner() -> None:
    """Two cues predict the class alike, a corner mark and a central blob; the loss on the map takes the corner away."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    x = 0.1 * torch.randn(64, 1, 12, 12, generator=generator)
    sign = (labels * 2 - 1).view(-1, 1, 1, 1).float()
    x[:, :, :3, :3] += sign
    x[:, :, 6:9, 6:9] += sign

    def trained(weight: float) -> float:
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(1152, 2),
        )
        explainer = Explainer(net, layer="3", method="hirescam", differentiable=True)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(30):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), labels)
            if weight:
                loss = loss + weight * explainer(x, target=labels).heatmaps()[..., :4, :4].mean()
            loss.backward()
            optimizer.step()
        assert float((net(x).argmax(1) == labels).float().mean()) == 1
        maps = hp.explain(net, x, target=labels, layer="3", method="hirescam").heatmaps()
        return float(maps[..., :4, :4].sum() / maps.sum())

    assert trained(0.0) > 0.2
    assert trained(1.0) < 0.05


@pytest.mark.parametrize("method", ["ablationcam", "scorecam", "occlusion", "cam"])
def test_runs_after_the_capture_share_its_autocast(method: str) -> None:
    """Scores in another precision than the capture's would move every place of the map by the same amount."""
    net, x = make("plain").eval(), pictures(2)
    seen: set[torch.dtype] = set()
    net.conv2.register_forward_hook(lambda _module, _args, output: seen.add(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = hp.explain(net, x, target=1, method=method, layer="act2" if method == "cam" else None)
    assert seen == {torch.bfloat16}
    assert found.maps.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")
