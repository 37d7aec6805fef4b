"""A callback for Lightning that audits the model every few epochs, into a run folder each, and logs the numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from heatproof.audit.trackers._numbers import numbers_of, open_run
from heatproof.errors import MissingExtraError, UsageError

Audit = Callable[..., Any]
"""Called like `heatproof.audit(model, data, out=..., **settings)`."""


def audit_callback(
    data: Any,
    out: str | Path,
    *,
    every_n_epochs: int = 1,
    model: Callable[[Any], Any] | None = None,
    audit: Audit | None = None,
    **settings: Any,
) -> Any:
    """Return a Lightning callback that audits after every n-th epoch of training.

    Each audit goes into `out/epoch-0004` (epochs are counted from 1) and stays resumable; the numbers go to all of the
    trainer's loggers at its step. Only the first process audits, the others wait. The model is left as it was: training
    flags, gradients, hooks.

    Args:
        data: as `heatproof.audit` takes it.
        out: folder for the run folders.
        every_n_epochs: how many epochs lie between two audits.
        model: from the LightningModule to what is audited, such as `lambda module: heatproof.Model(module.net, ...)`;
            None: the module itself.
        audit: what audits; None: `heatproof.audit`.
        **settings: handed to it: checks, annotations, cluster_by, budget, ...

    Raises:
        MissingExtraError: Lightning is not installed.
        UsageError: `every_n_epochs` is below 1.
    """
    if every_n_epochs < 1:
        raise UsageError(f"every_n_epochs is {every_n_epochs}; give 1 or more.")
    base = _callback_class()

    class AuditCallback(base):
        """Audits the model every few epochs."""

        def __init__(self) -> None:
            super().__init__()
            self.runs: list[Path] = []

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            """Audit, if this epoch's turn has come."""
            epoch = int(trainer.current_epoch) + 1
            if epoch % every_n_epochs == 0:
                if trainer.is_global_zero:
                    self._audit(trainer, pl_module, Path(out) / f"epoch-{epoch:04d}")
                trainer.strategy.barrier("heatproof audit")

        def _audit(self, trainer: Any, pl_module: Any, folder: Path) -> None:
            run = audit or _audit_of_heatproof()
            run(pl_module if model is None else model(pl_module), data, out=folder, **settings)
            self.runs.append(folder)
            opened, rows = open_run(folder)
            numbers = {f"heatproof/{name}": value for name, value in numbers_of(opened, rows).items()}
            for logger in trainer.loggers:
                logger.log_metrics(numbers, step=trainer.global_step)

    return AuditCallback()


def _audit_of_heatproof() -> Audit:
    import heatproof

    return heatproof.audit  # type: ignore[no-any-return]  # it is loaded when it is asked for


def _callback_class() -> Any:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback  # the same under its older name
        except ImportError as error:
            raise MissingExtraError("lightning", "lightning") from error
    return Callback
