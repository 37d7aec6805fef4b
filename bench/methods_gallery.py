"""The gallery of docs/methods.md: every method on held-out blood cells, explained with the bundled network."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from PIL import Image, ImageDraw

import heatproof
from heatproof.plugins import Plugin
from heatproof.report.color import Scale
from heatproof.report.frame import INK, Legend, bar, font, wrap
from heatproof.report.overlay import overlay
from heatproof.report.view import OPACITY, THRESHOLD
from heatproof.types import Explanation
from training import pbc_cells

MODEL = "bundled:cells"
SHOWN = ("neutrophil", "eosinophil", "platelet")  # the first held-out cell of each that is named rightly
SIDE, GAP, COLUMNS = 112, 6, 8  # pixels of one picture, between pictures; pictures in one row, the cell itself first
TITLE, TEXT = 34, 12  # height of a row's titles and of letters, in pixels
CREDIT = (
    "Pictures: Acevedo et al. 2020, doi:10.17632/snkd93bnjr.1, CC BY 4.0 (reduced; colors of the maps laid over them)."
)
NAMES = {"cam": "CAM methods, on the layer's grid", "attribute": "Attributions and controls, over the input"}


def gallery(folder: Path, plugins: Sequence[Plugin]) -> str:
    """Draw one contact sheet per kind of method and return what the page says of them.

    Args:
        folder: where the pictures go.
        plugins: the methods, in the order of the columns.
    """
    torch.set_num_threads(1)
    model = heatproof.load(MODEL)
    cells = chosen(model)
    found = heatproof.explain(model, [path for path, _ in cells], method=[plugin.name for plugin in plugins])
    lines = [stated(), ""]
    for kind, title in NAMES.items():
        named = {plugin.title: found[plugin.name] for plugin in plugins if plugin.attribute == kind}
        file = folder / ("methods_cam.png" if kind == "cam" else "methods_attribution.png")
        save(sheet(named, [truth for _, truth in cells]), file)
        described = f"{title}: {len(named)} methods on {len(cells)} blood cells; described below"
        lines += [f"**{title}**", "", f"![{described}](images/{file.name})", "", f"*{CREDIT}*", ""]
    return "\n".join([*lines, *notes(next(iter(found.values())), cells)])


def chosen(model: heatproof.Model) -> list[tuple[Path, str]]:
    """Return the first held-out cell of each shown class that is named rightly, then the first of any named wrongly."""
    files = pbc_cells.files("test")
    labels = pbc_cells.LABELS
    explained = heatproof.explain(model, [path for path, _ in files], method="gradcam")
    named = [row[0].index for row in explained.targets]
    right = [labels.index(name) for name in SHOWN]
    picked = [next(i for i, (_, label) in enumerate(files) if label == want == named[i]) for want in right]
    picked.append(next(i for i, (_, label) in enumerate(files) if label != named[i]))
    return [(files[i][0], labels[files[i][1]]) for i in picked]


def sheet(named: Mapping[str, Explanation], truths: Sequence[str]) -> Image.Image:
    """Return bands of pictures: a row per cell, a column per method, the cell itself in the first."""
    bands = list(_split(list(named), COLUMNS - 1))
    step, rows = SIDE + GAP, len(truths)
    tall = TITLE + rows * step + GAP
    width, foot = COLUMNS * step + GAP, 70
    image = Image.new("RGB", (width, len(bands) * tall + foot), "white")
    draw = ImageDraw.Draw(image)
    first = next(iter(named.values()))
    originals = [plain(first, row) for row in range(rows)]
    for number, band in enumerate(bands):
        top = number * tall
        for column, title in enumerate(["the cell", *band]):
            left = GAP + column * step
            heading(draw, title, (left, top))
            for row in range(rows):
                drawn = overlay(named[title], row, signed=True, frame=False) if column else originals[row]
                image.paste(tile(drawn), (left, top + TITLE + row * step))
    scale = Scale(1.0, THRESHOLD, signed=True)
    words = "share of each map's strongest evidence (blue: against, orange: for the class named)"
    bar(image, (GAP, len(bands) * tall + GAP, width - GAP), Legend(scale, words, OPACITY, (255,)), TEXT)
    return image


def heading(draw: ImageDraw.ImageDraw, title: str, place: tuple[int, int]) -> None:
    """Write a method's name over its column, in two lines at most, small enough to fit."""
    size = next(s for s in range(TEXT, 5, -1) if len(wrap(title, font(s), SIDE)) <= 2)
    lines = wrap(title, font(size), SIDE)
    top = place[1] + TITLE - len(lines) * (size + 3) - 3
    for number, line in enumerate(lines):
        draw.text((place[0], top + number * (size + 3)), line, fill=INK, font=font(size))


def plain(ex: Explanation, index: int) -> Image.Image:
    """Return the picture that was explained, as it is."""
    pixels = ex.inputs[index].data.movedim(0, -1).mul(255).round().byte()
    return Image.fromarray(pixels.numpy())


def tile(picture: Image.Image) -> Image.Image:
    """Return a picture reduced to one place of the sheet."""
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def save(image: Image.Image, file: Path) -> None:
    """Write a picture with 256 colors, which keeps a page light."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(file, optimize=True)


def stated() -> str:
    """Return how the pictures were made."""
    return (
        f"Made by `make methods-page` on {datetime.now(UTC).date()}: heatproof {heatproof.__version__}, "
        f"torch {torch.__version__.partition('+')[0]}, Python {platform.python_version()}; `{MODEL}`, every method at "
        "its default settings."
    )


def notes(first: Explanation, cells: Sequence[tuple[Path, str]]) -> list[str]:
    """Return which cells are shown, row by row."""
    lines = []
    for number, (path, truth) in enumerate(cells):
        target, score = first.targets[number][0], float(first.scores[number, 0])
        verdict = "rightly" if target.name == truth else f"wrongly: it is a cell of class {truth}"
        lines.append(f"{number + 1}. `{path.name}`: named {target.name}, {verdict} (score {score:.1f})")
    return ["Rows, from the top:", "", *lines]


def _split(names: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
