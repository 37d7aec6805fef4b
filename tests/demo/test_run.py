"""The demonstration end to end: what it writes, what it claims, and that its page asks nobody for anything."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import heatproof as hp
from heatproof.cli import main
from heatproof.demo import lesions
from heatproof.demo import run as module
from heatproof.demo.evidence import Shares
from heatproof.demo.run import STEPS, run, summarize
from heatproof.errors import InputError


@pytest.fixture(scope="module")
def asked():
    """What is found out about the two lesion networks: the longest part, so that all tests share it."""
    steps = []
    found = lesions.ask(lambda: steps.append(1))
    assert len(steps) == lesions.STEPS
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory, asked):
    steps = [1] * lesions.STEPS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesions, "ask", lambda advance: asked)
        patch.delenv("HEATPROOF_DATA", raising=False)
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("torch.hub._hub_dir", None)
        done = run(tmp_path_factory.mktemp("demo") / "new" / "folder", offline=True, advance=lambda: steps.append(1))
    assert len(steps) == STEPS
    return done


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_evidence_is_on_the_stain_far_above_chance_and_random_weights(demo):
    tiles = demo.numbers["tiles"]
    assert tiles["tiles"] > 50
    assert tiles["trained"] > 2.5 * tiles["chance"]
    assert tiles["trained"] > 2 * tiles["random_mean"]
    assert 0.15 < tiles["chance"] < 0.30
    assert len(tiles["random"]) == len(tiles["seeds"]) == 20
    assert demo.numbers["field"]["held_out_share"] > 2 * demo.numbers["field"]["held_out_chance"]


def test_taking_out_the_brown_ends_the_positive_calls(demo):
    as_is, no_brown, no_blue = demo.numbers["stain_removal"]
    assert [r["stain"] for r in (as_is, no_brown, no_blue)] == [None, "DAB", "hematoxylin"]
    assert no_brown["called_positive"] < 0.1 * as_is["called_positive"] <= 0.1 * no_blue["tiles"]


def test_of_two_networks_that_are_right_alike_the_one_that_reads_the_ruler_is_unmasked(demo):
    leans, clean = (demo.numbers["lesions"][name] for name in ("lesions_shortcut", "lesions_clean"))
    assert leans["accuracy"]["ordinary"] == pytest.approx(clean["accuracy"]["ordinary"], abs=0.03)
    assert leans["accuracy"]["ordinary"] > 0.95
    assert "confirmed" in leans["verdicts"].values()
    assert "confirmed" not in clean["verdicts"].values()
    assert leans["accuracy"]["reversed"] < 0.35
    assert clean["accuracy"]["reversed"] > 0.95
    assert "network A leans on the ruler: experiments confirm it" in demo.sentence


def test_the_confirmed_shortcut_lies_on_the_ruler(asked):
    seen, (leans, _) = asked
    regions = leans.confirmed[0].candidate.masks
    has = seen.has["ruler"]
    on = (regions & seen.masks["ruler"]).flatten(1).any(1)
    assert float(on[has].float().mean()) > 0.5
    assert not on[~has].any()


def test_without_a_confirmed_shortcut_the_sentence_accuses_nobody():
    clean = lesions.Unmasked("network B", hp.Model(torch.nn.Identity()), {"ordinary": 0.97, "reversed": 0.97}, [])
    assert lesions.summarize([clean]) == (
        "On ordinary pictures both are right alike (network B 97%); no shortcut was confirmed in either."
    )


def test_sentence_holds_the_numbers_and_the_limits():
    shares = Shares(trained=0.701, low=0.5, chance=0.219, random=(0.1, float("nan"), 0.8), tiles=12, blank=0)
    sentence = summarize(shares)
    for words in ("12 held-out tiles", "70% of", "22% of the area", "45% there", "2 seeds, 10% to 80%; 1 of them"):
        assert words in sentence
    assert "does not by itself prove" in sentence
    assert sentence.endswith(".")
    assert ". " not in sentence


def test_every_file_is_there_and_nothing_else(demo):
    assert sorted(demo.files) == sorted(demo.page.parent.iterdir())
    for path in demo.files:
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.verify()
    with Image.open(demo.page.parent / "field-evidence.png") as evidence:
        assert evidence.size == (512, 512)
    with Image.open(demo.page.parent / "lesion-1-lesions_shortcut.png") as lesion:
        assert lesion.size == (192, 192)


def test_drawn_evidence_differs_from_the_tile_only_where_there_is_evidence(demo):
    folder = demo.page.parent
    positive, negative = (
        np.asarray(Image.open(folder / f"tile-{n}-evidence.png")) != np.asarray(Image.open(folder / f"tile-{n}.png"))
        for n in (1, 8)
    )
    assert 0.05 < positive.any(-1).mean() < 0.95
    assert not negative.any()


def test_page_asks_nobody_for_anything(demo):
    text = demo.page.read_text(encoding="utf-8")
    elements = Elements(text).found
    images = [attributes for tag, attributes in elements if tag == "img"]
    assert len(images) >= 8 * 4 + 3
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in images)
    assert not [tag for tag, _ in elements if tag in ("script", "link", "iframe", "object", "embed", "video")]
    assert not [a for _, a in elements if "srcset" in a or "href" in a]
    stylesheet = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in stylesheet
    assert "@import" not in stylesheet
    assert "prefers-color-scheme: dark" in stylesheet
    assert 'name="viewport"' in text


def test_page_says_what_was_found_and_why_there_are_no_photographs(demo):
    text = " ".join(demo.page.read_text(encoding="utf-8").split())
    stain, ruler = demo.sentence.split("\n\n")
    assert stain in text.replace("&#39;", "'")
    assert ruler in text.replace("&#39;", "'")
    assert demo.numbers["no_photographs_because"]
    assert "None were explained" in text
    assert demo.numbers["weights_sha256"] in text
    assert "{{" not in text
    assert "nan" not in re.sub(r'src="[^"]*"', "", text).lower().split()


@pytest.mark.real
def test_photographs_are_on_the_page_when_weights_are_there(data_folder, asked, tmp_path, monkeypatch):
    pytest.importorskip("torchvision")
    monkeypatch.setattr(lesions, "ask", lambda advance: asked)
    monkeypatch.setattr(module, "_measure", lambda model, advance: (SHARES, []))
    monkeypatch.setattr(module, "render", lambda **story: json.dumps(story["photographs"]["shown"][0]["credit"]))
    done = run(tmp_path, offline=True)
    assert [photo["label"] for photo in done.numbers["photographs"]] == ["tiger cat", "espresso", "missile"]
    assert done.numbers["no_photographs_because"] is None
    with Image.open(tmp_path / "photo-chelsea-evidence.png") as image:
        assert image.size == (451, 300)


SHARES = Shares(trained=0.7, low=0.5, chance=0.2, random=tuple(i / 20 for i in range(20)), tiles=12, blank=0)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot be made .* --out"):
        run(tmp_path / "file" / "below")


def test_two_runs_measure_the_same(demo):
    from heatproof.models import load

    with torch.random.fork_rng():
        torch.manual_seed(12345)  # the global generator must not matter
        shares, _ = module._measure(load("bundled:dab"), lambda: None)
    assert shares.random == pytest.approx(demo.numbers["tiles"]["random"], rel=1e-5)
    assert shares.trained == pytest.approx(demo.numbers["tiles"]["trained"], rel=1e-5)


@pytest.fixture
def ready(demo, monkeypatch):
    asked = {}

    def instead(out, *, offline, advance):
        asked.update(out=out, offline=offline)
        return demo

    monkeypatch.setattr(module, "run", instead)
    return asked


def test_command_prints_the_page_and_ends_with_the_sentence(ready, demo, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["demo"])
    assert not stop.value.code
    said = capsys.readouterr().out.strip().splitlines()
    assert ready == {"out": Path("demo-out"), "offline": False}
    assert str(demo.page) in said[0]
    assert "\n".join(said[-3:]) == demo.sentence
    assert any(demo.numbers["no_photographs_because"] in line for line in said)


def test_command_prints_json(ready, demo, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--out", str(tmp_path), "--offline", "--json"])
    assert not stop.value.code
    document = json.loads(capsys.readouterr().out)
    assert ready == {"out": tmp_path, "offline": True}
    assert document["page"] == str(demo.page)
    assert document["tiles"]["trained"] == pytest.approx(demo.numbers["tiles"]["trained"])
    assert len(document["files"]) == len(demo.files)
