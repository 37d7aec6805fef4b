"""The ruler story: two networks that are right equally often, and the one that reads the ruler is unmasked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from heatproof.demo.gallery import Gallery, drawn, legend, panel
from heatproof.explain import explain
from heatproof.models import Model, load
from heatproof.report.color import Scale
from heatproof.report.view import THRESHOLD
from heatproof.shortcuts import Finding, open_survey
from heatproof.shortcuts.find import investigate
from heatproof.synthetic._dermoscopy import LABELS, Lesions, draw

CUE = 0.6
"""Strength of the true cue: a network that learns it is right nineteen times out of twenty."""
TEST_SEED = 2
_HAIRS = (0.5, 0.5)
ARTIFACTS = {
    "ordinary": {"ruler": (0.05, 0.95), "hairs": _HAIRS},
    "even": {"ruler": (0.5, 0.5), "hairs": _HAIRS},
    "reversed": {"ruler": (0.95, 0.05), "hairs": _HAIRS},
}
"""What lies beside the lesions: the probability for a benign and for a malignant one."""
NETWORKS = {"lesions_shortcut": "network A", "lesions_clean": "network B"}
STEPS = len(NETWORKS)
_ASKED, _COUNTED, _SEED = 160, 400, 3
_SHOWN, _ZOOM = 3, 3


@dataclass(frozen=True, eq=False)
class Unmasked:
    """What was found out about one network.

    Attributes:
        title: what the page calls it.
        model: its name.
        accuracy: kind of test set -> share named rightly.
        findings: what it may lean on, the most suspicious first.
    """

    title: str
    model: Model
    accuracy: dict[str, float]
    findings: list[Finding]

    @property
    def confirmed(self) -> list[Finding]:
        """The shortcuts that experiments confirmed."""
        return [one for one in self.findings if one.verdict == "confirmed"]


def ask(advance: Callable[[], None]) -> tuple[Lesions, list[Unmasked]]:
    """Return pictures that neither network saw, and what `find_shortcuts` says of each network; nothing is named."""
    seen = draw(_ASKED, _SEED, ARTIFACTS["ordinary"], cue=CUE)
    tests = {kind: draw(_COUNTED, TEST_SEED, artifacts, cue=CUE) for kind, artifacts in ARTIFACTS.items()}
    found: list[Unmasked] = []
    for name, title in NETWORKS.items():
        model = load(f"bundled:{name}")
        survey = open_survey(model, list(seen.pictures), seen.labels.tolist(), annotations=list(seen.lesion.numpy()))
        accuracy = {kind: _right(model, test) for kind, test in tests.items()}
        found.append(Unmasked(title, model, accuracy, investigate(survey)))
        advance()
    return seen, found


def show(seen: Lesions, networks: list[Unmasked], gallery: Gallery) -> dict[str, Any]:
    """Draw malignant pictures with a ruler, both networks' maps of them, and the same without the ruler."""
    with_ruler = seen.has["ruler"] & (seen.labels == 1)
    rows = with_ruler.nonzero().flatten()[:: max(1, int(with_ruler.sum()) // _SHOWN)][:_SHOWN].tolist()
    x = list(seen.pictures[rows])
    # the same seed without rulers: the same lesions, hairs and light
    bare = draw(_ASKED, _SEED, {"hairs": _HAIRS}, cue=CUE).pictures[rows]
    maps = [explain(one.model, x, "malignant") for one in networks]
    chances = [(_chance(one.model, seen.pictures[rows]), _chance(one.model, bare)) for one in networks]
    vmax = [float(ex.maps.max()) for ex in maps]
    shown: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        shown.append(
            {
                "title": f"lesion {row}, malignant",
                "picture": gallery.add(f"lesion-{i + 1}", panel(_image(seen.pictures[row]), _ZOOM)),
                "bare": gallery.add(f"lesion-{i + 1}-bare", panel(_image(bare[i]), _ZOOM)),
                "networks": [
                    {
                        "title": one.title,
                        "map": gallery.add(f"lesion-{i + 1}-{one.model.name}", panel(drawn(ex, i, top), _ZOOM)),
                        "with": chance[0][i],
                        "without": chance[1][i],
                    }
                    for one, ex, top, chance in zip(networks, maps, vmax, chances, strict=True)
                ],
            }
        )
    return {
        "rows": shown,
        "asked": _ASKED,
        "counted": _COUNTED,
        "networks": [
            {
                "title": one.title,
                "accuracy": one.accuracy,
                "confirmed": [finding.candidate.name for finding in one.confirmed],
                "findings": [
                    {"name": f.candidate.name, "verdict": f.verdict, "why": f.result.why} for f in one.findings
                ],
                "legend": legend(Scale(top, THRESHOLD)),
            }
            for one, top in zip(networks, vmax, strict=True)
        ],
    }


def summarize(networks: list[Unmasked]) -> str:
    """Return the result as one sentence."""
    told = " and ".join(f"{one.title} {one.accuracy['ordinary']:.0%}" for one in networks)
    leans = [one for one in networks if one.confirmed]
    if not leans:
        return f"On ordinary pictures both are right alike ({told}); no shortcut was confirmed in either."
    who = " and ".join(one.title for one in leans)
    falls = ", ".join(f"{one.accuracy['reversed']:.0%}" for one in leans)
    return (
        f"On ordinary pictures both are right alike ({told}), but {who} leans on the ruler: experiments confirm it, "
        f"and where rulers lie beside benign lesions instead, it is right only {falls} of the time."
    )


def _right(model: Model, test: Lesions) -> float:
    with torch.inference_mode():
        return float((model.net(test.pictures - 0.5).argmax(1) == test.labels).float().mean())


def _chance(model: Model, pictures: Float[Tensor, "n 3 h w"]) -> list[float]:
    """Return the probability of "malignant" that the network gives each picture."""
    with torch.inference_mode():
        return model.net(pictures - 0.5).softmax(1)[:, LABELS.index("malignant")].tolist()


def _image(picture: Float[Tensor, "3 h w"]) -> Image.Image:
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
