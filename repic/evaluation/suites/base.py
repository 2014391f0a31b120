"""Types of a test suite: named concepts with reference photos, and photos to caption."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from repic.errors import SuiteError
from repic.images import decode, uris
from repic.images.identity import image_id_of


@dataclass(frozen=True)
class ImageRegion:
    """A photo or a region of it; becomes an entry of an `images` column.

    Attributes:
        crop: xyxy pixels of the upright photo.
    """

    image_id: str
    uri: str
    width: int
    height: int
    crop: tuple[float, float, float, float]


@dataclass(frozen=True)
class Concept:
    """A person, pet or object with a name.

    Attributes:
        name: Without brackets, unique in its suite.
        info: A sentence about it; may be empty.
        category: Its class, for open-vocabulary detectors; may be empty.
        views: Its references. The first one is shown to the model; retrieval searches all.
    """

    name: str
    info: str
    category: str
    views: tuple[ImageRegion, ...]


@dataclass(frozen=True)
class QueryObject:
    """An object of a photo with known ground truth; see the `scene` column."""

    name: str
    box: tuple[float, float, float, float]
    label: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """A photo to caption.

    Attributes:
        part: Part of the suite: `1`, `2`, `4`, or a kind of the hard suite.
        concepts: Names of the concepts in the photo that the question is about.
        things: All its objects with boxes; empty if the suite has no ground truth of them.
        among: Names in the database that retrieval searches.
        others: Further names in the photo; never shown as absent references.
    """

    part: str
    photo: ImageRegion
    concepts: tuple[str, ...]
    things: tuple[QueryObject, ...]
    among: tuple[str, ...]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """Concepts, and queries about them.

    Attributes:
        remarks: What a reader must know before trusting the numbers, such as concepts left out.
    """

    name: str
    concepts: tuple[Concept, ...]
    queries: tuple[Query, ...]
    remarks: tuple[str, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """Classes that an open-vocabulary detector should look for."""
        return tuple(sorted({concept.category for concept in self.concepts if concept.category}))


def local_photo(path: Path) -> ImageRegion:
    """A photo of the local disk, uncropped.

    Raises:
        SuiteError: It cannot be read.
    """
    try:
        return photo_in(path.read_bytes(), uris.file_uri(path))
    except decode.ImageRefused as error:
        raise SuiteError(f"{path} cannot be read ({error}); repair it or remove it") from None


def photo_in(data: bytes, uri: str) -> ImageRegion:
    """The photo in the bytes of a file, uncropped.

    Args:
        uri: Where the same bytes can be read again.

    Raises:
        ImageRefused: It cannot be used.
    """
    width, height = decode.decode(data).size
    image_id = image_id_of(hashlib.sha256(data).hexdigest(), None)
    return ImageRegion(image_id, uri, width, height, (0.0, 0.0, float(width), float(height)))


def concepts_by_name(concepts: Iterable[Concept]) -> dict[str, Concept]:
    """Concepts by name, in their order.

    Raises:
        SuiteError: Two concepts have the same name.
    """
    by_name: dict[str, Concept] = {}
    for concept in concepts:
        if concept.name in by_name:
            raise SuiteError(f"two concepts are called {concept.name}; rename one of them")
        by_name[concept.name] = concept
    return by_name
