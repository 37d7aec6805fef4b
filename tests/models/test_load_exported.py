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
        path = changed(archive, tmp_path / "x.pt2", lambda name, old, new=content: new if name.endswith(".pt") else old)
        with pytest.raises(ModelError, match=r"would import .*eval|pickled in another way"):
            hp.load(f"file:{path}")
    assert not (tmp_path / "it-ran").exists()


def edited_graph(archive, path, edit):
    def change(name, content):
        if not name.endswith(("models/net.json", "models/model.json", "serialized_exported_program.json")):
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

    shutil.copy(archive, path)
    with zipfile.ZipFile(path, "a") as more:
        table = {"config": {"x": {"path_name": "custom_obj_0", "use_pickle": True}}}
        more.writestr("net/data/constants/other_constants_config.json", json.dumps(table))
    with pytest.raises(ModelError, match=r"pickled object \(custom_obj_0\)"):
        hp.load(f"file:{path}")


@pytest.mark.parametrize(
    "name",
    [
        "net/models/net_json",  # torch reads any name of this length as a graph
        "net/models/net.JSON",
        "net/data/sample_inputs/net.PT",
        "net/data/weights/net.pth",
        "data.pkl",
        "net/models/a/b.json",
        "net/data/constants/custom_obj_0",
    ],
)
def test_only_known_entries_are_handed_on(archive, tmp_path, name):
    path = tmp_path / "x.pt2"
    shutil.copy(archive, path)
    with zipfile.ZipFile(path, "a") as more:
        more.writestr(name, b"PK\x03\x04")
    with pytest.raises(ModelError, match=r"which torch.export.save does not write|more than one folder"):
        hp.load(f"file:{path}")


def test_every_pickle_of_either_layout_is_looked_at(archive, tmp_path):
    torch.save(Evil(tmp_path / "it-ran"), tmp_path / "evil.pt")
    for name in ("state_dict.pt", "constants.pt", "example_inputs.pt", "state_dict.json", "constants.json"):
        path = changed(archive, tmp_path / "x.pt2", lambda old, content: None if "serialized_" in old else content)
        with zipfile.ZipFile(path, "a") as more:
            more.writestr(f"serialized_{name}", (tmp_path / "evil.pt").read_bytes())
        with pytest.raises(ModelError, match=r"would import .*eval"):
            hp.load(f"file:{path}")
    assert not (tmp_path / "it-ran").exists()


def test_pickles_that_misuse_what_is_safe_to_import_are_refused(archive, tmp_path):
    # sets an attribute on the class torch.nn.parameter.Parameter: every name in it is allowed, what it does is not
    code = b"\x80\x02ctorch.nn.parameter\nParameter\nN}X\x06\x00\x00\x00forgedK\x01s\x86b."
    torch.save(((), {}), tmp_path / "plain.pt")
    evil = changed(tmp_path / "plain.pt", tmp_path / "evil.pt", lambda n, old: code if n.endswith("data.pkl") else old)
    path = changed(archive, tmp_path / "x.pt2", lambda n, old: evil.read_bytes() if n.endswith(".pt") else old)
    with pytest.raises(ModelError, match="cannot be shown to be safe"):
        hp.load(f"file:{path}")
    assert not hasattr(nn.Parameter, "forged")


@pytest.mark.parametrize(
    "node",
    [
        {
            "type": "collections.defaultdict",
            "context": {
                "default_factory_module": "antigravity",
                "default_factory_name": "fly_to",
                "dict_context": [],
            },
            "children_spec": [],
        },
        {"type": "builtins.dict", "context": '[{"__enum__": true, "fqn": "antigravity:fly"}]', "children_spec": []},
    ],
)
def test_structures_that_import_modules_are_refused(archive, tmp_path, node):
    path = edited_graph(
        archive, tmp_path / "x.pt2", lambda graph: replace_everywhere(graph, "out_spec", json.dumps([1, node]))
    )
    with pytest.raises(ModelError, match="which import code"):
        hp.load(f"file:{path}")


def test_notes_of_the_user_do_not_matter(archive, tmp_path):
    path = tmp_path / "x.pt2"
    shutil.copy(archive, path)
    with zipfile.ZipFile(path, "a") as more:
        more.writestr("net/extra/note.txt", "made on a Monday")
    assert isinstance(hp.load(f"file:{path}").net.fc, nn.Module)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_damaged_and_ambiguous_archives(archive, tmp_path):
    path = tmp_path / "x.pt2"
    path.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(ModelError, match=r"x.pt2 cannot be loaded: it is no archive"):
        hp.load(f"file:{path}")
    weights = ("weight_0", "serialized_state_dict.pt")
    changed(archive, path, lambda name, content: None if name.endswith(weights) else content)
    with pytest.raises(ModelError, match="export it anew"):
        hp.load(f"file:{path}")
    shutil.copy(archive, path)
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "a") as more:
        name = next(name for name in old.namelist() if name.endswith(".json"))
        more.writestr(name, old.read(name))
    with pytest.raises(ModelError, match="two entries of one name"):
        hp.load(f"file:{path}")
