"""CLIPScore: how well a caption fits its photo by the configured encoder, without a reference text.

2.5 * max(cos(photo, caption), 0), Hessel et al. 2021, arXiv 2104.08718; 0 where the caption says
nothing. An encoder reads the first 77 tokens of a caption or so; scores of different encoders do
not compare.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from repic.config import Settings
from repic.errors import CaptionError
from repic.evaluate.intervals import gather, intervals
from repic.evaluate.metrics import Score
from repic.evaluate.records import Record
from repic.pipeline.progress import Progress
from storage.hashing import fingerprint
from storage.store import Store

if TYPE_CHECKING:
    from PIL import Image

    from repic.models.encoder import Encoder, Vectors

WEIGHT = 2.5
DIGITS = 4
"""Of a score that is kept: what two runs on one machine agree on."""

NAME = "clip_scores"
_BATCH = 64
_PART = pa.schema([("key", pa.string()), ("score", pa.float64())])


def encoder_of(asked: Settings) -> Encoder | None:
    """The encoder of the settings, ready; None where it reads no texts, or nobody wants a score.

    Raises: as `repic.models.encoder.load`.
    """
    from repic.errors import WeightsError
    from repic.models import encoder as embed

    if not (asked.evaluate.clip_score and embed.reads_texts(asked.encoder)):
        return None
    try:
        return embed.load(asked.encoder, asked.runtime)
    except WeightsError as error:
        raise WeightsError(f"{error}. evaluate.clip_score=false does without CLIPScore") from error


def of_captions(
    captions: pa.Table, encoder: Encoder, store: Store, progress: Progress
) -> dict[str, float | None]:
    """caption_id -> CLIPScore of the rows of a captions table.

    Each pair of a photo and a caption is scored once, photo by photo, and kept as it is made: what
    an interrupted run scored is not scored again.

    Raises:
        ImageRefused, OSError: a photo is gone.
    """
    from repic.images.cache import PictureCache

    rows = captions.select(["caption_id", "image_id", "images", "caption"]).to_pylist()
    keys = {row["caption_id"]: fingerprint([row["image_id"], row["caption"]]) for row in rows}
    recipe = fingerprint([NAME, encoder.fingerprint, WEIGHT, DIGITS])
    done: dict[str, float] = {}
    for part in store.parts(NAME, recipe):
        done |= {row["key"]: row["score"] for row in store.read_part(part).to_pylist()}
    missing: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        if keys[row["caption_id"]] not in done:
            missing[row["image_id"]][keys[row["caption_id"]]] = row
    progress.phase("CLIPScore", len(set(keys.values())))
    progress.advance(len(set(keys.values())) - sum(map(len, missing.values())))
    cache, left = PictureCache(1), iter(sorted(missing))
    while photos := list(islice(left, _BATCH)):
        firsts = [next(iter(missing[photo].values())) for photo in photos]
        seen = [encoder.prepare(cache.picture(row["images"][-1])) for row in firsts]
        vectors = encoder.encode_prepared(seen)
        asked = [(n, key) for n, photo in enumerate(photos) for key in sorted(missing[photo])]
        said = [missing[photos[n]][key]["caption"] for n, key in asked]
        scores = _scores(said, encoder.encode_texts(said), vectors[[n for n, _ in asked]])
        made = {key: round(score, DIGITS) for (_, key), score in zip(asked, scores, strict=True)}
        table = pa.table({"key": list(made), "score": list(made.values())}, _PART)
        store.write_part(NAME, table, recipe=recipe, covers=tuple(made))
        done |= made
        progress.advance(len(made))
    return {caption: done[key] for caption, key in keys.items()}


def _scores(captions: Sequence[str], texts: Vectors, photos: Vectors) -> list[float]:
    """Of captions by their vectors and those of their photos, each of shape (n, dim)."""
    cosines = np.einsum("nd,nd->n", texts, photos)
    return [
        float(WEIGHT * max(cosine, 0)) if caption.strip() else 0.0
        for caption, cosine in zip(captions, cosines, strict=True)
    ]


def clip_score(records: Iterable[Record], folder: Path, encoder: Encoder) -> Score:
    """Mean CLIPScore; the photos are looked for in the folder.

    Args:
        folder: Where relative paths of photos begin; for a photo that is not there, its file name
            is tried as well.
        encoder: See `repic.models.encoder.load`; it must read texts.

    Raises:
        CaptionError: a photo is missing or cannot be read.
        ConfigError: the encoder reads no texts.
    """
    rows = []
    left = iter(records)
    while batch := list(islice(left, _BATCH)):
        said = [record.caption for record in batch]
        texts = encoder.encode_texts(said)
        photos = list(dict.fromkeys(record.photo for record in batch))
        vectors = encoder.encode_images([_open(photo, folder) for photo in photos])
        places = [photos.index(record.photo) for record in batch]
        scores = _scores(said, texts, vectors[places])
        rows += [
            (record.photo, (score,), (1.0,)) for record, score in zip(batch, scores, strict=True)
        ]
    sums = gather(rows, 1)
    low, high = intervals(sums)[0] if len(sums.photos) > 1 else (None, None)
    return Score(sums.ratios[0], low, high, len(rows), "caption")


def _open(photo: str, folder: Path) -> Image.Image:
    from repic.images.decode import open_image
    from repic.images.fetch import ImageRefused
    from repic.images.uris import file_uri

    path = next((p for p in (folder / photo, folder / Path(photo).name) if p.is_file()), None)
    if path is None:
        raise CaptionError(
            f"{folder} has no photo {photo}; --images names the folder of the photos"
        )
    try:
        return open_image(file_uri(path))
    except ImageRefused as error:
        raise CaptionError(f"{path} cannot be read ({error}); repair it or leave it out") from None
