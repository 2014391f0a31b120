"""The section on photos: boxes drawn on some of them, labels, and near-duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from repic.report.dataset import DatasetVersion
from repic.report.pictures import BoxOverlay, PagePicture, box_of, diverse

MAX_PHOTOS = 12
"""Photos shown with boxes."""
MAX_LABELS = 12
MAX_BOXES = 8
"""Boxes drawn on one photo."""
MAX_GROUPS = 6
"""Groups of near-duplicates shown."""
MAX_MEMBERS = 5
"""Photos shown of each group."""


@dataclass(frozen=True)
class _LabelledBox:
    overlay: BoxOverlay
    label: str
    confidence: float


@dataclass(frozen=True)
class _PhotoWithBoxes:
    """A photo and its boxes; `more` others are not drawn."""

    picture: PagePicture
    boxes: tuple[_LabelledBox, ...]
    more: int

    @property
    def overlays(self) -> tuple[BoxOverlay, ...]:
        """The boxes without labels."""
        return tuple(box.overlay for box in self.boxes)


@dataclass(frozen=True)
class _NearDuplicates:
    """A group of near-duplicates: some of its photos, and how many it has."""

    pictures: tuple[PagePicture, ...]
    count: int


@dataclass(frozen=True)
class PhotosSection:
    """Contents of the section on photos.

    Attributes:
        copies: Files with the same bytes as another.
        empty: Photos without any object.
        labels: The most frequent labels with their number of objects.
        other_labels: Number of other labels, and of their objects.
        photos: Photos with boxes.
        near_duplicates: The largest groups of near-duplicates.
        duplicate_groups: Number of all such groups, and of their photos.
    """

    count: int
    copies: int
    objects: int
    empty: int
    labels: tuple[tuple[str, int], ...]
    other_labels: tuple[int, int]
    photos: tuple[_PhotoWithBoxes, ...]
    near_duplicates: tuple[_NearDuplicates, ...]
    duplicate_groups: tuple[int, int]

    @property
    def pictures(self) -> Iterator[PagePicture]:
        """All pictures of the section."""
        yield from (photo.picture for photo in self.photos)
        yield from (picture for group in self.near_duplicates for picture in group.pictures)


def photos_section(version: DatasetVersion) -> PhotosSection:
    """Summarize all photos and objects of a version."""
    images = version.read("images", ["image_id", "also_at", "near_duplicate_group"])
    objects = version.read("objects", ["object_id", "image_id", "label"]).to_pylist()
    label_of = version.labels(objects)
    labels = Counter(label_of.values())
    ranked = sorted(labels.items(), key=lambda entry: (-entry[1], entry[0]))
    rest = ranked[MAX_LABELS:]
    members: dict[str, list[str]] = {}
    for image_id, group in zip(
        images["image_id"].to_pylist(), images["near_duplicate_group"].to_pylist(), strict=True
    ):
        members.setdefault(group, []).append(image_id)
    groups = sorted((sorted(m) for m in members.values() if len(m) > 1), key=lambda m: (-len(m), m))
    labels_by_photo: dict[str, set[str]] = {}
    for row in objects:
        labels_by_photo.setdefault(row["image_id"], set()).add(label_of[row["object_id"]])
    # Photos with several labels are the most informative about a detector.
    order = sorted(labels_by_photo, key=lambda photo: (-min(len(labels_by_photo[photo]), 3), photo))
    return PhotosSection(
        count=images.num_rows,
        copies=sum(map(len, images["also_at"].to_pylist())),
        objects=len(objects),
        empty=images.num_rows - len(labels_by_photo),
        labels=tuple(ranked[:MAX_LABELS]),
        other_labels=(len(rest), sum(count for _, count in rest)),
        photos=_with_boxes(version, diverse(order, MAX_PHOTOS, labels_by_photo.__getitem__)),
        near_duplicates=_near_duplicates(version, groups[:MAX_GROUPS]),
        duplicate_groups=(len(groups), sum(map(len, groups))),
    )


def _with_boxes(version: DatasetVersion, image_ids: list[str]) -> tuple[_PhotoWithBoxes, ...]:
    rows = {row["image_id"]: row for row in version.rows("images", "image_id", image_ids)}
    objects: dict[str, list[dict]] = {}
    for row in version.rows("objects", "image_id", image_ids):
        objects.setdefault(row["image_id"], []).append(row)
    labels = version.labels(row for boxes in objects.values() for row in boxes)
    result = []
    for image_id in image_ids:
        photo = rows[image_id]
        ranked = sorted(objects[image_id], key=lambda o: (not o["main"], -o["confidence"]))
        size = photo["width"], photo["height"]
        boxes = tuple(_labelled_box(o, labels[o["object_id"]], size) for o in ranked[:MAX_BOXES])
        more = max(0, len(ranked) - MAX_BOXES)
        result.append(_PhotoWithBoxes(PagePicture(image_id, photo["uri"]), boxes, more))
    return tuple(result)


def _labelled_box(row: dict, label: str, size: tuple[int, int]) -> _LabelledBox:
    overlay = BoxOverlay.of(box_of(row), (0, 0, *size), row["main"])
    return _LabelledBox(overlay, label, row["confidence"])


def _near_duplicates(
    version: DatasetVersion, groups: list[list[str]]
) -> tuple[_NearDuplicates, ...]:
    visible = [group[:MAX_MEMBERS] for group in groups]
    uris = version.photo_uris({image_id for group in visible for image_id in group})
    return tuple(
        _NearDuplicates(tuple(PagePicture(i, uris[i]) for i in some), len(group))
        for some, group in zip(visible, groups, strict=True)
    )
