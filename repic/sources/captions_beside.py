"""Captions in files beside photos: `1.txt`, or `caption` in `1.json`, beside `1.jpg`.

img2dataset and tools for fine-tuning write such files. A file with nothing but numbers,
such as boxes in YOLO's format, is not a caption.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping

SUFFIXES = (".json", ".txt")
"""The first that has a caption is used."""

MAX_BYTES = 64 << 10
"""Largest file that is read: most JSON of img2dataset has a few hundred bytes."""

_log = logging.getLogger(__name__)

Path = tuple[str, ...]
"""Path of a photo below the root, in parts."""


def read(files: Iterable[tuple[Path, Mapping[str, bytes]]]) -> dict[Path, str]:
    """Captions of photos; files that are none are left alone, and those that are broken counted.

    Args:
        files: Path of a photo and, by suffix, the first bytes of the files beside it.
    """
    captions = {}
    broken = []
    for path, contents in files:
        for suffix in SUFFIXES:
            if suffix not in contents:
                continue
            try:
                caption = parse(suffix, contents[suffix])
            except ValueError:
                broken.append(path)
                continue
            if caption:
                captions[path] = caption
                break
    if broken:
        _log.warning(
            "%d texts beside photos cannot be read, as that of %s: a caption is UTF-8 text, or "
            '{"caption": ...} in JSON, of at most %d kB',
            len(broken),
            "/".join(min(broken)).encode("utf-8", "backslashreplace").decode(),
            MAX_BYTES >> 10,
        )
    return captions


def parse(suffix: str, content: bytes) -> str | None:
    """The caption in a file, in one line; None if it has none.

    Raises:
        ValueError: the file is too large, no UTF-8, or no JSON.
    """
    if len(content) > MAX_BYTES:
        raise ValueError("too large")
    text: object = content.decode("utf-8-sig")
    if suffix == ".json":
        try:
            values = json.loads(content.decode("utf-8-sig"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        text = values.get("caption") if isinstance(values, dict) else None
    words = text.split() if isinstance(text, str) else []
    return None if all(map(_is_number, words)) else " ".join(words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
