"""Hold a model against the laws of physics: symmetries, known regions, simulators."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.cli import _gates, _options
from heatproof.cli._batches import Skipped, find_files
from heatproof.cli._laws import read_laws, write_template
from heatproof.cli._output import print_answers, print_json, steps
from heatproof.errors import InputError, UsageError

if TYPE_CHECKING:
    from heatproof.types import CheckResult, Input


def command(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="As for `heatproof check`.")] = None,
    data: Annotated[
        list[str] | None, typer.Argument(metavar="[DATA...]", help="Files, folders and patterns: signals, fields.")
    ] = None,
    laws: Annotated[
        Path | None, typer.Option(help="Python file with the laws; --init writes one to start from.")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Write a file with laws to start from, and stop.")] = None,
    example: Annotated[
        str | None,
        typer.Option(help="Tell the story of a simulated system: spectra, ising, vortex, shocks or rhythm."),
    ] = None,
    target: _gates.Target = None,
    method: Annotated[str, typer.Option(help="Method that makes the maps, see `heatproof methods`.")] = "gradcam",
    layer: _gates.Layer = None,
    seed: _gates.Seed = 0,
    alpha: Annotated[float, typer.Option(help="Error rate of all verdicts together.")] = 0.05,
    out: _gates.Out = None,
    fail_on: Annotated[list[str] | None, _gates.fail_on(_gates.CHECKS)] = None,
    device: _options.Device = "auto",
    arch: _options.Arch = None,
    labels: _options.Labels = None,
    preprocess: _options.Preprocess = None,
    in_chans: _options.InChans = None,
    as_json: _options.Json = False,
) -> None:
    """Ask whether MODEL keeps the laws that --laws names on DATA, and whether its maps lie where physics says.

    The file with laws is Python and is run. A passed law is necessary, not sufficient.
    """
    if init is not None:
        write_template(init)
        typer.echo(f"-> {init}: edit it, then run `heatproof physics MODEL DATA --laws {init}`")
        return
    _gates.refuse(alpha, out)
    failing = _gates.failing(fail_on, _gates.CHECKS)
    if example is not None:
        _tell(example, seed, out, as_json)
        return
    if model is None or not data or laws is None:
        raise UsageError(
            "Give MODEL, DATA and --laws FILE; or --init FILE to write one, or --example vortex to see one."
        )
    import heatproof

    skipped = Skipped()
    known = read_laws(laws)
    inputs = _read(data, known.read, skipped)
    loaded = _options.load_model(model, arch, labels, preprocess, in_chans, device)
    names = [*(["symmetry"] if known.laws else []), *(["physics"] if known.physics.keys() - {"edit"} else [])]
    settings: dict[str, dict[str, Any]] = {"symmetry": {"laws": known.laws}, "physics": known.physics}
    results: list[CheckResult] = []
    if inputs:
        with steps(len(names)) as begin:
            results = heatproof.check(
                loaded,
                inputs,
                names,
                target=int(target) if target and target.lstrip("-").isdecimal() else target,
                method=method,
                layer=layer or None,
                seed=seed,
                alpha=alpha,
                settings={name: settings[name] for name in names},
                progress=begin,
            )
    about = {"model": loaded.name, "method": method, "inputs": len(inputs), "skipped": skipped.reasons}
    _show(results, out, as_json, about)
    skipped.report()
    failed = [f"{one.claim} is {one.verdict}" for one in results if one.verdict in failing]
    raise _gates.leave(failed, skipped.exit_code(len(results)))


def _read(data: list[str], options: dict[str, Any], skipped: Skipped) -> "list[Input]":
    from heatproof.inputs import read

    found: list[Input] = []
    for file in find_files(data, skipped):
        try:
            one = read(file, **options)
        except InputError as error:
            skipped.reasons[str(file)] = str(error)
            continue
        except TypeError as error:
            raise UsageError(f"READ in the file with laws does not fit: {error}.") from error
        found.append(one)
    return found


def _show(results: "list[CheckResult]", out: Path | None, as_json: bool, about: dict[str, Any]) -> None:
    from heatproof.report.checks import checks_document, save_checks

    if results and out:
        save_checks(results, out, **about)
    if as_json:
        print_json(checks_document(results, **about))
    elif results:
        print_answers(results)
        if out:
            typer.echo(f"-> {out}")


def _tell(name: str, seed: int, out: Path | None, as_json: bool) -> None:
    from heatproof.synthetic.systems._story import STEPS, tell

    with steps(STEPS) as begin:
        told = tell(name, seed=seed, out=out, progress=begin)
    if as_json:
        print_json(told.document())
        return
    typer.echo(told.sentence)
    for kind, results in told.results.items():
        typer.secho(f"\n{kind}: {told.about[kind]}", bold=True)
        print_answers(results)
    if out:
        typer.echo(f"-> {out}")
