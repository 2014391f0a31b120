"""Questions of a suite: which references are shown with a photo, and the prompt.

A protocol chooses the references:

- `skip-retrieval`: those of all concepts in the photo, as in the paper;
- `retrieval`: those whose similarity to a crop reaches the threshold; possibly none;
- `retrieval-forced`: the nearest K whatever their similarity, as in the paper;
- `wrong`: as many as are in the photo, all absent, preferably of the same categories;
- `mixed`: one or two that are in the photo and as many absent ones.

A correct caption names nothing in `wrong`, the shown concepts that are present in `mixed`, and all
concepts of the photo otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from repic.config import EvaluateSettings, ExampleSettings, IctSettings, Layout
from repic.errors import SuiteError
from repic.evaluation.records import CaptionFile, Record, bare
from repic.evaluation.retrieval import DetectedCrop, names_above, nearest_names
from repic.evaluation.suites.base import (
    Concept,
    ImageRegion,
    Query,
    QueryObject,
    Suite,
    concepts_by_name,
)
from repic.objectives import identify
from repic.objectives.base import (
    SeededRandom,
    image_block,
    seed_of,
    system_block,
    text_block,
)
from repic.objectives.ict import TEMPLATES, request_suffix
from storage.hashing import fingerprint

MIXED = 2
"""Maximum present references in `mixed`."""

FOUR = 4
"""Photos with at least this many concepts get this many references in `retrieval-forced`."""

PAPER_K = 2
_REQUESTS = [template for template in TEMPLATES if template not in identify.TEMPLATES]
PAPER_SYSTEM = (
    "You write captions. Describe the last image, the query, accurately. The images before it are "
    "references, each with what is known about it."
)
"""What the system's turn of the layout `paper` says, in our words."""

PAPER_REQUESTS = (
    "Write a personalized caption for it.",
    "Write a caption for it.",
    "Could you write a personalized caption for this photo?",
    "Please provide a caption for the photo.",
)
"""Requests of the layout `paper`, in turn over the photos, in our words: half of them ask for a
personalized caption, and none says to use the names."""


@dataclass(frozen=True)
class Question:
    """A photo, the references shown with it, and the prompt.

    Attributes:
        concepts: Names that a correct caption uses.
        shown: References in the order of the prompt.
        crops: Result of retrieval; empty in protocols without it.
        prompt: Blocks as in the examples table.
        things: Objects of the photo; empty if the suite has no ground truth of them.
    """

    suite: str
    part: str
    protocol: str
    layout: Layout
    photo: ImageRegion
    concepts: tuple[str, ...]
    shown: tuple[Concept, ...]
    crops: tuple[DetectedCrop, ...]
    prompt: tuple[dict[str, str], ...]
    things: tuple[QueryObject, ...]

    @property
    def question_id(self) -> str:
        """Hash of the prompt, its pictures and the names that count as correct."""
        pictures = [[p["image_id"], p["crop"]] for p in self.pictures]
        texts = [block["text"] for block in self.prompt]
        names = [self.concepts, [concept.name for concept in self.shown]]
        return fingerprint([self.suite, self.part, self.protocol, names, texts, pictures])

    @property
    def pictures(self) -> list[dict[str, Any]]:
        """Entries of an `images` column, one per image block of the prompt."""
        references = [_picture("reference", concept.views[0]) for concept in self.shown]
        return [*references, _picture("query", self.photo)]

    @property
    def references(self) -> list[dict[str, Any]]:
        """The references shown: name, text, and whether the concept is in the photo."""
        return [
            {"name": c.name, "info": _info(c, self.prompt), "present": c.name in self.concepts}
            for c in self.shown
        ]

    @property
    def scene(self) -> list[dict[str, Any]]:
        """Objects of the photo; `name` is None unless a correct caption uses it."""
        return [
            {
                "name": thing.name if thing.name in self.concepts else None,
                "box": list(thing.box),
                "label": thing.label,
                "phrases": list(thing.phrases),
            }
            for thing in self.things
        ]

    @property
    def row(self) -> dict[str, Any]:
        """The question as a row of the examples table, which captioners take."""
        return {
            "example_id": self.question_id,
            "objective": "ict",
            "prompt": list(self.prompt),
            "images": self.pictures,
            "box": None,
        }


def _picture(role: str, region: ImageRegion) -> dict[str, Any]:
    return {
        "role": role,
        "image_id": region.image_id,
        "uri": region.uri,
        "width": region.width,
        "height": region.height,
        "crop": list(region.crop),
    }


def _info(concept: Concept, prompt: Iterable[Mapping[str, str]]) -> str:
    """The text of a reference; empty if the prompt does not contain it."""
    is_shown = any(f"<{concept.name}>, Info:" in block["text"] for block in prompt)
    return concept.info if is_shown else ""


def questions(
    suite: Suite,
    settings: EvaluateSettings,
    crops: Mapping[str, Sequence[DetectedCrop]],
    threshold: float,
    requests: Sequence[str] | None = None,
) -> list[Question]:
    """All questions of a suite, by protocol.

    Args:
        crops: image_id -> crops; see `retrieval.search`. May be empty if no protocol retrieves.
        threshold: Lowest cosine at which a crop matches a reference.
        requests: What is asked in each query of the suite; None: as the layout asks.

    Raises:
        SuiteError: Two concepts have the same name.
    """
    concepts = concepts_by_name(suite.concepts)
    result = []
    for protocol in settings.protocols:
        for number, query in enumerate(suite.queries):
            image_id = query.photo.image_id
            rng = SeededRandom(seed_of(settings.seed, protocol, image_id, number))
            photo_crops = tuple(crops[image_id]) if protocol.startswith("retrieval") else ()
            truths, names = _choose(
                protocol, query, concepts, photo_crops, settings, threshold, rng
            )
            references = tuple(concepts[name] for name in names)
            asked = requests[number] if requests else None
            if asked is None and settings.layout == "paper":
                asked = PAPER_REQUESTS[number % len(PAPER_REQUESTS)]
            result.append(
                Question(
                    suite.name,
                    query.part,
                    protocol,
                    settings.layout,
                    query.photo,
                    truths,
                    references,
                    photo_crops,
                    tuple(_prompt(references, settings.layout, rng, asked)),
                    query.things,
                )
            )
    return result


_Key = tuple[str, frozenset[str]]


def read_requests(path: Path, queries: Iterable[Query]) -> tuple[str, ...]:
    """The request of each query.

    A row belongs to a query if both name the same photo (its file and folder) and the same
    concepts.

    Args:
        path: A file as `CaptionFile` reads it, with a request in every row.

    Raises:
        CaptionError: the file cannot be read.
        SuiteError: it has no request for a query.
    """
    known: dict[_Key, str] = {}
    for record in CaptionFile(path):
        if record.prompt:
            known[_key(record.photo, map(bare, record.concepts))] = record.prompt
    keys = [_key(unquote(query.photo.uri), query.concepts) for query in queries]
    missing = [photo for photo, concepts in keys if (photo, concepts) not in known]
    if missing:
        raise SuiteError(
            f"{path} has no request for {len(missing)} of {len(keys)} questions, such as the one "
            f"about {missing[0]}: give captions of this suite whose fourth column is the request"
        )
    return tuple(known[key] for key in keys)


def _key(photo: str, concepts: Iterable[str]) -> _Key:
    file = "/".join(photo.replace("\\", "/").split("/")[-2:])
    return file, frozenset(concepts)


def _choose(
    protocol: str,
    query: Query,
    concepts: Mapping[str, Concept],
    crops: Sequence[DetectedCrop],
    settings: EvaluateSettings,
    threshold: float,
    rng: SeededRandom,
) -> tuple[tuple[str, ...], list[str]]:
    """Names that a correct caption uses, and names of the references to show."""
    present = query.concepts
    match protocol:
        case "retrieval":
            return present, names_above(crops, threshold)
        case "retrieval-forced":
            k = settings.top_k or (FOUR if len(present) >= FOUR else PAPER_K)
            return present, nearest_names(crops, k, query.among)
        case "wrong":
            return (), _absent(query, concepts, len(present), rng)
        case "mixed":
            kept = tuple(rng.shuffled(present)[:MIXED])
            return kept, rng.shuffled([*kept, *_absent(query, concepts, len(kept), rng)])
        case _:
            return present, rng.shuffled(present)


def _absent(
    query: Query, concepts: Mapping[str, Concept], count: int, rng: SeededRandom
) -> list[str]:
    """Names not in the photo; categories of the photo come first, since they mislead most."""
    categories = {concepts[name].category for name in query.concepts}
    in_photo = {*query.concepts, *query.others}
    absent = rng.shuffled([name for name in concepts if name not in in_photo])
    absent.sort(key=lambda name: concepts[name].category not in categories)  # stable
    return rng.shuffled(absent[:count])


def _prompt(
    references: Sequence[Concept], layout: Layout, rng: SeededRandom, request: str | None
) -> list[dict[str, str]]:
    """Blocks of the prompt; the last image is the photo.

    Args:
        request: What is asked; None: a request as in training.
    """
    settings = ExampleSettings().ict
    is_paper = layout == "paper"
    with_info = is_paper or rng.chance(settings.info_share)
    blocks = [system_block(PAPER_SYSTEM)] if is_paper else []
    for number, concept in enumerate(references, start=1):
        text = introduction(concept.name, concept.info if with_info else "")
        if is_paper and not concept.info:
            text = f"Name: <{concept.name}>"
        blocks += [image_block(), text_block(f"{number}. {text}" if is_paper else text)]
    if request is None:
        request = _request_of_training(settings, rng)
    intro = "This is the query. " if is_paper else ""
    return [*blocks, image_block(), text_block(intro + request)]


def introduction(name: str, info: str) -> str:
    """What follows the picture of a reference in a prompt; without `info`, its name alone."""
    return f"Name: <{name}>, Info: {info}" if info else f"This is <{name}>."


def _request_of_training(settings: IctSettings, rng: SeededRandom) -> str:
    request, suffix = rng.pick(_REQUESTS).text, request_suffix(settings, rng)
    return f"{request} {suffix}" if suffix else request


def record_of(row: Mapping[str, Any]) -> Record:
    """The record of a row of the captions table, as the metrics read it."""
    return Record(
        row["image_id"],
        tuple(f"<{name}>" for name in row["concepts"]),
        row["caption"],
        "\n".join(block["text"] for block in row["prompt"] if block["text"]),
        tuple(reference["name"] for reference in row["references"]),
        "\n".join(reference["info"] for reference in row["references"] if reference["info"]),
        tuple(row["scene"]),
    )
