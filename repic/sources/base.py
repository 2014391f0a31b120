"""What a source yields: a photo, and what the source itself knows about the objects in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repic.images.coordinates import Box


@dataclass(frozen=True)
class Annotation:
    """One object that the source describes.

    Attributes:
        box: xyxy in pixels of the upright photo, as the source says it; not checked against the
            photo's size, which a source does not read.
        label: Category.
        identity: Which object it is, where the source knows.
        expressions: Sentences that point to this object and no other in the photo.
        truncated: Whether the frame cuts it; None where unknown.
        occluded: Whether something hides a part of it; None where unknown.
    """

    box: Box
    label: str
    identity: str | None = None
    expressions: tuple[str, ...] = ()
    truncated: bool | None = None
    occluded: bool | None = None


@dataclass(frozen=True)
class SourcePhoto:
    """One photo of a source; nothing of it was read yet, so the file may turn out to be broken.

    Attributes:
        uri: Where its bytes are; see `repic.images.decode` for the forms.
        source: Name of the source: its kind.
        licence: Licence, where the source says so.
        identity: Whom or what the whole photo shows, where the source says so.
        caption: A true caption, where the source has one.
        annotations: Objects that the source describes.
    """

    uri: str
    source: str
    licence: str | None = None
    identity: str | None = None
    caption: str | None = None
    annotations: tuple[Annotation, ...] = ()
