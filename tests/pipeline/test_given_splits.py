"""Photos that the source holds back are in no row of training."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from repic import config
from repic.pipeline.scan import scan
from storage.store import Store
from tests.builds import Album, build, tables


def _splits(album: Album) -> dict[str, str]:
    """File name -> split: photos of three identities are held back, but for one of each."""
    identities = sorted({o["identity"] for e in album.entries for o in e["objects"]})[:3]
    splits, seen = {}, set()
    for entry in album.entries:
        held = {o["identity"] for o in entry["objects"]} & set(identities)
        first = held - seen
        seen |= held
        reserved = "test" if min(held, default="") == identities[0] else "validation"
        splits[entry["file"]] = reserved if held and not first else "train"
    return splits


@pytest.mark.parametrize("kind", ["coco", "refcoco"])
def test_a_photo_held_back_is_neither_query_nor_reference_in_training(
    album: Album, tmp_path: Path, kind: str
) -> None:
    splits = _splits(album)
    settings = _written(album, tmp_path, splits, kind)
    store = Store.open(tmp_path / "store", create=True)
    outcome = build(settings, store)
    made = tables(store, outcome)
    _check(made, splits, settings.sources[0].identity == "annotation")


def _written(album: Album, folder: Path, splits: dict[str, str], kind: str) -> config.Settings:
    """Two files of expressions: one says train of every photo, one says the splits above."""
    instances = json.loads((album.folder / "instances.json").read_text())
    names = {image["id"]: image["file_name"] for image in instances["images"]}
    refs = json.loads((album.folder / "refs.json").read_text())
    strict = [{**ref, "split": splits[names[ref["image_id"]]]} for ref in refs]
    lax = [{**ref, "split": "train"} for ref in refs]
    (folder / "refcoco").mkdir()
    (folder / "refcoco" / "instances.json").write_text(json.dumps(instances))
    for name, value in (("refs(unc).p", strict), ("refs(google).p", lax)):
        (folder / "refcoco" / name).write_bytes(pickle.dumps(value, 0))
    source: dict[str, Any] = {"kind": kind, "images": str(album.folder / "photos")}
    if kind == "coco":
        source |= {
            "path": str(folder / "refcoco" / "instances.json"),
            "refs": str(folder / "refcoco" / "refs(unc).p"),
            "identity": "annotation",
        }
    else:
        source |= {"path": str(folder), "identity": "none"}
    return config.load("photos", album.overrides, source=source)


def _check(made: dict[str, pa.Table], splits: dict[str, str], labelled: bool) -> None:
    photos = {row["image_id"]: row for row in made["images"].to_pylist()}
    said = {key: splits[Path(row["uri"]).name] for key, row in photos.items()}
    assert {key: row["split"] for key, row in photos.items()} == said
    held_back = {key for key, split in said.items() if split != "train"}
    used: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for row in made["examples"].to_pylist():
        used[row["split"]] |= {picture["image_id"] for picture in row["images"]}
    assert not used["train"] & held_back
    assert used["train"]
    for split in ("validation", "test"):
        assert used[split]
        assert {said[key] for key in used[split]} == {split}
    clusters = {key: row["near_duplicate_group"] for key, row in photos.items()}
    assert not {clusters[k] for k in used["train"]} & {clusters[k] for k in held_back}
    if labelled:
        identities = {
            side: {
                row["identity"]
                for row in made["objects"].to_pylist()
                if row["image_id"] in keys and row["identity"]
            }
            for side, keys in (("train", used["train"]), ("held back", held_back))
        }
        assert identities["train"]
        assert not identities["train"] & identities["held back"]


def test_copies_of_a_photo_are_in_the_strictest_split_of_them(album: Album, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(album.file(0).read_bytes())
    refs = [
        {"image_id": i, "ann_id": i, "sentences": ["it"], "split": split}
        for i, split in enumerate(("train", "testB"))
    ]
    instances = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(("a.png", "b.png"))],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9]} for i in range(2)
        ],
        "categories": [{"id": 1, "name": "mug"}],
    }
    (tmp_path / "refs.json").write_text(json.dumps(refs))
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    source = {
        "kind": "coco",
        "path": str(tmp_path / "instances.json"),
        "refs": str(tmp_path / "refs.json"),
    }
    [photo] = scan(config.load("photos", album.overrides, source=source)).photos
    assert photo.photo.uri.endswith("a.png")
    assert photo.photo.split == "test"
