"""Texts about an object: the info of a reference, and a true caption that uses its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from repic.captions.facts import LEAST
from repic.captions.noun_phrases import with_article, without_article
from repic.captions.tokens import content_stems, stem
from repic.objectives.base import SeededRandom
from repic.objectives.neighborhood import Object

# Words for a position in the object's own photo, which would mislead about another photo.
_POSITION = re.compile(
    r"\b(?:left|right|middle|center|centre|top|bottom|front|back|behind|next|near|nearest|closest|"
    r"farthest|first|second|third|last|above|below|under|beside|between|corner|side|other|foreground|"
    r"background|upper|lower|far|by)\b",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"\b(?:an?|the|one)\s+", re.IGNORECASE)
# What may follow a complete noun phrase: "a dog on ...", but not "a dog house".
_ENDS = re.compile(
    r"\s*$|\s*[.,;:!?)]|\s+(?:and|or|on|in|at|is|are|was|were|by|near|next|beside|behind|under|"
    r"over|from|to|of|against|that|which|who|while|stands?|sits?|lies|leans|looks?|\w+ing)\b",
    re.IGNORECASE,
)


def reference_info(obj: Object, rng: SeededRandom) -> str:
    """What a prompt says about a reference, for example `A golden retriever.`

    Empty if nothing is sure enough to be said: it has no expression that can be used without its
    photo, and no label that may be spoken.
    """
    usable = [text for text in obj.expressions if text.strip() and not _POSITION.search(text)]
    text = rng.pick(usable) if usable else obj.spoken or ""
    text = with_article(without_article(text.strip().rstrip(".")))
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _mentions(phrase: str, text: str) -> list[tuple[int, int]]:
    """Start and end of each place where the text has the phrase as a noun phrase with its article.

    Uses fixed patterns only: compiling one per phrase takes longer than everything else.
    """
    folded, spans = phrase.casefold(), []
    for article in _BEGINS.finditer(text):
        end = article.end() + len(phrase)
        if text[article.end() : end].casefold() == folded and _ENDS.match(text, end):
            spans.append((article.start(), end))
    return spans


def _replace(text: str, spans: Iterable[tuple[int, int]], replacement: str) -> str:
    for start, end in reversed([*spans]):
        text = text[:start] + replacement + text[end:]
    return text


def named_caption(
    caption: str | None,
    present: Sequence[tuple[Object, str]],
    distinctive_words: Iterable[str] = (),
    infos: Iterable[str] = (),
) -> str | None:
    """The photo's true caption with `<Name>` in place of each named object.

    If that leaves fewer than `facts.LEAST` distinctive words, the phrases stay after the names, as
    in `<Ann> (a plain red ball) on sand.`, because a caption of little content is a bad example.

    Args:
        present: The object in this photo and its name, for each present reference.
        distinctive_words: See the column of the row; empty if unknown.
        infos: Texts of the prompt about the references; their words are not facts of the caption.

    Returns:
        None without a caption, or if an object is not mentioned exactly once, by one of its
        phrases or by a label that is unique in the photo.
    """
    if caption is None:
        return None
    full = caption
    for obj, name in present:
        phrases = {without_article(text.strip().rstrip(".")) for text in obj.phrases}
        if obj.same_label_count == 1 and obj.spoken:
            phrases.add(obj.spoken)
        for phrase in sorted(phrases - {""}, key=lambda text: (-len(text), text)):
            spans = _mentions(phrase, caption)
            if len(spans) == 1:
                [(start, end)] = spans
                bracketed = f"({caption[start : start + 1].lower()}{caption[start + 1 : end]})"
                full = _replace(full, _mentions(phrase, full), f"<{name}> {bracketed}")
                caption = _replace(caption, spans, f"<{name}>")
                break
        else:
            return None
    facts = frozenset(map(stem, distinctive_words)) - content_stems(" ".join(infos))
    return full if len(content_stems(caption) & facts) < min(LEAST, len(facts)) else caption
