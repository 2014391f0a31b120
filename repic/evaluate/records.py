"""One caption with what is true of its photo, and how a row of a caption file becomes one.

A row is a list as the released scripts write it, `[photo, concepts, caption, prompt]` (what follows
the caption may be missing), or an object with the keys `photo` (or `image`), `concepts`, `caption`
and, where they are known, `prompt`, `references` and `scene`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repic.errors import CaptionError

FORM = "a row is [photo, [concepts], caption, prompt] or an object with photo, concepts and caption"


@dataclass(frozen=True, slots=True)
class Record:
    """A caption and its truth.

    Attributes:
        photo: What tells photos apart; intervals are clustered by it.
        concepts: Names of those in the photo, as the file writes them: `<Ann>` or `Ann`.
        given: Names of the references that were shown, bare; empty where the file does not say.
        info: Text of the references, which the caption may have copied.
        scene: Objects of the photo as in the `scene` column of the examples table.
    """

    photo: str
    concepts: tuple[str, ...]
    caption: str
    prompt: str = ""
    given: tuple[str, ...] = ()
    info: str = ""
    scene: tuple[Mapping[str, Any], ...] = ()

    @property
    def task(self) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """What was to be captioned; two models are compared on the same tasks."""
        return self.photo, tuple(sorted(self.concepts)), tuple(sorted(self.given))


def bare(concept: str) -> str:
    """A name without its angle brackets: `<Ann>` -> `Ann`."""
    return concept[1:-1] if concept.startswith("<") and concept.endswith(">") else concept


def folded(name: str) -> str:
    """What two spellings of one name share: brackets, case, runs of spaces and the form of an
    apostrophe are put aside."""
    plain = unicodedata.normalize("NFC", bare(name)).replace("\u2019", "'")
    return " ".join(plain.casefold().split())


def record_of(row: Any) -> Record:
    """The record that a parsed row stands for.

    Raises:
        CaptionError: the row lacks something, or has something of another type.
    """
    if isinstance(row, Mapping):
        return _of_object(row)
    if not isinstance(row, list):
        raise CaptionError(f"is {_kind(row)}; {FORM}")
    if len(row) < 3:
        raise CaptionError(f"has {len(row)} of the 3 fields photo, concepts, caption; {FORM}")
    prompt = row[3] if len(row) > 3 and isinstance(row[3], str) else ""
    return Record(_photo(row[0]), _concepts(row[1]), _caption(row[2]), prompt)


def _of_object(row: Mapping[str, Any]) -> Record:
    photo = "photo" if "photo" in row else "image"
    missing = [key for key in (photo, "concepts", "caption") if key not in row]
    if missing:
        known = ", ".join(map(str, list(row)[:5])) or "none"
        raise CaptionError(f"has no {' and no '.join(missing)} (its keys: {known}); {FORM}")
    given, info = _references(row.get("references") or ())
    prompt = row.get("prompt")
    return Record(
        _photo(row[photo]),
        _concepts(row["concepts"]),
        _caption(row["caption"]),
        prompt if isinstance(prompt, str) else "",
        given,
        info,
        _scene(row.get("scene") or ()),
    )


def _photo(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise CaptionError(f"its photo is {_kind(value)}; give the path or an id as text")


def _concepts(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list):
        raise CaptionError(f"its concepts are {_kind(value)}; give a list of names")
    for name in names:
        if not isinstance(name, str) or not bare(name).strip():
            raise CaptionError(f"one of its concepts is {_kind(name)}; give names as text")
    return tuple(names)


def _caption(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise CaptionError(
        f'its caption is {_kind(value)}; give text, and "" where the model said nothing'
    )


def _references(value: Any) -> tuple[tuple[str, ...], str]:
    """Names and joined text of references: names, or objects with `name` and maybe `info`."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise CaptionError(f"its references are {_kind(value)}; give a list of names or objects")
    names, texts = [], []
    for reference in value:
        entry = reference if isinstance(reference, Mapping) else {"name": reference}
        name, info = entry.get("name"), entry.get("info")
        if not isinstance(name, str) or not bare(name).strip():
            raise CaptionError(f"the name of a reference is {_kind(name)}; give it as text")
        names.append(bare(name))
        if isinstance(info, str):
            texts.append(info)
    return tuple(names), "\n".join(texts)


def _scene(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Objects of the photo, each `{name, label, phrases, box}`."""
    remedy = "give objects with name (or null), label, phrases and box (x1, y1, x2, y2)"
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise CaptionError(f"its scene is {_kind(value)}; {remedy}")
    things = []
    for thing in value:
        if not isinstance(thing, Mapping):
            raise CaptionError(f"an object of its scene is {_kind(thing)}; {remedy}")
        name, label = thing.get("name"), thing.get("label")
        phrases, box = thing.get("phrases") or [], thing.get("box")
        fits = (
            isinstance(label, str)
            and (name is None or isinstance(name, str))
            and isinstance(phrases, list)
            and all(isinstance(phrase, str) for phrase in phrases)
            and isinstance(box, list)
            and len(box) == 4
            and all(_is_finite(side) for side in box)
            and box[0] < box[2]
            and box[1] < box[3]
        )
        if not fits:
            raise CaptionError(f"an object of its scene is incomplete or has no area; {remedy}")
        things.append({"name": name, "label": label, "phrases": phrases, "box": box})
    return tuple(things)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9  # NaN compares false


def _kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "not a number (NaN)" if value != value else "a number"
    if isinstance(value, str):
        return "text" if value.strip() else "empty text"
    return "an object" if isinstance(value, Mapping) else "a list"
