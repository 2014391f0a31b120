"""Photos decoded ahead of the model that looks at them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from repic import images

if TYPE_CHECKING:
    from PIL.Image import Image


def opened(uris: Iterable[str], workers: int) -> Iterator[Image | images.ImageRefused]:
    """Photos, or why one was refused, in the order of `uris`.

    At most `2 * workers` decoded photos wait in memory.
    """
    with ThreadPoolExecutor(workers) as pool:
        rest = iter(uris)
        waiting: deque[Future[Image | images.ImageRefused]] = deque(
            pool.submit(_open, uri) for uri in islice(rest, 2 * workers)
        )
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_open, uri) for uri in islice(rest, 1))


def _open(uri: str) -> Image | images.ImageRefused:
    try:
        return images.open_image(uri)
    except images.ImageRefused as refused:
        return refused
