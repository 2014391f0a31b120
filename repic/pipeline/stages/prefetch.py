"""Prefetching: photos are read, decoded and prepared in threads, ahead of the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from repic.config import RuntimeSettings
from repic.images import decode
from repic.images.fetch import ImageRefused
from repic.images.identity import read_identified
from repic.images.semaphore import WeightedSemaphore
from repic.images.uris import Location
from repic.pipeline.scan import TRANSIENT

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
Decode = Callable[[int], "Image"]
"""Decodes a photo, reduced by a power of two; see `repic.images.decode.decode`."""

MAX_PIXELS = 256_000_000
"""Pixels of photos that are decoded and prepared at once (at least one photo): 1 GB, since Pillow
uses four bytes per pixel. Photos of 64 megapixels are still prepared by four workers."""

CHANGED = "it was replaced while the build ran; run again"


def read_photo(uri: str, image_id: str) -> bytes:
    """Read the file of a photo and check that it still has this id.

    Raises:
        ImageRefused: the file cannot be read, or its content has changed.
    """
    try:
        return read_identified(uri, image_id)
    except ImageRefused as refused:
        if refused.reason in TRANSIENT:
            raise
        raise ImageRefused("changed", CHANGED) from refused


def prefetch(
    photos: Iterable[dict],
    prepare: Callable[[dict, Decode], T],
    pool: Executor,
    runtime: RuntimeSettings,
) -> Iterator[tuple[dict, T | ImageRefused]]:
    """Yield photos (`uri`, `image_id`, `width`, `height`) with what `prepare` makes of them.

    Order is preserved. A batch of results is prepared ahead, in threads. Their pictures are freed
    unless the results hold them, and no more than `MAX_PIXELS` are decoded at once. A photo that
    cannot be decoded comes with an `ImageRefused` instead of a result.

    Args:
        prepare: Called with the photo and a function that decodes it.
    """
    room = WeightedSemaphore(MAX_PIXELS)
    remaining = iter(photos)
    waiting: deque[tuple[dict, Future[T | ImageRefused]]] = deque()
    try:
        while True:
            for photo in islice(remaining, _ahead(runtime) - len(waiting)):
                waiting.append((photo, pool.submit(_prepared, photo, prepare, room)))
            if not waiting:
                return
            photo, future = waiting.popleft()
            yield photo, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _ahead(runtime: RuntimeSettings) -> int:
    return max(runtime.batch_size, 2 * runtime.workers)


def _prepared(
    photo: dict, prepare: Callable[[dict, Decode], T], room: WeightedSemaphore
) -> T | ImageRefused:
    def decoded(reduction: int) -> Image:
        return decode.decode(data, Location.parse(photo["uri"]).region, reduction)

    with room.acquire(photo["width"] * photo["height"]):
        try:
            data = read_photo(photo["uri"], photo["image_id"])
            return prepare(photo, decoded)
        except ImageRefused as refused:
            return refused
