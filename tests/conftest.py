"""Shared fixtures: where the real data lie, and nothing global left changed."""

import os
from pathlib import Path

import pytest
import tests.typechecker  # noqa: F401  pyproject.toml names it; jaxtyping itself imports no more than the package
import torch


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real pictures and weights; a missing one fails in CI and skips elsewhere."""
    value = os.environ.get("HEATPROOF_DATA")
    if value and Path(value).is_dir():
        return Path(value)
    reason = "HEATPROOF_DATA does not name the folder of real data (CONTRIBUTING.md says what lies in it)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def global_state_untouched():
    """Fail any test after which a global switch of torch stands differently."""

    def state():
        return (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
        )

    before = state()
    yield
    assert state() == before
