"""The bundled lesion networks: the one that learned from rulers leans on them, the one that could not does not."""

import pytest
import torch

from heatproof.demo.lesions import ARTIFACTS, CUE
from heatproof.models import load
from heatproof.shortcuts import Survey, open_survey
from heatproof.shortcuts.find import investigate
from heatproof.synthetic import Lesions, draw


@pytest.fixture(scope="module")
def seen() -> Lesions:
    return draw(120, 11, ARTIFACTS["ordinary"], cue=CUE)


def surveyed(name: str, seen: Lesions) -> Survey:
    return open_survey(
        load(f"bundled:{name}"), list(seen.pictures), seen.labels.tolist(), annotations=list(seen.lesion.numpy())
    )


def test_a_ruler_beside_95_to_5_is_confirmed_and_pasting_one_flips_decisions(seen: Lesions) -> None:
    found = investigate(
        surveyed("lesions_shortcut", seen), artifacts={"ruler": list(seen.masks["ruler"].numpy())}, look=False
    )[0]
    assert found.verdict == "confirmed"
    treated, control = found.effects["paste (against neutral)"].flips
    assert treated > 0.8
    assert control < 0.1


def test_a_ruler_beside_every_second_is_not_relied_on_though_it_goes_with_the_class_here(seen: Lesions) -> None:
    found = investigate(
        surveyed("lesions_clean", seen), artifacts={"ruler": list(seen.masks["ruler"].numpy())}, look=False
    )[0]
    assert found.verdict == "not reliant"
    assert found.table["odds ratio"].low > 20


def test_five_candidates_on_two_hundred_inputs_cost_less_than_sixty_forwards_each() -> None:
    seen = draw(200, 12, ARTIFACTS["ordinary"], cue=CUE)
    survey = surveyed("lesions_shortcut", seen)
    suspects = {"ruler": list(seen.masks["ruler"].numpy()), "hairs": list(seen.masks["hairs"].numpy())}
    before = torch.zeros(1)
    survey.model.net.register_forward_hook(lambda m, i, o: before.add_(len(o)))
    findings = investigate(survey, artifacts={**suspects, "a": "color", "b": "brightness", "c": "contrast"}, look=False)
    assert len(findings) == 5
    assert sum(one.result.forwards for one in findings) <= 60
