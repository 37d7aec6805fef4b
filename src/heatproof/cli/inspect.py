"""Check a model before explaining it: preprocessing, labels, what it predicts, its layers."""

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.cli import _options
from heatproof.cli._batches import CHUNK, Skipped, each_or_alone, find_files, in_batches
from heatproof.cli._output import print_json, print_table, progress
from heatproof.cli._scores import all_scores
from heatproof.cli._truth import read_truth
from heatproof.errors import TargetError

if TYPE_CHECKING:
    from heatproof.explain import Explainer
    from heatproof.models import Model
    from heatproof.types import Input

_TOP = 5
_ALTERNATIVES = 8
_Z = 1.959964  # two-sided 95 %


def command(
    model: _options.ModelSpec,
    data: Annotated[
        Path | None,
        typer.Argument(help="An input; or labelled ones: a CSV with the columns file and label, or class folders."),
    ] = None,
    batch_size: _options.BatchSize = "auto",
    device: _options.Device = "auto",
    arch: _options.Arch = None,
    labels: _options.Labels = None,
    preprocess: _options.Preprocess = None,
    in_chans: _options.InChans = None,
    as_json: _options.Json = False,
) -> None:
    """Check MODEL before explaining it: is it loaded, fed and labelled as it was trained?

    Wrong preprocessing or shuffled labels do not raise errors; they show here, as a wrong top five or an accuracy near
    chance.
    """
    import heatproof

    limit = _options.batch_limit(batch_size)
    skipped = Skipped()
    loaded = _options.load_model(model, arch, labels, preprocess, in_chans, device)
    explainer = heatproof.Explainer(loaded, batch_size=limit)
    report: dict[str, Any] = _about_model(loaded)
    truth = read_truth(data, loaded, skipped) if data else None
    files = list(truth) if truth else find_files([str(data)], skipped) if data else []
    done = 0
    with progress(len(files), "inspecting") as bar:
        correct = 0
        for paths, inputs in in_batches(files if truth else files[:1], limit or CHUNK, skipped):
            batches = each_or_alone(lambda batch: all_scores(explainer, batch), paths, inputs, skipped, first=not done)
            for kept, scores in batches:
                if not done:
                    shown = inputs[paths.index(kept[0])]
                    report |= _about_input(explainer, shown, scores[0]) | {"layers": _about_layers(explainer, shown)}
                done += len(kept)
                if truth:
                    wanted = [truth[path] for path in kept]
                    if max(wanted) >= scores.shape[1]:
                        raise TargetError(
                            f"{data} names class {max(wanted)}, but the model has {scores.shape[1]} classes, 0 to "
                            f"{scores.shape[1] - 1}."
                        )
                    correct += int((scores.argmax(1).cpu().numpy() == wanted).sum())
            bar.advance(len(inputs))
    if not done:
        noise = _noise(loaded)
        report["layers"] = _about_layers(explainer, noise) if noise is not None and data is None else None
    if truth and done:
        report["accuracy"] = accuracy_against_chance(
            correct, [truth[p] for p in truth if str(p) not in skipped.reasons]
        )
    if as_json:
        print_json({**report, "skipped": skipped.reasons})
    else:
        _print(report)
    skipped.report()
    raise typer.Exit(skipped.exit_code(done))


def _about_model(model: "Model") -> dict[str, Any]:
    step = model.preprocess
    return {
        "model": model.name,
        "source": model.source,
        "network": type(model.net).__name__,
        "parameters": sum(p.numel() for p in model.net.parameters()),
        "preprocess": asdict(step) if is_dataclass(step) and not isinstance(step, type) else step and repr(step),
        "labels": None if model.labels is None else {"count": len(model.labels), "first": model.labels[:_TOP]},
    }


def _about_input(explainer: "Explainer", given: "Input", scores: Any) -> dict[str, Any]:
    top = scores.topk(min(_TOP, len(scores)))
    shares = scores.softmax(0) if len(scores) > 1 else scores.sigmoid()
    return {
        "input": {
            "name": given.name,
            "size": given.size,
            "channels": given.channels,
            "prepared": tuple(explainer.model.prepare(given).tensor.shape),
        },
        "top": [
            {"index": index, "name": explainer.model.label(index), "score": score, "probability": float(shares[index])}
            for index, score in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ],
    }


def _about_layers(explainer: "Explainer", given: "Input") -> dict[str, Any]:
    """Return the layer that is chosen for the predicted class, and the others that have a grid."""
    from heatproof.explain.gather import gather

    explanation = explainer([given])
    batch = next(gather([given], explainer.model, 1)).batch
    others = [layer for layer in explainer.engine.alternatives(batch) if layer.title != explanation.layer]
    return {
        "on": given.name,
        "chosen": {"name": explanation.layer, **asdict(explanation.resolution)},
        "alternatives": [
            {"name": layer.title, "grid": layer.layout.grid, "receptive_field": layer.reach} for layer in others
        ],
    }


def _noise(model: "Model") -> "Input | None":
    """Return a seeded noise picture of the size that the model's preprocessing names; None if it names none."""
    import torch

    from heatproof.inputs import Preprocess, from_tensor

    step = model.preprocess
    if not isinstance(step, Preprocess) or step.mean is None:
        return None
    size = step.crop or (step.resize if isinstance(step.resize, tuple) else None)
    if size is None:
        return None
    values = torch.rand((len(step.mean), *size), generator=torch.Generator().manual_seed(0))
    return from_tensor(values, name="noise")


def accuracy_against_chance(correct: int, truth: list[int]) -> dict[str, Any]:
    """Return the accuracy, its 95 % interval (Wilson 1927) and what always naming the commonest class would score."""
    n = len(truth)
    share = correct / n
    center = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * (share * (1 - share) / n + _Z**2 / (4 * n**2)) ** 0.5
    chance = max(truth.count(label) for label in set(truth)) / n
    return {
        "n": n,
        "accuracy": share,
        "interval": (center - half, center + half),
        "chance": chance,
        "near_chance": center - half <= chance,
    }


def _print(report: dict[str, Any]) -> None:
    rows = [
        ("model", f"{report['model']} ({report['network']}, {report['parameters']:,} parameters)"),
        ("preprocess", _text(report["preprocess"]) or "none: inputs go in as they are"),
        ("labels", _labels(report["labels"])),
    ]
    if "input" in report:
        given = report["input"]
        rows.append(
            ("input", f"{given['name']}, {_by(given['size'])}, given to the network as {_by(given['prepared'])}")
        )
    for name, value in rows:
        typer.echo(f"{name:11} {value}")
    if "top" in report:
        typer.echo()
        print_table(
            ("class", "name", "score", "probability"),
            [(t["index"], t["name"], f"{t['score']:.3f}", f"{t['probability']:.3f}") for t in report["top"]],
        )
    typer.echo()
    _print_layers(report.get("layers"))
    if "accuracy" in report:
        found = report["accuracy"]
        low, high = found["interval"]
        typer.echo(
            f"\naccuracy    {found['accuracy']:.1%} of {found['n']} (95 % interval {low:.1%} to {high:.1%}); "
            f"always naming the commonest class: {found['chance']:.1%}"
        )
        if found["near_chance"]:
            typer.secho(
                "warning: that is not above chance. Check the preprocessing, the order of the labels, and the weights "
                "before believing any map of this model.",
                fg=typer.colors.YELLOW,
                err=True,
            )


def _print_layers(layers: dict[str, Any] | None) -> None:
    if layers is None:
        typer.echo("layers      need an input to be found: heatproof inspect MODEL INPUT")
        return
    chosen = layers["chosen"]
    rows = [(f"{chosen['name']} (chosen)", _by(chosen["grid"]), _reach(chosen["receptive_field"]))]
    rows += [(a["name"], _by(a["grid"]), _reach(a["receptive_field"])) for a in layers["alternatives"][:_ALTERNATIVES]]
    print_table(("layer", "grid", "receptive field"), rows)
    more = len(layers["alternatives"]) - _ALTERNATIVES
    if more > 0:
        typer.echo(f"... and {more} earlier layers (--json lists all)")


def _reach(field: tuple[int | float, ...] | None) -> str:
    return "the whole input" if field is None else _by(field)


def _by(sizes: tuple[int | float, ...]) -> str:
    return " x ".join(f"{size:g}" for size in sizes)


def _labels(labels: dict[str, Any] | None) -> str:
    if labels is None:
        return "none: classes are named by their index"
    return f"{labels['count']}: {', '.join(labels['first'])}" + (
        ", ..." if labels["count"] > len(labels["first"]) else ""
    )


def _text(preprocess: dict[str, Any] | str | None) -> str | None:
    if isinstance(preprocess, dict):
        return ", ".join(f"{name} {value}" for name, value in preprocess.items() if value is not None)
    return preprocess
