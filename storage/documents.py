"""JSON documents of a store: manifests, snapshots of refs, and other small files.

Any of them may be damaged: empty, not JSON, of another shape, huge, nested too deeply, or a folder
of that name. `read` turns each of these into one `DamagedError`, which names the file and a remedy.

Since format 2, manifests and snapshots end with the SHA-256 of all bytes before it, so that a
changed byte is found when they are read. Like every hash here, it detects faults and careless
edits; anyone with write access to a store can also write a new hash.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.errors import DamagedError, StoreError
from storage.files import Files

FORMAT_VERSION = 2
"""Format of the store and of its documents. Readers support all older formats, but no newer ones.

1: without hashes. 2: manifests and snapshots end with their hash.
"""

MAX_BYTES = 64 << 20
"""A larger file is no document: a manifest needs about 300 bytes per shard."""

USUAL_BYTES = 1 << 16
"""Most documents are smaller."""

_END = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n\}\n?\Z')


class Frozen(BaseModel):
    """Base of immutable models that reject unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sealed(Frozen):
    """Base of documents that end with their hash, if their format is 2 or newer."""

    format_version: int = Field(default=FORMAT_VERSION, ge=1)


D = TypeVar("D", bound=Frozen)


class _Header(BaseModel):
    """What every format has in common."""

    format_version: int = 1


def encode(document: Sealed) -> bytes:
    """The JSON of a document, which ends with the hash of all bytes before it."""
    body = document.model_dump_json(indent=1).encode().removesuffix(b"\n}")
    return body + f',\n "sha256": "{hashlib.sha256(body).hexdigest()}"\n}}'.encode()


def read(files: Files, path: str, model: type[D]) -> D:
    """Read a document, and check the hash of one that is sealed.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: it is there, but is not such a document.
        StoreError: it has a newer format, or the disk or its permissions prevent reading.
    """
    data = _bytes(files, path)
    if not data.strip():
        raise DamagedError(files.full(path), "it is empty")
    try:
        return _decode(data, model)
    except ValidationError as error:
        why = reason(error)
    except _HashError as error:
        why = str(error)
    check_format(_format_of(data), files.full(path))
    raise DamagedError(files.full(path), why)


def sealed(files: Files, path: str) -> bytes | None:
    """The bytes of a document before its hash; None if they do not match it, or if it has none.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it cannot be read.
    """
    try:
        return _body(_bytes(files, path))
    except (_HashError, DamagedError):
        return None


def check_format(version: int, what: str) -> None:
    """Raises: StoreError: `what` has a newer format than this code supports."""
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{what} has format {version}, and this program reads up to {FORMAT_VERSION}: "
            "install a newer version (pip install --upgrade repic)."
        )


class _HashError(Exception):
    """The hash of a document is missing or differs."""


def _decode(data: bytes, model: type[D]) -> D:
    body = _body(data)
    document = model.model_validate_json(data if body is None else body + b"\n}")
    if body is None and isinstance(document, Sealed) and document.format_version > 1:
        raise _HashError("it does not end with its hash")
    return document


def _body(data: bytes) -> bytes | None:
    """The bytes of a document before its hash, or None if it has none. Raises: _HashError."""
    end = _END.search(data[-100:])
    if not end:
        return None
    body = data[: len(data) - len(end[0])]
    if hashlib.sha256(body).hexdigest() != end[1].decode():
        raise _HashError("its bytes have changed since it was written")
    return body


def _bytes(files: Files, path: str) -> bytes:
    try:
        with files.open(path) as handle:
            data = handle.read(USUAL_BYTES)  # a larger number costs its memory, used or not
            if len(data) == USUAL_BYTES:
                data += handle.read(MAX_BYTES + 1 - USUAL_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(*error.args) from error
    except IsADirectoryError:
        raise DamagedError(files.full(path), "a folder has its name") from None
    except OSError as error:
        raise StoreError(
            f"{files.full(path)} cannot be read ({error.strerror or error}): check the disk, and "
            "the owner and mode of the file."
        ) from error
    if len(data) > MAX_BYTES:
        raise DamagedError(files.full(path), f"it is larger than {MAX_BYTES >> 20} MB")
    return data


def _format_of(data: bytes) -> int:
    """The format that a document claims to have; 1 if it claims none."""
    try:
        return _Header.model_validate_json(data).format_version
    except ValidationError:
        return 1


def reason(error: ValidationError) -> str:
    """The first fault of a value, in one line without its content."""
    first: Any = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))[:100]
    return f"{where}: {first['msg']}" if where else first["msg"]
