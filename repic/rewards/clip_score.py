"""CLIPScore as a component: whether a caption fits the photo that it is about.

min(1, scale * max(cos(photo, caption), 0)), with a scale of 2.5 as in Hessel et al. 2021, arXiv
2104.08718. Names mean nothing to an encoder, so they are taken out of the caption.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from repic.objectives.identify import KIND as WHICH
from repic.rewards.components import RewardedAnswer

if TYPE_CHECKING:
    from PIL import Image

    from repic.models.encoder import Encoder

KEPT = 4096
"""Photos whose vectors are remembered: the answers of a group are about the same one."""


class ClipScoreComponent:
    """Scores captions by an encoder that reads texts.

    Args:
        picture: The photo of an `image_id`; None if there is none to be had.
        scale: What the cosine is multiplied by.
    """

    name = "clip_score"

    def __init__(
        self,
        encoder: Encoder,
        picture: Callable[[str], Image.Image | None],
        weight: float,
        scale: float,
    ) -> None:
        self.encoder, self.picture = encoder, picture
        self.weight, self.scale = weight, scale
        self._photos: OrderedDict[str, np.ndarray[Any, Any]] = OrderedDict()

    def applies(self, answer: RewardedAnswer) -> bool:
        row = answer.row
        is_caption = row["objective"] == "ict" and row["kind"] != WHICH
        return is_caption and bool(row.get("photo")) and answer.reward.total > 0

    def scores(self, answers: Sequence[RewardedAnswer]) -> list[float | None]:
        wanted = [answer.row["photo"] for answer in answers]
        self._look_at(dict.fromkeys(wanted))
        seen = [place for place, photo in enumerate(wanted) if photo in self._photos]
        found: list[float | None] = [None] * len(answers)
        if not seen:
            return found
        texts = self.encoder.encode_texts([unnamed(answers[place]) for place in seen])
        pictures = np.stack([self._photos[wanted[place]] for place in seen])
        cosines = np.einsum("nd,nd->n", texts, pictures)
        for place, cosine in zip(seen, cosines, strict=True):
            found[place] = min(1.0, self.scale * max(float(cosine), 0.0))
        while len(self._photos) > KEPT:
            self._photos.popitem(last=False)
        return found

    def _look_at(self, photos: dict[str, None]) -> None:
        for photo in photos:
            if photo in self._photos:
                self._photos.move_to_end(photo)
        new = [photo for photo in photos if photo not in self._photos]
        opened = {photo: image for photo in new if (image := self.picture(photo)) is not None}
        if opened:
            vectors = self.encoder.encode_images(list(opened.values()))
            self._photos.update(zip(opened, vectors, strict=True))


def unnamed(answer: RewardedAnswer) -> str:
    """The caption with what each named thing is called in general, or `it`, in place of names."""
    text = answer.text
    labels = {thing["name"]: thing["label"] for thing in answer.row.get("scene") or ()}
    for reference in answer.row["references"]:
        label = labels.get(reference["name"])
        pattern = rf"<?(?<!\w){re.escape(reference['name'])}(?!\w)>?"
        text = re.sub(pattern, f"the {label}" if label else "it", text, flags=re.IGNORECASE)
    return text
