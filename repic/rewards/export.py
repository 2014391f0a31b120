"""Rows for other trainers: JSON lines, pictures as files, and the label that a worker scores by.

A line has the prompt in the forms that trainers read: `prompt` (TRL: a conversation of blocks),
`messages` (ms-swift and OpenRLHF: text with `<image>`), `reward_model` and `data_source` (verl),
`images` (paths, in order of the prompt), and `label`, the row as `/v1/score` takes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from repic.images.cache import PictureCache
from repic.images.coordinates import Convention
from repic.images.fetch import ImageRefused
from repic.objectives.base import Row, prompt_of
from repic.rewards.server.protocol import row_message
from storage.hashing import fingerprint

LINES, PICTURES = "rows.jsonl", "images"


def label(row: Row) -> str:
    """The columns of a row that its score depends on, as JSON text."""
    return json.dumps(row_message(row), ensure_ascii=False)


def export_rows(
    rows: Iterable[Row],
    folder: Path,
    convention: Convention,
    tick: Callable[[int], None] = lambda done: None,
) -> tuple[int, list[str]]:
    """Write rows.jsonl and the pictures; crops are cut out, and each picture is written once.

    Args:
        convention: How the model writes boxes; a prompt may contain one.
        tick: Called with 1 after each row.

    Returns:
        The number of rows written, and for each row that was not, its id and the reason.
    """
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    cache, count, skipped = PictureCache(), 0, []
    with (folder / LINES).open("w", encoding="utf-8") as file:
        for row in rows:
            try:
                pictures = [_save(picture, folder, cache) for picture in row["images"]]
            except (ImageRefused, OSError) as error:
                skipped.append(f"{row['example_id']}: {error}")
                continue
            file.write(json.dumps(_line(row, pictures, convention), ensure_ascii=False) + "\n")
            count += 1
            tick(1)
    return count, skipped


def _line(row: Row, pictures: list[str], convention: Convention) -> Row:
    blocks = prompt_of(row, convention)
    text = "".join("<image>" if b["type"] == "image" else b["text"] for b in blocks)
    content = [{"type": "image"} if b["type"] == "image" else dict(b) for b in blocks]
    row_label = label(row)
    return {
        "example_id": row["example_id"],
        "objective": row["objective"],
        "data_source": f"repic/{row['objective']}",
        "prompt": [{"role": "user", "content": content}],
        "messages": [{"role": "user", "content": text}],
        "images": pictures,
        "label": row_label,
        "reward_model": {"style": "rule", "ground_truth": row_label},
    }


def _save(picture: Row, folder: Path, cache: PictureCache) -> str:
    shown = [picture["image_id"], list(picture["crop"])]
    if (augmentation := picture.get("augmentation")) is not None:
        shown.append(augmentation)
    name = fingerprint(shown)
    path = folder / PICTURES / f"{name}.png"
    if not path.exists():
        cache.picture(picture).save(path)
    return str(path.resolve())
