"""Rows for TRL: structured prompts, each picture opened once, missing pictures survived."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from repic.config import ResizeSettings
from repic.images import cache
from repic.images.coordinates import QWEN3_VL, Box
from repic.images.model_families import qwen25_vl
from repic.images.uris import file_path
from repic.objectives.base import answer_of
from repic.objectives.query_view import QueryView, box_in_view
from repic.objectives.rows import examples_of, read
from repic.rewards.scoring import score
from repic.rewards.server.protocol import row_message
from repic.training.dataset import prompts, reduced_row
from tests.builds import Album, Built
from tests.builds import build as build_here


def test_a_row_becomes_a_structured_prompt_with_its_pictures(built: Built) -> None:
    store = built.store
    table = read(store, examples_of(store, "examples@latest"), "train")
    data = prompts(table, QWEN3_VL, range(table.num_rows), ResizeSettings())
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
    data = prompts(table, QWEN3_VL, [0, 1, 2], ResizeSettings())
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
    data = prompts(table, QWEN3_VL, [0], ResizeSettings())
    query = data[0]["row"]["images"][-1]
    Path(file_path(query["uri"])).unlink()
    again = prompts(table, QWEN3_VL, [0], ResizeSettings())[0]
    assert query["uri"] in again["unreadable"]
    assert again["images"][-1].size == (query["width"], query["height"])
    assert again["images"][-1].getcolors() == [(query["width"] * query["height"], cache.GREY)]


class FineProcessor:
    """Sizes of Qwen2.5-VL without limits that matter here."""

    patch_size, merge_size = 14, 2
    size: ClassVar[dict[str, int]] = {"shortest_edge": 784, "longest_edge": 10_000_000}


def test_pictures_are_reduced_by_their_number_and_boxes_follow(built: Built) -> None:
    store = built.store
    table = read(store, examples_of(store, "examples@latest"), "train")
    resize, convention = ResizeSettings(one=90, several=60), qwen25_vl(FineProcessor())
    data = prompts(table, convention, range(table.num_rows), resize)
    seen = set()
    for item in data:
        row, count = item["row"], len(item["images"])
        longest = 90 if count == 1 else 60
        assert all(min(picture.size) <= longest for picture in item["images"])
        seen.add((row["objective"], count > 1))
        if row["objective"] != "vlt":
            continue
        view = QueryView.of(row)
        assert (view.width, view.height) == item["images"][-1].size
        answer = answer_of(row, convention)
        assert score(answer, row, "strict", convention).components["iou"] > 0.9
        sent = row_message(row)
        assert score(answer, {**row, **sent}, "strict", convention).components["iou"] > 0.9
        whole = QueryView.of({**row, "images": [{**row["images"][-1], "short_side": None}]})
        share = whole.to_view(Box.of(row["box"])).area / (whole.width * whole.height)
        assert box_in_view(row).area / (view.width * view.height) == pytest.approx(share)
    assert {("vlt", False), ("ict", True)} <= seen


def test_small_pictures_and_other_settings_stay(built: Built) -> None:
    store = built.store
    [row, *_] = read(store, examples_of(store, "examples@latest"), "train").to_pylist()
    assert reduced_row(row, ResizeSettings()) is row
    large = reduced_row(row, ResizeSettings(one=5000, several=5000))
    assert QueryView.of(large) == QueryView.of(row)
