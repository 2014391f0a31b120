"""CLIPScore as a component: how much better a caption fits its photo than those of strangers.

With C(photo) = min(1, scale * max(cos(photo, caption), 0)), the CLIPScore of Hessel et al. 2021
(arXiv 2104.08718, scale 2.5), the score is

    min(1, max(0, C(photo) - mean C(stranger)) / margin)

over a fixed set of other photos of the store. A caption that fits any photo earns nothing, as in
the contrastive objective of Luo et al. 2018 (arXiv 1803.04376), which also takes a margin against
other photos. Names are removed from the caption, since they mean nothing to an encoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from cachetools import LRUCache

from repic.objectives.identify import KIND as WHICH
from repic.rewards.components import RewardedAnswer, WorkerModels

if TYPE_CHECKING:
    from PIL import Image

    from repic.config import ClipScoreSettings
    from repic.models.encoder import Encoder

STRANGERS = 16
"""Other photos that a caption is compared with."""

CACHED = 4096
"""Photos whose vectors are kept: the answers of a group share one photo."""


RULE = "CLIPScore above that against other photos"


def is_on(settings: ClipScoreSettings) -> bool:
    """Whether it lowers any reward."""
    return bool(settings.weight)


def looks(settings: ClipScoreSettings) -> bool:
    """It looks at photos."""
    return True


def component(settings: ClipScoreSettings, models: WorkerModels) -> ClipScoreComponent:
    """The component with its encoder, and photos of the store to compare with.

    Raises:
        ConfigError, WeightsError: the encoder cannot be loaded, or reads no texts.
    """
    encoder, photos = models.encoder(), models.photos
    assert photos is not None
    encoder.encode_texts(["a photo"])
    # Ids are hashes, so the first ones are a random choice.
    return ClipScoreComponent(encoder, photos, sorted(photos.uris)[:STRANGERS], settings)


class ClipScoreComponent:
    """Scores captions with an encoder of photos and texts.

    Args:
        open_photo: Opens the photo of an `image_id`; None if it is not available.
        strangers: Ids of photos to compare with; those of the row itself are left out. Without
            any, no caption has a score.
        scale: Factor of the cosine.
        margin: Difference of CLIPScores that earns the full score.
    """

    name = "clip_score"

    def __init__(
        self,
        encoder: Encoder,
        open_photo: Callable[[str], Image.Image | None],
        strangers: Sequence[str],
        settings: ClipScoreSettings,
    ) -> None:
        self.encoder, self.open_photo, self.strangers = encoder, open_photo, tuple(strangers)
        self.weight, self.scale, self.margin = settings.weight, settings.scale, settings.margin
        self._cache: LRUCache[str, np.ndarray[Any, Any]] = LRUCache(CACHED)

    def applies(self, answer: RewardedAnswer) -> bool:
        row = answer.row
        is_caption = row["objective"] == "ict" and row["kind"] != WHICH
        return is_caption and bool(row.get("photo")) and answer.reward.total > 0

    def scores(self, answers: Sequence[RewardedAnswer]) -> list[float | None]:
        photos = [answer.row["photo"] for answer in answers]
        vectors = self._photo_vectors(dict.fromkeys((*self.strangers, *photos)))
        scores: list[float | None] = [None] * len(answers)
        available = [index for index, photo in enumerate(photos) if photo in vectors]
        if not available:
            return scores
        texts = self.encoder.encode_texts([without_names(answers[index]) for index in available])
        for index, text in zip(available, texts, strict=True):
            others = [vectors[photo] for photo in self._strangers_of(answers[index], vectors)]
            if others:
                own = self._clip_score(text, np.stack([vectors[photos[index]]]))
                gain = own - self._clip_score(text, np.stack(others))
                scores[index] = float(np.clip(gain / self.margin, 0.0, 1.0))
        return scores

    def _clip_score(self, text: np.ndarray[Any, Any], photos: np.ndarray[Any, Any]) -> float:
        """Mean CLIPScore of a text, float (d,), against photos, float (n, d)."""
        # One product per photo: a product of matrices would depend on the size of the batch.
        cosines = np.einsum("nd,d->n", photos, text)
        return float(np.clip(self.scale * cosines, 0.0, 1.0).mean())

    def _strangers_of(self, answer: RewardedAnswer, vectors: Mapping[str, Any]) -> list[str]:
        """Other photos than those of the row, which may show the same objects."""
        row = answer.row
        own = {row["photo"], *(picture["photo"] for picture in row.get("pictures") or ())}
        return [photo for photo in self.strangers if photo in vectors and photo not in own]

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
        said = f"the {label}" if label else "it"
        text = re.sub(pattern, said.replace("\\", r"\\"), text, flags=re.IGNORECASE)
    return text
