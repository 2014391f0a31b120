"""What a model is asked about: named concepts with photos of each, and photos to be captioned."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repic.config import EvaluateSettings
from repic.errors import SuiteError
from repic.images import decode, uris
from repic.images.fetch import ImageRefused
from repic.pipeline.scan import image_id_of


@dataclass(frozen=True)
class View:
    """A photo, or the part of it that is shown; an entry of an `images` column.

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
    """Somebody or something with a name.

    Attributes:
        name: Bare, and alone in its suite.
        info: A sentence about it; empty where nothing is known.
        category: What it is; a detector may be asked for it.
        views: Its references. The first one is shown; all are searched.
    """

    name: str
    info: str
    category: str
    views: tuple[View, ...]


@dataclass(frozen=True)
class Thing:
    """An object of a photo, where the suite knows them; see the `scene` column."""

    name: str
    box: tuple[float, float, float, float]
    label: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """A photo to be captioned.

    Attributes:
        part: Which table of the suite it counts in: `1`, `2`, `4`, or a kind of the hard part.
        concepts: Names of those in it.
        things: Its objects with their boxes; empty where the suite knows none.
        among: Names of the database that it is searched in.
        others: Names of more who are in it, whom the question is not about: never shown as absent.
    """

    part: str
    photo: View
    concepts: tuple[str, ...]
    things: tuple[Thing, ...]
    among: tuple[str, ...]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """Concepts and queries.

    Attributes:
        remarks: What a reader must know before trusting the numbers, as what was left out.
    """

    name: str
    concepts: tuple[Concept, ...]
    queries: tuple[Query, ...]
    remarks: tuple[str, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """What a detector is to look for."""
        return tuple(sorted({concept.category for concept in self.concepts if concept.category}))


def load(asked: EvaluateSettings) -> Suite:
    """The suite that the settings name; generated photos are made on first use.

    Raises:
        SuiteError: its photos are not there.
    """
    if asked.suite.startswith("sample"):
        from repic.evaluate import sample_suite

        return sample_suite.suite(asked.suite, asked.photos, asked.seed)
    from repic.evaluate import local_suites

    return local_suites.suite(asked.suite, asked.folder)


def view_of(path: Path) -> View:
    """A whole photo of this machine.

    Raises:
        SuiteError: it cannot be read.
    """
    try:
        data = path.read_bytes()
        picture = decode.decode(data)
    except ImageRefused as error:
        raise SuiteError(f"{path} cannot be read ({error}); repair it or take it away") from None
    width, height = picture.size
    return View(
        image_id_of(hashlib.sha256(data).hexdigest(), None),
        uris.file_uri(path),
        width,
        height,
        (0.0, 0.0, float(width), float(height)),
    )


def one_of_each(concepts: Sequence[Concept]) -> dict[str, Concept]:
    """Concepts by name.

    Raises:
        SuiteError: two have the same name.
    """
    found: dict[str, Concept] = {}
    for concept in concepts:
        if concept.name in found:
            raise SuiteError(f"two concepts are called {concept.name}; rename one of them")
        found[concept.name] = concept
    return found
