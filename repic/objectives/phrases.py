"""Text about an object: what a reference says of it, and a true caption that uses its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from repic.captions.facts import LEAST
from repic.captions.tokens import content_stems, stem
from repic.objectives.base import Draw
from repic.objectives.corpus import Object

ARTICLE = re.compile(r"(?:the|a|an|one)\s+", re.IGNORECASE)
# Words that place an object in its own photo; they would mislead about another.
_POSITION = re.compile(
    r"\b(?:left|right|middle|center|centre|top|bottom|front|back|behind|next|near|nearest|closest|"
    r"farthest|first|second|third|last|above|below|under|beside|between|corner|side|other|foreground|"
    r"background|upper|lower|far|by)\b",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"\b(?:an?|the|one)\s+", re.IGNORECASE)
# What may follow a noun phrase that is complete: "a dog on ...", but not "a dog house".
_ENDS = re.compile(
    r"\s*$|\s*[.,;:!?)]|\s+(?:and|or|on|in|at|is|are|was|were|by|near|next|beside|behind|under|"
    r"over|from|to|of|against|that|which|who|while|stands?|sits?|lies|leans|looks?|\w+ing)\b",
    re.IGNORECASE,
)


def info(thing: Object, draw: Draw) -> str:
    """What is known of a reference as a short sentence, for example `A golden retriever.`"""
    fit = [text for text in thing.expressions if text.strip() and not _POSITION.search(text)]
    text = ARTICLE.sub("", (draw.pick(fit) if fit else thing.label).strip().rstrip("."), count=1)
    is_plural = text.endswith("s") and not text.endswith("ss") and " " not in text
    if is_plural or not text.isascii():
        return f"{text[:1].upper()}{text[1:]}."
    return f"{'An' if text[:1].lower() in 'aeiou' else 'A'} {text}."


def _mentions(phrase: str, text: str) -> list[tuple[int, int]]:
    """Where a text has the phrase as a whole noun phrase with its article: start and end of each.

    A pattern of each phrase would have to be compiled, which takes longer than all else.
    """
    folded, found = phrase.casefold(), []
    for article in _BEGINS.finditer(text):
        end = article.end() + len(phrase)
        if text[article.end() : end].casefold() == folded and _ENDS.match(text, end):
            found.append((article.start(), end))
    return found


def _replaced(text: str, places: Iterable[tuple[int, int]], by: str) -> str:
    for start, end in reversed([*places]):
        text = text[:start] + by + text[end:]
    return text


def named_caption(
    caption: str | None,
    present: Sequence[tuple[Object, str]],
    telling: Iterable[str] = (),
    told: Iterable[str] = (),
) -> str | None:
    """The photo's true caption with `<Name>` in place of each named object.

    Where that leaves fewer than `facts.LEAST` telling words, the phrase stays behind the name:
    `<Ann> (a plain red ball) on sand.` It is no use to learn to say as good as nothing.

    Args:
        present: The object in this photo and its name, for each reference that is in it.
        telling: Words that tell this photo from others, where they are known.
        told: What the prompt says of the references; a caption gains nothing by repeating it.

    Returns:
        None where there is no caption, or where it does not mention each object exactly once, by
        one of its phrases or by a label that no other object of the photo has.
    """
    if caption is None:
        return None
    full = caption
    for thing, name in present:
        phrases = {ARTICLE.sub("", text.strip().rstrip("."), count=1) for text in thing.phrases}
        if thing.same_label_count == 1:
            phrases.add(thing.label)
        for phrase in sorted(phrases - {""}, key=lambda text: (-len(text), text)):
            found = _mentions(phrase, caption)
            if len(found) == 1:
                [(start, end)] = found
                beside = f"({caption[start : start + 1].lower()}{caption[start + 1 : end]})"
                full = _replaced(full, _mentions(phrase, full), f"<{name}> {beside}")
                caption = _replaced(caption, found, f"<{name}>")
                break
        else:
            return None
    new = frozenset(map(stem, telling)) - content_stems(" ".join(told))
    return full if len(content_stems(caption) & new) < min(LEAST, len(new)) else caption
