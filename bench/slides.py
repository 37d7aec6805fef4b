"""What a whole slide costs: memory, time against reading and forward alone, and against a loop with grad-cam.

`python -m bench.slides --size 50000 --tiles 24` draws a slide of that size, looks at so many tiles of its tissue, and
prints one JSON line. Memory is the process's own peak above what it held with the model loaded and the slide open.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import heatproof
from heatproof.inputs.slide import open_slide
from heatproof.synthetic.slides import write_slide
from heatproof.wsi import explain_slide, prepare
from heatproof.wsi.exports import chosen
from heatproof.wsi.files import write_results
from heatproof.wsi.regions import find_regions
from heatproof.wsi.tiles import read_tile
from heatproof.wsi.tissue import Tissue, find_tissue

MPP, WINDOW = 0.5, 224


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def some_of(tissue, tiles):
    """Keep a square of tissue in the middle, of about so many tiles of 1,024 pixels."""
    side = round(np.sqrt(tiles) * 1024 * MPP / tissue.mpp)
    row, column = (s // 2 - side // 2 for s in tissue.mask.shape)
    mask = np.zeros_like(tissue.mask)
    mask[row : row + side, column : column + side] = tissue.mask[row : row + side, column : column + side]
    return Tissue(mask, tissue.mpp, "a square in the middle")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=50_000)
    parser.add_argument("--tiles", type=int, default=24, help="tiles of tissue to look at; 0 for all")
    parser.add_argument("--slide", type=Path, help="use this slide instead of drawing one")
    parser.add_argument("--loop", action="store_true", help="time the loop with grad-cam, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.slide or write_slide(Path(folder) / "slide.tiff", (args.size, args.size), seed=1).path
        print(json.dumps(measure(path, Path(folder) / "out", args)))


def measure(path, out, args):
    model = heatproof.load("bundled:dab")
    with open_slide(path) as slide:
        slide.read(0, 0, 64, 64, MPP)
        with torch.no_grad():
            model.net(torch.zeros(1, 3, 64, 64))
        before = peak_mb()
        tissue = find_tissue(slide)
        if args.tiles:
            tissue = some_of(tissue, args.tiles)
        ready = prepare(model, slide, "DAB-positive", mpp=MPP, tissue=tissue)
        began = time.perf_counter()
        found = explain_slide(ready, out)
        took = time.perf_counter() - began
        regions = find_regions(found, top=10)
        write_results(found, regions, chosen([]))
        told = {
            "size": slide.size[0],
            "tiles": len(ready.plan.tiles),
            "peak_mb_above_the_model": round(peak_mb() - before),
            "seconds": round(took, 1),
        }
        began = time.perf_counter()
        for tile in range(len(ready.plan.tiles)):
            pixels = read_tile(slide, ready.plan, tile)
            with torch.no_grad():
                model.net(ready.network.batch([pixels]).args[0])
        alone = time.perf_counter() - began
        told |= {"reading_and_forward_seconds": round(alone, 1), "times_reading_and_forward": round(took / alone, 3)}
        if args.loop:
            told |= loop(model, slide, ready, took)
    return told


def loop(model, slide, ready, took):
    """Time grad-cam on windows that overlap by half; the tissue takes its area over a quarter of a window."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    area = len(ready.plan.tiles) * (ready.plan.core * ready.plan.spacing) ** 2
    needed = area / (WINDOW / 2) ** 2
    x, y = ready.plan.pixels(len(ready.plan.tiles) // 2)
    cam = GradCAM(model=model.net, target_layers=[model.net.features[-1]])
    tried, began = 40, time.perf_counter()
    for i in range(tried):
        pixels = slide.read(x + i * WINDOW // 2, y, WINDOW, WINDOW, MPP)
        cam(input_tensor=ready.network.batch([pixels]).args[0], targets=[ClassifierOutputTarget(1)])
    seconds = (time.perf_counter() - began) / tried * needed
    return {"gradcam_loop_seconds": round(seconds, 1), "faster_than_the_loop": round(seconds / took, 2)}


if __name__ == "__main__":
    main()
