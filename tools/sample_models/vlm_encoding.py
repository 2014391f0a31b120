"""Rows as input of the language model: token ids, positions and indexes of image features.

Equal to what the processor and the model make of the chat of a row, but without pictures: the
vision tower is frozen, so the features of each photo and crop are computed once.
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
from tools.sample_models.vlm_vision import PHOTO_GRID, VisionLabels, crop_grid, slipped

TOKENS = PHOTO_GRID[0] * PHOTO_GRID[1]
"""Of a whole photo."""
_BATCH = 96


class VisionFeatures:
    """Features of the vision tower for all photos and objects of some photo sets.

    Attributes:
        features: float32 (m, width); `TOKENS` rows of each photo, then those of each crop.
        owners: int (photos, TOKENS), place of the object at a token; 4 for none.
    """

    def __init__(self, visual: Any, truth: VisionLabels, slips: bool = True) -> None:
        self.truth = truth
        self.crops: dict[tuple[int, int], tuple[int, int, int]] = {}
        rng = generator("sights", len(truth.pixels))
        made, owners = [], []
        for start in range(0, len(truth.pixels), _BATCH):
            chosen = range(start, min(start + _BATCH, len(truth.pixels)))
            pixels, _, _, owner = vlm_vision.photo_batch(truth, chosen, False)
            made.append(_see(visual, pixels, PHOTO_GRID).flatten(0, 1))
            owners.append(owner)
        self.owners = torch.cat(owners).numpy()
        groups: dict[tuple[int, int], list[tuple[int, tuple[int, int, int, int]]]] = {}
        for k, (p, i) in enumerate(truth.objects):
            box = truth.boxes[p][i]
            cut = slipped(box, rng) if slips else tuple(np.round(box).astype(int).tolist())
            groups.setdefault(crop_grid(np.array(cut)), []).append((k, cut))
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
                                .crop(cut)
                                .resize(size, Image.Resampling.BICUBIC)
                            )
                        )
                        for k, cut in part
                    ]
                )
                made.append(_see(visual, pixels, grid).flatten(0, 1))
                for k, _ in part:
                    self.crops[truth.objects[k]] = (offset, *grid)
                    offset += grid[0] * grid[1]
        self.features = torch.cat(made)


@torch.no_grad()
def _see(visual: Any, pixels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    with vlm_model.fast_autocast():
        _, tokens = vlm_model.features(visual, vlm_model.patches(pixels), *grid)
    return tokens.float()


@dataclass(frozen=True)
class EncodedRow:
    """A row as input of the language model.

    Attributes:
        ids: int64 (length,).
        positions: int64 (3, length), as `get_rope_index` gives.
        sights: int64 (length,), a row of `VisionFeatures.features`, or -1 for text.
        answer: Where the answer begins.
        query: Where the features of the query begin.
        told: int64 (TOKENS,), the word that is true of what a token of the query shows: the name of
            the object, yes or no; -100 where there is no object.
        reach: float32 (TOKENS, 4), box of that object in shares of the photo.
        words: int64 (TOKENS, 5), its category, colour, pattern and accessory, as far as they can be
            seen; -1 for no word.
    """

    ids: np.ndarray
    positions: np.ndarray
    sights: np.ndarray
    answer: int
    query: int
    told: np.ndarray
    reach: np.ndarray
    words: np.ndarray


class RowEncoder:
    """Encodes rows."""

    def __init__(self, tokenizer: Any, convention: Convention) -> None:
        self._core = tokenizer._tokenizer
        self._convention = convention
        self._known: dict[str, list[int]] = {}
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
        if text not in self._known:
            self._known[text] = self._core.encode(text, add_special_tokens=False).ids
        return self._known[text]

    def line(self, row: Row, sights: VisionFeatures, albums: Sequence[PhotoSet]) -> EncodedRow:
        """Encode a row about these photo sets, which have the order of `sights`."""
        ids, sight = list(self._opening), [-1] * len(self._opening)
        columns = [np.tile(np.arange(len(ids)), (3, 1))]
        at, query = len(ids), 0
        pictures = iter(row["images"])
        shown = iter(row["references"])

        def say(more: Sequence[int]) -> None:
            nonlocal at
            ids.extend(more)
            sight.extend([-1] * len(more))
            columns.append(np.tile(np.arange(at, at + len(more)), (3, 1)))
            at += len(more)

        for block in prompt_of(row, self._convention):
            if block["type"] == "text":
                say(self.ids(block["text"]))
                continue
            picture = next(pictures)
            if picture["role"] == "reference":
                first, down, across = sights.crops[_object(next(shown)["object_id"])]
            else:
                first, down, across = _photo(picture["image_id"]) * TOKENS, *PHOTO_GRID
            say([self.start])
            query = len(ids)
            ids.extend([self.image] * (down * across))
            sight.extend(range(first, first + down * across))
            rows, across_ = np.divmod(np.arange(down * across), across)
            columns.append(np.stack([np.full(down * across, at), at + rows, at + across_]))
            at += max(down, across)
            say([self.end])
        say(self._turn)
        answer = len(ids)
        is_caption = row["objective"] == "ict" and row["kind"] != "which"
        say(self.ids(row["caption"] if is_caption else answer_of(row, self._convention)))
        say(self._close)
        truth = self._truth(row, sights, albums)
        return EncodedRow(
            np.array(ids), np.concatenate(columns, 1), np.array(sight), answer, query, *truth
        )

    def _truth(
        self, row: Row, sights: VisionFeatures, albums: Sequence[PhotoSet]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p = _photo(row["images"][-1]["image_id"])
        objects = _photographed(albums, p)["objects"]
        owners = sights.owners[p]
        if row["objective"] == "vlt":
            words = [self.yes if o["box"] == row["box"] else self.no for o in objects]
        else:
            named = {}
            for reference in row["references"]:
                q, i = _object(reference["object_id"])
                identity = _photographed(albums, q)["objects"][i]["identity"]
                named[identity] = self.ids(reference["name"])[0]
            if row["objective"] == "oct":
                named = dict.fromkeys(named, self.yes)
            words = [named.get(o["identity"], self.no) for o in objects]
        told = np.array([*words, *[-100] * (5 - len(words))])[owners]
        boxes = np.zeros((5, 4), np.float32)
        boxes[: len(objects)] = [o["box"] for o in objects]
        described = np.full((5, 5), -1)
        for i, o in enumerate(objects):
            said = self.described(o["identity"], o["shows_accessory"])
            described[i, : len(said)] = said
        return told, boxes[owners] / SIDE, described[owners]

    def attributes(self) -> list[int]:
        """Tokens of all words that describe an object of the world."""
        words = (*CATEGORIES, *COLOURS, *PATTERNS, PLAIN, *SECOND_COLOURS, *ACCESSORIES)
        return [self.ids(f" {word}")[0] for word in words]

    def described(self, name: str, shows_accessory: bool) -> list[int]:
        """Tokens of the words of an object that can be seen."""
        one = vlm_vision.BY_NAME[name]
        words = [one.category, one.colour, one.pattern, one.second_colour]
        words += [one.accessory] if shows_accessory else []
        return [self.ids(f" {word}")[0] for word in words if word]


def _photographed(albums: Sequence[PhotoSet], place: int) -> dict[str, Any]:
    album, photo = divmod(place, vlm_photos.PHOTOS)
    return albums[album].photos[photo]


def _photo(image_id: str) -> int:
    album, photo = photo_of(image_id)
    return album * vlm_photos.PHOTOS + photo


def _object(object_id: str) -> tuple[int, int]:
    photo, i = divmod(int(object_id, 16), 1 << 16)
    return _photo(f"{photo:x}"), i
