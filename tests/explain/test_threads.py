"""Many threads explain one network, while another trains it: serial answers, and nothing disturbed."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.odd_models import Small, everything, make, pictures
from torch import Tensor

from heatproof.explain import Explainer


@pytest.mark.parametrize(
    "name",
    ["plain", "counts in buffers", "caches activations", "old spectral_norm", "patched whole", "patched by global"],
)
def test_eight_threads_get_the_serial_answers(name: str) -> None:
    net = make(name)
    inputs = [pictures(2, side, seed) for seed, side in enumerate([10, 10, 12, 10, 14])]
    serial = [Explainer(net)(x, target=[[0, 1]] * 2).maps for x in inputs]
    shared, before = Explainer(net), everything(net)

    def work(worker: int) -> list[tuple[int, Tensor]]:
        return [(i, shared(inputs[i], target=[[0, 1]] * 2).maps) for i in ((worker + step) % 5 for step in range(50))]

    with ThreadPoolExecutor(8) as pool:
        answers = [answer for part in pool.map(work, range(8)) for answer in part]
    assert len(answers) == 400
    for i, maps in answers:
        torch.testing.assert_close(maps, serial[i], rtol=1e-6, atol=1e-8)
    assert everything(net) == before


def test_replays_of_one_capture_in_many_threads() -> None:
    """The first replay prepares the others: they wait for it."""
    net = make("module twice").eval()

    def method(capture) -> Tensor:
        rows = [torch.tensor([i % 3, (i + 1) % 3]) for i in range(16)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda r: capture.replay(capture.activations[r] * 0.5, r), rows))
        expected = [capture.replay(capture.activations[r] * 0.5, r) for r in rows]
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)
        return capture.activations.mean(1, keepdim=True)

    Explainer(net, layer="again", method=method)(pictures())


def _train(net: Small, steps: int) -> list[Tensor]:
    """Train with dropout off (its draws are global) and momentum; return the losses."""
    net.train()
    net.drop.eval()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses: list[Tensor] = []
    for step in range(steps):
        x, y = pictures(4, seed=step), torch.tensor([0, 1, 2, 3])
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses


def test_training_in_another_thread_is_not_disturbed_and_does_not_disturb() -> None:
    """The optimizer writes in place over the shared parameters, also between our forward and our backward."""
    net = make("plain")
    alone = copy.deepcopy(net)
    expected = _train(alone, 150)
    found: list[list[Tensor]] = []
    trainer = threading.Thread(target=lambda: found.append(_train(net, 150)))
    explainer = Explainer(net)
    explanations = 0
    trainer.start()
    while trainer.is_alive():
        maps = explainer(pictures(), target=[[0, 1]] * 3).maps
        assert bool(maps.isfinite().all())
        explanations += 1
    trainer.join()
    assert explanations > 5
    assert torch.equal(torch.stack(found[0]), torch.stack(expected))
    for mine, theirs in zip(net.state_dict().values(), alone.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert net.training
    final = explainer(pictures(), target=1)  # and afterwards it has the trained weights and statistics
    torch.testing.assert_close(final.maps, Explainer(alone)(pictures(), target=1).maps)
