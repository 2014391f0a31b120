"""Photos: boxes drawn on some of them, which labels there are, and what is nearly the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from repic.report.choice import varied
from repic.report.pictures import Shot
from repic.report.scenes import Frame, box_of, photo_uris
from repic.report.versions import Version

SHOWN = 12
"""Photos with boxes."""
LABELS = 12
BOXES = 8
"""Most boxes drawn on one photo."""
GROUPS = 6
MEMBERS = 5


@dataclass(frozen=True)
class Drawn:
    """An object on a photo."""

    frame: Frame
    label: str
    confidence: float


@dataclass(frozen=True)
class Sheet:
    """A photo with boxes; `more` could not be drawn."""

    shot: Shot
    boxes: tuple[Drawn, ...]
    more: int

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The boxes alone."""
        return tuple(box.frame for box in self.boxes)


@dataclass(frozen=True)
class Alike:
    """Near-duplicates: some of them to look at, and how many there are."""

    shots: tuple[Shot, ...]
    count: int


@dataclass(frozen=True)
class Photos:
    """All that the page says of photos.

    Attributes:
        copies: Files with the very same bytes as another.
        empty: Photos in which no object was found.
        labels: The most frequent labels, with the number of their objects.
        other_labels: Labels beside these, and their objects.
        alike: The largest groups of near-duplicates.
        alike_groups: How many groups there are, and of how many photos.
    """

    count: int
    copies: int
    objects: int
    empty: int
    labels: tuple[tuple[str, int], ...]
    other_labels: tuple[int, int]
    sheets: tuple[Sheet, ...]
    alike: tuple[Alike, ...]
    alike_groups: tuple[int, int]

    @property
    def shots(self) -> Iterator[Shot]:
        """All pictures of this part."""
        yield from (sheet.shot for sheet in self.sheets)
        yield from (shot for group in self.alike for shot in group.shots)


def photos(version: Version) -> Photos:
    """Look through all photos and objects of a version."""
    images = version.read("images", ["image_id", "also_at", "near_duplicate_group"])
    objects = version.read("objects", ["image_id", "label"])
    labels = Counter(objects["label"].to_pylist())
    ranked = sorted(labels.items(), key=lambda entry: (-entry[1], entry[0]))
    rest = ranked[LABELS:]
    members: dict[str, list[str]] = {}
    for image_id, group in zip(
        images["image_id"].to_pylist(), images["near_duplicate_group"].to_pylist(), strict=True
    ):
        members.setdefault(group, []).append(image_id)
    groups = sorted((sorted(m) for m in members.values() if len(m) > 1), key=lambda m: (-len(m), m))
    in_photo = Counter(objects["image_id"].to_pylist())
    of_photo: dict[str, set[str]] = {}
    for image_id, label in zip(
        objects["image_id"].to_pylist(), objects["label"].to_pylist(), strict=True
    ):
        of_photo.setdefault(image_id, set()).add(label)
    # Photos with several labels say most about a detector; new labels go before known ones.
    order = sorted(of_photo, key=lambda photo: (-min(len(of_photo[photo]), 3), photo))
    return Photos(
        count=images.num_rows,
        copies=sum(map(len, images["also_at"].to_pylist())),
        objects=objects.num_rows,
        empty=images.num_rows - len(in_photo),
        labels=tuple(ranked[:LABELS]),
        other_labels=(len(rest), sum(count for _, count in rest)),
        sheets=_sheets(version, varied(order, SHOWN, of_photo.__getitem__)),
        alike=_alike(version, groups[:GROUPS]),
        alike_groups=(len(groups), sum(map(len, groups))),
    )


def _sheets(version: Version, image_ids: list[str]) -> tuple[Sheet, ...]:
    rows = {row["image_id"]: row for row in version.rows("images", "image_id", image_ids)}
    found: dict[str, list[dict]] = {}
    for row in version.rows("objects", "image_id", image_ids):
        found.setdefault(row["image_id"], []).append(row)
    sheets = []
    for image_id in image_ids:
        photo = rows[image_id]
        boxes = sorted(found[image_id], key=lambda o: (not o["main"], -o["confidence"]))
        drawn = tuple(_drawn(o, photo["width"], photo["height"]) for o in boxes[:BOXES])
        more = max(0, len(boxes) - BOXES)
        sheets.append(Sheet(Shot(image_id, photo["uri"]), drawn, more))
    return tuple(sheets)


def _drawn(row: dict, width: int, height: int) -> Drawn:
    frame = Frame.of(box_of(row), (0, 0, width, height), row["main"])
    return Drawn(frame, row["label"], row["confidence"])


def _alike(version: Version, groups: list[list[str]]) -> tuple[Alike, ...]:
    shown = [group[:MEMBERS] for group in groups]
    uris = photo_uris(version, {image_id for group in shown for image_id in group})
    return tuple(
        Alike(tuple(Shot(i, uris[i]) for i in some), len(group))
        for some, group in zip(shown, groups, strict=True)
    )
