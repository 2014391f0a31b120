"""Texts beside photos are captions."""

from __future__ import annotations

import json
import os
from pathlib import Path

import fsspec
import pytest

from repic import config
from repic.sources import photos
from repic.sources.captions_beside import MAX_BYTES

JPEG = b"\xff\xd8\xff"


def captions(root: object) -> dict[str, str | None]:
    """Name of each photo -> its caption."""
    found = photos(config.SourceSettings(path=str(root)), config.SplitSettings())
    return {photo.uri.rsplit("/", 1)[1]: photo.caption for photo in found}


TEXTS = {
    "1.txt": "Rex on\n the sofa. ",
    "2.json": json.dumps({"caption": "A red mug.", "url": "x", "width": 4}),
    "3.json": json.dumps({"caption": None, "sha256": "x"}),
    "3.txt": "Of the text.",
    "4.json": json.dumps(["caption"]),
    "5.txt": "0 0.5 0.5 1e-2 0.25\n3 0.1 0.2 0.3 0.4\n",
    "6.txt": "",
    "7.json": json.dumps({"caption": 7}),
    "9.txt": "\ufeffÜbung",
}
EXPECTED = {
    **dict.fromkeys((f"{n}.jpg" for n in range(10)), None),
    "1.jpg": "Rex on the sofa.",
    "2.jpg": "A red mug.",
    "3.jpg": "Of the text.",
    "9.jpg": "Übung",
}


def test_a_text_or_json_beside_a_photo_is_its_caption(tmp_path: Path) -> None:
    (tmp_path / "00000").mkdir()
    for n in range(10):
        (tmp_path / "00000" / f"{n}.jpg").write_bytes(JPEG)
    for name, text in TEXTS.items():
        (tmp_path / "00000" / name).write_text(text, encoding="utf-8")
    (tmp_path / "00000" / "8.txt").mkdir()
    os.mkfifo(tmp_path / "00000" / "8.json")
    assert captions(tmp_path) == EXPECTED


def test_remote_texts_are_read_the_same_way() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/beside/00000/{n}.jpg": JPEG for n in range(10)})
    memory.pipe({f"/beside/00000/{name}": text.encode() for name, text in TEXTS.items()})
    assert captions("memory://beside") == EXPECTED
    memory.rm("/beside", recursive=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("1.txt", b"caf\xe9"),
        ("1.json", b"{"),
        ("1.json", b"[" * 50_000),
        ("1.txt", b"a" * (MAX_BYTES + 1)),
    ],
)
def test_a_broken_text_is_told_and_the_photo_stays(
    name: str, content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "1.jpg").write_bytes(JPEG)
    (tmp_path / name).write_bytes(content)
    assert captions(tmp_path) == {"1.jpg": None}
    assert "1 texts beside photos cannot be read, as that of 1.jpg" in caplog.text


def test_what_the_owner_says_goes_before_a_text_beside(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(JPEG)
    (tmp_path / "1.txt").write_text("of the web")
    (tmp_path / "labels.csv").write_text("uri,caption\n1.jpg,Rex sleeps.\n")
    assert captions(tmp_path) == {"1.jpg": "Rex sleeps."}
