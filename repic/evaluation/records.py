"""Caption records, and the files that hold them, read as a stream.

A caption file is a JSON array of rows or JSON lines, in UTF-8, UTF-16 or UTF-32. A row is a list as
the released scripts write it, `[photo, concepts, caption, prompt]` (fields after the caption are
optional), or an object with the keys `photo` (or `image`), `concepts`, `caption` and optionally
`prompt`, `references` and `scene`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from repic.captions.tokens import normal
from repic.errors import CaptionError
from repic.rewards.wrappers import Wrapper, bare_answer

MAX_ROW = 8 * 1024 * 1024
"""Longest row in characters. A row without an end would otherwise be read into memory whole."""

MAX_BYTES = 64 * 1024 * 1024
"""Largest concept file."""

_FORM = (
    "a row is [photo, [concepts], caption, prompt] or an object with photo, concepts and caption"
)
_FILE_FORM = f"a caption file is a JSON array of rows, or one row per line, and {_FORM}"
_CONCEPT_FORM = 'it is {"concept_dict": {"<Ann>": {"info": "..."}}}'
_CHUNK = 1 << 20
_SPACE = " \t\n\r"
_NO_SPACE = re.compile(f"[^{_SPACE}]")


@dataclass(frozen=True, slots=True)
class Record:
    """A caption with the ground truth of its photo.

    Attributes:
        photo: Path or id of the photo; intervals are clustered by it.
        concepts: Names of the concepts in the photo, as written in the file: `<Ann>` or `Ann`.
        given: Bare names of the references shown; empty if the file does not list them.
        info: Text of the references, which the caption may copy.
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
        """What the model had to caption; two models are compared on the same tasks."""
        return self.photo, tuple(sorted(self.concepts)), tuple(sorted(self.given))

    @property
    def key(self) -> bytes:
        """Bytes that identify the task, the prompt and the caption."""
        return repr((self.task, self.prompt, self.caption)).encode(errors="replace")


def bare(concept: str) -> str:
    """A name without its angle brackets: `<Ann>` -> `Ann`."""
    return concept[1:-1] if concept.startswith("<") and concept.endswith(">") else concept


def folded(name: str) -> str:
    """A name without brackets, casefolded, with single spaces and straight apostrophes."""
    return " ".join(normal(bare(name)).casefold().split())


def _record_of(row: Any) -> Record:
    """The record of a parsed row.

    Raises:
        CaptionError: A field is missing or has the wrong type.
    """
    if isinstance(row, Mapping):
        return _of_object(row)
    if not isinstance(row, list):
        raise CaptionError(f"is {_kind(row)}; {_FORM}")
    if len(row) < 3:
        raise CaptionError(f"has {len(row)} of the 3 fields photo, concepts, caption; {_FORM}")
    prompt = row[3] if len(row) > 3 and isinstance(row[3], str) else ""
    return Record(_photo(row[0]), _concepts(row[1]), _caption(row[2]), prompt)


def _of_object(row: Mapping[str, Any]) -> Record:
    photo = "photo" if "photo" in row else "image"
    missing = [key for key in (photo, "concepts", "caption") if key not in row]
    if missing:
        keys = ", ".join(map(str, list(row)[:5])) or "none"
        raise CaptionError(f"has no {' and no '.join(missing)} (its keys: {keys}); {_FORM}")
    reference_names, info = _references(row.get("references") or ())
    prompt = row.get("prompt")
    return Record(
        _photo(row[photo]),
        _concepts(row["concepts"]),
        _caption(row["caption"]),
        prompt if isinstance(prompt, str) else "",
        reference_names,
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
    raise CaptionError(f'its caption is {_kind(value)}; give text, and "" for an empty caption')


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
    """The type of a JSON value, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "not a number (NaN)" if value != value else "a number"
    if isinstance(value, str):
        return "text" if value.strip() else "empty text"
    return "an object" if isinstance(value, Mapping) else "a list"


class CaptionFile:
    """The records of a file, in the memory of one row. Each iteration reads the file again.

    Iterating raises CaptionError, with the number of the row, if the file cannot be read.
    """

    def __init__(self, path: Path, strip: Collection[Wrapper] = ()) -> None:
        """Open a file of captions.

        Args:
            strip: Wrappers that are no part of a caption, by name.

        Raises:
            CaptionError: the file does not exist.
        """
        self.path, self.strip = path, strip
        if path.is_dir():
            raise CaptionError(f"{path} is a folder; give a file of captions in it")
        if not path.exists():
            raise CaptionError(f"there is no file {path}; check the path")

    def __iter__(self) -> Iterator[Record]:
        number = 0
        with self.path.open("rb") as file:
            rows = _Rows(_text(file, self.path), self.path)
            for number, row in enumerate(rows, 1):
                try:
                    record = _record_of(row)
                except CaptionError as error:
                    raise CaptionError(f"{self.path}: row {number} {error}") from None
                if self.strip:
                    record = replace(record, caption=bare_answer(record.caption, self.strip))
                yield record
        if not number:
            raise CaptionError(f"{self.path} holds no captions; {_FILE_FORM}")


def _text(file: IO[bytes], path: Path) -> Iterator[str]:
    """The file in chunks of text, without the byte order mark."""
    chunk = file.read(_CHUNK)
    encoding = json.detect_encoding(chunk)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while chunk:
            yield decoder.decode(chunk)
            chunk = file.read(_CHUNK)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise CaptionError(
            f"{path} is not {encoding.removesuffix('-sig').upper()} ({error.reason} at byte "
            f"{error.start} of its part); save it as UTF-8, for example with "
            "`iconv -f latin1 -t utf-8`"
        ) from None


class _Rows:
    """JSON values of a stream: the elements of one array, or consecutive values."""

    def __init__(self, chunks: Iterator[str], path: Path) -> None:
        self._chunks, self._path = chunks, path
        self._buffer, self._position, self._ended, self._rows = "", 0, False, 0
        self._decoder = json.JSONDecoder()

    def __iter__(self) -> Iterator[Any]:
        first = self._peek()
        if not first:
            raise CaptionError(f"{self._path} is empty; {_FILE_FORM}")
        if first not in "[{":
            self._value()  # not JSON at all, or a lone value
            raise CaptionError(f"{self._path} is neither a list nor rows; {_FILE_FORM}")
        if first == "[" and self._second() in ("[", "{", "]", "n", ""):
            self._position += 1
            yield from self._elements()
        else:
            yield from self._lines(first)

    def _elements(self) -> Iterator[Any]:
        if self._peek() == "]":
            self._position += 1
        else:
            while True:
                yield self._value()
                mark = self._peek()
                self._position += 1
                if mark == "]":
                    break
                if mark != ",":
                    raise self._broken("a comma is missing" if mark else "the file is cut off")
        if self._peek():
            raise self._broken("something follows the end of the list")

    def _lines(self, first: str) -> Iterator[Any]:
        while self._peek():
            value = self._value()
            if first == "{" and self._rows == 1 and not {"caption", "concepts"} & value.keys():
                keys = ", ".join(list(value)[:3])
                what = f"one object (keys: {keys})" if keys else "an empty object"
                raise CaptionError(f"{self._path} is {what}; {_FILE_FORM}")
            yield value

    def _value(self) -> Any:
        """The value at the current position; reads on until it is complete."""
        self._peek()
        self._drop()
        wanted = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._position)
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError):
                    raise self._broken("it is nested too deeply") from None
                held = len(self._buffer) - self._position
                if held > MAX_ROW:
                    problem = f"it has no end within {MAX_ROW >> 20} million characters"
                    raise self._broken(problem) from None
                if not self._fill(held + wanted):
                    problem = "the file is cut off" if self._is_cut(error) else str(error)
                    raise self._broken(problem.partition(":")[0]) from None
                wanted = held + wanted
                continue
            if end - self._position > MAX_ROW:
                raise self._broken(f"it is longer than {MAX_ROW >> 20} million characters")
            self._position, self._rows = end, self._rows + 1
            return value

    def _is_cut(self, error: ValueError) -> bool:
        position = error.pos if isinstance(error, json.JSONDecodeError) else 0
        return str(error).startswith("Unterminated") or position >= len(self._buffer.rstrip())

    def _broken(self, problem: str) -> CaptionError:
        return CaptionError(
            f"{self._path} is not JSON at row {self._rows + 1}: {problem}; repair the file there, "
            f"or write it with a JSON library ({_FILE_FORM})"
        )

    def _peek(self) -> str:
        """The next non-space character; empty at the end."""
        while True:
            if match := _NO_SPACE.search(self._buffer, self._position):
                self._position = match.start()
                return match[0]
            self._position = len(self._buffer)
            self._drop()
            if not self._fill(_CHUNK):
                return ""

    def _second(self) -> str:
        """The non-space character after the next one."""
        position = self._position
        self._position += 1
        while not (rest := self._buffer[position + 1 :].lstrip(_SPACE)):
            if len(self._buffer) - position > MAX_ROW or not self._fill(len(self._buffer) + _CHUNK):
                break
        self._position = position
        return rest[:1]

    def _drop(self) -> None:
        if self._position > _CHUNK or self._position == len(self._buffer):
            self._buffer, self._position = self._buffer[self._position :], 0

    def _fill(self, length: int) -> bool:
        """Read until `length` characters follow the position; False at the end of the file."""
        parts, held = [self._buffer], len(self._buffer) - self._position
        before = held
        while held < length and not self._ended:
            piece = next(self._chunks, None)
            if piece is None:
                self._ended = True
                break
            parts.append(piece)
            held += len(piece)
        if held > before:
            self._buffer = "".join(parts)
        return held > before


def concept_file(path: Path) -> dict[str, Mapping[str, Any]]:
    """Folded name -> entry of a concept file of the released data sets.

    Raises:
        CaptionError: The file does not exist, or has another form.
    """
    if not path.is_file():
        raise CaptionError(f"there is no file {path}; check the path")
    if path.stat().st_size > MAX_BYTES:
        raise CaptionError(f"{path} is larger than {MAX_BYTES >> 20} MiB; {_CONCEPT_FORM}")
    try:
        entries = json.loads(path.read_bytes())["concept_dict"].items()
        return {folded(name): dict(entry) for name, entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CaptionError(f"{path} is not a concept file; {_CONCEPT_FORM}") from None


def reference_texts(path: Path) -> dict[str, str]:
    """Folded name -> text of the reference, from a concept file; errors as `concept_file`."""
    return {name: str(entry.get("info") or "") for name, entry in concept_file(path).items()}
