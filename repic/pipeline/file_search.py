"""Files of a store that are no tables: which of them tell what is to be forgotten.

Tombstones are hashes, so a text is taken apart into ids, addresses and values, and each is hashed.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Any, Literal

from repic.images.uris import to_uri
from repic.pipeline.forgotten import Forgotten
from repic.sources.base import one_form
from storage.errors import StoreError
from storage.files import Files
from storage.hashing import ID_DIGITS

TEXTS = frozenset(
    {
        *(".json", ".jsonl", ".html", ".htm", ".txt", ".md", ".csv", ".tsv"),
        *(".yaml", ".yml", ".xml", ".svg", ".log", ".jinja"),
    }
)
PICTURES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic")
)
LARGEST = 1 << 28
"""Bytes of a file that is searched."""

Told = Literal["tells", "mentions", "silent", "unread"]

_ID = re.compile(rf"(?<![0-9a-f])[0-9a-f]{{{ID_DIGITS},}}(?![0-9a-f])")
_ADDRESS = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s\"'<>\\]+")
_PATH = re.compile(r"(?<![\w/:.])/[^\s\"'<>\\]+")
_BETWEEN = [re.compile(form, re.M) for form in (">([^<>]+)<", '"([^"\\n]+)"', "([^,;\\t\\n]+)")]
"""Between tags, between quotes, and between commas or tabs."""


def search(files: Files, path: str, forgotten: Forgotten, ids: Collection[str]) -> Told:
    """Whether a file tells a photo, an address or an identity, in its name or its content.

    It `mentions` an identity whose name stands among other words, and may be of somebody else.
    A picture tells if its bytes are those of a forgotten file; a smaller copy is not recognized.
    Other formats, and files that are too large, are `unread`.

    Args:
        ids: Of forgotten photos, and of their objects, pairs and examples.

    Raises:
        storage.errors.StoreError: it cannot be read, so that it is unknown what it holds.
    """
    if _has_id(path, forgotten, ids):
        return "tells"
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in TEXTS | PICTURES:
        return "unread"
    try:
        with files.open(path) as handle:
            data = handle.read(LARGEST + 1)
    except FileNotFoundError:  # gone meanwhile
        return "silent"
    except OSError as error:
        raise StoreError(f"{files.full(path)} cannot be read: {error}") from error
    if len(data) > LARGEST:
        return "unread"
    if suffix in PICTURES:
        known = forgotten.has_id(hashlib.sha256(data).hexdigest()[:ID_DIGITS])
        return "tells" if known else "mentions" if forgotten.mentioned(path) else "silent"
    return _told(path, data.decode("utf-8", "replace"), forgotten, ids)


def _told(path: str, text: str, forgotten: Forgotten, ids: Collection[str]) -> Told:
    values = {value for each in _values(text) if (value := one_form(html.unescape(each)))}
    whole = "\n".join([html.unescape(text), *values])
    found = [_bare(address) for address in _ADDRESS.findall(whole)]
    found += [to_uri(_bare(path)) for path in _PATH.findall(whole)]
    if forgotten.has(None, [*found, *values], values) or _has_id(whole, forgotten, ids):
        return "tells"
    return "mentions" if forgotten.mentioned(f"{path}\n{whole}") else "silent"


def _bare(address: str) -> str:
    """Without the punctuation of the sentence that it ends."""
    return address.rstrip(".,;:!?)]}")


def _has_id(text: str, forgotten: Forgotten, ids: Collection[str]) -> bool:
    return any(
        (id := found[:ID_DIGITS]) in ids or forgotten.has_id(id) for found in _ID.findall(text)
    )


def _values(text: str) -> Iterator[str]:
    """The values of JSON, at any depth; of other files what is between tags, quotes and commas."""
    try:
        waiting: list[Any] = [json.loads(text)]
    except (ValueError, RecursionError):
        for form in _BETWEEN:
            yield from form.findall(text)
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
