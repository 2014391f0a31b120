"""The closed classes of words in vocabulary.txt, where each has its comment."""

from __future__ import annotations

from importlib import resources


def _read() -> dict[str, frozenset[str]]:
    classes: dict[str, frozenset[str]] = {}
    name = ""
    text = resources.files(__package__).joinpath("vocabulary.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        words = line.split()
        if not words or words[0] == "#":
            continue
        if line[0] != " ":
            name = words.pop(0)
            classes[name] = frozenset()
        classes[name] = classes[name].union(*(classes.get(word, {word}) for word in words))
    return classes


CLASSES = _read()
STOPS, JOINTS, PICTURE = CLASSES["STOPS"], CLASSES["JOINTS"], CLASSES["PICTURE"]
DETERMINERS, PREPOSITIONS = CLASSES["DETERMINERS"], CLASSES["PREPOSITIONS"]
MODALS, SUPPOSING, SEEING = CLASSES["MODALS"], CLASSES["SUPPOSING"], CLASSES["SEEING"]
ASKING = CLASSES["ASKING"]
DOUBTS, DOUBTING = CLASSES["DOUBTS"], CLASSES["DOUBTING"]
NEGATIONS, EXCEPTIONS, FOREIGN = CLASSES["NEGATIONS"], CLASSES["EXCEPTIONS"], CLASSES["FOREIGN"]
TRUTH, UNREAL, LIKE, SEEMING = (CLASSES[name] for name in ("TRUTH", "UNREAL", "LIKE", "SEEMING"))
OUTSIDE, ADDRESSING, SPEAKING = CLASSES["OUTSIDE"], CLASSES["ADDRESSING"], CLASSES["SPEAKING"]
FIELDS, CREDITED, CREDITING = CLASSES["FIELDS"], CLASSES["CREDITED"], CLASSES["CREDITING"]
SURROUNDINGS, ADJECTIVES = CLASSES["SURROUNDINGS"], CLASSES["ADJECTIVES"]
GENERAL, RESUMPTIONS = CLASSES["GENERAL"], CLASSES["RESUMPTIONS"]
ELEMENTS, IN_TAG = CLASSES["ELEMENTS"], CLASSES["IN_TAG"]
ARTICLES, COPULAS, POSSESSING = CLASSES["ARTICLES"], CLASSES["COPULAS"], CLASSES["POSSESSING"]
LINKS, NO_ROLE = CLASSES["LINKS"] | {"\n"}, CLASSES["NO_ROLE"]
FRAME, CUES, STOP_WORDS = CLASSES["FRAME"], CLASSES["CUES"], CLASSES["STOP_WORDS"]
SAME = {name[5:].lower(): words for name, words in CLASSES.items() if name[:5] == "SAME_"}
"""A word, and all words for the same thing."""

IDIOMS = {
    (pair.split("_")[0], pair.split("_")[1]): name[6:]
    for name, pairs in CLASSES.items()
    for pair in (pairs if name[:6] == "IDIOM_" else ())
}
"""Two words, and the one that they stand for."""
