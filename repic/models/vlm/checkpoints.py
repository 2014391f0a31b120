"""Checkpoints as artifacts of a store: an adapter, or a complete model, with its lineage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from repic.errors import ConfigError, ExportError, WeightsError
from repic.images.coordinates import CONVENTIONS
from repic.models.vlm import load
from repic.models.vlm.generate import AnswerGenerator
from repic.models.vlm.load import LoadOptions, PixelLimits, Reader
from repic.objectives.base import Row
from repic.objectives.rows import balanced
from storage.manifest import Manifest
from storage.store import Store

NAME = "checkpoint"
ADAPTER, MODEL = "adapter", "model"
"""Folders of a checkpoint; one of them is there."""
PROMPTS = 32
"""Held-out prompts on which the merged model must give the answers of the adapter."""

VERIFICATION_TOKENS = 128


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint in memory; `model` is the base model with the adapter, or the trained model."""

    manifest: Manifest
    reader: Reader
    model: Any


def save(model: Any, processor: Any, folder: Path, weights: dict[str, Any] | None = None) -> None:
    """Write what was trained: the adapter, or the complete model with its processor.

    Args:
        weights: Those of the model by name, if it holds only parts of them.
    """
    if hasattr(model, "peft_config"):
        _save_adapter(model, folder / ADAPTER, weights)
    else:
        model.save_pretrained(str(folder / MODEL), state_dict=weights)
        processor.save_pretrained(str(folder / MODEL))


def _save_adapter(model: Any, folder: Path, weights: dict[str, Any] | None) -> None:
    """Write the trained adapter without the local path of the base model."""
    model.save_pretrained(str(folder), save_embedding_layers=False, state_dict=weights)
    config = folder / "adapter_config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    values["base_model_name_or_path"] = None
    config.write_text(json.dumps(values, indent=1, sort_keys=True), encoding="utf-8")
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's generic model card


def files_of(folder: Path) -> dict[str, Path | bytes]:
    """Relative path -> file, for all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def is_complete(manifest: Manifest) -> bool:
    """Whether a checkpoint holds a complete model, and no adapter."""
    return any(file.name.startswith(f"{MODEL}/") for file in manifest.files)


def find(store: Store, ref: str) -> Manifest:
    """Manifest of a checkpoint.

    Raises:
        ConfigError: the reference names another kind of artifact.
        storage.errors.StoreError: there is no such version.
    """
    manifest = store.manifest(ref)
    if manifest.kind != "checkpoint":
        raise ConfigError(f"{manifest.ref} is a {manifest.kind}: give a checkpoint@v...")
    return manifest


@dataclass(frozen=True)
class Base:
    """The model that a checkpoint was trained on.

    Attributes:
        boxes: Name of the convention in which it writes boxes, or `auto`.
        pixels: Sizes of pictures in training.
        four_bit: Whether its language model was quantized.
    """

    name: str
    fingerprint: str
    boxes: str
    pixels: PixelLimits = field(default_factory=PixelLimits)
    four_bit: bool = False


def base_of(manifest: Manifest) -> Base:
    """The base model that a checkpoint names.

    Raises:
        ConfigError: it names none, as one that no training of repic has published.
    """
    model = manifest.models.get("base")
    train = manifest.settings.get("train")
    values = [
        *(model.get(key) if isinstance(model, dict) else None for key in ("name", "fingerprint")),
        train.get("boxes") if isinstance(train, dict) else None,
    ]
    if not all(isinstance(value, str) for value in values) or (
        values[2] not in ("auto", *CONVENTIONS)
    ):
        raise ConfigError(
            f"{manifest.ref} does not say which model it was trained on, or how that writes boxes: "
            "choose a checkpoint that `repic train` has published"
        )
    train = dict(train) if isinstance(train, dict) else {}
    limits = (train.get(key) for key in ("min_pixels", "max_pixels"))
    pixels = PixelLimits(*(limit if isinstance(limit, int) else None for limit in limits))
    name, fingerprint, boxes = map(str, values)
    return Base(name, fingerprint, boxes, pixels, train.get("quantize") == "4bit")


def check_adapter(folder: Path, ref: str) -> None:
    """Refuse an adapter of another kind than training writes: PEFT imports what a config names.

    Raises:
        ConfigError: it is no LoRA adapter in safetensors.
    """
    try:
        values = json.loads((folder / "adapter_config.json").read_bytes())
        is_lora = values["peft_type"] == "LORA" and values.get("megatron_config") is None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_lora = False
    if not is_lora or not (folder / "adapter_model.safetensors").is_file():
        raise ConfigError(
            f"the adapter of {ref} is not one of LoRA in safetensors, so it is not loaded: choose "
            "a checkpoint that `repic train` has published"
        )


def open_checkpoint(
    store: Store, ref: str, bfloat16: bool = False, to_merge: bool = False
) -> LoadedCheckpoint:
    """Load a checkpoint: its base model with the adapter, or the complete model that it holds.

    Args:
        to_merge: Load a base model in full precision that was quantized for training, because 4
            bits cannot take an adapter in.

    Raises:
        WeightsError: the local base model differs from the one used in training.
        ConfigError, storage.errors.StoreError: as `find`, `base_of` and `check_adapter`.
    """
    manifest = find(store, ref)
    base = base_of(manifest)
    options = LoadOptions(bfloat16, four_bit=base.four_bit and not to_merge)
    with TemporaryDirectory() as folder:
        if is_complete(manifest):
            store.checkout(manifest.ref, folder)
            found = load.reader(str(Path(folder) / MODEL), base.boxes, pixels=base.pixels)
            model = load.load(found, options)
            return LoadedCheckpoint(manifest, replace(found, name=base.name), model)
        found = load.reader(base.name, base.boxes, pixels=base.pixels)
        if found.fingerprint != base.fingerprint:
            raise WeightsError(
                f"{manifest.ref} was trained on another {base.name} than the one here: get the "
                f"version with the fingerprint {base.fingerprint}"
            )
        store.checkout(manifest.ref, folder)
        check_adapter(adapter := Path(folder) / ADAPTER, str(manifest.ref))
        return LoadedCheckpoint(manifest, found, _with_adapter(load.load(found, options), adapter))


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(adapter))


def export(store: Store, ref: str, out: Path, merged: bool) -> str:
    """Write a checkpoint for other programs.

    Args:
        merged: Write the complete model in float32 with the adapter merged into its weights
            (merging in bfloat16 changes answers); otherwise write the adapter's files.

    Returns:
        A sentence that describes the result.

    Raises:
        ExportError: the merged model answers a prompt differently; `out` is removed.
        FileExistsError: `out` is not empty.
        ConfigError, WeightsError, storage.errors.StoreError: as `open_checkpoint`.
    """
    manifest = find(store, ref)
    base = base_of(manifest)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(17, "the folder is not empty", str(out))
    if not merged:
        store.checkout(manifest.ref, out)
        kind = "a complete model, trained from" if is_complete(manifest) else "an adapter of"
        return f"{manifest.ref} as {kind} {base.name}"
    opened = open_checkpoint(store, ref, to_merge=True)
    prompts = _verification_rows(store, manifest)
    expected = _answers(opened, opened.model, prompts)
    try:
        model = opened.model
        if not is_complete(manifest):
            model = model.merge_and_unload(safe_merge=True)
        model.save_pretrained(str(out))
        opened.reader.processor.save_pretrained(str(out))
        del model
        merged_reader = load.reader(str(out), base.boxes)
        answers = _answers(opened, load.load(merged_reader), prompts)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    differ = sum(a != b for a, b in zip(expected, answers, strict=True))
    if differ:
        shutil.rmtree(out, ignore_errors=True)
        raise ExportError(
            f"merged, {manifest.ref} answers {differ} of {len(prompts)} prompts differently than "
            "with its adapter; export without --merged"
        )
    return f"{manifest.ref} merged in float32; {len(prompts)} of {len(prompts)} answers are equal"


def _verification_rows(store: Store, manifest: Manifest, count: int = PROMPTS) -> list[Row]:
    """Rows of the examples that a checkpoint was trained on, held-out splits first."""
    examples = next(i for i in manifest.inputs if i.name == "examples")
    table = store.read(examples.ref)
    rows = balanced(table, count)
    rows.sort(key=lambda row: (row["split"] == "train", row["example_id"]))
    return rows[:count]


def _answers(opened: LoadedCheckpoint, model: Any, prompts: Sequence[Row]) -> list[str]:
    reader = opened.reader
    generator = AnswerGenerator(
        reader.processor,
        reader.convention,
        batch_size=8,
        max_new_tokens=VERIFICATION_TOKENS,
        suppress=(reader.config.image_token_id,),
    )
    texts: list[str] = []
    for start in range(0, len(prompts), generator.batch_size):
        texts += generator.batch(model, prompts[start : start + generator.batch_size])
    return texts
