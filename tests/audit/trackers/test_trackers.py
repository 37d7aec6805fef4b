"""A run in TensorBoard (the real package), in MLflow (its calls recorded), and in a real Lightning training."""

import sys
import types
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from tests.audit.runs import LABELS, answer, candidate, measure, row, write_run

from heatproof.audit.trackers._numbers import numbers_of, open_run, tidy
from heatproof.errors import InputError, MissingExtraError, UsageError

RESULTS = [
    answer("sanity", estimate=0.3),
    answer("faithfulness", "inconclusive", primary=False),
    answer("faithfulness", subgroup=("site", "A b/c"), primary=False),
    measure("accuracy", 0.9, half=0.05),
    candidate("ruler, outlined", "confirmed"),
]


def a_run(folder):
    return write_run(folder, [row(i, LABELS[i % 2], LABELS[i % 2]) for i in range(4)], RESULTS, failures=2)


def test_names_are_of_letters_that_every_tracker_takes():
    assert tidy("ruler, outlined / é") == "ruler_outlined"
    assert tidy("site=A b") == "site=A_b"
    assert tidy("§") == "_"


def test_no_name_is_the_folder_of_another(tmp_path):
    folder, rows = open_run(a_run(tmp_path / "run"))
    names = numbers_of(folder, rows)
    assert not [(a, b) for a in names for b in names if b.startswith(f"{a}/")], (
        "MLflow's file store takes no such names"
    )


def test_tensorboard_holds_the_numbers_and_the_verdicts(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from heatproof.audit.trackers import tensorboard

    logs = tensorboard.log_run(a_run(tmp_path / "run"), tmp_path / "logs", step=7)
    found = EventAccumulator(str(logs))
    found.Reload()
    scalars = {
        name: [(one.step, round(one.value, 4)) for one in found.Scalars(name)] for name in found.Tags()["scalars"]
    }
    assert scalars["heatproof/performance/accuracy/estimate"] == [(7, 0.9)]
    assert scalars["heatproof/performance/accuracy/low"] == [(7, 0.85)]
    assert scalars["heatproof/sanity/estimate"] == [(7, 0.3)]
    assert scalars["heatproof/inputs/analyzed"] == [(7, 4.0)]
    assert scalars["heatproof/inputs/failed"] == [(7, 2.0)]
    assert "heatproof/faithfulness/site=A_b_c/estimate" in scalars
    (text,) = found.Tensors("heatproof/text_summary")
    said = text.tensor_proto.string_val[0].decode()
    assert "| shortcuts/ruler\\_outlined | confirmed |" in said or "| shortcuts/ruler_outlined | confirmed |" in said
    assert "| sanity | supports |" in said
    assert "faithfulness" not in said, "what was not planned has no verdict"


@dataclass
class Named:
    """Stands for MLflow's Metric, Param and RunTag, which take their key and value first."""

    key: str
    value: object
    timestamp: int = 0
    step: int = 0


class Client:
    """Records the calls of `mlflow.MlflowClient` with the signatures of MLflow 3.17."""

    made: ClassVar[list["Client"]] = []

    def __init__(self, tracking_uri=None):
        self.tracking_uri, self.metrics, self.params, self.tags = tracking_uri, [], [], []
        self.artifacts, self.ended, self.experiments = [], [], []
        Client.made.append(self)

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        self.experiments.append(name)
        return "12"

    def create_run(self, experiment_id, start_time=None, tags=None, run_name=None):
        assert experiment_id == "12"
        self.name = run_name
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="abc"))

    def log_batch(self, run_id, metrics=(), params=(), tags=(), synchronous=None):
        assert len(metrics) <= 1000
        assert len(params) <= 100
        self.metrics += metrics
        self.params += params
        self.tags += tags

    def log_artifact(self, run_id, local_path, artifact_path=None):
        self.artifacts.append((local_path.rsplit("/", 1)[-1], artifact_path))

    def set_terminated(self, run_id, status=None, end_time=None):
        self.ended.append((run_id, status))


@pytest.fixture
def mlflow(monkeypatch):
    """MLflow's client, recorded: the package itself brings 40 others, too many for this one test."""
    package, entities = types.ModuleType("mlflow"), types.ModuleType("mlflow.entities")
    package.MlflowClient = Client
    entities.Metric = entities.Param = entities.RunTag = Named
    monkeypatch.setitem(sys.modules, "mlflow", package)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setattr(Client, "made", [])
    from heatproof.audit.trackers import mlflow as tracker

    return tracker


def test_mlflow_gets_numbers_verdicts_choices_and_files(tmp_path, mlflow):
    assert mlflow.log_run(a_run(tmp_path / "run"), tracking_uri="http://localhost:1", step=0) == "abc"
    (client,) = Client.made
    assert (client.tracking_uri, client.experiments, client.name) == ("http://localhost:1", ["heatproof"], "run")
    numbers = {one.key: one.value for one in client.metrics}
    assert numbers["heatproof/performance/accuracy/estimate"] == 0.9
    assert numbers["heatproof/performance/accuracy/high"] == pytest.approx(0.95)
    assert "heatproof/faithfulness/site-A_b_c/estimate" in numbers
    tags = {one.key: one.value for one in client.tags}
    assert tags["heatproof.sanity"] == "supports"
    assert tags["heatproof.shortcuts.ruler_outlined"] == "confirmed"
    assert {one.key: one.value for one in client.params}["heatproof.layer"] == "layer4"
    assert ("plan.toml", "heatproof/run") in client.artifacts
    assert not [name for name, _ in client.artifacts if name == "inputs.parquet"], "what is per input stays in the run"
    assert client.ended == [("abc", "FINISHED")]


def test_a_run_of_the_users_own_is_left_running(tmp_path, mlflow):
    assert mlflow.log_run(a_run(tmp_path / "run"), run_id="theirs", step=3) == "theirs"
    (client,) = Client.made
    assert client.ended == []
    assert client.params == [], "MLflow's parameters cannot be written again at the next step"
    assert {one.step for one in client.metrics} == {3}
    with pytest.raises(UsageError, match="'theirs' is there already and keeps its name"):
        mlflow.log_run(tmp_path / "run", run_id="theirs", run_name="other")


def test_an_mlflow_run_that_breaks_off_is_marked_as_failed(tmp_path, mlflow, monkeypatch):
    monkeypatch.setattr(Client, "log_artifact", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mlflow.log_run(a_run(tmp_path / "run"))
    assert Client.made[0].ended == [("abc", "FAILED")]


def test_a_missing_tracker_and_a_missing_run_are_told(tmp_path, monkeypatch):
    from heatproof.audit.trackers import lightning, mlflow, tensorboard

    for name in ("mlflow", "tensorboard", "torch.utils.tensorboard.writer", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    run = a_run(tmp_path / "run")
    with pytest.raises(MissingExtraError, match=r"pip install 'heatproof\[mlflow\]'"):
        mlflow.log_run(run)
    with pytest.raises(MissingExtraError, match=r"pip install 'heatproof\[tensorboard\]'"):
        tensorboard.log_run(run, tmp_path / "logs")
    with pytest.raises(MissingExtraError, match=r"pip install 'heatproof\[lightning\]'"):
        lightning.audit_callback([], tmp_path)
    with pytest.raises(InputError, match="is no run folder"):
        tensorboard.log_run(tmp_path, tmp_path / "logs")


@pytest.mark.filterwarnings("ignore")  # Lightning's advice about workers and loggers is none of ours
def test_the_callback_audits_every_second_epoch_and_logs_its_numbers(tmp_path):
    pytest.importorskip("lightning")
    from lightning import pytorch as lightning

    from heatproof.audit.trackers.lightning import audit_callback

    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def training_step(self, batch, _):
            return self.layer(batch[0]).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    class Kept(lightning.loggers.logger.DummyLogger):
        def __init__(self):
            super().__init__()
            self.told = []

        def log_metrics(self, metrics, step=None):
            self.told.append((step, metrics))

    seen = []

    def audit(model, data, *, out, **settings):
        seen.append((type(model).__name__, data, out.name, settings))
        a_run(out)

    kept = Kept()
    callback = audit_callback("data", tmp_path, every_n_epochs=2, model=lambda m: m.layer, audit=audit, seed=3)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 2)), batch_size=2)
    trainer = lightning.Trainer(
        max_epochs=5, accelerator="cpu", callbacks=[callback], logger=kept, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Net(), loader)
    assert seen == [("Linear", "data", f"epoch-000{n}", {"seed": 3}) for n in (2, 4)]
    assert [path.name for path in callback.runs] == ["epoch-0002", "epoch-0004"]
    told = [(step, m) for step, m in kept.told if "heatproof/performance/accuracy/estimate" in m]
    assert [(step, m["heatproof/performance/accuracy/estimate"]) for step, m in told] == [(4, 0.9), (8, 0.9)]
    with pytest.raises(UsageError, match="every_n_epochs is 0"):
        audit_callback("data", tmp_path, every_n_epochs=0)
