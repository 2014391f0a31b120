"""Large JSON files, entry by entry: annotation files have gigabytes, of which little is needed."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from repic.errors import SourceError

_SPACE = " \t\n\r"
_AFTER = frozenset(_SPACE + ":,]}")
_CHUNK = 1 << 20


class NotAnObjectError(ValueError):
    """The file holds something else than a JSON object."""


@contextmanager
def opened(path: str, setting: str) -> Iterator[BinaryIO]:
    """An open file of annotations at a local path or URL; errors of reading it say which it is.

    Args:
        setting: The setting that names it, for the message.

    Raises:
        NotAnObjectError: raised within, it stays.
        SourceError: the file is missing, or what was raised within says that it is not JSON.
    """
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise SourceError(f"there is no file {path}") from None
    except RecursionError:
        raise SourceError(f"{path} is nested too deeply to be an annotation file") from None
    except (NotAnObjectError, SourceError):
        raise
    except IsADirectoryError:
        raise SourceError(f"{path} is a folder; give the JSON file in it ({setting})") from None
    except (ValueError, PermissionError) as error:
        raise SourceError(f"{path} is not a JSON file: {error}") from error


def members(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    """Members of the JSON object in a file, in its order.

    A list is an iterator of its entries, which are read when they are asked for; the next member
    skips what is left of it. Other values are read whole.

    Raises:
        NotAnObjectError: the file holds another JSON value.
        ValueError: the file is not JSON, or not text.
    """
    text = _Text(file)
    if text.next() != "{":
        raise NotAnObjectError("the file holds no JSON object")
    text.skip()
    while (sign := text.next()) != "}":
        if sign != '"':
            raise text.error('a name in quotes or "}"')
        name = text.value()
        text.expect(":")
        if text.next() == "[":
            entries = _entries(text)
            yield name, entries
            for _ in entries:
                pass
        else:
            yield name, text.value()
        text.end_of_entry("}")
    text.skip()
    if text.next():
        raise text.error("the end of the file")


def _entries(text: _Text) -> Iterator[Any]:
    text.expect("[")
    while text.next() != "]":
        yield text.value()
        text.end_of_entry("]")
    text.skip()


class _Text:
    """A text file that is read in pieces, and the position in it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._head = file.read(4)  # not every file of a server can go back
        encoding = json.detect_encoding(self._head)
        encoding = "utf-8-sig" if encoding == "utf-8" else encoding
        self._decode = codecs.getincrementaldecoder(encoding)().decode
        self._buffer = ""
        self._at = 0
        self._before = 0
        self._decoder = json.JSONDecoder()

    def next(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in _SPACE:
                    return self._buffer[self._at]
                self._at += 1
            if not self._more(_CHUNK):
                return ""

    def skip(self) -> None:
        self._at += 1

    def expect(self, sign: str) -> None:
        if self.next() != sign:
            raise self.error(f'"{sign}"')
        self.skip()

    def end_of_entry(self, closing: str) -> None:
        """Pass the comma after an entry; a closing bracket stays."""
        if self.next() == ",":
            self.skip()
            if self.next() == closing:
                raise self.error("an entry after the comma")
        elif self.next() != closing:
            raise self.error(f'"," or "{closing}"')

    def value(self) -> Any:
        """The value that begins here, whole."""
        self.next()
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if not self._more(size):
                    self._at = error.pos
                    raise self.error(error.msg) from None
            else:
                # A number may go on in the next piece.
                if self._buffer[end : end + 1] in _AFTER or not self._more(size):
                    self._at = end
                    return value
            size *= 2

    def error(self, expected: str) -> ValueError:
        return ValueError(f"at character {self._before + self._at}: {expected} was expected")

    def _more(self, size: int) -> bool:
        """Read on, if there is more; what is behind the position is forgotten."""
        piece = ""
        while not piece:
            data = self._head + self._file.read(size)
            self._head = b""
            piece = self._decode(data, final=not data)
            if not data:
                break
        if piece:
            self._before += self._at
            self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return bool(piece)
