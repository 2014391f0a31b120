"""Settings of training: profiles, TRL's own fields, and errors that name the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from repic import config
from repic.errors import ConfigError
from repic.training.trainer_defaults import OURS, defaults, trainer_config

CPU = ("trainer.use_cpu=true",)


@pytest.mark.parametrize("profile", ["sample", "paper", "modern", "photos"])
@pytest.mark.parametrize("method", ["grpo", "sft"])
def test_every_profile_makes_a_config_of_trl(profile: str, method: str, tmp_path: Path) -> None:
    asked = config.load(profile, CPU, train={"method": method})
    assert asked.train.method == method
    made = trainer_config(asked, tmp_path)
    assert made.output_dir == str(tmp_path)
    assert made.learning_rate == asked.trainer.get("learning_rate", 1e-5)


def test_both_methods_see_as_many_answers_in_a_step(tmp_path: Path) -> None:
    for profile in ("sample", "paper", "modern"):
        sizes = {
            made.per_device_train_batch_size * made.gradient_accumulation_steps
            for method in ("grpo", "sft")
            for made in [
                trainer_config(config.load(profile, CPU, train={"method": method}), tmp_path)
            ]
        }
        assert len(sizes) == 1


def test_fields_of_one_method_are_under_its_name(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("trainer: {learning_rate: 1e-4}\ngrpo: {beta: 0.1}\nsft: {loss_type: dft}\n")
    assert config.load(str(mine)).trainer == {"learning_rate": 1e-4, "beta": 0.1}
    sft = config.load(str(mine), ["trainer.loss_type=nll"], train={"method": "sft"})
    assert sft.trainer == {"learning_rate": 1e-4, "loss_type": "nll"}
    mine.write_text("grpo: 3\n")
    with pytest.raises(ConfigError, match="must hold settings by name"):
        config.load(str(mine))


def test_the_paper_profile_is_the_paper(tmp_path: Path) -> None:
    """Facts of arXiv 2506.18369 and its code."""
    asked = config.load("paper", CPU)
    made = trainer_config(asked, tmp_path)
    assert asked.train.model == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert asked.train.mode == "paper"
    lora = asked.train.lora
    assert (lora.rank, lora.alpha, lora.dropout) == (64, 128, 0.05)
    assert (made.num_generations, made.learning_rate, made.beta) == (8, 1e-5, 0.04)
    assert (made.num_train_epochs, made.max_completion_length) == (2, 256)
    assert made.temperature == 1.0


def test_any_field_of_trl_goes_through(tmp_path: Path) -> None:
    asked = config.load("sample", [*CPU, "trainer.learning_rate=2e-5", "trainer.delta=4"])
    made = trainer_config(asked, tmp_path)
    assert made.learning_rate == 2e-5
    assert made.delta == 4
    warm = trainer_config(config.load("sample", [*CPU, "trainer.temperature=2"]), tmp_path)
    assert isinstance(warm.temperature, float)  # transformers refuses a whole number
    quiet = config.load("sample", [*CPU, "trainer.save_strategy=no"])
    assert trainer_config(quiet, tmp_path).save_strategy == "no"
    assert made.shuffle_dataset is False


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("trainer.learning_rat=1", "GRPOConfig has no such field; did you mean learning_rate?"),
        ("trainer.shuffle_dataset=true", "cannot be set: TRL's sampler repeats the same order"),
        ("trainer.output_dir=/x", "cannot be set: the run's own folder"),
        ("trainer.learning_rate=high", "trainer.learning_rate=high"),
        ("trainer.num_generations=7", "are 14 answers per step, not a multiple of"),
        ("trainer.gradient_accumulation_steps=0.5", "trainer.gradient_accumulation_steps=0.5"),
        ("trainer.num_generations=1", "are 2 answers per step"),
        ("trainer.save_steps=0.1", "give a number of steps, not a share"),
        ("trainer.save_strategy=epoch", "all epochs are one pass here"),
        ("trainer.steps_per_generation=1", "would sample more than once"),
        ("trainer.report_to=nonsense", "there is no such logger"),
        ("trainer.use_vllm=true", "vLLM is not installed: `pip install 'trl[vllm]'`"),
        ("trainer.use_liger_kernel=true", "`pip install liger-kernel`"),
        ("trainer.report_to=dvclive", "trainer.report_to=dvclive: it is not installed"),
        ("trainer.optim=lomo", "trainer.optim=lomo: You need to install `lomo_optim`"),
        ("trainer.optim=grokadamw", "trainer.optim=grokadamw: Please install grokadamw"),
    ],
)
def test_a_wrong_field_is_one_clear_error(override: str, hint: str, tmp_path: Path) -> None:
    asked = config.load("photos", [*CPU, override])
    with pytest.raises(ConfigError, match=re.escape(hint)):
        trainer_config(asked, tmp_path)


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("train.lora.rnk=2", "did you mean train.lora.rank?"),
        ("train.split=tests", "a split is one of train, validation, test"),
        ("train.guards.kl=-1", "train.guards.kl=-1"),
        ("splits.test=0.2", "unknown setting splits"),
        (
            "train.shares={otc: 1}",
            "train.shares.otc: there is no such objective; did you mean",
        ),
        ("train.shares={vlt: -1}", "train.shares.vlt=-1"),
        ("train.shares={vlt: .nan}", "train.shares.vlt=nan"),
        ("train.guards.kl=.inf", "train.guards.kl=inf"),
    ],
)
def test_a_wrong_setting_names_the_remedy(override: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(hint)):
        config.load("sample", [override], scope=config.TRAIN)


def test_form_alone_is_read_of_strict_rewards() -> None:
    with pytest.raises(ConfigError, match="set mode=strict"):
        config.load("sample", ["train.control=format", "train.mode=paper"])


def test_every_setting_is_described_and_every_default_has_a_reason() -> None:
    assert all(help_ for _, _, help_ in config.describe(config.TRAIN))
    for method in ("grpo", "sft"):
        assert all(default.why for default in defaults(method).values())  # type: ignore[arg-type]
    assert all(OURS.values())


@pytest.mark.parametrize(
    ("field", "saves"),
    [
        ("steps_per_generation=8", 52),
        ("steps_per_generation=2", 50),
        ("num_iterations=4", 52),
        ("generation_batch_size=64", 52),
    ],
)
def test_saves_fall_between_generations(field: str, saves: int, tmp_path: Path) -> None:
    """TRL counts the steps of a generation from the start of the process."""
    asked = config.load("photos", [*CPU, f"trainer.{field}"])
    assert trainer_config(asked, tmp_path).save_steps == saves


def test_prompts_per_step_hold_on_any_number_of_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = config.load("paper", CPU)
    assert trainer_config(asked, tmp_path).gradient_accumulation_steps == 8
    supervised = config.load("paper", CPU, train={"method": "sft"})
    assert trainer_config(supervised, tmp_path).gradient_accumulation_steps == 8
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match=r"not a multiple of .* \(2 x 3\)"):
        trainer_config(asked, tmp_path)
