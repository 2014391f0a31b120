"""What the three objectives share: material, chance, templates, rows and rewards."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from repic.config.build import Examples
from repic.images.coordinates import Box, Convention
from repic.objectives.corpus import Material, Object, Pair, Photo
from storage.hashing import fingerprint

T = TypeVar("T")
Row = dict[str, Any]
Mode = Literal["strict", "paper"]
SPLITS = ("train", "validation", "test")
HARDNESS = {"hard": 0, "medium": 1, "easy": 2}


@dataclass(frozen=True)
class Template:
    """One prompt sentence. `{name}` or `{what}` stand for the reference or the expression."""

    id: str
    text: str


def templates(prefix: str, sentences: Sequence[str]) -> tuple[Template, ...]:
    """Templates numbered from 01 in the order of the sentences, for example `oct-07`."""
    return tuple(
        Template(f"{prefix}-{number:02d}", sentence)
        for number, sentence in enumerate(sentences, start=1)
    )


@dataclass(frozen=True)
class Reward:
    """What an answer earns.

    Attributes:
        total: The one number that is trained on, 0 to 1.
        components: Named parts of it, 0 to 1 each; a part of which nothing is known is absent.
        reason: Stable code that says why: `right`, `wrong`, or what is malformed.
        parsed: What was read from the answer, JSON; None if nothing could be.
    """

    total: float
    components: Mapping[str, float]
    reason: str
    parsed: Any = None


@dataclass(frozen=True)
class Draft:
    """An example of which all is decided and nothing is written.

    Attributes:
        key: Hash of all that the row is made from: whoever has the row of a draft with this key
            need not write it again.
        write: Gives the row; None where it is refused after all, which the note then counts.
    """

    key: str
    write: Callable[[], Row | None]


def key_of(*parts: object) -> str:
    """Key of a draft, from whatever decides its row; each part by its `repr`."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Objective(Protocol):
    """All of one objective: prompts, example builder, answer parser, reward."""

    name: str
    templates: tuple[Template, ...]

    def drafts(self, material: Material, settings: Examples, note: Note) -> Iterator[Draft]:
        """The examples that this material gives; `note` counts what was refused.

        A draft says in its key all that its row depends on besides the settings.
        """
        ...

    def parse(self, completion: str, row: Mapping[str, Any], convention: Convention) -> Any:
        """The answer that a completion gives, or an error that says why it gives none."""
        ...

    def reward(
        self, completion: str, row: Mapping[str, Any], mode: Mode, convention: Convention
    ) -> Reward:
        """Score of a completion; never raises, whatever the text."""
        ...


@dataclass
class Note:
    """What became of an objective in one build.

    Attributes:
        rows: Rows kept, by (kind, split).
        refused: Candidates not used, by reason.
        why: Why there is no row at all; None if there are rows.
    """

    objective: str
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    why: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Counts with plain keys, for the log, the manifest and the report."""
        counts: dict[str, dict[str, int]] = {}
        for (kind, split), number in sorted(self.rows.items()):
            counts.setdefault(kind, {})[split] = number
        return {
            "objective": self.objective,
            "rows": counts,
            "refused": dict(sorted(self.refused.items())),
            "why": self.why,
        }


def seed_of(*parts: str | int) -> int:
    """A seed in [0, 2**63) from what identifies an example."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def rank(seed: int, identifier: str) -> int:
    """Place of an id in an order that the seed draws.

    The first of a set by rank stays first until an earlier one joins it: rows that choose by rank
    rarely change when photos are added, which those that shuffle do.
    """
    mixed = (int(identifier[:16], 16) ^ seed) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF


class Draw:
    """Chance from a seed, the same on every version of Python.

    Only `random()` of the standard generator is promised never to change, so all is made of it.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items, each as likely."""
        return items[int(self._random() * len(items))]

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def order(self, items: Sequence[T]) -> list[T]:
        """The items in a drawn order."""
        return [item for _, item in sorted(((self._random(), i), x) for i, x in enumerate(items))]

    def weighted(self, weights: Mapping[str, float]) -> str | None:
        """A key by its weight; None if no weight is positive."""
        place = self._random() * sum(weights.values())
        for key, weight in weights.items():
            place -= weight
            if weight > 0 and place < 0:
                return key
        return next((key for key in reversed([*weights]) if weights[key] > 0), None)


def image_block() -> dict[str, str]:
    """A prompt block that stands for the next picture; its text is empty, never null."""
    return {"type": "image", "text": ""}


def text_block(text: str) -> dict[str, str]:
    """A prompt block of text."""
    return {"type": "text", "text": text}


def prompt_of(row: Mapping[str, Any], convention: Convention) -> list[dict[str, str]]:
    """The blocks of a row's prompt, a box in it written as the model's family does."""
    if row["objective"] != "ict" or row["box"] is None:
        return list(row["prompt"])
    box = _box_of(row, convention)
    return [{**block, "text": block["text"].replace("{box}", box)} for block in row["prompt"]]


def messages(row: Mapping[str, Any], convention: Convention) -> list[dict[str, Any]]:
    """The prompt of a row as a conversation of one user turn, with a block for each picture."""
    blocks = [
        {"type": "image"} if block["type"] == "image" else {"type": "text", "text": block["text"]}
        for block in prompt_of(row, convention)
    ]
    return [{"role": "user", "content": blocks}]


def answer_of(row: Mapping[str, Any], convention: Convention) -> str:
    """The answer of a row, a box in it written as the model's family does."""
    return _box_of(row, convention) if row["answer"] == "{box}" else row["answer"]


def _box_of(row: Mapping[str, Any], convention: Convention) -> str:
    query = row["images"][-1]
    return convention.render(Box.of(row["box"]), query["width"], query["height"])


def reference_picture(material: Material, thing: Object) -> Row:
    """The crop of an object as a reference picture."""
    return _picture(material.photos[thing.image_id], "reference", list(thing.box))


def query_picture(photo: Photo) -> Row:
    """The whole photo as the picture that is asked about."""
    return _picture(photo, "query", [0.0, 0.0, float(photo.width), float(photo.height)])


def _picture(photo: Photo, role: str, crop: list[float]) -> Row:
    return {
        "role": role,
        "image_id": photo.image_id,
        "uri": photo.uri,
        "width": photo.width,
        "height": photo.height,
        "crop": crop,
    }


def reference_row(name: str, locale: str, info: str, present: bool, thing: Object) -> Row:
    """An entry of the `references` column."""
    return {
        "name": name,
        "info": info,
        "present": present,
        "object_id": thing.object_id,
        "locale": locale,
    }


def example(
    objective: str,
    kind: str,
    split: str,
    template: Template,
    prompt: list[dict[str, str]],
    images: list[Row],
    answer: str,
    seed: int,
    *,
    references: Sequence[Row] = (),
    pairs: Sequence[Pair] = (),
    box: list[float] | None = None,
    caption: str | None = None,
    scene: Sequence[Row] = (),
    distinctive_words: Sequence[str] = (),
    distractor_words: Sequence[str] = (),
) -> Row:
    """A row of the examples table; its id hashes objective, template, prompt, pictures, answer."""
    hardest = min(pairs, key=_hardness, default=None)
    shown = [[picture["image_id"], picture["crop"]] for picture in images]
    said = [block["text"] for block in prompt]
    return {
        "example_id": fingerprint([objective, template.id, said, shown, answer, box]),
        "objective": objective,
        "kind": kind,
        "split": split,
        "template_id": template.id,
        "prompt": prompt,
        "images": images,
        "answer": answer,
        "box": box,
        "caption": caption,
        "references": list(references),
        "scene": list(scene),
        "distinctive_words": list(distinctive_words),
        "distractor_words": list(distractor_words),
        "pair_ids": [pair.pair_id for pair in pairs],
        "band": hardest.band if hardest else None,
        "similarity": hardest.similarity if hardest else None,
        "seed": seed,
    }


def _hardness(pair: Pair) -> tuple[int, float, str]:
    """Harder sorts first: by band, then unlike positives and alike negatives."""
    alike = pair.similarity if pair.kind == "positive" else -pair.similarity
    return HARDNESS[pair.band], alike, pair.pair_id
