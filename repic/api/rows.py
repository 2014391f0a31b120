"""Rows of the examples table as typed values with pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

Box = tuple[float, float, float, float]
"""xyxy in pixels of the upright photo."""


@dataclass(frozen=True)
class ShownPicture:
    """A picture as a model sees it: a photo, or a part of one.

    Attributes:
        role: reference or query.
        image_id: Id of the photo.
        uri: Address of the photo.
        photo_size: Width and height of the upright photo in pixels.
        crop: The shown part.
    """

    role: str
    image_id: str
    uri: str
    photo_size: tuple[int, int]
    crop: Box
    entry: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> ShownPicture:
        """An entry of the `images` column."""
        size = entry["width"], entry["height"]
        x1, y1, x2, y2 = entry["crop"]
        return cls(
            entry["role"], entry["image_id"], entry["uri"], size, (x1, y1, x2, y2), dict(entry)
        )

    @property
    def picture(self) -> Image.Image:
        """RGB, upright, cropped and changed as the row says; read from the photo.

        Raises:
            repic.errors.PictureError: the photo can no longer be read.
        """
        from repic.export.addresses import picture_of

        return picture_of(self.entry)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of `picture` in pixels, known without reading the photo."""
        from repic.images.augmentation import Augmentation
        from repic.objectives.query_view import QueryView

        view = QueryView.of({"images": [self.entry]})
        changed = Augmentation.of(self.entry)
        return changed.size(view.width, view.height) if changed else (view.width, view.height)


@dataclass(frozen=True)
class ExampleReference:
    """A named object of a row, and the picture that shows it.

    Attributes:
        name: The name in the prompt.
        info: Text about it in the prompt; may be empty.
        present: Whether the object is in the query photo.
        object_id: The object, as in the objects table.
        locale: Of the name, as `de_DE`.
    """

    name: str
    info: str
    present: bool
    object_id: str
    locale: str
    shown: ShownPicture

    @property
    def picture(self) -> Image.Image:
        """The reference picture.

        Raises:
            repic.errors.PictureError: the photo can no longer be read.
        """
        return self.shown.picture


@dataclass(frozen=True)
class DescribedObject:
    """A known object of the query photo of an ICT row.

    Attributes:
        name: Its name in the row; None for one that no reference shows.
        phrases: Texts that refer to no other object of the photo.
    """

    name: str | None
    box: Box
    label: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """One training example; `repic.open(...)["examples@latest"].docs` documents the columns.

    Attributes:
        prompt: The text of the prompt, `<image>` for each picture; `{box}` stands for the box.
        references: The named objects of OCT and ICT, each with its picture.
        query: The photo that the question is about.
        row: The row as the table has it.
    """

    example_id: str
    objective: str
    kind: str
    split: str
    template_id: str
    prompt: str
    references: tuple[ExampleReference, ...]
    query: ShownPicture
    answer: str
    box: Box | None
    caption: str | None
    scene: tuple[DescribedObject, ...]
    distinctive_words: tuple[str, ...]
    distractor_words: tuple[str, ...]
    origin: str | None
    pair_ids: tuple[str, ...]
    band: str | None
    similarity: float | None
    row: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Example:
        """A row of the table; one of an older version may lack columns that were added later."""
        *shown, query = map(ShownPicture.of, row["images"])
        names = row["references"]
        return cls(
            example_id=row["example_id"],
            objective=row["objective"],
            kind=row["kind"],
            split=row["split"],
            template_id=row["template_id"],
            prompt="".join("<image>" if b["type"] == "image" else b["text"] for b in row["prompt"]),
            references=tuple(
                ExampleReference(**reference, shown=picture)
                for reference, picture in zip(names, shown, strict=True)
            ),
            query=query,
            answer=row["answer"],
            box=None if row["box"] is None else tuple(row["box"]),
            caption=row["caption"],
            scene=tuple(
                DescribedObject(o["name"], tuple(o["box"]), o["label"], tuple(o["phrases"]))
                for o in row["scene"]
            ),
            distinctive_words=tuple(row.get("distinctive_words") or ()),
            distractor_words=tuple(row.get("distractor_words") or ()),
            origin=row.get("origin"),
            pair_ids=tuple(row["pair_ids"]),
            band=row["band"],
            similarity=row["similarity"],
            row=row,
        )

    @property
    def pictures(self) -> list[Image.Image]:
        """All pictures in the order of the prompt; the last is the query photo.

        Raises:
            repic.errors.PictureError: a photo can no longer be read.
        """
        return [*(reference.picture for reference in self.references), self.query.picture]
