"""Without a network, sources that download say so in one sentence and at once, and still use what is in a cache."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from heatproof.errors import ModelError
from heatproof.models import load
from heatproof.models.sources import _hub

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    monkeypatch.setattr(_hub, "unreachable", lambda url: f"{url} does not answer")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


@pytest.mark.parametrize("spec", ["timm:resnet18", "timm:hf-hub:a/b", "hf:a/b", "torchvision:resnet18"])
def test_no_library_is_let_loose_on_a_site_that_does_not_answer(spec, no_network, monkeypatch, capfd):
    asked = []
    for library in ("timm.create_model", "transformers.AutoConfig.from_pretrained", "torch.hub.download_url_to_file"):
        monkeypatch.setattr(library, lambda *args, **kwargs: asked.append(args))
    with pytest.raises(ModelError, match=rf"{spec} could not be fetched \(https://.* does not answer\); "):
        load(spec)
    assert not asked
    assert capfd.readouterr() == ("", "")


def test_what_is_in_the_cache_is_used_without_asking(no_network, monkeypatch):
    seen = []
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repo, file: f"/cache/{repo}/{file}")
    with _hub.hub("a/b", ["config.json"]):
        seen.append(constants.HF_HUB_OFFLINE)
    assert [*seen, constants.HF_HUB_OFFLINE] == [True, False]
    with pytest.raises(ZeroDivisionError), _hub.hub("a/b", ["config.json"]):
        raise ZeroDivisionError
    assert constants.HF_HUB_OFFLINE is False


def test_a_cached_file_needs_no_site(no_network, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "x.pth").write_bytes(b"")
    with _hub.site("https://somewhere/x.pth"), _hub.site(None):
        pass
    with pytest.raises(OSError, match="does not answer"), _hub.site("https://somewhere/y.pth"):
        pass


def test_a_site_is_reachable_if_it_answers_anything():
    class Refuses(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refuses)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert _hub.unreachable(f"http://127.0.0.1:{server.server_port}/x") is None
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_site_that_does_not_answer_is_told_quickly(monkeypatch):
    monkeypatch.setattr(_hub, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
        begun = time.monotonic()
        reason = _hub.unreachable(f"http://127.0.0.1:{silent.getsockname()[1]}/x")
        assert time.monotonic() - begun < 5
    assert reason is not None
    assert "does not answer: timed out" in reason
    assert "refused" in str(_hub.unreachable("http://127.0.0.1:9/"))
