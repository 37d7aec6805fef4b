"""What notebooks show: pictures inside, names escaped, bounded in number."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from heatproof.report.notebook import notebook_html
from heatproof.report.overlay import overlay
from heatproof.types import Input


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.images, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data):
        self.text += data


def picture_of(image):
    data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"), validate=True)
    return Image.open(io.BytesIO(data))


def test_it_shows_the_overlay_and_its_caption(explanation):
    ex = explanation(np.eye(4))
    page = Page(notebook_html(ex))
    with picture_of(page.images[0]) as image:
        assert np.array_equal(np.asarray(image), np.asarray(overlay(ex)))
    assert "No color below 0.15 (15% of the scale)." in page.images[0]["alt"]
    assert "input 0 · tabby cat: score 11.2" in page.text


def test_names_that_users_chose_are_escaped(explanation):
    nasty = '"><script>alert(1)</script>'
    ex = explanation(np.eye(4), names=(nasty,), model=nasty, layer=nasty, method=nasty)
    given = ex.inputs[0]
    ex = explanation(
        np.eye(4),
        names=(nasty,),
        model=nasty,
        inputs=(Input(given.data, given.axes, given.channels, name=nasty, picture=True),),
    )
    page = Page(notebook_html(ex))
    assert "script" not in page.tags
    assert set(page.tags) == {"div", "p", "b", "figure", "img", "figcaption"}
    assert "<script>alert(1)" in page.text
    assert nasty in page.images[0]["alt"]


def test_many_inputs_and_targets_are_counted_instead(explanation):
    page = Page(notebook_html(explanation(np.ones((10, 5, 2, 2)), size=(20, 20))))
    assert len(page.images) == 8 * 4
    assert "Not shown: 2 more inputs and 1 more target per input." in page.text
    assert "Not shown" not in Page(notebook_html(explanation(np.ones((2, 2))))).text


def test_huge_pictures_are_shrunk(explanation):
    page = Page(notebook_html(explanation(np.eye(4), size=(1500, 1000))))
    with picture_of(page.images[0]) as image:
        assert max(image.size) == 720
