"""Checkpoints as artifacts: an adapter with all that it was made from; used again, or merged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from repic.errors import ConfigError, ExportError, WeightsError
from repic.models.vlm import load
from repic.models.vlm.generate import AnswerGenerator
from repic.models.vlm.load import Reader
from repic.objectives.base import Row
from repic.objectives.rows import balanced
from storage.manifest import Manifest
from storage.store import Store

NAME = "checkpoint"
ADAPTER = "adapter"
PROMPTS = 32
"""Held-out prompts on which a merged model must answer as its adapter does."""

PROOF_TOKENS = 128


@dataclass(frozen=True)
class Opened:
    """A checkpoint in memory: what reads rows for it, and the base model with its adapter."""

    manifest: Manifest
    reader: Reader
    model: Any


def save_adapter(model: Any, folder: Path) -> None:
    """Write the trained adapter, without the place where this machine has the base model."""
    model.save_pretrained(str(folder), save_embedding_layers=False)
    config = folder / "adapter_config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    values["base_model_name_or_path"] = None
    config.write_text(json.dumps(values, indent=1, sort_keys=True), encoding="utf-8")
    (folder / "README.md").unlink(missing_ok=True)  # a card with nothing of this run in it


def files_of(folder: Path) -> dict[str, Path | bytes]:
    """All files below a folder by their path in it."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def find(store: Store, ref: str) -> Manifest:
    """The manifest of a checkpoint.

    Raises:
        ConfigError: the reference is of something else.
        storage.errors.StoreError: there is no such version.
    """
    manifest = store.manifest(ref)
    if manifest.kind != "checkpoint":
        raise ConfigError(f"{manifest.ref} is a {manifest.kind}: give a checkpoint@v...")
    return manifest


def open_checkpoint(store: Store, ref: str, lower: bool = False) -> Opened:
    """Base model and adapter of a checkpoint.

    Raises:
        WeightsError: the base model here is not the one that it was trained on.
        ConfigError, storage.errors.StoreError: as `find`.
    """
    from peft import PeftModel

    manifest = find(store, ref)
    base = manifest.models["base"]
    reader = load.reader(base["name"], manifest.settings["train"]["boxes"])
    if reader.fingerprint != base["fingerprint"]:
        raise WeightsError(
            f"{manifest.ref} was trained on another {base['name']} than is here: get the version "
            f"with the fingerprint {base['fingerprint']}"
        )
    with TemporaryDirectory() as folder:
        store.checkout(manifest.ref, folder)
        model = PeftModel.from_pretrained(load.load(reader, lower), str(Path(folder) / ADAPTER))
    return Opened(manifest, reader, model)


def export(store: Store, ref: str, out: Path, merged: bool) -> str:
    """Write a checkpoint for other programs.

    Args:
        merged: The whole model in float32, with the adapter in its weights: merged in bfloat16,
            answers change. Otherwise the adapter's files.

    Returns:
        What was written, as a sentence.

    Raises:
        ExportError: the merged model, read back, answers a prompt otherwise; nothing is left.
        FileExistsError: there is something at `out`.
        ConfigError, WeightsError, storage.errors.StoreError: as `open_checkpoint`.
    """
    manifest = find(store, ref)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(17, "there is something already", str(out))
    if not merged:
        store.checkout(manifest.ref, out)
        return f"{manifest.ref} as an adapter of {manifest.models['base']['name']}"
    opened = open_checkpoint(store, ref)
    prompts = proof_rows(store, manifest)
    expected = _answers(opened, opened.model, prompts)
    try:
        whole = opened.model.merge_and_unload(safe_merge=True)
        whole.save_pretrained(str(out))
        opened.reader.processor.save_pretrained(str(out))
        del whole
        again = load.reader(str(out), manifest.settings["train"]["boxes"])
        got = _answers(opened, load.load(again), prompts)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    differ = sum(a != b for a, b in zip(expected, got, strict=True))
    if differ:
        shutil.rmtree(out, ignore_errors=True)
        raise ExportError(
            f"merged, {manifest.ref} answers {differ} of {len(prompts)} prompts otherwise than "
            "with its adapter; export without --merged"
        )
    return f"{manifest.ref} merged in float32; {len(prompts)} of {len(prompts)} answers are alike"


def proof_rows(store: Store, manifest: Manifest, count: int = PROMPTS) -> list[Row]:
    """Rows of the data that a checkpoint was trained on, of held-out splits where there are."""
    examples = next(i for i in manifest.inputs if i.name == "examples")
    table = store.read(examples.ref)
    found = balanced(table, count)
    found.sort(key=lambda row: (row["split"] == "train", row["example_id"]))
    return found[:count]


def _answers(opened: Opened, model: Any, prompts: Sequence[Row]) -> list[str]:
    reader = opened.reader
    generator = AnswerGenerator(
        reader.processor,
        reader.convention,
        batch_size=8,
        max_new_tokens=PROOF_TOKENS,
        suppress=(reader.config.image_token_id,),
    )
    texts: list[str] = []
    for start in range(0, len(prompts), generator.batch_size):
        texts += generator.batch(model, prompts[start : start + generator.batch_size])
    return texts
