"""A tiny model, and one training run of it that many tests share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from repic.training.publish import TrainingResult
from repic.training.run import train
from storage.store import Store
from tests.builds import Built
from tests.random_vlms import qwen2_5_vl_folder
from tests.training.runs import small


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny Qwen2.5-VL."""
    return qwen2_5_vl_folder(tmp_path_factory.mktemp("tiny") / "model")


@dataclass(frozen=True)
class Trained:
    """A shared run; tests must not change it."""

    store: Store
    outcome: TrainingResult


@pytest.fixture(scope="session")
def trained(built: Built, tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Three steps of GRPO, from the dataset version to the checkpoint version."""
    store = built.copy(tmp_path_factory.mktemp("trained") / "store")
    outcome = train(small(tiny), store)
    assert outcome is not None
    return Trained(store, outcome)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Folder of the trainer."""
    return tmp_path / "work"
