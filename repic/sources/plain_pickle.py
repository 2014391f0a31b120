"""Pickles that hold only lists, dictionaries, texts and numbers, read without running their code.

A pickle is a program. Of its operations only those are known here that build plain data, so that
none can name, call or import anything. Tuples become lists: a nested tuple as a key could cost
more time or stack than there is. Texts of Python 2 are bytes, and are read as UTF-8 or Latin-1.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

MAX_BYTES = 128 << 20
"""Largest pickle that is read; those of RefCOCO have up to 40 MB."""

MAX_VALUES = 20_000_000
"""Most values that cost far more memory than their byte in the file; RefCOCO has 3 million."""

_PLAIN = (
    *("PROTO", "FRAME", "STOP", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "APPEND", "APPENDS"),
    *("SETITEM", "SETITEMS", "GET", "BINGET", "LONG_BINGET"),
)
_COUNTED = {
    **{name: name for name in ("MARK", "LIST", "EMPTY_LIST", "DICT", "EMPTY_DICT")},
    **{name: name for name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")},
    "TUPLE": "LIST",
    "EMPTY_TUPLE": "EMPTY_LIST",
}


class PickleRefusedError(ValueError):
    """A pickle is too large, damaged, or holds more than plain data."""


def loads(data: bytes) -> Any:
    """The value of a pickle of any protocol.

    Raises:
        PickleRefusedError: it is damaged, exceeds a limit, or holds more than plain data.
    """
    if len(data) > MAX_BYTES:
        raise PickleRefusedError(f"it has more than {MAX_BYTES >> 20} MB")
    try:
        return _Reader(io.BytesIO(data)).load()
    except PickleRefusedError:
        raise
    except Exception as error:  # the operations of a damaged file fail in every way
        raise PickleRefusedError(f"it is damaged ({type(error).__name__}: {error})") from error


def _counted(operation: Callable[[Any], None]) -> Callable[[Any], None]:
    def count(reader: _Reader) -> None:
        reader.left -= 1
        if reader.left < 0:
            raise PickleRefusedError(f"it holds more than {MAX_VALUES} values")
        operation(reader)

    return count


class _Operations(dict):
    def __missing__(self, code: int) -> Any:
        name = next((n for n in _NAMES if getattr(pickle, n) == bytes([code])), f"byte {code}")
        raise PickleRefusedError(
            "it holds more than lists, dictionaries, texts and numbers, which would run as a "
            f"program (operation {name})"
        )


_NAMES = [name for name in vars(pickle) if name.isupper()]
_KNOWN: dict[int, Any] = pickle._Unpickler.dispatch


class _Reader(pickle._Unpickler):
    """Python's own reader in Python, since that in C reserves memory before it has the bytes."""

    dispatch: ClassVar[dict[int, Any]] = _Operations(
        {getattr(pickle, name)[0]: _KNOWN[getattr(pickle, name)[0]] for name in _PLAIN}
        | {
            getattr(pickle, name)[0]: _counted(_KNOWN[getattr(pickle, same)[0]])
            for name, same in _COUNTED.items()
        }
    )

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.left = MAX_VALUES

    def _decode_string(self, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
