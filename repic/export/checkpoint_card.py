"""The card of an exported checkpoint: what it is an adapter of, and what it was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from repic.models.vlm import checkpoints
from repic.models.vlm.checkpoints import Base
from storage.manifest import Manifest

CARD = "README.md"


def write(folder: Path, manifest: Manifest, merged: bool) -> None:
    """Write `README.md` into an exported checkpoint, and into its adapter the name of its base.

    A base model in a folder of this machine is named in the card, by its last part only.

    Raises:
        repic.errors.ConfigError: the checkpoint does not name its base model.
    """
    base = checkpoints.base_of(manifest)
    name = _portable(base.name)
    on_hub = name == base.name and "/" in name
    adapter = folder / checkpoints.ADAPTER / "adapter_config.json"
    is_adapter = adapter.is_file()
    if is_adapter and on_hub:
        values = json.loads(adapter.read_text(encoding="utf-8"))
        values["base_model_name_or_path"] = name
        adapter.write_text(json.dumps(values, indent=1, sort_keys=True), encoding="utf-8")
    head: dict[str, Any] = {
        "library_name": "peft" if is_adapter else "transformers",
        "pipeline_tag": "image-text-to-text",
        "tags": ["repic", "personalization", *(["lora"] if is_adapter else [])],
    }
    if on_hub:
        head["base_model"] = name
        head["base_model_relation"] = "adapter" if is_adapter else "finetune"
    top = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    text = "\n".join(_body(manifest, base, name, merged, is_adapter))
    (folder / CARD).write_text(f"---\n{top}---\n\n{text}\n", encoding="utf-8")


def _portable(name: str) -> str:
    """The name of a base model without a folder of this machine."""
    return Path(name).name if Path(name).is_absolute() or Path(name).exists() else name


def _body(
    manifest: Manifest, base: Base, name: str, merged: bool, is_adapter: bool
) -> Iterator[str]:
    what = "LoRA adapter of" if is_adapter else "model trained from"
    how = " (merged in float32)" if merged else ""
    yield f"# {manifest.ref}: {what} {name}{how}\n"
    yield f"- Base model: `{name}`, fingerprint `{base.fingerprint}`"
    train = manifest.settings.get("train")
    if isinstance(train, dict):
        yield f"- Method: {str(train.get('method', 'unknown')).upper()}"
    for bound in manifest.inputs:
        yield f"- Trained on: `{bound.ref}`, fingerprint `{bound.fingerprint}`"
    if "steps" in manifest.notes:
        yield f"- Steps: {manifest.notes['steps']}"
    yield f"- Writes boxes as: {base.boxes}"
    yield f"- Content `{manifest.content}`, fingerprint `{manifest.fingerprint}`"
    yield f"- Written by repic {manifest.code_version}\n"
    changes = manifest.notes.get("changes") or ()
    if changes:
        yield "Rewards on held-out rows, before and after:\n"
        yield "```json\n" + json.dumps(changes, indent=1) + "\n```\n"
    yield "The licence is that of the base model, and of the photos that it was trained on."
    if is_adapter:
        yield f"\n    PeftModel.from_pretrained(base_model, 'F', subfolder='{checkpoints.ADAPTER}')"
