"""Photos decoded ahead of the model that looks at them, and in batches."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from repic import images
from repic.images import ImageRefused
from repic.scan import TRANSIENT, image_id_of
from repic.uris import Location

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

CHANGED = "it was replaced while the build ran; run again"


def read_photo(uri: str, image_id: str) -> bytes:
    """Bytes of the file of a photo, which are still those that it is named by.

    Raises:
        ImageRefused: there are none, or others.
    """
    try:
        data = images.read_bytes(uri)
    except ImageRefused as refused:
        if refused.reason in TRANSIENT:
            raise
        raise ImageRefused("changed", CHANGED) from refused
    if image_id_of(hashlib.sha256(data).hexdigest(), Location.parse(uri).region) != image_id:
        raise ImageRefused("changed", CHANGED)
    return data


def opened(photos: Iterable[dict], workers: int) -> Iterator[Image | ImageRefused]:
    """Pictures of photos (`uri`, `image_id`) in their order, or why one was refused.

    At most `2 * workers` decoded pictures wait in memory.
    """
    with ThreadPoolExecutor(workers) as pool:
        rest = iter(photos)
        waiting: deque[Future[Image | ImageRefused]] = deque(
            pool.submit(_open, photo) for photo in islice(rest, 2 * workers)
        )
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_open, photo) for photo in islice(rest, 1))


def _open(photo: dict) -> Image | ImageRefused:
    uri = photo["uri"]
    try:
        return images.decode(read_photo(uri, photo["image_id"]), Location.parse(uri).region)
    except ImageRefused as refused:
        return refused


def batches(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Consecutive items, `size` at a time; the last batch may be shorter."""
    rest = iter(items)
    while batch := tuple(islice(rest, size)):
        yield batch
