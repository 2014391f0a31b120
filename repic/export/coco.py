"""COCO: photos with boxes, categories, identities and captions, for detectors and label tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from repic.export.pictures import whole
from repic.export.target import TargetFacts
from repic.export.text_files import write_lists

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="pycocotools, detectors and label tools",
    keeps="photos, boxes (exact), labels, identities, expressions, captions, licences, splits",
    loses="pairs and examples; the confidence and fingerprint of detectors",
    tested="pycocotools loads every photo and box (`make peers`); our source `coco` reads the same",
    use="repic build --source coco:F/instances.json --identity annotation --store other",
    pictures=("copy", "reference"),
    holds="images",
)
NAMELESS = "object"
"""Category of a box without a label."""


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `instances.json`, and `captions.json` where captions are known."""
    splits = photo_splits(job)
    licences: dict[str, int] = {}
    numbers: dict[str, int] = {}
    captions: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    photos = _photos(job, splits, licences, numbers, captions)
    boxes = _boxes(job, numbers, categories)
    write_lists(
        job.folder / "instances.json",
        {"images": photos, "annotations": boxes},
        lambda: {
            "licenses": [{"id": n, "name": name} for name, n in licences.items()],
            "categories": [{"id": n, "name": name} for name, n in categories.items()],
            "info": {"description": str(job.source.manifest.ref)},
        },
    )
    if captions:
        images = [{"id": entry["image_id"]} for entry in captions]
        write_lists(job.folder / "captions.json", {"images": images, "annotations": captions}, dict)
    return {}


def photo_splits(job: ExportJob) -> dict[str, str]:
    """Split of each photo whose objects are of one; empty without the table `groups`."""
    if "groups" not in job.source.tables:
        return {}
    rows = job.source.rows("groups", ["image_id", "split"])
    return {row["image_id"]: row["split"] for row in rows if row["split"]}


def _photos(
    job: ExportJob,
    splits: Mapping[str, str],
    licences: dict[str, int],
    numbers: dict[str, int],
    captions: list[dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    columns = ["image_id", "uri", "width", "height", "licence", "caption"]
    for image in job.source.rows("images", columns):
        picture = job.picture(image["image_id"], whole(image))
        job.advance()
        if picture is None:
            continue
        number = numbers[image["image_id"]] = len(numbers) + 1
        split = splits.get(image["image_id"], "train")
        job.count(split, "photos")
        job.counts.photos.add(image["image_id"])
        if image["caption"]:
            captions.append({"id": number, "image_id": number, "caption": image["caption"]})
        yield {
            "id": number,
            "file_name": picture.path,
            "width": image["width"],
            "height": image["height"],
            "split": split,
            **(
                {"license": licences.setdefault(image["licence"], len(licences) + 1)}
                if image["licence"]
                else {}
            ),
        }


def _boxes(
    job: ExportJob, numbers: Mapping[str, int], categories: dict[str, int]
) -> Iterator[dict[str, Any]]:
    columns = ["object_id", "image_id", "x1", "y1", "x2", "y2", "label", "identity", "expressions"]
    number = 0
    for row in job.source.rows("objects", columns):
        if row["image_id"] not in numbers:
            continue
        number += 1
        width, height = row["x2"] - row["x1"], row["y2"] - row["y1"]
        job.counts.objects.add(row["object_id"])
        yield {
            "id": number,
            "image_id": numbers[row["image_id"]],
            "category_id": categories.setdefault(row["label"] or NAMELESS, len(categories) + 1),
            "bbox": [row["x1"], row["y1"], width, height],
            "area": width * height,
            "iscrowd": 0,
            "object_id": row["object_id"],
            **({"identity": row["identity"]} if row["identity"] else {}),
            **({"expressions": row["expressions"]} if row["expressions"] else {}),
        }
