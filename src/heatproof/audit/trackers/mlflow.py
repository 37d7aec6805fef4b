"""Log a finished run to MLflow: numbers as metrics, verdicts as tags, the plan's choices as parameters, the report."""

import time
from pathlib import Path
from typing import Any

import heatproof
from heatproof.audit.trackers._numbers import FILES, numbers_of, open_run, settings_of, tidy, verdicts_of
from heatproof.errors import MissingExtraError, UsageError

_BATCH = 900  # MLflow takes up to 1,000 metrics in a call
_LONGEST = 500  # letters of a parameter or tag


def log_run(
    run: str | Path,
    *,
    tracking_uri: str | None = None,
    experiment: str = "heatproof",
    run_name: str | None = None,
    run_id: str | None = None,
    step: int = 0,
) -> str:
    """Log a run folder and return the id of the MLflow run.

    Args:
        run: folder of a finished audit.
        tracking_uri: of the MLflow server or store; None: as MLflow is set up.
        experiment: its name; made where there is none.
        run_name: of a new MLflow run; by default the folder's name.
        run_id: of an MLflow run to log to, such as the training's; it is left running.
        step: of the metrics.

    Raises:
        MissingExtraError: MLflow is not installed.
        InputError: the folder holds no finished run.
        UsageError: `run_id` and `run_name` are both given.
    """
    if run_id is not None and run_name is not None:
        raise UsageError(f"run_id {run_id!r} is there already and keeps its name; leave run_name {run_name!r} out.")
    folder, rows = open_run(run)
    client = _client(tracking_uri)
    mine = run_id is None
    if run_id is None:
        run_id = str(
            client.create_run(_experiment(client, experiment), run_name=run_name or folder.path.name).info.run_id
        )
    status = "FAILED"
    try:
        _log(client, run_id, folder.path, numbers_of(folder, rows), verdicts_of(rows), settings_of(folder), step)
        status = "FINISHED"
    finally:
        if mine:
            client.set_terminated(run_id, status)
    return run_id


def _log(
    client: Any,
    run_id: str,
    path: Path,
    numbers: dict[str, float],
    verdicts: dict[str, str],
    settings: dict[str, str],
    step: int,
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    # "=" is no letter of MLflow's names
    metrics = [Metric(f"heatproof/{name.replace('=', '-')}", value, now, step) for name, value in numbers.items()]
    tags = {f"heatproof.{tidy(name.replace('/', '.'))}".replace("=", "-"): word for name, word in verdicts.items()}
    tags["heatproof.version"] = heatproof.__version__
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
    client.log_batch(
        run_id,
        params=[Param(f"heatproof.{name}", value[:_LONGEST]) for name, value in settings.items()] if step == 0 else [],
        tags=[RunTag(name, word[:_LONGEST]) for name, word in tags.items()],
    )
    for name in FILES:
        if (path / name).is_file():
            client.log_artifact(run_id, str(path / name), f"heatproof/{path.name}")


def _client(tracking_uri: str | None) -> Any:
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise MissingExtraError("mlflow", "mlflow") from error
    return MlflowClient(tracking_uri)


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if found is None else found.experiment_id)
