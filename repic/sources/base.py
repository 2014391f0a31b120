"""Photos of a source, with annotations of their objects."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repic.images.coordinates import Box
    from repic.images.refusal import Reason

_log = logging.getLogger(__name__)

SHARES = (1, 1)
"""Size of the photo that boxes were drawn on, where they are shares of any photo."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """An object that the source describes.

    Attributes:
        box: xyxy in pixels of the upright photo, as given by the source; not checked against the
            size of the photo, which a source does not read.
        label: Category; empty if the source gives only the box.
        identity: Identity of the object, if the source gives one.
        expressions: Sentences that refer to this object and no other in the photo.
        truncated: Whether the frame cuts off a part; None if unknown.
        occluded: Whether something hides a part; None if unknown.
    """

    box: Box
    label: str
    identity: str | None = None
    expressions: tuple[str, ...] = ()
    truncated: bool | None = None
    occluded: bool | None = None


@dataclass(frozen=True)
class SourceFacts:
    """What a kind of source gives; each module of a source has one as `FACTS`, for the docs.

    Attributes:
        path: What `source.path` names.
        identity: What an identity is, and which `--identity` reads it.
        boxes: Boxes and expressions that it gives, or why none.
        captions: Where captions come from, or "none".
        splits: Whether it has splits of its own, and what becomes of them.
        licence: The licence that its photos have, or a hint about it.
        lacks: What it cannot give, in a clause; empty if there is nothing to say.
    """

    path: str
    identity: str
    boxes: str = "none"
    captions: str = "none"
    splits: str = "none"
    licence: str = "`source.licence`"
    lacks: str = ""


@dataclass(frozen=True)
class SourcePhoto:
    """A photo of a source. It was not read yet, so the file may be broken.

    Attributes:
        uri: Address of its bytes; see `repic.images.uris` for the forms.
        source: Name of the source; `repic.sources.photos` sets it.
        licence: Licence, if the source gives one.
        identity: Who or what the photo shows, if the source says so.
        caption: A true caption, if the source has one.
        annotations: Objects that the source describes.
        label: What the owner of the photo calls its main object.
        drawn_on: Width and height in pixels of the photo that the boxes were drawn on, if the
            source says so; they are scaled or turned to the file, or refused. `SHARES` if they
            are shares of the upright photo.
        split: train, validation or test, if the source says which; a photo of validation or test
            never trains.
    """

    uri: str
    source: str
    licence: str | None = None
    identity: str | None = None
    caption: str | None = None
    annotations: tuple[Annotation, ...] = ()
    label: str | None = None
    drawn_on: tuple[int, int] | None = None
    split: str | None = None

    @property
    def identities(self) -> set[str]:
        """Those of the photo and of its objects."""
        named = (self.identity, *(annotation.identity for annotation in self.annotations))
        return {identity for identity in named if identity}


@dataclass(frozen=True)
class RefusedPhoto(SourcePhoto):
    """A photo that is not read: its data set may not name it, or the file around it is broken.

    Attributes:
        why: A sentence for the quarantine.
        reason: Its code.
    """

    why: str = ""
    reason: Reason = "forbidden"


def storable(text: str | None) -> str | None:
    """A text as a table can store it: a surrogate, which JSON can contain, as `\\ud800`."""
    return text.encode("utf-8", "backslashreplace").decode() if text else text


def one_form(name: str | None) -> str | None:
    """A name in one line and one Unicode form (NFC); None if nothing is left of it."""
    return " ".join(unicodedata.normalize("NFC", name or "").split()) or None


_SPLITS = {
    "train": re.compile(r"(train|training|restval)([^a-z].*)?"),
    "validation": re.compile(r"(val|valid|validation|dev)([ab]|[^a-z].*)?"),
    "test": re.compile(r"(test|testing)([abc]|[^a-z].*)?"),
}


def split_named(name: object) -> str | None:
    """train, validation or test for what data sets call them (`Val`, `testA`); None for others."""
    word = name.strip().lower() if isinstance(name, str) else ""
    return next((split for split, form in _SPLITS.items() if form.fullmatch(word)), None)


def strictest(splits: Iterable[str | None]) -> str | None:
    """The split of a photo that is in several: test before validation before train."""
    found = set(splits)
    return next((split for split in ("test", "validation", "train") if split in found), None)


def say_skipped(where: str | None, skipped: Counter[str]) -> None:
    """Log what is not used of a source, by reason."""
    for reason, count in sorted((+skipped).items()):
        _log.warning("%s: skipped %d %s", where, count, reason)
