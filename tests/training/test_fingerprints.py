"""Golden fingerprints: a store of an earlier release recognizes its training runs and refreshes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from repic import config
from repic.refresh.run import Request
from repic.training.plan import TrainingPlan

EXAMPLES: Any = SimpleNamespace(fingerprint="examples", content="rows")
READER: Any = SimpleNamespace(fingerprint="model")
STORE: Any = SimpleNamespace(files=SimpleNamespace(local=False))


@pytest.mark.parametrize(
    ("profile", "method", "overrides", "golden"),
    [
        ("sample", "grpo", (), "48f3b8d63c7e0fd1406b3528270e7e77"),
        ("paper", "grpo", (), "79d6af5af846392c1811bef2646434c1"),
        (
            *("modern", "grpo", ("train.lora.rank=8", "trainer.learning_rate=2e-5")),
            "f8dd8d0cd8716d0f259b8eb661198a4d",
        ),
        (
            *("sample", "sft"),
            (
                "train.difficulty.rollouts=rollouts@v3",
                'train.reward_urls=["http://127.0.0.1:8899"]',  # does not count
            ),
            "bb607e2ab8a901e0519511a17646479b",
        ),
    ],
)
def test_a_training_run_keeps_its_fingerprint(
    profile: str, method: str, overrides: tuple[str, ...], golden: str
) -> None:
    settings = config.load(profile, [*overrides, "trainer.use_cpu=true"], train={"method": method})
    plan = TrainingPlan.create(settings, STORE, EXAMPLES, READER, Path("work"))
    assert plan.fingerprint == golden


@pytest.mark.parametrize(
    ("profile", "overrides", "golden"),
    [
        ("sample", (), "2703e03cb1ceeba2fe82ec260d1d199e"),
        (
            "paper",
            (
                *("refresh.margins.oct=0.05", "trainer.beta=0.1", "evaluate.batch_size=3"),
                # as in that release
                *("evaluate.no_box=whole-photo", "detector.max_objects=20"),
                "detector.min_area_share=0.005",
            ),
            "7b4c824fb73759d4a3f8aa741bdf6a03",
        ),
    ],
)
def test_a_refresh_keeps_its_fingerprint(
    profile: str, overrides: tuple[str, ...], golden: str
) -> None:
    request = Request(config.load(profile, overrides), EXAMPLES)
    assert request.fingerprint == golden
