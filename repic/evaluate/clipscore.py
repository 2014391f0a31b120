"""CLIPScore: how well a caption fits its photo by the configured encoder, without a reference text.

2.5 * max(cos(photo, caption), 0), Hessel et al. 2021, arXiv 2104.08718. An encoder reads the first
77 tokens of a caption or so; scores of different encoders do not compare.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repic.evaluate.intervals import gather, intervals
from repic.evaluate.metrics import Score
from repic.evaluate.records import CaptionError, Record

if TYPE_CHECKING:
    from PIL import Image

    from repic.embed import Encoder

WEIGHT = 2.5
_BATCH = 64


def clip_score(records: Iterable[Record], folder: Path, encoder: Encoder) -> Score:
    """Mean CLIPScore; the photos are looked for in the folder.

    Args:
        folder: Where relative paths of photos begin; for a photo that is not there, its file name
            is tried as well.
        encoder: See `repic.embed.load`; it must read texts.

    Raises:
        CaptionError: a photo is missing or cannot be read.
        ConfigError: the encoder reads no texts.
    """
    rows = []
    left = iter(records)
    while batch := list(islice(left, _BATCH)):
        texts = encoder.encode_texts([record.caption for record in batch])
        photos = list(dict.fromkeys(record.photo for record in batch))
        vectors = encoder.encode_images([_open(photo, folder) for photo in photos])
        places = [photos.index(record.photo) for record in batch]
        cosines = np.einsum("nd,nd->n", texts, vectors[places])
        scores = WEIGHT * np.maximum(cosines, 0)
        rows += [
            (record.photo, (float(score),), (1.0,))
            for record, score in zip(batch, scores, strict=True)
        ]
    sums = gather(rows, 1)
    low, high = intervals(sums)[0] if len(sums.photos) > 1 else (None, None)
    return Score(sums.ratios[0], low, high, len(rows), "caption")


def _open(photo: str, folder: Path) -> Image.Image:
    from repic.images import ImageRefused, open_image
    from repic.uris import file_uri

    path = next((p for p in (folder / photo, folder / Path(photo).name) if p.is_file()), None)
    if path is None:
        raise CaptionError(
            f"{folder} has no photo {photo}; --images names the folder of the photos"
        )
    try:
        return open_image(file_uri(path))
    except ImageRefused as error:
        raise CaptionError(f"{path} cannot be read ({error}); repair it or leave it out") from None
