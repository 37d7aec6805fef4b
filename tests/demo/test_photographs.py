"""ImageNet weights for the photographs: found where they are, and a plain sentence where they are not."""

import hashlib
import io
from urllib.error import URLError

import pytest

from heatproof.demo import photographs
from heatproof.demo.photographs import NoWeights, imagenet_model, photograph
from heatproof.explain import explain
from heatproof.inputs import read

pytest.importorskip("torchvision")


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """No folder of real data, and an empty cache of weights."""
    monkeypatch.delenv("HEATPROOF_DATA", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    return tmp_path


def answer(monkeypatch, content):
    def open_url(url, timeout):
        assert timeout <= 5
        if isinstance(content, Exception):
            raise content
        return io.BytesIO(content)

    monkeypatch.setattr(photographs.urllib.request, "urlopen", open_url)


def left(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_offline_says_so_and_asks_nobody(empty_cache, monkeypatch):
    answer(monkeypatch, AssertionError("asked the network"))
    found = imagenet_model(offline=True)
    assert isinstance(found, NoWeights)
    assert "--offline" in found.reason
    assert str(empty_cache) in found.reason


@pytest.mark.parametrize("failure", [URLError("no route"), TimeoutError("timed out"), ConnectionResetError("reset")])
def test_no_network_says_why(empty_cache, monkeypatch, failure):
    answer(monkeypatch, failure)
    found = imagenet_model(offline=False)
    assert isinstance(found, NoWeights)
    assert "could not be downloaded" in found.reason
    assert left(empty_cache) == []


def test_a_truncated_download_is_not_kept(empty_cache, monkeypatch):
    answer(monkeypatch, b"half of it")
    found = imagenet_model(offline=False)
    assert isinstance(found, NoWeights)
    assert "not what the file's name promises" in found.reason
    assert left(empty_cache) == []


def test_a_slow_download_is_given_up(empty_cache, monkeypatch):
    answer(monkeypatch, b"1" * (1 << 19))
    monkeypatch.setattr(photographs, "_DOWNLOAD", -1.0)
    found = imagenet_model(offline=False)
    assert isinstance(found, NoWeights)
    assert "more than" in found.reason
    assert left(empty_cache) == []


def test_a_whole_download_reaches_the_cache(empty_cache, monkeypatch):
    content = b"weights"
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    answer(monkeypatch, content)

    class Weights:
        class DEFAULT:
            url = f"https://host.invalid/models/{name}"

    monkeypatch.setattr("torchvision.models.MobileNet_V2_Weights", Weights)
    assert photographs._fetch(offline=False) is None
    assert [path.name for path in left(empty_cache)] == [name]
    answer(monkeypatch, AssertionError("asked the network again"))
    assert photographs._fetch(offline=False) is None


def test_without_torchvision_says_what_to_install(monkeypatch):
    monkeypatch.setattr(photographs, "find_spec", lambda name: None)
    found = imagenet_model(offline=True)
    assert isinstance(found, NoWeights)
    assert "heatproof[vision]" in found.reason


@pytest.mark.real
@pytest.mark.parametrize(("name", "label"), [("chelsea", "tiger cat"), ("coffee", "espresso"), ("rocket", "missile")])
def test_photographs_are_named_rightly(data_folder, name, label):
    model = imagenet_model(offline=True)
    ex = explain(model, read(photograph(name), name=name))
    assert ex.targets[0][0].name == label
    assert ex.flags == (((),),)
