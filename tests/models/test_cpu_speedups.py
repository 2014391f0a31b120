"""CPU speedups do not change results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trl import GRPOTrainer

from repic.models.vlm import cpu_speedups, load
from repic.models.vlm.cpu_speedups import ImageFeatureCache, cached_image_features, merged_adapters
from repic.training import grpo
from tests.builds import Built
from tests.random_vlms import FAMILIES
from tests.training.runs import planned, small


@pytest.fixture
def job(built: Built, tiny: str, work: Path, tmp_path: Path) -> Any:
    asked = small(tiny, "train.prompts_per_step=4", "trainer.beta=0.1")
    plan, table, config = planned(built.copy(tmp_path / "store"), asked, work)
    return grpo.prepare(plan, table, config)


def shown(trainer: Any) -> dict[str, Any]:
    """A generation batch: four prompts of several objectives with four answers each."""
    rows = [trainer.train_dataset[index // 4] for index in range(16)]
    torch.manual_seed(0)
    return dict(trainer._generate_and_score_completions(rows))


def passed(trainer: Any, batch: dict[str, Any], method: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies of completion tokens."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    fields = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
    logps, entropies, _ = method(
        trainer,
        trainer.model,
        ids,
        mask,
        batch["completion_ids"].shape[1],
        compute_entropy=True,
        **{name: batch.get(name) for name in fields},
    )
    is_answer = batch["completion_mask"].bool()
    return logps.masked_select(is_answer), entropies.masked_select(is_answer)


def test_log_probabilities_and_gradients_are_those_of_trl(job: Any) -> None:
    trainer = job.trainer
    batch = shown(trainer)
    weights = [p for p in trainer.model.parameters() if p.requires_grad]
    results = {}
    for name, method in (
        ("ours", type(trainer)._get_per_token_logps_and_entropies),
        ("plain", GRPOTrainer._get_per_token_logps_and_entropies),
    ):
        trainer.model.zero_grad()
        logps, entropies = passed(trainer, batch, method)
        (logps.sum() + entropies.sum()).backward()
        results[name] = logps, entropies, [w.grad.clone() for w in weights]
    for ours, plain in zip(results["ours"][:2], results["plain"][:2], strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    for ours, plain in zip(results["ours"][2], results["plain"][2], strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-3)
    assert any(gradient.abs().max() > 0 for gradient in results["ours"][2])


def test_a_merged_adapter_answers_alike_and_leaves_no_trace(job: Any) -> None:
    trainer = job.trainer
    model = job.model
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    batch = shown(trainer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plain = GRPOTrainer._get_per_token_logps_and_entropies
    with torch.no_grad():
        apart, _ = passed(trainer, batch, plain)
        with merged_adapters(model):
            together, _ = passed(trainer, batch, plain)
    torch.testing.assert_close(apart, together, atol=1e-4, rtol=1e-4)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_weights_are_put_back_when_sampling_fails(job: Any) -> None:
    before = {name: value.clone() for name, value in job.model.state_dict().items()}
    with pytest.raises(RuntimeError, match="stopped"), merged_adapters(job.model):
        raise RuntimeError("stopped")
    assert all(torch.equal(v, job.model.state_dict()[k]) for k, v in before.items())


def test_a_picture_is_seen_once(tiny: str) -> None:
    model = load.load(load.reader(tiny))
    seen: list[int] = []
    model.base_model.visual.register_forward_hook(
        lambda _, given, __: seen.append(given[0].shape[0])
    )
    generator = torch.Generator().manual_seed(0)
    width = model.config.vision_config.patch_size**2 * 3 * 2
    pictures = [torch.randn(16, width, generator=generator) for _ in range(3)]
    grid = torch.tensor([[1, 4, 4]])

    def looked(order: list[int]) -> tuple[torch.Tensor, ...]:
        patches = torch.cat([pictures[k] for k in order])
        return tuple(
            model.base_model.get_image_features(patches, grid.repeat(len(order), 1)).pooler_output
        )

    with torch.no_grad():
        plain = looked([0, 1, 0, 2])
        seen.clear()
        with cached_image_features(model):
            for ours, alone in zip(looked([0, 1, 0, 2]), plain, strict=True):
                torch.testing.assert_close(ours, alone, atol=1e-5, rtol=1e-5)
            looked([2, 1])
            assert seen == [16, 16, 16]
            # The same patches in another grid are a different image.
            model.base_model.get_image_features(pictures[0], torch.tensor([[1, 2, 8]]))
            assert len(seen) == 4
    assert not isinstance(model.base_model.get_image_features, ImageFeatureCache)


def test_a_memory_is_bounded(tiny: str) -> None:
    model = load.load(load.reader(tiny))
    memory = ImageFeatureCache(model.base_model.get_image_features, size=2)
    width = model.config.vision_config.patch_size**2 * 3 * 2
    for value in range(5):
        memory(torch.full((16, width), float(value)), torch.tensor([[1, 4, 4]]))
    assert len(memory._features) == 2


@pytest.mark.parametrize("family", ["Qwen3-VL", "SmolVLM2"])
def test_other_families_are_left_alone(family: str, tmp_path: Path) -> None:
    model = load.load(load.reader(FAMILIES[family](tmp_path / "model"), "qwen3-vl"))
    with cached_image_features(model):
        assert not isinstance(
            getattr(model.base_model, "get_image_features", None), ImageFeatureCache
        )


@given(st.lists(st.integers(1, 500), min_size=1, max_size=70))
def test_parts_are_all_places_by_length(lengths: list[int]) -> None:
    groups = cpu_speedups.groups_by_length(lengths)
    flat = [index for group in groups for index in group]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[index] for index in flat] == sorted(lengths)
    assert all(len(group) == cpu_speedups.GROUP_SIZE for group in groups[:-1])
