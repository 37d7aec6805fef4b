"""Reading checkpoints: what trainers leave in them is harmless, and no code in them ever runs."""

import argparse
import builtins
import collections
import functools
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import types
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from heatproof.errors import ModelError
from heatproof.models.checkpoint import read_weights


class Settings:
    """A trainer's own class, with state."""

    def __init__(self):
        self.lr = 0.1


class AttributeDict(dict):
    """As Lightning keeps hyperparameters: a dict subclass."""


class ConfigNode(dict):
    """As yacs keeps a configuration: a dict subclass with state of its own."""

    def __init__(self):
        super().__init__(depth=3)
        self.frozen = True


class Names(list):
    """A list subclass."""


class Slotted:
    __slots__ = ("value",)

    def __init__(self):
        self.value = 3


Point = collections.namedtuple("Point", "x y")


@pytest.fixture
def weights():
    generator = torch.Generator().manual_seed(0)
    return {"conv.weight": torch.randn(4, 3, 3, 3, generator=generator), "fc.bias": torch.randn(4, generator=generator)}


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def save(request, tmp_path):
    """Save as torch does today, or as it did before 1.6."""

    def save(content, name="checkpoint.pth"):
        path = tmp_path / name
        torch.save(content, path, _use_new_zipfile_serialization=request.param)
        return path

    return save


def same(found, wanted):
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


LEFTOVERS = {
    "argparse": argparse.Namespace(lr=0.1, nested=argparse.Namespace(model="resnet18")),
    "class": Settings(),
    "dict subclass": AttributeDict(lr=0.1, layers=[1, 2]),
    "dict subclass with state": ConfigNode(),
    "empty dict subclass": AttributeDict(),
    "list subclass": Names([1, 2, 3]),
    "slots": Slotted(),
    "namedtuple": Point(1, 2),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "counter": collections.Counter("abba"),
    "deque": collections.deque([1, 2]),
    "path": pathlib.PurePosixPath("runs/a"),
    "numpy scalar": np.float64(0.9),
    "numpy array": np.arange(6).reshape(2, 3),
    "partial": functools.partial(Settings, eps=1e-6),
    "class itself": Settings,
    "function": os.path.join,
    "namespace": types.SimpleNamespace(a=1),
    "device and dtype": [torch.device("cpu"), torch.float16, torch.Size([1, 2])],
    "set and complex": [{1, 2}, 1j, b"bytes", bytearray(b"ab"), frozenset({1})],
    "optimizer": torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1).state_dict(),
}


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_what_trainers_leave_beside_the_weights_does_no_harm(save, weights, leftover):
    path = save({"epoch": 3, "hyper_parameters": LEFTOVERS[leftover], "state_dict": weights})
    found, taken = read_weights(path)
    assert same(found, weights)
    assert taken == "state_dict"


def test_all_leftovers_at_once_and_twice(save, weights):
    found, _ = read_weights(save({"a": list(LEFTOVERS.values()), "model": weights, "b": LEFTOVERS}))
    assert same(found, weights)


class Attack:
    """Unpickling this would call a function with arguments."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Poke:
    """A class of an installed module whose construction or state has a side effect."""

    touched: list = []  # noqa: RUF012  shared on purpose: it records that code ran

    def __init__(self, *args):
        Poke.touched.append("init")

    def __new__(cls, *args):
        Poke.touched.append("new")
        return super().__new__(cls)

    def __setstate__(self, state):
        Poke.touched.append("setstate")

    def __getstate__(self):
        return {"path": "x"}


def attacks(path):
    touch = f"open({str(path)!r}, 'w').close()"
    return {
        "os.system": Attack(os.system, f"touch {path}"),
        "eval": Attack(eval, touch),
        "exec": Attack(exec, touch),
        "open": Attack(open, str(path), "w"),
        "subprocess": Attack(subprocess.call, ["touch", str(path)]),
        "Popen": Attack(subprocess.Popen, ["touch", str(path)]),
        "import": Attack(builtins.__import__, "antigravity"),
        "pathlib": Attack(pathlib.Path.touch, pathlib.Path(path)),
        "getattr": Attack(getattr, pathlib.Path(path), "touch"),
        "partial": Attack(functools.partial(os.system, f"touch {path}")),
        "map": Attack(list, Attack(map, os.system, [f"touch {path}"])),
        "numpy": Attack(np.save, str(path), 1),
        "torch.load": Attack(torch.load, str(path)),
        "torch.save": Attack(torch.save, 1, str(path)),
        "nested": {"a": [{"b": (1, {"c": Attack(os.system, f"touch {path}")})}]},
        "as a key": {Attack(pathlib.Path.touch, pathlib.Path(path)): 1},
        "inside a leftover": argparse.Namespace(deep=argparse.Namespace(deeper=Attack(exec, touch))),
    }


@pytest.mark.parametrize("attack", attacks("x"))
@pytest.mark.parametrize("place", ["beside", "instead", "first", "inside"])
def test_no_code_in_a_pickle_is_ever_run(save, weights, tmp_path, attack, place):
    marker = tmp_path / "it-ran"
    evil = attacks(marker)[attack]
    content = {
        "beside": {"state_dict": weights, "args": evil},
        "first": {"args": evil, "state_dict": weights},
        "instead": evil,
        "inside": {"state_dict": {**weights, "fc.weight": evil}},
    }[place]
    try:
        path = save(content)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        pytest.skip(f"this Python cannot write the attack: {error}")
    before = set(sys.modules)
    found, refusal = None, ""
    try:
        found, _ = read_weights(path)
    except ModelError as error:
        refusal = str(error)
    assert refusal.startswith("checkpoint.pth cannot be loaded: ") or (
        place in ("beside", "first") and same(found, weights)
    )
    assert not marker.exists()
    assert not list(tmp_path.glob("it-ran*"))
    assert "antigravity" not in set(sys.modules) - before


def test_the_attacks_are_real(tmp_path):
    """Each attack that is claimed to be harmless here does its work in Python's own unpickler."""
    for name in ("os.system", "eval", "exec", "pathlib", "nested"):
        marker = tmp_path / name
        pickle.loads(pickle.dumps(attacks(marker)[name], protocol=2))
        assert marker.exists(), name


@pytest.mark.parametrize("name", ["os.system", "eval", "exec", "open", "subprocess", "nested", "torch.load"])
def test_what_only_an_attack_would_hold_is_called_that(save, weights, tmp_path, name):
    with pytest.raises(ModelError, match=r"it would call .* when unpickled.*nothing of it was run; do not trust"):
        read_weights(save({"state_dict": weights, "args": attacks(tmp_path / "x")[name]}))


def test_a_class_that_exists_here_is_not_even_constructed(save, weights):
    path = save({"state_dict": weights, "a": Poke(), "b": [Poke()]})
    Poke.touched.clear()
    assert same(read_weights(path)[0], weights)
    assert Poke.touched == []


def test_the_list_of_safe_classes_is_put_back(save, weights):
    before = set(torch.serialization.get_safe_globals())
    read_weights(save({"state_dict": weights, "a": Settings()}))
    with pytest.raises(ModelError):
        read_weights(save({"nothing": Settings()}))
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(save({"a": Settings()}), weights_only=True)


def test_many_threads_read_at_once(save, weights):
    paths = [save({"state_dict": weights, "a": Settings(), f"b{i}": AttributeDict(a=1)}, f"{i}.pt") for i in range(4)]
    results = []
    threads = [
        threading.Thread(target=lambda p=path: results.append(same(read_weights(p)[0], weights))) for path in paths * 5
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 20


@pytest.mark.parametrize("key", ["state_dict", "model", "net", "module", "model_state_dict"])
def test_wrappers_are_opened(save, weights, key):
    assert read_weights(save({key: weights, "epoch": 1}))[1] == key
    found, taken = read_weights(save({"outer": 1, "model": {key: weights}}))
    assert same(found, weights)
    assert taken == f"model.{key}"


def test_averaged_weights_are_preferred(save, weights):
    averaged = {key: value + 1 for key, value in weights.items()}
    for key in ("ema", "model_ema", "state_dict_ema", "ema_state_dict"):
        found, taken = read_weights(save({"model": weights, "state_dict": weights, key: averaged}))
        assert same(found, averaged)
        assert taken == key


def test_a_bare_state_dict_needs_no_wrapper(save, weights):
    found, taken = read_weights(save(collections.OrderedDict(weights)))
    assert same(found, weights)
    assert taken == ""


def test_an_empty_or_unusable_average_is_passed_over(save, weights, tmp_path):
    assert read_weights(save({"ema": None, "model": weights}))[1] == "model"
    torch.save({"ema": nn.Linear(2, 2), "state_dict": weights}, tmp_path / "both.pt")
    assert read_weights(tmp_path / "both.pt")[1] == "state_dict"


def test_pickled_networks_are_refused_with_the_mend(save):
    for content in (nn.Sequential(nn.Conv2d(3, 2, 3)), {"model": nn.Linear(2, 2), "epoch": 1}):
        with pytest.raises(ModelError, match=r"whole pickled network.*save\(net.state_dict"):
            read_weights(save(content))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_torchscript_is_refused_with_the_mend(tmp_path):
    path = tmp_path / "scripted.pt"
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)
    with pytest.raises(ModelError, match=r"scripted.pt cannot be loaded: it is TorchScript.*torch.export"):
        read_weights(path)


def test_weights_that_are_no_tensors_are_named(save, weights):
    with pytest.raises(ModelError, match=r"fc.weight \(numpy"):
        read_weights(save({**weights, "fc.weight": np.ones(3)}))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "no checkpoint of torch.save .*DOCTYPE"),
        (b"\x80\x02}q\x00.", "damaged|refuses"),
        (b"\x80\x02cos\nsystem\nq\x00.", "damaged|would call"),
        (b"\x80", "damaged"),
        (b"PK\x03\x04broken", "damaged"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, content, sentence):
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        read_weights(path)


def test_other_archives_and_truncated_ones(save, weights, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelError, match=r"zip archive, but not one of torch.save"):
        read_weights(tmp_path / "other.pth")
    path = save(weights)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"damaged|refuses"):
        read_weights(path)


def test_newer_pickle_protocols_get_a_sentence(tmp_path, weights):
    torch.save({"state_dict": weights, "a": Settings()}, tmp_path / "p4.pth", pickle_protocol=4)
    with pytest.raises(ModelError, match="pickle protocol above 2"):
        read_weights(tmp_path / "p4.pth")


def test_a_damaged_safetensors_file(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ModelError, match=r"x.safetensors cannot be loaded: it is no safetensors file"):
        read_weights(tmp_path / "x.safetensors")


@pytest.mark.parametrize("content", [[1, 2], 3, {"epoch": 3}, {}, {"state_dict": {}}])
def test_files_without_weights(save, content):
    with pytest.raises(ModelError, match="cannot be loaded"):
        read_weights(save(content))
