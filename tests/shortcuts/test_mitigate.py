"""What a team does next: lists and sets are as they should be, and training on counterfactuals takes the habit away."""

import pytest
import torch
from tests.shortcuts.blobs import Blobs, Reads, blobs
from tests.shortcuts.test_intervene import surveyed

from heatproof.errors import UsageError
from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model
from heatproof.shortcuts import Finding, Survey, open_survey
from heatproof.shortcuts.find import investigate
from heatproof.shortcuts.mitigate import affected, challenge_set, compare, counterfactuals, right_reasons_loss
from heatproof.synthetic._dermoscopy import draw
from heatproof.synthetic._fit import fit


@pytest.fixture(scope="module")
def data() -> Blobs:
    return blobs(80)


@pytest.fixture(scope="module")
def survey(data: Blobs) -> Survey:
    return surveyed(data, Reads(blue=20.0, dark=2.0, offset=0.3))


@pytest.fixture(scope="module")
def finding(data: Blobs, survey: Survey) -> Finding:
    return investigate(survey, artifacts={"patch": list(data.patch.numpy())}, look=False)[0]


def test_the_affected_are_those_that_show_it_and_the_worst_come_first(
    data: Blobs, survey: Survey, finding: Finding
) -> None:
    rows = affected(finding, survey)
    assert len(rows) == int(data.has.sum())
    effects = [row["effect"] for row in rows]
    assert effects == sorted(effects, reverse=True)


def test_counterfactuals_turn_the_feature_around_and_keep_the_label(
    data: Blobs, survey: Survey, finding: Finding
) -> None:
    made = counterfactuals(finding, survey)
    assert sorted(made.rows) == list(range(80))
    blue = (made.inputs[:, 2] - made.inputs[:, 0] > 0.3).flatten(1).float().mean(1) > 0.02
    assert blue.tolist() == list(made.has)
    assert [bool(data.has[r]) for r in made.rows] == [not h for h in made.has]
    assert list(made.labels) == data.labels[list(made.rows)].tolist()


def test_in_the_challenge_set_the_feature_says_nothing(data: Blobs, survey: Survey, finding: Finding) -> None:
    made = challenge_set(finding, survey)
    cells = [(label, has) for label, has in zip(made.labels, made.has, strict=True)]
    counts = {cell: cells.count(cell) for cell in set(cells)}
    assert set(counts.values()) == {20}
    assert len(counts) == 4
    assert len(set(made.rows)) == len(made.rows)
    # the network that reads the patch is no better than chance there
    right = survey.run(made.inputs).argmax(1) == torch.tensor(made.labels)
    assert float(right.float().mean()) < 0.65


def test_the_loss_is_the_share_of_squared_evidence_in_the_wrong_place(data: Blobs) -> None:
    net = Reads(blue=20.0, dark=20.0)
    rows = data.has.nonzero().flatten()[:6]
    x, wrong = data.pictures[rows], data.patch[rows]
    loss = right_reasons_loss(net, x, wrong, [1] * 6, layer="relu")
    with torch.no_grad():
        active = net.relu(net.conv(x))
        evidence = (20.0 * active).sum(1).square()
        exact = ((evidence * wrong).flatten(1).sum(1) / evidence.flatten(1).sum(1)).mean()
    assert loss.item() == pytest.approx(float(exact), rel=1e-4)
    loss.backward()
    assert net.head.weight.grad is not None
    assert float(net.head.weight.grad[1, 0]) > 0  # less weight on blue makes it smaller
    assert right_reasons_loss(net, x, torch.zeros_like(wrong), [1] * 6, layer="relu").item() == 0.0


def test_findings_about_other_inputs_cannot_be_compared(survey: Survey, finding: Finding) -> None:
    other = blobs(60)
    second = surveyed(other, Reads(blue=20.0, offset=0.3))
    after = investigate(second, artifacts={"patch": list(other.patch.numpy())}, look=False)[0]
    with pytest.raises(UsageError, match="80 and 60 inputs"):
        compare(finding, after, survey)


@pytest.mark.slow
def test_training_on_counterfactuals_takes_the_ruler_habit_away() -> None:
    """The network that leaned on the ruler, trained on with its counterfactuals, no longer does."""
    prepare = Preprocess(mean=(0.5,) * 3, std=(1.0,) * 3)
    learned = draw(300, 1, {"ruler": (0.05, 0.95)}, cue=0.8)
    seen = draw(160, 2, {"ruler": (0.05, 0.95)}, cue=0.8)

    def surveyed_on(net: torch.nn.Module, lesions) -> Survey:
        return open_survey(
            Model(net, preprocess=prepare), list(lesions.pictures), lesions.labels.tolist(),
            annotations=list(lesions.lesion.numpy()),
        )  # fmt: skip

    net = fit(learned.pictures, learned.labels, epochs=6)
    survey = surveyed_on(net, seen)
    masks = list(seen.masks["ruler"].numpy())
    before = investigate(survey, artifacts={"ruler": masks}, look=False)[0]
    assert before.verdict == "confirmed"

    on_learned = surveyed_on(net, learned)
    named = investigate(on_learned, artifacts={"ruler": list(learned.masks["ruler"].numpy())}, look=False)[0]
    made = counterfactuals(named, on_learned)
    x = torch.cat([learned.pictures, made.inputs + 0.5])
    y = torch.cat([learned.labels, torch.tensor(made.labels)])
    mended = fit(x, y, epochs=6, seed=1)
    after = investigate(surveyed_on(mended, seen), artifacts={"ruler": masks}, look=False)[0]
    assert after.verdict != "confirmed"
    gain = compare(before, after, survey)
    assert all(one.low > 0.25 for name, one in gain.items() if name.startswith(("remove", "paste (against neutral")))
    plain = draw(160, 2, {}, cue=0.8).pictures - 0.5
    with torch.no_grad():
        old, new = (float((n(plain).argmax(1) == seen.labels).float().mean()) for n in (net, mended))
    assert new > old + 0.1
