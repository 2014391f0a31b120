"""What the owner of a folder says in `labels.csv` or `labels.jsonl`."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic import config, sources
from repic.errors import SourceError
from repic.images.coordinates import Box
from repic.sources import SourcePhoto, labels_file

PHOTOS = ("rex/1.jpg", "rex/2.jpg", "mugs/old/3.jpg", "4.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in PHOTOS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"not opened")
    return tmp_path


def photos(folder: Path, **changes: str) -> dict[str, SourcePhoto]:
    settings = config.SourceSettings.model_validate({"path": str(folder), **changes})
    found = sources.photos(settings, config.SplitSettings())
    return {photo.uri.removeprefix(f"{folder.as_uri()}/"): photo for photo in found}


def test_a_photo_goes_before_its_folder_and_a_deep_folder_before_a_high_one(folder: Path) -> None:
    (folder / "labels.csv").write_text(
        "uri,folder,identity,label,caption,licence\n"
        ",.,,thing,,CC0\n"
        ",mugs/,cups,,,\n"
        ",mugs/old,,red mug,,\n"
        "./rex/1.jpg,,Rex,dog,Rex  sleeps.,CC-BY\n"
    )
    found = photos(folder)
    one = found["rex/1.jpg"]
    assert (one.identity, one.label, one.caption, one.licence) == (
        *("Rex", "dog", "Rex sleeps.", "CC-BY"),
    )
    assert (found["rex/2.jpg"].identity, found["rex/2.jpg"].label) == ("rex", "thing")
    assert (found["mugs/old/3.jpg"].identity, found["mugs/old/3.jpg"].label) == ("cups", "red mug")
    assert (found["4.jpg"].identity, found["4.jpg"].licence) == (None, "CC0")


def test_boxes_are_annotations_of_their_photo(folder: Path) -> None:
    rows = [
        {"uri": "4.jpg", "box": [1, 2, 30, 40.5], "label": "dog", "identity": "Rex"},
        {"uri": "4.jpg", "box": [50, 2, 80, 40], "label": "mug"},
        {"uri": (folder / "rex/1.jpg").as_uri(), "box": [0, 0, 5, 5], "label": "dog"},
    ]
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = photos(folder)
    first, second = found["4.jpg"].annotations
    assert (first.box, first.label, first.identity) == (Box(1, 2, 30, 40.5), "dog", "Rex")
    assert (second.label, second.identity) == ("mug", None)
    assert found["4.jpg"].identity is None  # two boxes disagree
    assert found["4.jpg"].label is None
    assert found["rex/1.jpg"].annotations[0].box == Box(0, 0, 5, 5)
    assert found["rex/1.jpg"].identity == "rex"


def test_no_identities_means_none_from_the_file_either(folder: Path) -> None:
    (folder / "labels.csv").write_text("uri,identity,label\n4.jpg,Rex,dog\n")
    photo = photos(folder, identity="none")["4.jpg"]
    assert (photo.identity, photo.label) == (None, "dog")


def test_folder_names_are_labels_only_when_asked_for(folder: Path) -> None:
    assert photos(folder)["rex/1.jpg"].label is None
    (folder / "rex").rename(folder / "red_mug")
    found = photos(folder, label="folder")
    assert found["red_mug/1.jpg"].label == "red mug"
    assert found["4.jpg"].label is None


def test_a_row_about_no_photo_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "labels.csv").write_text("uri,label\n44.jpg,dog\n4.jpg,mug\n")
    with caplog.at_level(logging.WARNING):
        photos(folder)
    assert "1 rows of the labels file" in caplog.text
    assert "44.jpg" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.csv", "uri,colour\n4.jpg,red\n", r"line 2: there is no column colour; use uri,"),
        ("labels.csv", "uri,label\n4.jpg,mug,red\n", r"line 2: there is no column \(more\)"),
        ("labels.csv", "uri,label\n,mug\n", r"line 2: give either the uri of a photo or a folder"),
        ("labels.csv", 'uri,label\n4.jpg,"mug\n', r"it is not CSV"),
        ("labels.csv", 'uri,box\n4.jpg,"5,5,1,1"\n', r"line 2: '5,5,1,1' is not a box"),
        ("labels.csv", "folder,box\nrex,1 2 3 4\n", r"a box needs the uri of its photo"),
        ("labels.jsonl", "[1]\n", r"line 1: write a JSON object"),
        ("labels.jsonl", '\n{"uri": 3}\n', r"line 2: uri is text, not 3"),
        ("labels.jsonl", '{"uri": "4.jpg", "box": "NaN 1 2 3"}', r"is not a box"),
        ("labels.jsonl", "[" * 100_000, r"line 1: it is not JSON"),
    ],
)
def test_a_wrong_row_is_named_with_the_remedy(
    folder: Path, name: str, text: str, message: str
) -> None:
    (folder / name).write_text(text)
    with pytest.raises(SourceError, match=message):
        photos(folder)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_columns_are_parted_as_the_header_says(mark: str, folder: Path) -> None:
    lines = ["uri,label,caption", f'"{PHOTOS[0]}","mug, red","one; two\tthree"']
    text = lines[0].replace(",", mark) + "\n" + lines[1].replace('","', f'"{mark}"')
    (folder / "labels.csv").write_text(text)
    photo = photos(folder)[PHOTOS[0]]
    assert (photo.label, photo.caption) == ("mug, red", "one; two three")


def test_another_encoding_is_refused(folder: Path) -> None:
    (folder / "labels.csv").write_bytes("uri,label\n4.jpg,Tür\n".encode("latin-1"))
    with pytest.raises(SourceError, match="save it as UTF-8"):
        photos(folder)


@given(st.binary(max_size=60), st.sampled_from(labels_file.NAMES))
def test_any_bytes_are_read_or_refused(content: bytes, name: str) -> None:
    header = b"uri,label,box\n" if name.endswith("csv") else b""
    photo = SourcePhoto("file:///a.jpg", "folder")
    with contextlib.suppress(SourceError):
        words = labels_file.parse({name: header + content})
        assert words.applied(photo, ["a.jpg"]).uri == photo.uri


def test_a_separator_of_lines_inside_of_a_json_text_ends_no_row(folder: Path) -> None:
    row = json.dumps({"uri": "4.jpg", "caption": "One\u2028two.\x85"}, ensure_ascii=False)
    (folder / "labels.jsonl").write_text(f"{row}\r\n\r\n", encoding="utf-8")
    assert photos(folder)["4.jpg"].caption == "One two."
