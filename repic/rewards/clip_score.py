"""CLIPScore as a component: how well a caption fits its photo.

min(1, scale * max(cos(photo, caption), 0)), with a scale of 2.5 as in Hessel et al. 2021, arXiv
2104.08718. Names are removed from the caption, since they mean nothing to an encoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from cachetools import LRUCache

from repic.objectives.identify import KIND as WHICH
from repic.rewards.components import RewardedAnswer

if TYPE_CHECKING:
    from PIL import Image

    from repic.models.encoder import Encoder

CACHED = 4096
"""Photos whose vectors are kept: the answers of a group share one photo."""


class ClipScoreComponent:
    """Scores captions with an encoder of photos and texts.

    Args:
        open_photo: Opens the photo of an `image_id`; None if it is not available.
        scale: Factor of the cosine.
    """

    name = "clip_score"

    def __init__(
        self,
        encoder: Encoder,
        open_photo: Callable[[str], Image.Image | None],
        weight: float,
        scale: float,
    ) -> None:
        self.encoder, self.open_photo = encoder, open_photo
        self.weight, self.scale = weight, scale
        self._cache: LRUCache[str, np.ndarray[Any, Any]] = LRUCache(CACHED)

    def applies(self, answer: RewardedAnswer) -> bool:
        row = answer.row
        is_caption = row["objective"] == "ict" and row["kind"] != WHICH
        return is_caption and bool(row.get("photo")) and answer.reward.total > 0

    def scores(self, answers: Sequence[RewardedAnswer]) -> list[float | None]:
        photos = [answer.row["photo"] for answer in answers]
        encoded = self._photo_vectors(dict.fromkeys(photos))
        available = [index for index, photo in enumerate(photos) if photo in encoded]
        scores: list[float | None] = [None] * len(answers)
        if not available:
            return scores
        texts = self.encoder.encode_texts([without_names(answers[index]) for index in available])
        vectors = np.stack([encoded[photos[index]] for index in available])
        cosines = np.einsum("nd,nd->n", texts, vectors)
        for index, cosine in zip(available, cosines, strict=True):
            scores[index] = min(1.0, self.scale * max(float(cosine), 0.0))
        return scores

    def _photo_vectors(self, photos: Iterable[str]) -> dict[str, np.ndarray[Any, Any]]:
        """Vectors of the photos that can be opened, from the cache where possible."""
        vectors = {photo: self._cache[photo] for photo in photos if photo in self._cache}
        missing = [photo for photo in photos if photo not in vectors]
        opened = {p: image for p in missing if (image := self.open_photo(p)) is not None}
        if opened:
            encoded = self.encoder.encode_images(list(opened.values()))
            vectors.update(zip(opened, encoded, strict=True))
            self._cache.update((photo, vectors[photo]) for photo in opened)
        return vectors


def without_names(answer: RewardedAnswer) -> str:
    """The caption with each name replaced by the label of its object, or by `it`."""
    text = answer.text
    labels = {thing["name"]: thing["label"] for thing in answer.row.get("scene") or ()}
    for reference in answer.row["references"]:
        label = labels.get(reference["name"])
        pattern = rf"<?(?<!\w){re.escape(reference['name'])}(?!\w)>?"
        text = re.sub(pattern, f"the {label}" if label else "it", text, flags=re.IGNORECASE)
    return text
