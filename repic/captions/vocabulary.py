"""The closed classes of words in vocabulary.txt, where each has its comment."""

from __future__ import annotations

from importlib import resources


def _read() -> dict[str, frozenset[str]]:
    classes: dict[str, list[str]] = {}
    name = ""
    for line in (
        resources.files(__package__)
        .joinpath("vocabulary.txt")
        .read_text(encoding="utf-8")
        .splitlines()
    ):
        words = line.split()
        if not words or words[0] == "#":
            continue
        if line[0] != " ":
            name = words.pop(0)
            classes[name] = []
        classes[name] += words
    return {name: frozenset(words) for name, words in classes.items()}


CLASSES = _read()
STOPS, JOINTS, PICTURE = CLASSES["STOPS"], CLASSES["JOINTS"], CLASSES["PICTURE"]
DETERMINERS, PREPOSITIONS = CLASSES["DETERMINERS"], CLASSES["PREPOSITIONS"]
MODALS, SUPPOSING = CLASSES["MODALS"], CLASSES["SUPPOSING"]
DOUBTS, DOUBTING = CLASSES["DOUBTS"], CLASSES["DOUBTING"]
NEGATIONS, ABSENT, EXCEPTIONS = CLASSES["NEGATIONS"], CLASSES["ABSENT"], CLASSES["EXCEPTIONS"]
TRUTH, UNREAL, LIKE, SEEMING = (CLASSES[name] for name in ("TRUTH", "UNREAL", "LIKE", "SEEMING"))
OUTSIDE, ADDRESSING, SPEAKING = CLASSES["OUTSIDE"], CLASSES["ADDRESSING"], CLASSES["SPEAKING"]
FIELDS, CREDITED, CREDITING = CLASSES["FIELDS"], CLASSES["CREDITED"], CLASSES["CREDITING"]
SURROUNDINGS, ADJECTIVES = CLASSES["SURROUNDINGS"], CLASSES["ADJECTIVES"]
GENERAL = CLASSES["GENERAL"]
SAME = {name[5:].lower(): words for name, words in CLASSES.items() if name[:5] == "SAME_"}
"""A word, and all words for the same thing."""

ELEMENTS, RESUMPTIONS = CLASSES["ELEMENTS"], CLASSES["RESUMPTIONS"]
FOREIGN = CLASSES["FOREIGN"]
EXCEPTION_AFTER = {word: CLASSES[f"AFTER_{word.upper()}"] for word in ("than", "but", "place")}
"""Words that are exceptions only after one of these."""

_CLAUSAL = MODALS | SUPPOSING | DOUBTS | DOUBTING | NEGATIONS | ABSENT | EXCEPTIONS
FRAME = CLASSES["PLAIN"] | DETERMINERS | PICTURE | _CLAUSAL | TRUTH
"""Words that say nothing about how something looks or what it does."""

HINTS = _CLAUSAL | TRUTH | LIKE | OUTSIDE | ADDRESSING | UNREAL | SPEAKING | CREDITING
HINTS |= FOREIGN | CLASSES["OTHER_HINTS"]
"""Without one of these, everything is affirmed."""
