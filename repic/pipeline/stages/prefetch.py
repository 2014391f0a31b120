"""Photos decoded ahead of the model that looks at them, and in batches."""

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

ROOM = 256_000_000
"""Pixels of decoded photos that a stage holds at once, but always one photo: 1 GB, since Pillow
takes four bytes for each. A batch of 16 photos of 16 megapixels fits."""

CHANGED = "it was replaced while the build ran; run again"


def read_photo(uri: str, image_id: str) -> bytes:
    """Bytes of the file of a photo, which are still those that it is named by.

    Raises:
        ImageRefused: there are none, or others.
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
    """Photos (`uri`, `image_id`, `width`, `height`) with their pictures, or why one was refused.

    They come in their order, `size` at a time; fewer at the end, and where they are so large that
    more would not fit into `ROOM`. A batch is emptied when the next one is asked for. While it is
    looked at, at most `2 * workers` pictures are decoded ahead, as far as there is room.
    """
    left = deque(photos)
    waiting: deque[tuple[dict, Future[Image | ImageRefused]]] = deque()
    batch: list[tuple[dict, Image | ImageRefused]] = []
    held = 0
    with ThreadPoolExecutor(workers) as pool:
        while True:
            while left and len(waiting) < 2 * workers:
                if held and held + _pixels(left[0]) > ROOM:
                    break
                held += _pixels(left[0])
                waiting.append((left[0], pool.submit(_open, left.popleft())))
            if batch and (len(batch) == size or not waiting):
                yield batch
                held -= sum(_pixels(photo) for photo, _ in batch)
                batch.clear()
            elif waiting:
                photo, picture = waiting.popleft()
                batch.append((photo, picture.result()))
                del picture  # or it would outlive its batch
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
