"""Checkpoints as artifacts: opening, export, verified merge."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repic.errors import ConfigError, ExportError, WeightsError
from repic.models.vlm import captioners, checkpoints, load
from storage import integrity
from storage.gc import gc
from storage.manifest import Origin
from storage.store import Store
from tests.trained import Trained

Main = Callable[..., tuple[int, str, str]]


def test_a_checkpoint_is_whole_and_knows_where_it_is_from(trained: Trained) -> None:
    assert integrity.verify(trained.store) == []
    reachable = {file.path for file in trained.outcome.checkpoint.files}
    assert not reachable & {doomed.path for doomed in gc(trained.store).files}
    opened = checkpoints.open_checkpoint(trained.store, "checkpoint@latest")
    assert opened.manifest == trained.outcome.checkpoint
    assert any(".lora_A." in name for name, _ in opened.model.named_parameters())


def test_no_file_of_it_names_a_folder_of_this_machine(trained: Trained, tmp_path: Path) -> None:
    folder = trained.store.checkout("checkpoint@latest", tmp_path)
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None
    assert trained.store.location not in (folder / "trainer.json").read_text()


def test_an_adapter_is_exported_as_it_is(
    trained: Trained, repic_main: Main, tmp_path: Path
) -> None:
    store_option = ("--store", trained.store.location)
    code, out, _ = repic_main("export", "checkpoint@v1", str(tmp_path / "out"), *store_option)
    assert code == 0
    assert "Wrote checkpoint@v1 as an adapter" in out
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "# checkpoint@v1: LoRA adapter of model" in card
    assert "library_name: peft" in card
    assert "- Trained on: `examples@v1`" in card
    assert str(trained.outcome.checkpoint.models["base"]["name"]) not in card
    code, _, err = repic_main("export", "checkpoint@v1", str(tmp_path / "out"), *store_option)
    assert code == 2
    assert "is not empty" in err
    (tmp_path / "out" / "old.txt").touch()
    again = ("--overwrite", "--json", *store_option)
    code, out, err = repic_main("export", "checkpoint@v1", str(tmp_path / "out"), *again)
    assert code == 0, err
    assert json.loads(out)["checkpoint"] == "checkpoint@v1"
    assert not (tmp_path / "out" / "old.txt").exists()
    assert (tmp_path / "out" / "README.md").is_file()
    code, _, err = repic_main("export", "examples@v1", str(tmp_path / "other"), *store_option)
    assert code == 2
    assert "give a checkpoint" in err


def test_without_a_folder_it_is_named_after_the_version(
    trained: Trained, repic_main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = repic_main("export", "checkpoint@latest", "--store", trained.store.location)
    assert code == 0, err
    assert out.rstrip().endswith("to checkpoint-v1")
    assert (tmp_path / "checkpoint-v1" / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_merged_and_adapter_answer_alike(
    trained: Trained, repic_main: Main, tmp_path: Path
) -> None:
    out_folder = tmp_path / "merged"
    code, out, err = repic_main(
        "export",
        "checkpoint@latest",
        str(out_folder),
        "--merged",
        "--store",
        trained.store.location,
    )
    assert code == 0, err
    assert "32 of 32 answers are equal" in out
    assert err == ""
    again = load.reader(str(out_folder))
    names = [name for name, _ in load.load(again).named_parameters()]
    assert names
    assert not any("lora" in name for name in names)


@pytest.mark.slow
def test_a_merge_that_changes_answers_leaves_nothing(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checkpoints._answers
    seen: list[int] = []

    def spoiled(*arguments: object) -> list[str]:
        seen.append(1)
        answers = real(*arguments)  # type: ignore[arg-type]
        return answers if len(seen) == 1 else ["other", *answers[1:]]

    monkeypatch.setattr(checkpoints, "_answers", spoiled)
    with pytest.raises(ExportError, match="answers 1 of 32 prompts differently"):
        checkpoints.export(trained.store, "checkpoint@latest", tmp_path / "out", merged=True)
    assert not (tmp_path / "out").exists()


def test_another_base_model_is_refused(trained: Trained, tmp_path: Path) -> None:
    base = Path(trained.outcome.checkpoint.models["base"]["name"])
    saved = tmp_path / "saved"
    shutil.copytree(base, saved)
    try:
        (base / "generation_config.json").write_text("{}")
        with pytest.raises(WeightsError, match="was trained on another"):
            checkpoints.open_checkpoint(trained.store, "checkpoint@latest")
    finally:
        shutil.copy(saved / "generation_config.json", base / "generation_config.json")
    with pytest.raises(ConfigError, match="give a checkpoint"):
        checkpoints.find(trained.store, "examples@latest")


def _published(folder: Path, files: dict[str, Path | bytes], **origin: Any) -> Store:
    """A store of somebody else with one checkpoint."""
    store = Store.open(folder / "theirs", create=True)
    made = Origin(fingerprint="f", **origin)
    store.publish_files("checkpoint", files, made, kind="checkpoint")
    return store


BASE = {"name": "model", "fingerprint": "0"}
TRAIN = {"boxes": "auto"}


@pytest.mark.parametrize(
    ("models", "settings"),
    [
        ({}, {"train": TRAIN}),
        ({"base": {"fingerprint": "0"}}, {"train": TRAIN}),
        ({"base": BASE}, {}),
        ({"base": BASE}, {"train": []}),
        ({"base": BASE}, {"train": {"boxes": "unheard-of"}}),
    ],
)
def test_a_checkpoint_that_names_no_base_model_is_refused(
    tmp_path: Path, models: dict[str, Any], settings: dict[str, Any]
) -> None:
    store = _published(tmp_path, {"adapter/a": b""}, models=models, settings=settings)
    refused = r"checkpoint@v1 does not say which model"
    with pytest.raises(ConfigError, match=refused):
        checkpoints.open_checkpoint(store, "checkpoint@v1")
    with pytest.raises(ConfigError, match=refused):
        checkpoints.export(store, "checkpoint@v1", tmp_path / "out", merged=False)
    with pytest.raises(ConfigError, match=refused):
        captioners._base("", store.manifest("checkpoint@v1"))


@pytest.mark.parametrize(
    "config",
    [
        {"peft_type": "XLORA"},
        {"peft_type": "LORA", "megatron_config": {}, "megatron_core": "antigravity"},
        {},
        [],
        "text",
    ],
)
def test_an_adapter_of_another_kind_is_refused(tmp_path: Path, config: Any) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"checkpoint@v1 is not one of LoRA in safetensors"):
        checkpoints.check_adapter(tmp_path, "checkpoint@v1")


def test_an_adapter_must_be_in_safetensors(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match="safetensors"):
        checkpoints.check_adapter(tmp_path, "checkpoint@v1")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    checkpoints.check_adapter(tmp_path, "checkpoint@v1")


def test_the_adapter_is_checked_before_it_is_loaded(tiny: str, tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "megatron_config": {}, "megatron_core": "antigravity"}
    files: dict[str, Path | bytes] = {
        "adapter/adapter_config.json": json.dumps(config).encode(),
        "adapter/adapter_model.safetensors": b"",
    }
    base = {"name": tiny, "fingerprint": load.reader(tiny).fingerprint}
    store = _published(tmp_path, files, models={"base": base}, settings={"train": TRAIN})
    with pytest.raises(ConfigError, match="is not one of LoRA"):
        checkpoints.open_checkpoint(store, "checkpoint@v1")
