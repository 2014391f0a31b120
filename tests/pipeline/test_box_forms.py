"""The same boxes in the forms of COCO, Pascal VOC and YOLO are the same objects of a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from repic import config
from storage.store import Store
from tests.builds import SIZE, Album, Built, build, tables


def _objects(made: Any) -> dict[tuple[str, str], list[list[float]]]:
    """Boxes by file and label."""
    names = {row["image_id"]: Path(row["uri"]).name for row in made["images"].to_pylist()}
    found: dict[tuple[str, str], list[list[float]]] = {}
    for row in made["objects"].to_pylist():
        box = [row[edge] for edge in ("x1", "y1", "x2", "y2")]
        found.setdefault((names[row["image_id"]], row["label"]), []).append(box)
    return {key: sorted(boxes) for key, boxes in found.items()}


def _voc(album: Album, root: Path) -> None:
    (root / "Annotations").mkdir()
    (root / "JPEGImages").symlink_to(album.folder / "photos")
    for entry in album.entries:
        objects = ""
        for thing in entry["objects"]:
            x1, y1, x2, y2 = thing["box"]
            objects += (
                f"<object><name>{thing['label']}</name><bndbox><xmin>{x1 + 1}</xmin>"
                f"<ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            )
        (root / "Annotations" / f"{Path(entry['file']).stem}.xml").write_text(
            f"<annotation><filename>{entry['file']}</filename>{objects}</annotation>"
        )


def _yolo(album: Album, root: Path) -> None:
    names = sorted({thing["label"] for entry in album.entries for thing in entry["objects"]})
    (root / "images").mkdir()
    (root / "labels").mkdir()
    for entry in album.entries:
        photo = album.folder / "photos" / entry["file"]
        (root / "images" / entry["file"]).write_bytes(photo.read_bytes())
        with Image.open(photo) as picture:
            assert picture.size == (SIZE, SIZE)
        rows = []
        for thing in entry["objects"]:
            x1, y1, x2, y2 = (edge / SIZE for edge in thing["box"])
            center = f"{(x1 + x2) / 2:.9f} {(y1 + y2) / 2:.9f} {x2 - x1:.9f} {y2 - y1:.9f}"
            rows.append(f"{names.index(thing['label'])} {center}")
        (root / "labels" / f"{Path(entry['file']).stem}.txt").write_text("\n".join(rows))
    (root / "data.yaml").write_text(yaml.safe_dump({"train": "images", "names": names}))


@pytest.mark.parametrize(("kind", "write"), [("voc", _voc), ("yolo", _yolo)])
def test_the_objects_are_those_of_coco(kind: str, write: Any, built: Built, tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    write(built.album, root)
    source = {"kind": kind, "path": str(root), "identity": "none"}
    store = Store.open(tmp_path / "store", create=True)
    outcome = build(config.load("photos", built.album.overrides, source=source), store)
    ours = _objects(tables(store, outcome))
    theirs = _objects(tables(built.store, built.outcome))
    assert ours.keys() == theirs.keys()
    for key, boxes in ours.items():
        assert boxes == [pytest.approx(box, abs=0.01) for box in theirs[key]]
