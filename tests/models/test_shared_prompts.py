"""A prompt that is read once for all its answers gives the answers and updates of plain TRL."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration
from trl import GRPOTrainer

from repic.models.vlm import load
from repic.models.vlm.shared_prompts import can_share, sampled_in_groups
from repic.objectives.base import Reward, Row
from repic.pipeline.progress import NoProgress
from repic.training import grpo
from repic.training.reward import TrainedReward
from tests.builds import Built
from tests.random_vlms import FAMILIES
from tests.training.runs import planned, small

SHARED = ("Qwen2.5-VL", "Qwen3-VL")
STEPS = (
    *("train.prompts_per_step=4", "trainer.beta=0.1", "trainer.max_steps=2"),
    *("trainer.optim=sgd", "trainer.learning_rate=1.0", "trainer.lr_scheduler_type=constant"),
)
"""Four groups of four answers in four batches; without Adam, whose steps magnify roundings."""
REUSED = "trainer.steps_per_generation=8"
LOSSES = ("trainer.loss_type=bnpo", "trainer.beta=0")


class Alternating(TrainedReward):
    """Rewards from which even a random model gets a gradient."""

    @staticmethod
    def ablation(rows: Sequence[Row], rewards: Sequence[Reward | None]) -> list[float | None]:
        return [index % 2.0 for index in range(len(rows))]


HAS_CACHE = "cache" in inspect.signature(Qwen2_5_VLForConditionalGeneration.forward).parameters
needs_cache = pytest.mark.skipif(
    not HAS_CACHE,
    reason="prompts are shared with transformers 5.24 or newer; older ones leave them to TRL",
)


@pytest.fixture(params=SHARED)
def family(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return FAMILIES[request.param](tmp_path / "model")


def finished(built: Built, model: str, work: Path, *overrides: str, plain: bool = False) -> Any:
    """A session after its steps, and the sampled answers."""
    asked = small(model, *STEPS, *overrides)
    plan, table, config = planned(built.copy(work / "store"), asked, work)
    session = grpo.prepare(plan, table, config, reward=Alternating)
    if plain:
        session.trainer.__class__ = GRPOTrainer
    with plan.store.lease():
        session.fit(NoProgress())
    return session


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        *((name, overrides) for name in SHARED for overrides in ((), (REUSED,))),
        # The loss is of the answers' tokens alone, whichever model gave their probabilities.
        *((SHARED[0], (change,)) for change in LOSSES),
        *(pytest.param(SHARED[1], (change,), marks=pytest.mark.slow) for change in LOSSES),
    ],
    ids=lambda value: " ".join(value) or "default" if isinstance(value, tuple) else value,
)
def test_steps_are_those_of_trl(
    name: str, overrides: tuple[str, ...], built: Built, tmp_path: Path
) -> None:
    family = FAMILIES[name](tmp_path / "model")
    runs = [
        finished(built, family, tmp_path / name, *overrides, plain=name == "plain")
        for name in ("ours", "plain")
    ]
    ours, plain = (dict(run.model.named_parameters()) for run in runs)
    moved = [weight.abs().max() for name, weight in ours.items() if "lora_B" in name]
    assert min(moved) > (5e-4 if HAS_CACHE else 1e-4)  # older versions train it less here
    for name, weight in ours.items():
        torch.testing.assert_close(weight, plain[name], atol=1e-5, rtol=1e-3)
    ours_logs, plain_logs = (run.history for run in runs)
    for ours_log, plain_log in zip(ours_logs, plain_logs, strict=True):
        # A step that uses answers again has no reward of its own.
        for name in {"loss", "grad_norm", "reward", "completions/mean_length"} & ours_log.keys():
            assert ours_log[name] == pytest.approx(plain_log[name], abs=2e-4)


def prompts(model: str, chosen: slice) -> tuple[Any, dict[str, Any], list[list[Any]]]:
    """A model, and the inputs and pictures of the chosen of six rows.

    There are three prompts, of three rows, two, and one that differs in a picture alone.
    """
    from PIL import Image

    reader = load.reader(model)
    content = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    several = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "And this one?"}]
    turns = [[{"role": "user", "content": blocks}] for blocks in (content, several)]
    texts = [reader.processor.apply_chat_template(t, add_generation_prompt=True) for t in turns]
    red, blue = (Image.new("RGB", (64, 64), color) for color in ("red", "blue"))
    pictures = [[red]] * 3 + [[red, blue]] * 2 + [[blue, blue]]
    pictures, text = pictures[chosen], ([texts[0]] * 3 + [texts[1]] * 3)[chosen]
    rows = reader.processor(images=pictures, text=text, padding=True, return_tensors="pt")
    return load.load(reader).eval(), {**rows}, pictures


@needs_cache
@pytest.mark.parametrize("chosen", [slice(6), slice(3)], ids=["padded", "not padded"])
def test_sampling_reads_a_prompt_once_and_stops_at_the_end(family: str, chosen: slice) -> None:
    model, inputs, pictures = prompts(family, chosen)
    count = len(pictures)
    ends = list(range(0, 256, 7))
    rows: list[int] = []
    model.base_model.language_model.layers[0].register_forward_pre_hook(
        lambda _, args, kwargs: rows.append((*args, *kwargs.values())[0].shape[0]),
        with_kwargs=True,
    )

    def sampled() -> torch.Tensor:
        torch.manual_seed(0)
        options = {"do_sample": True, "top_k": 0, "max_new_tokens": 12}
        answers: torch.Tensor = model.generate(**inputs, **options, eos_token_id=ends)
        return answers

    expected = sampled()
    assert set(rows) == {count}
    rows.clear()
    with sampled_in_groups(model, pictures, ends):
        assert torch.equal(sampled(), expected)
    assert rows[0] == {6: 3, 3: 1}[count]
    assert rows[1] <= count
    assert rows[1:] == sorted(rows[1:], reverse=True)
    assert rows[-1] < count
    rows.clear()
    sampled()
    assert set(rows) == {count}


@needs_cache
def test_the_update_reads_a_prompt_once(built: Built, tiny: str, work: Path) -> None:
    plan, table, config = planned(built.copy(work / "store"), small(tiny, *STEPS), work)
    session = grpo.prepare(plan, table, config)
    trainer = session.trainer
    batch = trainer._generate_and_score_completions(
        [trainer.train_dataset[i // 4] for i in range(8)]
    )
    tokens = 0

    def count(_: Any, args: Any, kwargs: Any) -> None:
        nonlocal tokens
        states = (*args, *kwargs.values())[0]
        tokens += states.shape[0] * states.shape[1]

    language = session.model.get_base_model().base_model.language_model
    language.layers[0].register_forward_pre_hook(count, with_kwargs=True)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    trainer.compute_loss(trainer.model, batch)
    prompt_tokens = int(batch["prompt_mask"][::4].sum())
    assert tokens <= prompt_tokens + 8 * (batch["completion_ids"].shape[1] + 1)


@needs_cache
def test_what_cannot_share_prompts_is_left_to_trl(tiny: str, tmp_path: Path) -> None:
    import peft

    model = load.load(load.reader(tiny))
    assert can_share(model)
    model.gradient_checkpointing_enable()
    assert not can_share(model)
    model.gradient_checkpointing_disable()
    assert can_share(model)
    dropout = peft.LoraConfig(r=2, lora_dropout=0.1, target_modules=load.TARGETS)
    assert not can_share(peft.get_peft_model(model, dropout))
    other = load.load(load.reader(FAMILIES["SmolVLM2"](tmp_path / "model"), "qwen3-vl"))
    assert not can_share(other)
    forward = other.forward
    with sampled_in_groups(other, None, [0]):
        assert other.forward == forward
