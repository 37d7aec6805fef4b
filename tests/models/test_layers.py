"""The automatic target layer, named for many networks, and every way to name one by hand."""

import pytest
import torch
import torchvision.models as tv
from torch import nn

import heatproof as hp
from heatproof.errors import LayerError

CLASSIFIERS = {
    "alexnet": ("features", 224),
    "vgg11": ("features", 224),
    "vgg16_bn": ("features", 256),  # the adaptive pooling really pools at this size
    "squeezenet1_0": ("features", 224),
    "squeezenet1_1": ("features", 160),
    "resnet18": ("layer4", 224),
    "resnet50": ("layer4", 64),  # 2 x 2 positions are enough
    "resnext50_32x4d": ("layer4", (96, 160)),
    "wide_resnet50_2": ("layer4", 96),
    "densenet121": ("features", 128),
    "mobilenet_v2": ("features", 225),
    "mobilenet_v3_small": ("features", 224),
    "mobilenet_v3_large": ("features", 160),
    "efficientnet_b0": ("features", 224),
    "efficientnet_v2_s": ("features", 128),
    "inception_v3": ("Mixed_7c", 299),
    "googlenet": ("inception5b", 224),
    "mnasnet0_5": ("layers", 224),
    "shufflenet_v2_x0_5": ("conv5", 224),
    "regnet_y_400mf": ("trunk_output", 224),
    "regnet_x_400mf": ("trunk_output", 96),
    "convnext_tiny": ("features", 128),
    "swin_t": ("norm", 224),
    "swin_v2_t": ("norm", 256),
    "maxvit_t": ("blocks.3", 224),
    "vit_b_16": ("encoder.layers.encoder_layer_11.ln_1", 224),  # its head is zero: found by the wiring
    "vit_b_32": ("encoder.layers.encoder_layer_11.ln_1", 224),
}
PYRAMID = tuple(f"backbone.fpn.layer_blocks.{i}" for i in range(3))
DENSE = {
    "segmentation.deeplabv3_resnet50": ("backbone.layer4",),
    "segmentation.fcn_resnet50": ("backbone.layer4",),
    "segmentation.lraspp_mobilenet_v3_large": ("backbone.4", "backbone.16"),
    "detection.fasterrcnn_resnet50_fpn": (*PYRAMID, "backbone.fpn.layer_blocks.3", "backbone[pool]"),
    "detection.retinanet_resnet50_fpn": (*PYRAMID, "backbone.fpn.extra_blocks.p6", "backbone.fpn.extra_blocks.p7"),
    "detection.fcos_resnet50_fpn": (*PYRAMID, "backbone.fpn.extra_blocks.p6", "backbone.fpn.extra_blocks.p7"),
    "detection.ssd300_vgg16": ("backbone[0]", *(f"backbone.extra.{i}" for i in range(4))),
}


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    return getattr(tv, name)(weights=None, **options)


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_automatic_layer_of_classifiers(name):
    expected, size = CLASSIFIERS[name]
    size = (size, size) if isinstance(size, int) else size
    ex = hp.explain(build(name), torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1)), target=3)
    assert ex.layer == expected
    assert min(ex.resolution.grid) >= 2


@pytest.mark.parametrize("name", DENSE)
def test_the_automatic_layer_of_dense_and_detection_networks_is_every_scale_of_the_backbone(name):
    torch.manual_seed(0)
    family, _, kind = name.partition(".")
    options = {} if family == "segmentation" or kind.startswith("ssd") else {"min_size": 256, "max_size": 320}
    net = getattr(getattr(tv, family), kind)(weights=None, weights_backbone=None, **options)

    def score(output):
        return output["out"][3].mean() if "out" in output else output["scores"][:3].sum()

    ex = hp.explain(net, torch.rand(1, 3, 128, 160, generator=torch.Generator().manual_seed(1)), target=score)
    assert ex.layer.split(" + ") == list(DENSE[name])


def test_the_score_map_is_never_the_target_layer():
    """A fully convolutional classifier ends in a map per class; its channels are the scores, not evidence for them."""
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert hp.explain(net, torch.rand(1, 3, 16, 16), target=2).layer == "1"


@pytest.mark.parametrize("end", [nn.Identity(), nn.Softmax(1), nn.Sigmoid()])
def test_nor_is_it_for_a_target_that_mixes_classes(end):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), end
    )
    x = torch.rand(1, 3, 16, 16)
    assert hp.explain(net, x, target=lambda out: out[1] - out[2]).layer == "1"
    assert hp.explain(net, x, target=1).layer == "1"


class Ends(nn.Module):
    """Two convolutional blocks, and an end that is given."""

    def __init__(self, end, scores=1):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ReLU())
        self.extra = nn.Conv2d(12, scores, 1)
        self.head = nn.Linear(12, 3)
        self.end = end

    def forward(self, x):
        first = self.first(x)
        return self.end(self, first, self.body(first))


@pytest.mark.parametrize(
    "end",
    [
        lambda net, _, body: net.extra(body).mean((2, 3)),
        lambda net, _, body: net.extra(body).amax((2, 3)).squeeze(1),
        lambda net, _, body: nn.functional.interpolate(net.extra(body), scale_factor=4.0, mode="bilinear").mean((2, 3)),
    ],
    ids=["mean", "max", "upsampled"],
)
def test_nor_is_the_map_of_a_lone_class(end):
    torch.manual_seed(0)
    assert hp.explain(Ends(end), torch.rand(1, 3, 32, 40)).layer == "body"


def test_a_lone_channel_is_taken_where_there_is_nothing_else():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    assert hp.explain(net, torch.rand(1, 3, 8, 8), 0).layer == "1"


@pytest.mark.parametrize(
    ("end", "scores"),
    [
        (lambda net, _, body: net.head((body * net.extra(body).sigmoid()).mean((2, 3))), 1),
        (lambda net, _, body: net.head((body.flatten(2) * net.extra(body).flatten(2).softmax(2)).sum(2)), 1),
        (
            lambda net, _, body: net.head(
                (body.flatten(2)[:, None] * net.extra(body).flatten(2).softmax(2)[:, :, None]).sum(3).sum(1)
            ),
            4,
        ),
    ],
    ids=["gate", "attention", "heads"],
)
def test_what_says_where_to_look_is_not_what_is_seen(end, scores):
    """Attention pooling ends in a convolution that weighs places; its channels are no evidence."""
    torch.manual_seed(0)
    assert hp.explain(Ends(end, scores), torch.rand(2, 3, 32, 40)).layer == "body"


@pytest.mark.parametrize(
    "end",
    [
        lambda net, first, body: {"features": body, "logits": net.head(body.mean((2, 3)))},
        lambda net, first, body: {"logits": net.head(body.amax((2, 3))), "hidden_states": (first, body)},
        lambda net, first, body: (net.head(body.mean((2, 3))), first, body),
    ],
    ids=["features", "hidden states", "tuple"],
)
def test_features_that_are_returned_beside_the_score_are_no_score(end):
    torch.manual_seed(0)
    net, x = Ends(end), torch.rand(2, 3, 32, 40)
    assert hp.explain(net, x, 1).layer == "body"
    assert hp.explain(net, x, lambda out: out["logits"][0].mul_(2) if isinstance(out, dict) else out[0][0]).layer == (
        "body"
    )


def test_as_many_channels_as_classes_is_not_yet_a_score_map():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    assert hp.explain(net, torch.rand(1, 3, 8, 8), target=lambda out: out[1] - out[2]).layer == "0"


def test_a_relu_that_changes_nothing_for_one_input_is_chosen_as_for_any_other():
    """The choice is remembered: it must not depend on the first input."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight.abs_()
        net[0].bias.zero_()
    for x in (torch.ones(1, 1, 8, 8), torch.randn(1, 1, 8, 8)):
        assert hp.explain(net, x, 0).layer == "1"


def test_the_last_block_of_an_encoder_is_not_taken_for_a_projection():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(1, 8, 4, stride=4)
            block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            tokens = self.embed(x).flatten(2).transpose(1, 2)
            return self.head(self.encoder(tokens).mean(1))

    torch.manual_seed(0)
    assert hp.explain(Net(), torch.rand(1, 1, 12, 20), 1).layer.startswith("encoder")


def test_pooling_dropout_and_permuting_are_passed_by():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 5, 3, padding=1)
            self.drop = nn.Dropout2d(0.5)
            self.pool = nn.MaxPool2d(2)
            self.norm = nn.Identity()
            self.head = nn.Linear(5 * 16, 3)

        def forward(self, x):
            return self.head(self.norm(self.pool(self.drop(self.conv(x)))).flatten(1))

    assert hp.explain(Net(), torch.rand(1, 1, 8, 8)).layer == "conv"


def test_a_branch_that_the_score_does_not_use_is_passed_by():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = nn.Conv2d(1, 4, 3, padding=1)
            self.head = nn.Linear(4, 2)
            self.auxiliary = nn.Conv2d(4, 6, 3, padding=1)

        def forward(self, x):
            features = self.used(x)
            logits = self.head(features.mean((2, 3)))
            self.auxiliary(features)
            return logits

    assert hp.explain(Net(), torch.rand(1, 1, 8, 8)).layer == "used"


def test_features_returned_beside_what_was_pooled_from_them_are_no_backbone():
    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            features = self.conv(x)
            return {"features": features, "pooled": self.head(features.mean((2, 3)))}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Body()

        def forward(self, x):
            return self.body(x)

    torch.manual_seed(0)
    net, x = Net(), torch.rand(1, 1, 8, 8)
    found = hp.explain(net, x, lambda output: output["pooled"][..., 1])
    assert found.layer == "body.conv"
    expected = (net.body.head.weight[1][:, None, None] / 64 * net.body.conv(x)[0]).sum(0)
    torch.testing.assert_close(found.maps[0, 0], expected.detach())
    # the features themselves may be asked about, too
    assert hp.explain(net, x, lambda output: output["features"][:, 0].square().mean((-1, -2))).maps.any()


def test_of_several_calls_of_one_module_the_last_is_captured():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)
            self.head = nn.Linear(2, 2)

        def forward(self, x):
            return self.head(self.conv(torch.tanh(self.conv(x))).mean((2, 3)))

    torch.manual_seed(0)
    net, x = Net(), torch.rand(1, 2, 6, 6)
    ex = hp.explain(net, x, target=1)
    second = net.conv(torch.tanh(net.conv(x)))
    expected = (net.head.weight[1][:, None, None] / 36 * second[0]).sum(0)
    torch.testing.assert_close(ex.maps[0, 0], expected.detach())


class TestByName:
    net = tv.resnet18(weights=None)
    x = torch.rand(1, 3, 64, 64)

    def test_a_name_a_module_and_a_peer_spelling_mean_the_same(self):
        by_name = hp.explain(self.net, self.x, 3, layer="layer3")
        by_module = hp.explain(self.net, self.x, 3, layer=self.net.layer3)
        by_spelling = hp.explain(self.net, self.x, 3, target_layers=[self.net.layer3])
        assert by_name.layer == by_module.layer == by_spelling.layer == "layer3"
        assert torch.equal(by_name.maps, by_module.maps)
        assert torch.equal(by_name.maps, by_spelling.maps)

    def test_wrappers_do_not_change_names(self):
        assert hp.explain(nn.DataParallel(self.net), self.x, 3, layer="module.layer3").layer == "layer3"

    def test_the_order_of_layers_does_not_matter(self):
        one = hp.explain(self.net, self.x, 3, layer=["layer3", "layer4"])
        other = hp.explain(self.net, self.x, 3, layer=["layer4", "layer3"])
        torch.testing.assert_close(one.maps, other.maps)

    @pytest.mark.parametrize(
        ("layer", "sentence"),
        [
            ("layre4", r"no layer 'layre4'; did you mean 'layer4'"),
            ("avgpool", r"avgpool' returns \(1, 512, 1, 1\).*no grid.*layer4"),
            ("fc", r"fc' returns \(1, 1000\)"),
            (nn.Conv2d(1, 1, 1), "not a module of this network"),
            ([], "list of layers is empty"),
            ("", "no layer ''"),
        ],
    )
    def test_what_cannot_be_a_target_layer_is_answered_with_what_can(self, layer, sentence):
        with pytest.raises(LayerError, match=sentence):
            hp.explain(self.net, self.x, 3, layer=layer)

    def test_a_layer_that_never_runs(self):
        net = tv.resnet18(weights=None)
        net.spare = nn.Conv2d(3, 3, 1)
        with pytest.raises(LayerError, match="'spare' never ran"):
            hp.explain(net, self.x, 3, layer="spare")

    def test_a_container_that_is_only_indexed(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.stages = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)])

            def forward(self, x):
                for stage in self.stages:
                    x = stage(x)
                return x.mean((2, 3))

        with pytest.raises(LayerError, match=r"only holds others, such as 'stages\.1'"):
            hp.explain(Net(), self.x, 1, layer="stages")


def test_a_network_without_any_grid_says_what_was_looked_at():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    with pytest.raises(LayerError, match=r"lies on a grid .*looked at: none.*larger input"):
        hp.explain(net, torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("name", "layer", "expected"),
    [("resnet18", "layer1", 43), ("resnet18", "layer2", 99), ("vgg16", "features", 212), ("resnet18", "layer4", 435)],
)
def test_receptive_fields_are_the_published_ones(name, layer, expected):
    """Araujo et al. 2019, "Computing receptive fields of convolutional neural networks", table 1."""
    ex = hp.explain(build(name), torch.rand(1, 3, 448, 448), target=3, layer=layer)
    assert ex.resolution.receptive_field == pytest.approx((expected, expected))
