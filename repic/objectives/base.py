"""What the objectives share: prompt templates, seeded randomness, rows and rewards."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from repic.images.augmentation import Augmentation
from repic.images.coordinates import Box, Convention
from repic.objectives.neighborhood import Neighborhood, Object, Origin, Pair, Photo
from repic.objectives.query_view import QueryView
from storage.hashing import fingerprint

T = TypeVar("T")
Row = dict[str, Any]
Mode = Literal["strict", "paper"]

HARDNESS = {"hard": 0, "medium": 1, "easy": 2}


@dataclass(frozen=True)
class Template:
    """One prompt sentence, with `{name}` for a reference `{what}` for an expression, or `{is}` and
    `{its}` for words that follow its number."""

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
    """The reward of one answer.

    Attributes:
        total: The value used for training, 0 to 1.
        components: Its named parts, 0 to 1 each; a part that cannot be checked is absent.
        reason: Stable code of the result: `right`, `wrong`, or why the answer is malformed.
        parsed: The parsed answer as JSON; None if it could not be parsed.
    """

    total: float
    components: Mapping[str, float]
    reason: str
    parsed: Any = None

    def as_json(self) -> dict[str, Any]:
        """What `repic reward score --json` prints for a line."""
        return {
            "total": self.total,
            "components": dict(self.components),
            "reason": self.reason,
            "parsed": self.parsed,
        }


class Draft(NamedTuple):
    """A row that is decided on. An earlier row that was made from the same is the same row.

    Attributes:
        made_from: All that determines the row besides the settings, the query and its objects; None
            if it is to be made in any case.
        make: Makes the row; None if it is refused after all.
    """

    made_from: tuple[Any, ...] | None
    make: Callable[[], Row | None]


def made(drafts: Iterable[Draft]) -> Iterator[Row]:
    """The rows of drafts, without those that are refused."""
    return (row for draft in drafts if (row := draft.make()) is not None)


@dataclass
class ObjectiveSummary:
    """Counts of one objective in one build.

    Attributes:
        rows: Number of rows by (kind, split).
        origins: Number of rows by origin of their references; none for VLT.
        refused: Number of candidates not used, by reason.
        without_facts: Number of candidates about a photo that is described, but has too few
            distinctive words to check a caption by.
        candidates: Number of rows by split before shares and a total limit them.
        why: Why there are no rows; None if there are some.
    """

    objective: str
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    without_facts: int = 0
    candidates: Counter[str] = field(default_factory=Counter)
    why: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Counts with plain keys, for the log, the manifest and the report."""
        counts: dict[str, dict[str, int]] = {}
        for (kind, split), number in sorted(self.rows.items()):
            counts.setdefault(kind, {})[split] = number
        return {
            "objective": self.objective,
            "rows": counts,
            "origins": dict(sorted(self.origins.items())),
            "refused": dict(sorted(self.refused.items())),
            "without_facts": self.without_facts,
            "candidates": dict(sorted(self.candidates.items())),
            "why": self.why,
        }


def seed_of(*parts: str | int) -> int:
    """A seed in [0, 2**63), hashed from the parts that identify an example."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def rank(seed: int, identifier: str) -> int:
    """Sort key of a hexadecimal id in an order that depends on the seed.

    The first item of a set stays first until one of lower rank joins it. So rows that choose by
    rank rarely change when photos are added, while rows that shuffle would.
    """
    mixed = (int(identifier[:16], 16) ^ seed) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF


def ranks(seed: int, identifiers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`rank` of many ids, given by their first 64 bits."""
    mixed = (identifiers ^ np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed ^ mixed >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)


class SeededRandom:
    """Random numbers from a seed, the same in every version of Python.

    Uses only `random.Random.random`, the one method whose sequence is guaranteed not to change.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def numbers(self, count: int) -> NDArray[np.float64]:
        """The next numbers in [0, 1)."""
        draw = self._random
        return np.array([draw() for _ in range(count)])

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items, uniformly."""
        return items[int(self._random() * len(items))]

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        return [item for _, item in sorted(((self._random(), i), x) for i, x in enumerate(items))]

    def weighted(self, weights: Mapping[str, float]) -> str | None:
        """A key with probability proportional to its weight; None if no weight is positive."""
        position = self._random() * sum(weights.values())
        for key, weight in weights.items():
            position -= weight
            if weight > 0 and position < 0:
                return key
        return next((key for key in reversed([*weights]) if weights[key] > 0), None)


def image_block() -> dict[str, str]:
    """A prompt block for the next image of the row; its text is empty, never null."""
    return {"type": "image", "text": ""}


def text_block(text: str) -> dict[str, str]:
    """A prompt block of text."""
    return {"type": "text", "text": text}


def system_block(text: str) -> dict[str, str]:
    """A prompt block of the system's turn, before those of the user."""
    return {"type": "system", "text": text}


def prompt_of(row: Mapping[str, Any], convention: Convention) -> list[dict[str, str]]:
    """The blocks of a row's prompt, with any box written in the convention of the model family."""
    # A box that is the answer is not given. Questions of an evaluation have no answer.
    if row["box"] is None or row.get("answer") == "{box}":
        return list(row["prompt"])
    box = _box_of(row, convention)
    return [{**block, "text": block["text"].replace("{box}", box)} for block in row["prompt"]]


def messages(row: Mapping[str, Any], convention: Convention) -> list[dict[str, Any]]:
    """The prompt of a row as a conversation: the system's turn, if the row has one, and the user's,
    with a block for each picture."""
    prompt = prompt_of(row, convention)
    system = [{"type": "text", "text": b["text"]} for b in prompt if b["type"] == "system"]
    blocks = [
        {"type": "image"} if block["type"] == "image" else {"type": "text", "text": block["text"]}
        for block in prompt
        if block["type"] != "system"
    ]
    turns = [{"role": "system", "content": system}] if system else []
    return [*turns, {"role": "user", "content": blocks}]


def answer_of(row: Mapping[str, Any], convention: Convention) -> str:
    """The answer of a row, with any box written in the convention of the model family."""
    return _box_of(row, convention) if row["answer"] == "{box}" else row["answer"]


def _box_of(row: Mapping[str, Any], convention: Convention) -> str:
    return QueryView.of(row).render(Box.of(row["box"]), convention)


def reference_picture(
    near: Neighborhood, obj: Object, augmentation: Augmentation | None = None
) -> Row:
    """An entry of the `images` column: the crop of an object, as a reference."""
    changed = augmentation.as_entry() if augmentation else None
    return _picture(near.photos[obj.image_id], "reference", list(obj.box), changed)


def query_picture(photo: Photo, crop: Box | None = None) -> Row:
    """An entry of the `images` column: a photo or a crop of it, as the query."""
    shown = crop or Box(0.0, 0.0, float(photo.width), float(photo.height))
    return _picture(photo, "query", shown.as_list())


def _picture(photo: Photo, role: str, crop: list[float], augmentation: Row | None = None) -> Row:
    return {
        "role": role,
        "image_id": photo.image_id,
        "uri": photo.uri,
        "width": photo.width,
        "height": photo.height,
        "crop": crop,
        "augmentation": augmentation,
    }


def reference_row(name: str, locale: str, info: str, present: bool, obj: Object) -> Row:
    """An entry of the `references` column."""
    return {
        "name": name,
        "info": info,
        "present": present,
        "object_id": obj.object_id,
        "locale": locale,
    }


def example_row(
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
    origin: Origin | None = None,
    pairs: Sequence[Pair] = (),
    box: list[float] | None = None,
    caption: str | None = None,
    scene: Sequence[Row] = (),
    fact_words: tuple[Sequence[str], Sequence[str]] = ((), ()),
    hashed: str | None = None,
) -> Row:
    """A row of the examples table; its id hashes objective, template, prompt, images and answer.

    Args:
        fact_words: `distinctive_words` and `distractor_words`.
        hashed: What the id hashes in place of the answer.
    """
    shown = [
        [picture["image_id"], picture["crop"], *filter(None, [picture["augmentation"]])]
        for picture in images
    ]
    texts = [block["text"] for block in prompt]
    told = answer if hashed is None else hashed
    return {
        "example_id": fingerprint([objective, template.id, texts, shown, told, box]),
        "image_id": images[-1]["image_id"],
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
        "distinctive_words": list(fact_words[0]),
        "distractor_words": list(fact_words[1]),
        "origin": origin,
        **_pair_columns(pairs),
        "seed": seed,
    }


def _pair_columns(pairs: Sequence[Pair]) -> Row:
    """The columns about the pairs of a row: their ids, and what the hardest of them is like."""
    hardest = min(pairs, key=_hardness, default=None)
    return {
        "pair_ids": [pair.pair_id for pair in pairs],
        "band": hardest.band if hardest else None,
        "similarity": hardest.similarity if hardest else None,
    }


def _hardness(pair: Pair) -> tuple[int, float, str]:
    """Sorts harder pairs first: by band, then dissimilar positives and similar negatives."""
    ease = pair.similarity if pair.kind == "positive" else -pair.similarity
    return HARDNESS[pair.band], ease, pair.pair_id
