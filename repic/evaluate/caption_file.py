"""Captions of anyone's file, read as a stream: a file of any size takes the memory of one row.

A file is a JSON array of rows, or JSON lines; see `repic.evaluate.records`. UTF-8, UTF-16 and
UTF-32 are read, with and without a byte order mark.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from repic.errors import CaptionError
from repic.evaluate.records import FORM, Record, record_of

MAX_ROW = 8 * 1024 * 1024
"""Longest row, in characters; without an end, a file would be read into memory to find one."""

_CHUNK = 1 << 20
_SPACE = " \t\n\r"
_NO_SPACE = re.compile(f"[^{_SPACE}]")
_REMEDY = f"a caption file is a JSON array of rows, or one row per line, and {FORM}"


class CaptionFile:
    """The records of a file. Each iteration reads it anew, so that nothing of it is kept.

    Iterating raises CaptionError for whatever makes it unreadable, with the number of the row.
    """

    def __init__(self, path: Path) -> None:
        """Raises CaptionError if there is no such file."""
        self.path = path
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
                    yield record_of(row)
                except CaptionError as error:
                    raise CaptionError(f"{self.path}: row {number} {error}") from None
        if not number:
            raise CaptionError(f"{self.path} holds no captions; {_REMEDY}")


def _text(file: IO[bytes], path: Path) -> Iterator[str]:
    """The file in pieces of text, without a byte order mark."""
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
    """JSON values of a stream: the elements of one array, or values one after the other."""

    def __init__(self, pieces: Iterator[str], path: Path) -> None:
        self._pieces, self._path = pieces, path
        self._buffer, self._place, self._done, self._rows = "", 0, False, 0
        self._decoder = json.JSONDecoder()

    def __iter__(self) -> Iterator[Any]:
        first = self._peek()
        if not first:
            raise CaptionError(f"{self._path} is empty; {_REMEDY}")
        if first not in "[{":
            self._value()  # not JSON at all, or a lone value
            raise CaptionError(f"{self._path} is neither a list nor rows; {_REMEDY}")
        if first == "[" and self._second() in ("[", "{", "]", "n", ""):
            self._place += 1
            yield from self._elements()
        else:
            yield from self._lines(first)

    def _elements(self) -> Iterator[Any]:
        if self._peek() == "]":
            self._place += 1
        else:
            while True:
                yield self._value()
                mark = self._peek()
                self._place += 1
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
                raise CaptionError(f"{self._path} is one object (keys: {keys}); {_REMEDY}")
            yield value

    def _value(self) -> Any:
        """The value at the place, which reads on until it is whole."""
        self._peek()
        self._drop()
        wanted = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._place)
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError):
                    raise self._broken("it is nested too deeply") from None
                held = len(self._buffer) - self._place
                if held > MAX_ROW:
                    where = f"it has no end within {MAX_ROW >> 20} million characters"
                    raise self._broken(where) from None
                if not self._fill(held + wanted):
                    said = "the file is cut off" if self._is_cut(error) else str(error)
                    raise self._broken(said.partition(":")[0]) from None
                wanted = held + wanted
                continue
            if end - self._place > MAX_ROW:
                raise self._broken(f"it is longer than {MAX_ROW >> 20} million characters")
            self._place, self._rows = end, self._rows + 1
            return value

    def _is_cut(self, error: ValueError) -> bool:
        place = getattr(error, "pos", 0)
        said = str(error)
        return said.startswith("Unterminated") or place >= len(self._buffer.rstrip())

    def _broken(self, what: str) -> CaptionError:
        return CaptionError(
            f"{self._path} is not JSON at row {self._rows + 1}: {what}; mend the file there, or "
            f"write it again with a JSON library ({_REMEDY})"
        )

    def _peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            if match := _NO_SPACE.search(self._buffer, self._place):
                self._place = match.start()
                return match[0]
            self._place = len(self._buffer)
            self._drop()
            if not self._fill(_CHUNK):
                return ""

    def _second(self) -> str:
        """The character after the next one, spaces aside."""
        place = self._place
        self._place += 1
        while not (rest := self._buffer[place + 1 :].lstrip(_SPACE)):
            if len(self._buffer) - place > MAX_ROW or not self._fill(len(self._buffer) + _CHUNK):
                break
        self._place = place
        return rest[:1]

    def _drop(self) -> None:
        if self._place > _CHUNK or self._place == len(self._buffer):
            self._buffer, self._place = self._buffer[self._place :], 0

    def _fill(self, length: int) -> bool:
        """Read until so many characters are held after the place; False if there is no more."""
        parts, held = [self._buffer], len(self._buffer) - self._place
        before = held
        while held < length and not self._done:
            piece = next(self._pieces, None)
            if piece is None:
                self._done = True
                break
            parts.append(piece)
            held += len(piece)
        if held > before:
            self._buffer = "".join(parts)
        return held > before
