"""YOLO: a text file of boxes for each photo, and `data.yaml`, as Ultralytics reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from repic.errors import TargetError
from repic.export.coco import NAMELESS, photo_splits
from repic.export.pictures import whole
from repic.export.target import TargetFacts
from repic.images.coordinates import Box

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="detectors of Ultralytics",
    keeps="photos, boxes to seven digits, labels, splits",
    loses="identities, captions, expressions, pairs and examples",
    tested="Ultralytics' own loader reads every photo and box",
    use="yolo detect train data=F/data.yaml model=yolo11n.pt",
    pictures=("copy",),
    holds="images",
)
_NAMES = {"train": "train", "validation": "val", "test": "test"}


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `images/`, `labels/`, a list of photos for each split, and `data.yaml`."""
    boxes, categories = _boxes(job)
    splits = photo_splits(job)
    listed: defaultdict[str, list[str]] = defaultdict(list)
    for image in job.source.rows("images", ["image_id", "uri", "width", "height"]):
        picture = job.picture(image["image_id"], whole(image))
        job.advance()
        if picture is None or picture.path is None:
            continue
        split = splits.get(image["image_id"], "train")
        job.count(split, "photos")
        job.counts.photos.add(image["image_id"])
        listed[split].append(f"./{picture.path}\n")
        path = job.folder / "labels" / Path(picture.path).relative_to("images").with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(
                _lines(image["width"], image["height"], boxes.pop(image["image_id"], []))
            )
    _write_lists(job.folder, listed, [*categories])
    return {}


def _boxes(job: ExportJob) -> tuple[dict[str, list[tuple[int, Box]]], dict[str, int]]:
    """Boxes with the number of their category, by photo, and the numbers of all categories.

    YOLO wants the boxes of a photo together, and the table is in the order of objects.
    """
    boxes: defaultdict[str, list[tuple[int, Box]]] = defaultdict(list)
    categories: dict[str, int] = {}
    columns = ["object_id", "image_id", "x1", "y1", "x2", "y2", "label"]
    for row in job.source.rows("objects", columns):
        category = categories.setdefault(row["label"] or NAMELESS, len(categories))
        boxes[row["image_id"]].append((category, Box.of_row(row)))
        job.counts.objects.add(row["object_id"])
    if not categories:
        raise TargetError(f"{job.source.manifest.ref} has no boxes: a detector needs some")
    return boxes, categories


def _lines(width: int, height: int, boxes: list[tuple[int, Box]]) -> Iterator[str]:
    """Category, centre and size of each box, in shares of the photo."""
    for category, box in boxes:
        centre = (box.x1 + box.x2) / 2 / width, (box.y1 + box.y2) / 2 / height
        values = (*centre, box.width / width, box.height / height)
        yield f"{category} {' '.join(f'{value:.7f}' for value in values)}\n"


def _write_lists(folder: Path, listed: Mapping[str, list[str]], categories: list[str]) -> None:
    data: dict[str, Any] = {}
    for split, name in _NAMES.items():
        if split in listed:
            (folder / f"{name}.txt").write_text("".join(listed[split]), encoding="utf-8")
            data[name] = f"{name}.txt"
    for name in ("train", "val"):  # the loader wants both
        data.setdefault(name, next(iter(data.values()), "train.txt"))
    data["names"] = dict(enumerate(categories))
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")
