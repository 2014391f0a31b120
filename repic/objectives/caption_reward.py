"""The reward of a caption: a product of components, each from 0 to 1.

- names: set-F1 of the named and the present references. Absent names, tags without a known name,
  look-alikes, names claimed both ways and each further time that a list has a name are false
  positives. If no reference is present, 1 if the
  caption names none, else 0.
- content: whether it says enough: distinct words, each name after the first as two (`Ann hugs Bob`
  is a caption), over `FLOOR` if the request asks for detail, else over `BRIEF`. If facts are known,
  without names and words of the references' info, and over half of those of a shorter true caption.
- own_words: how many of these are not only in passages copied from the prompt. Absent if none is
  copied.
- variety: share of the text that is not repeated; in long captions, also the share of distinct
  words over `VARIETY`.
- language: whether it is English prose about a photo (`repic.captions.language`). Absent if it is
  in another language.
- facts: true words against false ones (`repic.captions.facts`). Absent if none are known.
- label: a little less than 1 if no word says what a named object is, where only that is known of
  it. Absent if facts or a true caption are known, if no label is, or if the prompt gives the labels
  away.
- binding: share of right claims about named objects (`repic.captions.claims`). Absent if the
  caption makes none that can be checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from repic.captions.claims import check_claims
from repic.captions.facts import Facts, checkable_facts
from repic.captions.language import language_score
from repic.captions.mentions import CaptionReading, read_caption
from repic.captions.nouns import calls_it
from repic.captions.repetition import FREE_REPETITION
from repic.captions.tokens import content_stems, plain_words, stem
from repic.objectives.base import Reward

MAX_CAPTION = 10_000
"""Longest caption that is read, in characters; 1,024 tokens are about 5,000."""

FLOOR = 10
"""Distinct words that earn the full `content` if the request asks for detail."""

BRIEF = 4
"""The same if the request does not ask for detail."""

VARIETY = 0.3
"""Share of distinct words that a caption of more than `VARIETY_FROM` words needs."""

VARIETY_FROM = 30

SILENT = 0.96
"""Score of a caption that says of no named object what it is. A short true caption need not, and a
label of a detector may be wrong, so this only decides between captions that are else alike."""

_DETAILED = re.compile(
    r"\b(?:detail\w*|thorough\w*|exhaustive\w*|several sentences|paragraph|essay|at length|full|"
    r"rich|long|all that|everything|nothing out|(?:and|its) (?:setting|background|surroundings))\b",
    re.IGNORECASE,
)
"""What a request for a detailed caption says."""

_REASONS = {
    "names": "missing_name",
    "content": "thin",
    "own_words": "copied",
    "language": "no_caption",
    "variety": "repetitive",
    "facts": "unfounded",
    "label": "unlabelled",
    "binding": "wrong_object",
}
"""Reason for each component below 1, the most telling first."""


def read(completion: str, row: Mapping[str, Any]) -> CaptionReading:
    """The names and words of a caption; the caller limits its length."""
    texts = [block["text"] for block in row["prompt"] if block["text"]]
    names = [reference["name"] for reference in row["references"]]
    return read_caption(completion, names, "\n".join(texts), texts[-1] if texts else "")


def reward(completion: str, row: Mapping[str, Any]) -> Reward:
    """The reward of a caption, in strict mode."""
    if len(completion) > MAX_CAPTION:
        return _unread("long")
    reading = read(completion, row)
    if not reading.word_count and not reading.named:
        return _unread("empty")
    names, wrong, missing = _set_f1(reading, row)
    facts = checkable_facts(row)
    content, own_words = _content(reading, row, facts)
    components = {"names": names, "content": content, "variety": _variety(reading)}
    if own_words < 1:
        components["own_words"] = own_words
    language = language_score(reading.tokens, len(completion), reading.words)
    if language is not None:
        components["language"] = language
    if facts:
        components["facts"] = facts.score(reading.affirmed_words)
    elif labels := labels_to_say(row):
        stems = frozenset(map(stem, reading.affirmed_words))
        says = any(calls_it(label, stems) for label in labels)
        components["label"] = 1.0 if says else SILENT
    if (claims := check_claims(reading.tokens, row)) and claims.score is not None:
        components["binding"] = claims.score
    if wrong or missing:
        reason = "wrong_name" if wrong else "missing_name"
    else:
        low = (reason for name, reason in _REASONS.items() if components.get(name, 1) < 1)
        reason = next(low, "right")
    return Reward(math.prod(components.values()), components, reason, _parsed(reading))


def _parsed(reading: CaptionReading) -> dict[str, list[str]]:
    return {
        "named": list(reading.named),
        "negated": list(reading.negated),
        "hedged": list(reading.hedged),
        "listed_twice": list(reading.listed_twice),
        "strangers": list(reading.false_names),
    }


def _unread(reason: str) -> Reward:
    return Reward(0.0, {"names": 0.0, "content": 0.0, "variety": 0.0}, reason)


def _set_f1(reading: CaptionReading, row: Mapping[str, Any]) -> tuple[float, int, int]:
    """Set-F1, the number of wrong names, and the number of missing ones."""
    present = {r["name"] for r in row["references"] if r["present"]}
    hits = len(present.intersection(reading.named))
    wrong = len(reading.named) - hits + len(reading.hedged) + len(reading.false_names)
    wrong += len(reading.listed_twice)
    missing = len(present) - hits
    if not present:
        return float(wrong == 0), wrong, 0
    return 2 * hits / (2 * hits + wrong + missing), wrong, missing


def _content(
    reading: CaptionReading, row: Mapping[str, Any], facts: Facts | None
) -> tuple[float, float]:
    """The components content and own_words."""
    floor = FLOOR if asks_for_detail(row) else BRIEF
    if facts is None:
        names = len(reading.named)
        said, own = len(reading.words) + names, len(reading.new_words) + names
        counted = said + max(0, names - 1)
        if row["caption"]:
            floor = min(floor, max(BRIEF, len(_distinct(row["caption"]))))
        return min(1.0, counted / floor), min(1.0, own / max(1, min(floor, said)))
    info_words = frozenset(word for r in row["references"] for word in _distinct(r["info"]))
    if row["caption"]:
        floor = min(floor, max(1, len(_distinct(row["caption"]) - info_words) // 2))
    said, own = len(reading.words - info_words), len(reading.new_words - info_words)
    return min(1.0, said / floor), min(1.0, own / max(1, min(floor, said))) if said else 1.0


def asks_for_detail(row: Mapping[str, Any]) -> bool:
    """Whether the request, the last text of the prompt, asks for a detailed caption."""
    texts = [block["text"] for block in row["prompt"] if block["text"]]
    return bool(texts) and _DETAILED.search(texts[-1]) is not None


def labels_to_say(row: Mapping[str, Any]) -> list[str]:
    """Labels of the present references that no text of the prompt gives away.

    None if a true caption is known, which may do without them.
    """
    if row["caption"]:
        return []
    infos = content_stems(" ".join(reference["info"] for reference in row["references"]))
    present = {reference["name"] for reference in row["references"] if reference["present"]}
    labels = [thing["label"] for thing in row.get("scene") or () if thing["name"] in present]
    return [label for label in labels if label and not calls_it(label, infos)]


def _variety(reading: CaptionReading) -> float:
    variety = min(1.0, (1 - reading.repetition) / (1 - FREE_REPETITION))
    if reading.word_count > VARIETY_FROM:
        variety *= min(1.0, len(reading.words) / (VARIETY * reading.word_count))
    return max(0.0, variety)


@lru_cache(maxsize=4096)
def _distinct(text: str) -> frozenset[str]:
    return frozenset(plain_words(text))
