"""`make shortcuts-isic`: does a network trained on ISIC 2017 lean on the colored calibration stickers?

    HEATPROOF_DATA=FOLDER python -m bench.shortcuts_isic                FOLDER/isic2017 holds the pictures; 15 minutes

The stickers lie almost only on benign pictures. A small network is trained on the training part; all pictures are then
put to `find_shortcuts`, once without a word and once with the color rule for stickers. What is found is printed and
written to bench/results/shortcuts_isic.json, whatever it is; edits and exemplars go to docs/images.
"""

import argparse
import csv
import io
import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from rich.progress import track
from sklearn.metrics import roc_auc_score
from torch import Generator, Tensor

from heatproof.inputs import read
from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model
from heatproof.models.nets.cell import CellNet
from heatproof.report import shortcuts as drawing
from heatproof.report._files import plain
from heatproof.shortcuts import Finding
from heatproof.shortcuts._survey import Survey, open_survey
from heatproof.shortcuts.find import investigate

SIDE, EPOCHS, BATCH, RATE = 64, 12, 32, 3e-3
WIDTHS = (16, 32, 64)
LABELS = ("benign", "melanoma")
MEAN, STD = (0.70, 0.57, 0.53), (0.16, 0.17, 0.19)
ASKED = 800
"""Pictures that are asked about: all held-out ones, all melanomas, all with a sticker, some of the rest."""
RESULTS = Path(__file__).parent / "results" / "shortcuts_isic.json"
IMAGES = Path(__file__).parents[1] / "docs" / "images"
STICKER = {"h": (0.2, 0.72), "s": (0.25, 1.0), "v": (0.15, 1.0)}
"""Green to blue, and saturated: colors that skin does not have."""
STRONG = STICKER | {"s": (0.45, 1.0)}
"""The same, without skin that looks bluish as a whole."""
LEAST = 0.02
"""Share of a picture in these colors from which on it counts as showing a sticker, as the data's table has it."""


def main() -> None:
    """Train, or take the network kept from before; ask; write down the answers."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.shortcuts_isic", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="file for the trained weights, to train only once")
    args = parser.parse_args()
    torch.set_num_threads(1)
    net = trained(args.seed, args.keep)
    survey = surveyed(net, args.seed)
    about: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": "make shortcuts-isic",
        "versions": {name: version(name) for name in ("heatproof", "torch")},
        "seed": args.seed,
        "network": performance(survey),
    }
    begin = time.perf_counter()
    unnamed = investigate(survey)
    about["without a word"] = [told(one) for one in unnamed]
    about["seconds without a word"] = round(time.perf_counter() - begin)
    named = investigate(survey, artifacts={"colored sticker": STICKER, "sticker of strong color": STRONG}, look=False)
    about["with the color rule"] = [told(one) for one in named]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(plain(about), indent=1) + "\n", encoding="utf-8")
    write_pictures(drawing.pictures(named[-1], survey), "isic-sticker", ("edits", "effects"))
    if unnamed:
        write_pictures(drawing.pictures(unnamed[0], survey), "isic-found", ("exemplars",))
    print(json.dumps(about, indent=1, default=str))


def write_pictures(drawn: Mapping[str, bytes | None], name: str, kinds: Sequence[str]) -> None:
    """Write some of a finding's pictures, in 256 colors, since photographs make large PNGs."""
    for kind in kinds:
        if data := drawn[kind]:
            picture = Image.open(io.BytesIO(data)).convert("RGB").quantize(256)
            picture.save(IMAGES / f"{name}-{kind}.png", optimize=True)


def rows(part: str) -> list[tuple[Path, int, float]]:
    """Return the pictures of one part: file, melanoma or not, share of green and blue."""
    folder = Path(os.environ["HEATPROOF_DATA"]) / "isic2017"
    with (folder / "labels.csv").open(encoding="utf-8") as table:
        return [
            (folder / row["split"] / row["file"], int(row["melanoma"]), float(row["green_blue_area_fraction"]))
            for row in csv.DictReader(table)
            if row["split"] == part
        ]


def pictures(part: str) -> Tensor:
    """Return one part's pictures (n, 3, SIDE, SIDE), normalized."""
    prepare = preprocess()
    return torch.stack([prepare(read(path)).tensor for path, _, _ in track(rows(part), description=f"reading {part}")])


def preprocess() -> Preprocess:
    """Return what the network is given."""
    return Preprocess(resize=SIDE, crop=(SIDE, SIDE), mean=MEAN, std=STD)


def trained(seed: int, keep: Path | None) -> CellNet:
    """Return the network: both classes weigh the same in its loss, and half of each batch is flipped or turned."""
    net = CellNet(channels=3, classes=2, widths=WIDTHS).initialize(Generator().manual_seed(seed))
    if keep and keep.is_file():
        net.load_state_dict(torch.load(keep))
        return net.eval()
    generator = Generator().manual_seed(seed)
    x, y = pictures("train"), torch.tensor([label for _, label, _ in rows("train")])
    share = torch.stack([(y == 0).float().mean(), (y == 1).float().mean()])
    steps = len(y) // BATCH
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps)
    for _ in track(range(EPOCHS), description="training"):
        for chosen in torch.randperm(len(y), generator=generator)[: steps * BATCH].view(-1, BATCH):
            turns = torch.randint(4, (len(chosen),), generator=generator).tolist()
            batch = torch.stack([x[i].rot90(t, (1, 2)) for i, t in zip(chosen.tolist(), turns, strict=True)])
            batch = batch.flip(-1) if int(torch.randint(2, (), generator=generator)) else batch
            loss = F.cross_entropy(net(batch), y[chosen], weight=0.5 / share)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    if keep:
        torch.save(net.state_dict(), keep)
    return net.eval()


def surveyed(net: CellNet, seed: int) -> Survey:
    """Return the network's view of the held-out pictures and, since these are few, of some that it learned from."""
    val, learned = rows("val"), rows("train")
    # all melanomas and all stickers, and of the others as many as come first
    telling = [one for one in learned if one[1] or one[2] > LEAST]
    rest = [one for one in learned if not (one[1] or one[2] > LEAST)][: max(0, ASKED - len(val) - len(telling))]
    listed = val + telling + rest
    return open_survey(
        Model(net, preprocess=preprocess(), labels=LABELS, name="a small residual network"),
        [path for path, _, _ in listed],
        [label for _, label, _ in listed],
        columns={
            "part": ["val"] * len(val) + ["train"] * (len(listed) - len(val)),
            "sticker (table)": [share > LEAST for _, _, share in listed],
        },
        seed=seed,
    )


def performance(survey: Survey) -> dict[str, float]:
    """Return how well the network does, on each part."""
    found: dict[str, float] = {"parameters": sum(p.numel() for p in survey.model.net.parameters())}
    odds = survey.log_odds(survey.outputs, 1)
    for part in ("val", "train"):
        mine = torch.tensor([one == part for one in survey.columns["part"]])
        found[f"AUROC {part}"] = round(float(roc_auc_score(survey.labels[mine], odds[mine])), 3)
        found[f"pictures {part}"] = int(mine.sum())
    stickers = torch.tensor(survey.columns["sticker (table)"])
    found["stickers on benign"] = int((stickers & (survey.labels == 0)).sum())
    found["stickers on melanoma"] = int((stickers & (survey.labels == 1)).sum())
    benign = survey.labels == 0
    found["mean log odds of melanoma, benign with sticker"] = round(float(odds[benign & stickers].mean()), 2)
    found["mean log odds of melanoma, benign without"] = round(float(odds[benign & ~stickers].mean()), 2)
    return found


def told(finding: Finding) -> dict[str, Any]:
    """Return a finding in numbers."""
    return {
        "name": finding.candidate.name,
        "kind": finding.candidate.kind,
        "class": LABELS[finding.candidate.label],
        "present": int(finding.candidate.present.sum()),
        "verdict": finding.verdict,
        "why": finding.result.why,
        "effects": {
            name: {
                "mean": round(one.interval.estimate, 3),
                "low": round(one.interval.low, 3),
                "high": round(one.interval.high, 3),
                "p": round(one.p, 4),
                "flips": [round(v, 3) for v in one.flips],
                "n": one.n,
            }
            for name, one in finding.effects.items()
        },
        "table": finding.table,
        "subgroups": finding.subgroups,
        "forwards per input": round(finding.result.forwards, 1),
    }


if __name__ == "__main__":
    main()
