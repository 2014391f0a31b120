"""Rows for other trainers: JSON lines with pictures as files, and all that a worker has to know.

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
    """What of a row a score depends on, as text."""
    return json.dumps(row_message(row), ensure_ascii=False)


def export_rows(
    rows: Iterable[Row],
    folder: Path,
    convention: Convention,
    tick: Callable[[int], None] = lambda done: None,
) -> tuple[int, list[str]]:
    """Write rows and their pictures; crops are cut out, and each picture is written once.

    Args:
        convention: How the model writes boxes; one may stand in a prompt.

    Returns:
        How many rows were written, and why others were not.
    """
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    cache, count, lost = PictureCache(), 0, []
    with (folder / LINES).open("w", encoding="utf-8") as file:
        for row in rows:
            try:
                pictures = [_written(picture, folder, cache) for picture in row["images"]]
            except (ImageRefused, OSError) as error:
                lost.append(f"{row['example_id']}: {error}")
                continue
            file.write(json.dumps(_line(row, pictures, convention), ensure_ascii=False) + "\n")
            count += 1
            tick(1)
    return count, lost


def _line(row: Row, pictures: list[str], convention: Convention) -> Row:
    blocks = prompt_of(row, convention)
    text = "".join("<image>" if b["type"] == "image" else b["text"] for b in blocks)
    shown = [{"type": "image"} if b["type"] == "image" else dict(b) for b in blocks]
    told = label(row)
    return {
        "example_id": row["example_id"],
        "objective": row["objective"],
        "data_source": f"repic/{row['objective']}",
        "prompt": [{"role": "user", "content": shown}],
        "messages": [{"role": "user", "content": text}],
        "images": pictures,
        "label": told,
        "reward_model": {"style": "rule", "ground_truth": told},
    }


def _written(picture: Row, folder: Path, cache: PictureCache) -> str:
    name = fingerprint([picture["image_id"], list(picture["crop"])])
    path = folder / PICTURES / f"{name}.png"
    if not path.exists():
        cache.picture(picture).save(path)
    return str(path.resolve())
