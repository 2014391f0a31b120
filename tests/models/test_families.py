"""Every supported model family takes a GRPO step on prompts with two images."""

from __future__ import annotations

from pathlib import Path

import pytest

from repic.errors import ConfigError
from repic.models.vlm import load
from repic.pipeline.progress import NoProgress
from repic.training import grpo
from repic.training.checks import preflight
from repic.training.reward import TrainedReward
from tests.builds import Built
from tests.random_vlms import FAMILIES
from tests.training.runs import planned, small


class Alternating(TrainedReward):
    """Rewards with variance, whatever a random model answers."""

    ablation = staticmethod(lambda rows, rewards: [index % 2.0 for index in range(len(rows))])


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_model_class_takes_a_step_on_two_pictures(
    family: str, built: Built, tmp_path: Path
) -> None:
    model = FAMILIES[family](tmp_path / "model")
    boxes = "normalised" if family == "SmolVLM2" else "auto"
    asked = small(model, "trainer.max_steps=1", "train.prompts_per_step=2", f"train.boxes={boxes}")
    plan, table, config = planned(built.copy(tmp_path / "store"), asked, tmp_path / "work")
    two = [index for index, row in enumerate(table.to_pylist()) if len(row["images"]) == 2]
    chosen = table.take(two)
    assert preflight.examine(chosen.slice(0, 20).to_pylist(), plan.reader, 4096) == []
    session = grpo.prepare(plan, chosen, config, reward=Alternating)
    before = {name: value.clone() for name, value in session.model.named_parameters()}
    with plan.store.lease():
        session.fit(NoProgress())
    [logs] = session.history
    assert logs["grad_norm"] > 0
    moved = [n for n, v in session.model.named_parameters() if not v.equal(before[n])]
    assert moved
    assert all("lora" in name and "vis" not in name for name in moved)


def test_a_family_without_a_convention_is_told_what_to_set(tmp_path: Path) -> None:
    model = FAMILIES["SmolVLM2"](tmp_path / "model")
    with pytest.raises(ConfigError, match=r"how smolvlm writes .* set train\.boxes to one of"):
        load.reader(model)
