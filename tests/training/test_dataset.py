"""Rows for TRL: structured prompts, each picture opened once, missing pictures survived."""

from __future__ import annotations

from pathlib import Path

import pytest

from repic.images import cache
from repic.images.coordinates import QWEN3_VL
from repic.images.uris import file_path
from repic.objectives.rows import examples_of, read
from repic.training.dataset import prompts
from tests.builds import Album, Built
from tests.builds import build as build_here


def test_a_row_becomes_a_structured_prompt_with_its_pictures(built: Built) -> None:
    store = built.store
    table = read(store, examples_of(store, "examples@latest"), "train")
    data = prompts(table, QWEN3_VL, range(table.num_rows))
    for index in range(0, table.num_rows, 7):
        item = data[index]
        [turn] = item["prompt"]
        blocks = turn["content"]
        assert turn["role"] == "user"
        assert [b["type"] for b in blocks] == [b["type"] for b in item["row"]["prompt"]]
        assert all(set(b) == {"type"} for b in blocks if b["type"] == "image")
        assert not any("{box}" in b.get("text", "") for b in blocks)
        assert item["unreadable"] is None
        for picture, entry in zip(item["images"], item["row"]["images"], strict=True):
            x1, y1, x2, y2 = entry["crop"]
            assert abs(picture.width - (x2 - x1)) <= 2
            assert abs(picture.height - (y2 - y1)) <= 2


def test_each_picture_is_opened_once(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = cache.open_image
    monkeypatch.setattr(cache, "open_image", lambda *a: opened.append(a) or real(*a))
    store = built.store
    table = read(store, examples_of(store, "examples@latest"), "train")
    data = prompts(table, QWEN3_VL, [0, 1, 2])
    batch = data.__getitems__([0] * 8 + [1] * 8 + [2] * 8)
    assert len(batch) == 24
    assert batch[0]["images"][0] is batch[7]["images"][0]
    data.__getitems__([0] * 8)
    different = {(p["uri"], tuple(p["crop"])) for item in batch for p in item["row"]["images"]}
    assert len(opened) == len(different)


def test_a_photo_that_is_gone_is_grey_and_said(album: Album, tmp_path: Path) -> None:
    from storage.store import Store

    copy = album.copy(tmp_path / "album").written()
    store = Store.open(tmp_path / "store", create=True)
    build_here(copy.settings(), store)
    table = read(store, examples_of(store, "examples@latest"), "train")
    data = prompts(table, QWEN3_VL, [0])
    query = data[0]["row"]["images"][-1]
    Path(file_path(query["uri"])).unlink()
    again = prompts(table, QWEN3_VL, [0])[0]
    assert query["uri"] in again["unreadable"]
    assert again["images"][-1].size == (query["width"], query["height"])
    assert again["images"][-1].getcolors() == [(query["width"] * query["height"], cache.GREY)]
