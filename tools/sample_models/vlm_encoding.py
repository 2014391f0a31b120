"""Rows as input of the language model: token ids, positions and indexes of image features.

The result equals that of the processor and the model on the chat of a row. The vision tower is
frozen, so the features of each photo and crop are computed only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from repic.images.coordinates import Convention
from repic.objectives import Row
from repic.objectives.base import answer_of, prompt_of
from repic.sample.identities import (
    ACCESSORIES,
    CATEGORIES,
    COLOURS,
    PATTERNS,
    PLAIN,
    SECOND_COLOURS,
)
from repic.sample.seeds import generator
from tools.sample_models import vlm_model, vlm_photos, vlm_tokenizer, vlm_vision
from tools.sample_models.training_data import SIDE
from tools.sample_models.vlm_model import TOKEN
from tools.sample_models.vlm_photos import PhotoSet
from tools.sample_models.vlm_rows import photo_of
from tools.sample_models.vlm_vision import PHOTO_GRID, VisionLabels, crop_grid, jittered

TOKENS = PHOTO_GRID[0] * PHOTO_GRID[1]
"""Tokens per photo."""
_BATCH = 96


class VisionFeatures:
    """Features of the vision tower for all photos and objects of several photo sets.

    Attributes:
        features: float32 (m, width); `TOKENS` rows per photo, then the rows of each crop.
        owners: int (photos, TOKENS), index of the object at a token, 4 for none.
        crops: By photo and object index: first row in `features`, tokens down and across.
    """

    def __init__(self, visual: Any, truth: VisionLabels, jitter: bool = True) -> None:
        self.truth = truth
        self.crops: dict[tuple[int, int], tuple[int, int, int]] = {}
        rng = generator("sights", len(truth.pixels))
        features, owners = [], []
        for start in range(0, len(truth.pixels), _BATCH):
            chosen = range(start, min(start + _BATCH, len(truth.pixels)))
            batch = vlm_vision.photo_batch(truth, chosen, False)
            features.append(_token_features(visual, batch.pixels, PHOTO_GRID).flatten(0, 1))
            owners.append(batch.owners)
        self.owners = torch.cat(owners).numpy()
        groups: dict[tuple[int, int], list[tuple[int, tuple[int, int, int, int]]]] = {}
        for k, (p, i) in enumerate(truth.objects):
            box = truth.boxes[p][i]
            crop = jittered(box, rng) if jitter else tuple(np.round(box).astype(int).tolist())
            groups.setdefault(crop_grid(np.array(crop)), []).append((k, crop))
        offset = len(truth.pixels) * TOKENS
        for grid, members in groups.items():
            size = (grid[1] * TOKEN, grid[0] * TOKEN)
            for start in range(0, len(members), _BATCH):
                part = members[start : start + _BATCH]
                pixels = torch.stack(
                    [
                        torch.from_numpy(
                            np.array(
                                Image.fromarray(truth.pixels[truth.objects[k][0]])
                                .crop(crop)
                                .resize(size, Image.Resampling.BICUBIC)
                            )
                        )
                        for k, crop in part
                    ]
                )
                features.append(_token_features(visual, pixels, grid).flatten(0, 1))
                for k, _ in part:
                    self.crops[truth.objects[k]] = (offset, *grid)
                    offset += grid[0] * grid[1]
        self.features = torch.cat(features)


@torch.no_grad()
def _token_features(visual: Any, pixels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    with vlm_model.fast_autocast():
        _, tokens = vlm_model.features(visual, vlm_model.patches(pixels), *grid)
    return tokens.float()


@dataclass(frozen=True)
class EncodedRow:
    """A row as input of the language model.

    Attributes:
        ids: int64 (length,).
        positions: int64 (3, length), those of `get_rope_index`.
        feature_rows: int64 (length,), index into `VisionFeatures.features`, -1 for text.
        answer: Index of the first token of the answer.
        query: Index of the first feature of the query photo.
        target_words: int64 (TOKENS,), the word to predict at each token of the query: the name of
            its object, yes or no; -100 where there is no object.
        boxes: float32 (TOKENS, 4), box of that object in shares of the photo.
        attribute_words: int64 (TOKENS, 5), tokens of its visible attributes, padded with -1.
    """

    ids: np.ndarray
    positions: np.ndarray
    feature_rows: np.ndarray
    answer: int
    query: int
    target_words: np.ndarray
    boxes: np.ndarray
    attribute_words: np.ndarray


class RowEncoder:
    """Encodes rows of the examples table.

    Attributes:
        numbers: Token ids of the coordinates 0 to `SIDE`.
    """

    def __init__(self, tokenizer: Any, convention: Convention) -> None:
        self._core = tokenizer._tokenizer
        self._convention = convention
        self._cache: dict[str, list[int]] = {}
        self.image, self.start, self.end = (
            tokenizer.convert_tokens_to_ids(t)
            for t in (vlm_tokenizer.IMAGE, "<|vision_start|>", "<|vision_end|>")
        )
        self.yes, self.no = self.ids("yes")[0], self.ids("no")[0]
        self._opening = self.ids(
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        )
        self._turn = self.ids("<|im_end|>\n<|im_start|>assistant\n")
        self._close = self.ids(vlm_tokenizer.TURN_END)
        self.numbers = [self.ids(str(n))[0] for n in range(SIDE + 1)]

    def ids(self, text: str) -> list[int]:
        """Token ids of a text."""
        if text not in self._cache:
            self._cache[text] = self._core.encode(text, add_special_tokens=False).ids
        return self._cache[text]

    def encode(
        self, row: Row, features: VisionFeatures, photo_sets: Sequence[PhotoSet]
    ) -> EncodedRow:
        """Encode a row; `features` are those of `photo_sets`, in the same order."""
        ids, feature_rows = list(self._opening), [-1] * len(self._opening)
        columns = [np.tile(np.arange(len(ids)), (3, 1))]
        position, query = len(ids), 0
        pictures = iter(row["images"])
        references = iter(row["references"])

        def add_text(tokens: Sequence[int]) -> None:
            nonlocal position
            ids.extend(tokens)
            feature_rows.extend([-1] * len(tokens))
            columns.append(np.tile(np.arange(position, position + len(tokens)), (3, 1)))
            position += len(tokens)

        for block in prompt_of(row, self._convention):
            if block["type"] == "text":
                add_text(self.ids(block["text"]))
                continue
            picture = next(pictures)
            if picture["role"] == "reference":
                first, down, across = features.crops[_object(next(references)["object_id"])]
            else:
                first, down, across = _photo(picture["image_id"]) * TOKENS, *PHOTO_GRID
            add_text([self.start])
            query = len(ids)
            ids.extend([self.image] * (down * across))
            feature_rows.extend(range(first, first + down * across))
            rows, columns_ = np.divmod(np.arange(down * across), across)
            columns.append(
                np.stack([np.full(down * across, position), position + rows, position + columns_])
            )
            position += max(down, across)
            add_text([self.end])
        add_text(self._turn)
        answer = len(ids)
        is_caption = row["objective"] == "ict" and row["kind"] != "which"
        add_text(self.ids(row["caption"] if is_caption else answer_of(row, self._convention)))
        add_text(self._close)
        truth = self._truth(row, features, photo_sets)
        return EncodedRow(
            np.array(ids), np.concatenate(columns, 1), np.array(feature_rows), answer, query, *truth
        )

    def _truth(
        self, row: Row, features: VisionFeatures, photo_sets: Sequence[PhotoSet]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p = _photo(row["images"][-1]["image_id"])
        objects = _photo_labels(photo_sets, p)["objects"]
        owners = features.owners[p]
        if row["objective"] == "vlt":
            words = [self.yes if o["box"] == row["box"] else self.no for o in objects]
        else:
            word_of = {}
            for reference in row["references"]:
                q, i = _object(reference["object_id"])
                identity = _photo_labels(photo_sets, q)["objects"][i]["identity"]
                word_of[identity] = self.ids(reference["name"])[0]
            if row["objective"] == "oct":
                word_of = dict.fromkeys(word_of, self.yes)
            words = [word_of.get(o["identity"], self.no) for o in objects]
        target_words = np.array([*words, *[-100] * (5 - len(words))])[owners]
        boxes = np.zeros((5, 4), np.float32)
        boxes[: len(objects)] = [o["box"] for o in objects]
        attribute_words = np.full((5, 5), -1)
        for i, o in enumerate(objects):
            visible = self._visible_words(o["identity"], o["shows_accessory"])
            attribute_words[i, : len(visible)] = visible
        return target_words, boxes[owners] / SIDE, attribute_words[owners]

    def attributes(self) -> list[int]:
        """Token ids of all attribute words."""
        words = (*CATEGORIES, *COLOURS, *PATTERNS, PLAIN, *SECOND_COLOURS, *ACCESSORIES)
        return [self.ids(f" {word}")[0] for word in words]

    def _visible_words(self, name: str, shows_accessory: bool) -> list[int]:
        """Token ids of the visible attributes of an object."""
        item = vlm_vision.BY_NAME[name]
        words = [item.category, item.colour, item.pattern, item.second_colour]
        words += [item.accessory] if shows_accessory else []
        return [self.ids(f" {word}")[0] for word in words if word]


def _photo_labels(photo_sets: Sequence[PhotoSet], index: int) -> dict[str, Any]:
    number, photo = divmod(index, vlm_photos.PHOTOS)
    return photo_sets[number].photos[photo]


def _photo(image_id: str) -> int:
    number, photo = photo_of(image_id)
    return number * vlm_photos.PHOTOS + photo


def _object(object_id: str) -> tuple[int, int]:
    photo, i = divmod(int(object_id, 16), 1 << 16)
    return _photo(f"{photo:x}"), i
