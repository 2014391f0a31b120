"""Protocols: which references are shown with a photo, and how they are written into a prompt.

- `skip-retrieval`: those of everybody in the photo, as the paper has it;
- `retrieval`: those of its crops that are near enough to a reference, or none;
- `retrieval-forced`: the nearest K, whoever is there: the paper's;
- `wrong`: as many as are there, all absent, of the same categories first;
- `mixed`: one or two that are there, and as many absent ones.

In `wrong` nobody is to be named, in `mixed` those that were shown, else everybody in the photo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repic.config import EvaluateSettings, ExampleSettings, Layout
from repic.evaluate.records import Record
from repic.evaluate.retrieval import Crop, accepted, forced
from repic.evaluate.suites import Concept, Query, Suite, Thing, View, one_of_each
from repic.objectives import identify
from repic.objectives.base import SeededRandom, image_block, seed_of, text_block
from repic.objectives.ict import NO_COPY, TEMPLATES, USE_NAME
from storage.hashing import fingerprint

MIXED = 2
"""Most references that are there, in `mixed`."""

FOUR = 4
"""Photos with so many concepts are given as many references by forced retrieval."""

PAPER_K = 2
_REQUESTS = [template for template in TEMPLATES if template not in identify.TEMPLATES]
PAPER_REQUEST = (
    "Give a caption of the last image that tells those in it by name, as they are called above."
)


@dataclass(frozen=True)
class Question:
    """A photo with the references that are shown, ready to be asked.

    Attributes:
        concepts: Whom a right caption names.
        shown: References in the order of the prompt.
        crops: What retrieval found; empty where nothing was searched.
        prompt: Blocks as in the examples table.
        things: Objects of the photo, as far as they are known.
    """

    suite: str
    part: str
    protocol: str
    layout: Layout
    photo: View
    concepts: tuple[str, ...]
    shown: tuple[Concept, ...]
    crops: tuple[Crop, ...]
    prompt: tuple[dict[str, str], ...]
    things: tuple[Thing, ...]

    @property
    def question_id(self) -> str:
        """Hash of what is asked, and of whom it counts for."""
        pictures = [[p["image_id"], p["crop"]] for p in self.pictures]
        said = [block["text"] for block in self.prompt]
        names = [self.concepts, [concept.name for concept in self.shown]]
        return fingerprint([self.suite, self.part, self.protocol, names, said, pictures])

    @property
    def pictures(self) -> list[dict[str, Any]]:
        """Entries of an `images` column, one for each image block of the prompt."""
        shown = [_picture("reference", concept.views[0]) for concept in self.shown]
        return [*shown, _picture("query", self.photo)]

    @property
    def references(self) -> list[dict[str, Any]]:
        """What was shown: name, text, and whether it is in the photo."""
        return [
            {"name": c.name, "info": _info(c, self.prompt), "present": c.name in self.concepts}
            for c in self.shown
        ]

    @property
    def scene(self) -> list[dict[str, Any]]:
        """Objects of the photo; a name that a right caption uses, or none."""
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
        """What generation reads, in the form of a row of the examples table."""
        return {
            "example_id": self.question_id,
            "objective": "ict",
            "prompt": list(self.prompt),
            "images": self.pictures,
            "box": None,
        }


def _picture(role: str, view: View) -> dict[str, Any]:
    return {
        "role": role,
        "image_id": view.image_id,
        "uri": view.uri,
        "width": view.width,
        "height": view.height,
        "crop": list(view.crop),
    }


def _info(concept: Concept, prompt: Iterable[Mapping[str, str]]) -> str:
    """The text about a reference, if the prompt gives it."""
    told = any(f"<{concept.name}>, Info:" in block["text"] for block in prompt)
    return concept.info if told else ""


def questions(
    suite: Suite,
    asked: EvaluateSettings,
    found: Mapping[str, Sequence[Crop]],
    threshold: float,
) -> list[Question]:
    """All questions of a suite, protocol after protocol.

    Args:
        found: image_id -> crops; see `repic.evaluate.retrieval.search`.
        threshold: From which a crop is a reference.
    """
    concepts = one_of_each(suite.concepts)
    made = []
    for protocol in asked.protocols:
        for number, query in enumerate(suite.queries):
            rng = SeededRandom(seed_of(asked.seed, protocol, query.photo.image_id, number))
            crops = tuple(found[query.photo.image_id]) if protocol.startswith("retrieval") else ()
            truths, names = _choose(protocol, query, concepts, crops, asked, threshold, rng)
            shown = tuple(concepts[name] for name in names)
            made.append(
                Question(
                    suite.name,
                    query.part,
                    protocol,
                    asked.layout,
                    query.photo,
                    truths,
                    shown,
                    crops,
                    tuple(_prompt(shown, asked.layout, rng)),
                    query.things,
                )
            )
    return made


def _choose(
    protocol: str,
    query: Query,
    concepts: Mapping[str, Concept],
    crops: Sequence[Crop],
    asked: EvaluateSettings,
    threshold: float,
    rng: SeededRandom,
) -> tuple[tuple[str, ...], list[str]]:
    """Whom a right caption names, and whose references are shown."""
    present = query.concepts
    match protocol:
        case "retrieval":
            return present, accepted(crops, threshold)
        case "retrieval-forced":
            k = asked.top_k or (FOUR if len(present) >= FOUR else PAPER_K)
            return present, forced(crops, k, query.among)
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
    """Names of those who are not there; categories of the photo first, since these mislead."""
    here = {concepts[name].category for name in query.concepts}
    there = {*query.concepts, *query.others}
    others = rng.shuffled([name for name in concepts if name not in there])
    others.sort(key=lambda name: concepts[name].category not in here)  # keeps the drawn order
    return rng.shuffled(others[:count])


def _prompt(shown: Sequence[Concept], layout: Layout, rng: SeededRandom) -> list[dict[str, str]]:
    """Blocks of text and pictures; the last picture is the photo."""
    settings = ExampleSettings().ict
    with_info = layout == "paper" or rng.chance(settings.info_share)
    blocks = []
    for concept in shown:
        told = f"Name: <{concept.name}>, Info: {concept.info}"
        plain = f"Name: <{concept.name}>" if layout == "paper" else f"This is <{concept.name}>."
        blocks += [image_block(), text_block(told if with_info and concept.info else plain)]
    if layout == "paper":
        return [*blocks, image_block(), text_block(PAPER_REQUEST)]
    request = [rng.pick(_REQUESTS).text]
    if rng.chance(settings.use_name_share):
        request.append(rng.pick(USE_NAME))
    if rng.chance(settings.no_copy_share):
        request.append(rng.pick(NO_COPY))
    return [*blocks, image_block(), text_block(" ".join(request))]


def record(row: Mapping[str, Any]) -> Record:
    """What the metrics read of a row of the captions table."""
    return Record(
        row["image_id"],
        tuple(f"<{name}>" for name in row["concepts"]),
        row["caption"],
        "\n".join(block["text"] for block in row["prompt"] if block["text"]),
        tuple(reference["name"] for reference in row["references"]),
        "\n".join(reference["info"] for reference in row["references"] if reference["info"]),
        tuple(row["scene"]),
    )
