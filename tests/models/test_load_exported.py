"""Programs of torch.export: they come back as module trees, and only if nothing in them is code."""

import json
import pickle
import shutil
import zipfile

import pytest
import torch
from torch import nn

import heatproof as hp
from heatproof.errors import ModelError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def archive(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    shapes = ({0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=4, max=64)},)
    torch.export.save(torch.export.export(net, (torch.randn(2, 3, 8, 8),), dynamic_shapes=shapes), path)
    return path


def changed(archive, path, edit):
    """Copy an archive, letting `edit(name, content)` change entries or return None to leave them out."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            content = edit(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


def test_a_program_comes_back_with_its_layers(archive, net):
    model = hp.load(f"file:{archive}", labels=["a", "b"])
    assert (model.name, model.labels) == ("net", ("a", "b"))
    shapes = {}
    for name, module in model.net.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: shapes.__setitem__(name, tuple(out.shape)))
    x = torch.randn(3, 3, 9, 8)
    torch.testing.assert_close(model.net(x), net(x))
    assert shapes["features.2"] == (3, 4, 7, 6)
    assert shapes["fc"] == (3, 2)


def test_a_program_is_known_by_its_content_too(archive, tmp_path):
    shutil.copy(archive, tmp_path / "renamed.pt")
    assert isinstance(hp.load(f"file:{tmp_path}/renamed.pt").net.fc, nn.Module)


def test_a_program_can_be_copied_and_differentiated(archive):
    import copy

    twin = copy.deepcopy(hp.load(f"file:{archive}").net)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    assert torch.autograd.grad(twin(x).sum(), x)[0].abs().sum() > 0


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return eval, (f"open({str(self.path)!r}, 'w').close()",)


def test_no_pickle_in_a_program_is_run(archive, tmp_path):
    torch.save(((Evil(tmp_path / "it-ran"),), {}), tmp_path / "evil.pt")
    for content in ((tmp_path / "evil.pt").read_bytes(), pickle.dumps(Evil(tmp_path / "it-ran"))):
        path = changed(
            archive, tmp_path / "x.pt2", lambda name, old, new=content: new if "sample_inputs" in name else old
        )
        with pytest.raises(ModelError, match=r"would import .*eval|pickled in another way"):
            hp.load(f"file:{path}")
    assert not (tmp_path / "it-ran").exists()


def edited_graph(archive, path, edit):
    def change(name, content):
        if not name.endswith("models/net.json") and not name.endswith("models/model.json"):
            return content
        graph = json.loads(content)
        edit(graph)
        return json.dumps(graph).encode()

    return changed(archive, path, change)


def replace_everywhere(value, key, new):
    if isinstance(value, dict):
        if isinstance(value.get(key), str):
            value[key] = new
        for item in value.values():
            replace_everywhere(item, key, new)
    elif isinstance(value, list):
        for item in value:
            replace_everywhere(item, key, new)


@pytest.mark.parametrize(
    "expression",
    ["__import__('os').system('true')", "open('x')", "eval('1')", "S('exec')('x')", "Symbol('s1').__class__", "s1.x()"],
)
def test_expressions_that_are_code_are_refused(archive, tmp_path, expression):
    path = edited_graph(archive, tmp_path / "x.pt2", lambda graph: replace_everywhere(graph, "expr_str", expression))
    with pytest.raises(ModelError, match="which is no size; nothing of it was run"):
        hp.load(f"file:{path}")


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.serialization.load",
        "torch.ops.load_library",
        "torch.ops.aten.__class__.mro",
        "torch.hub.load",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "math.__loader__.load_module",
        "#own:thing",
    ],
)
def test_calls_that_are_no_operators_are_refused(archive, tmp_path, target):
    def edit(graph):
        graph["graph_module"]["graph"]["nodes"][0]["target"] = target

    path = edited_graph(archive, tmp_path / "x.pt2", edit)
    with pytest.raises(ModelError, match="which is no operator; nothing of it was run"):
        hp.load(f"file:{path}")


def test_compiled_code_and_pickled_objects_are_refused(archive, tmp_path):
    path = tmp_path / "x.pt2"
    shutil.copy(archive, path)
    with zipfile.ZipFile(path, "a") as more:
        more.writestr("net/data/aotinductor/model/model.so", b"\x7fELF")
    with pytest.raises(ModelError, match="compiled code"):
        hp.load(f"file:{path}")

    def custom(name, content):
        if "constants_config" not in name:
            return content
        return json.dumps({"config": {"x": {"path_name": "custom_obj_0", "use_pickle": True}}}).encode()

    with pytest.raises(ModelError, match=r"pickled object \(custom_obj_0\)"):
        hp.load(f"file:{changed(archive, path, custom)}")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_damaged_and_ambiguous_archives(archive, tmp_path):
    path = tmp_path / "x.pt2"
    path.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(ModelError, match=r"x.pt2 cannot be loaded: it is no archive"):
        hp.load(f"file:{path}")
    changed(archive, path, lambda name, content: None if "weight_0" in name else content)
    with pytest.raises(ModelError, match="export it anew"):
        hp.load(f"file:{path}")
    shutil.copy(archive, path)
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "a") as more:
        name = next(name for name in old.namelist() if name.endswith(".json"))
        more.writestr(name, old.read(name))
    with pytest.raises(ModelError, match="two entries of one name"):
        hp.load(f"file:{path}")
