"""Prefetching: photos are decoded in threads ahead of the model, in batches."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from repic.images import decode
from repic.images.fetch import ImageRefused, read_bytes
from repic.images.uris import Location
from repic.pipeline.scan import TRANSIENT, image_id_of

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 256_000_000
"""Pixels of decoded photos that a stage holds at once (at least one photo): 1 GB, since Pillow uses
four bytes per pixel. A batch of 16 photos of 16 megapixels fits."""

CHANGED = "it was replaced while the build ran; run again"


def read_photo(uri: str, image_id: str) -> bytes:
    """Read the file of a photo and check that it still has this id.

    Raises:
        ImageRefused: the file cannot be read, or its content has changed.
    """
    try:
        data = read_bytes(uri)
    except ImageRefused as refused:
        if refused.reason in TRANSIENT:
            raise
        raise ImageRefused("changed", CHANGED) from refused
    if image_id_of(hashlib.sha256(data).hexdigest(), Location.parse(uri).region) != image_id:
        raise ImageRefused("changed", CHANGED)
    return data


def prefetch(
    photos: Iterable[dict], size: int, workers: int
) -> Iterator[list[tuple[dict, Image | ImageRefused]]]:
    """Yield photos (`uri`, `image_id`, `width`, `height`) with their decoded images, in batches.

    Order is preserved. A batch has `size` photos; fewer at the end, or if more would exceed
    `MAX_PIXELS`. It is emptied when the next one is requested. Meanwhile up to `2 * workers` images
    are decoded ahead, within the same limit. A photo that cannot be decoded comes with an
    `ImageRefused` instead of an image.
    """
    remaining = deque(photos)
    waiting: deque[tuple[dict, Future[Image | ImageRefused]]] = deque()
    batch: list[tuple[dict, Image | ImageRefused]] = []
    held = 0
    with ThreadPoolExecutor(workers) as pool:
        while True:
            while remaining and len(waiting) < 2 * workers:
                if held and held + _pixels(remaining[0]) > MAX_PIXELS:
                    break
                held += _pixels(remaining[0])
                waiting.append((remaining[0], pool.submit(_open, remaining.popleft())))
            if batch and (len(batch) == size or not waiting):
                yield batch
                held -= sum(_pixels(photo) for photo, _ in batch)
                batch.clear()
            elif waiting:
                photo, picture = waiting.popleft()
                batch.append((photo, picture.result()))
                del picture  # otherwise this frame keeps it alive after its batch
            else:
                return


def _pixels(photo: dict) -> int:
    return int(photo["width"] * photo["height"])


def _open(photo: dict) -> Image | ImageRefused:
    uri = photo["uri"]
    try:
        return decode.decode(read_photo(uri, photo["image_id"]), Location.parse(uri).region)
    except ImageRefused as refused:
        return refused
