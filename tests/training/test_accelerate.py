"""Shipped configurations of `accelerate launch`, as accelerate reads them; fields of vLLM."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from torch.distributed.fsdp import StateDictType
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from trl import accelerate_configs

from repic import config
from repic.errors import ConfigError
from repic.training.trainer_defaults import trainer_config

FOLDER = Path(config.__file__).parents[1] / "training" / "accelerate"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def launched(name: str) -> Namespace:
    """Arguments of `accelerate launch` with a configuration."""
    given = ["--config_file", str(FOLDER / f"{name}.yaml"), "-m", "repic.cli", "train"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    return arguments


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_is_found_by_name_and_has_fields_that_exist(
    name: str, repic_main: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = repic_main("train", "--accelerate-config", name)
    assert code == 0
    assert Path(out.strip()) == FOLDER / f"{name}.yaml"
    loaded = load_config_from_file(out.strip())
    assert loaded.num_processes == (1 if name == "one_gpu" else 8)
    assert loaded.mixed_precision == "bf16"
    theirs: set[str] = {"gradient_accumulation_steps", "gradient_clipping"}
    for path in Path(accelerate_configs.__path__[0]).glob("*.yaml"):
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        theirs |= {*fields, *fields.get("fsdp_config", ()), *fields.get("deepspeed_config", ())}
    ours = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert {*ours, *ours.get("fsdp_config", ()), *ours.get("deepspeed_config", ())} <= theirs


def test_one_process_needs_no_engine() -> None:
    one = launched("one_gpu")
    assert (one.num_processes, one.use_deepspeed, one.use_fsdp) == (1, False, False)


def test_eight_gpus_need_no_deepspeed() -> None:
    plain = launched("eight_gpus_ddp")
    assert (plain.num_processes, plain.multi_gpu) == (8, True)
    assert not plain.use_deepspeed
    assert not plain.use_fsdp


def test_eight_gpus_share_gradients_and_moments_by_zero_2() -> None:
    eight = launched("eight_gpus")
    assert (eight.num_processes, eight.use_deepspeed, eight.zero_stage) == (8, True, 2)
    assert eight.offload_optimizer_device == "none"


def test_eight_gpus_share_the_weights_by_fsdp_2(monkeypatch: pytest.MonkeyPatch) -> None:
    eight = launched("eight_gpus_fsdp2")
    assert (eight.num_processes, eight.use_fsdp, eight.use_deepspeed) == (8, True, False)
    as_launched(eight, monkeypatch)
    plugin = FullyShardedDataParallelPlugin()  # as accelerate makes it of what it was launched with
    assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
    assert plugin.state_dict_type == StateDictType.FULL_STATE_DICT
    assert plugin.cpu_ram_efficient_loading is False
    assert plugin.auto_wrap_policy is transformer_auto_wrap_policy


def as_launched(arguments: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of each process of `accelerate launch`."""
    for name, value in prepare_multi_gpu_env(arguments).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("changes", "asked", "message"),
    [
        ({}, (), None),
        ({"fsdp_version": 1}, (), r"FSDP1 is not supported.*eight_gpus_fsdp2"),
        ({"fsdp_state_dict_type": "SHARDED_STATE_DICT"}, (), "must be FULL_STATE_DICT"),
        ({"fsdp_cpu_ram_efficient_loading": "true"}, (), "must be false"),
        ({}, ("train.quantize=4bit",), "exclude each other"),
        ({}, ("trainer.use_transformers_continuous_batching=true",), "continuous_batching"),
    ],
)
def test_fsdp_is_as_in_our_configuration_or_refused(
    changes: dict[str, object],
    asked: tuple[str, ...],
    message: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    eight = launched("eight_gpus_fsdp2")
    for name, value in changes.items():
        setattr(eight, name, value)
    as_launched(eight, monkeypatch)
    settings = config.load("sample", ["trainer.use_cpu=true", *asked])
    refused = pytest.raises(ConfigError, match=message) if message else nullcontext()
    with refused:
        trainer_config(settings, tmp_path)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            ("trainer.vllm_mode=colocate", "trainer.vllm_gpu_memory_utilization=0.2"),
            {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.2},
        ),
        (
            ("trainer.vllm_mode=server", "trainer.vllm_server_base_url=http://10.0.0.7:8000"),
            {"vllm_mode": "server", "vllm_server_base_url": "http://10.0.0.7:8000"},
        ),
    ],
)
def test_both_modes_of_vllm_reach_the_config_of_trl(
    asked: tuple[str, ...],
    expected: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(import_module("trl.import_utils"), "is_vllm_available", lambda: True)
    chosen = ("trainer.use_cpu=true", "trainer.use_vllm=true", *asked)
    for profile in ("sample", "paper"):
        made = trainer_config(config.load(profile, chosen, scope=config.TRAIN), tmp_path)
        assert made.use_vllm
        assert {name: getattr(made, name) for name in expected} == expected
