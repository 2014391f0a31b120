"""Captions in XMP sidecars: nothing else changes, nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree.ElementTree import canonicalize, fromstring, tostring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.errors import SourceError
from repic.sources.sidecars import with_caption, write_caption
from repic.sources.xmp import DC, parse
from tests.sources.libraries import FACES, digikam, lightroom, microsoft, picasa

WRITERS = [digikam, lightroom, picasa, microsoft]


def _without_description(packet: bytes) -> str:
    root = fromstring(packet.strip(b"\0 \n"))
    for parent in list(root.iter()):
        for child in parent.findall(f"{DC}description"):
            parent.remove(child)
    return canonicalize(tostring(root, encoding="unicode"), strip_text=True)


@pytest.mark.parametrize("write", WRITERS, ids=lambda writer: writer.__name__)
def test_every_other_property_is_equal(write) -> None:
    before = write(FACES, (400, 300))
    after = with_caption(before, "Ann & <Zoé>  in \n May.")
    assert parse(after).caption == "Ann & <Zoé> in May."
    assert parse(after).regions == parse(before).regions
    assert _without_description(after) == _without_description(before)
    assert b"mwg-rs:" in after or write is microsoft
    assert b"ns0:" not in after


def test_other_languages_stay() -> None:
    after = with_caption(digikam(FACES, None, caption="Old."), "New.")
    assert parse(after).caption == "New."
    assert "Non</rdf:li>" in after.decode()
    assert "Old." not in after.decode()


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])).filter(str.strip))
def test_any_caption_reads_back(text: str) -> None:
    caption = " ".join(text.split())
    assert parse(with_caption(lightroom(FACES, None), text)).caption == caption


@pytest.mark.parametrize("character", ["\0", "\x08", "\x1b", "\ud800", "\ufffe"])
def test_what_xml_cannot_hold_becomes_a_space(character: str) -> None:
    assert parse(with_caption(lightroom(FACES, None), f"A{character}mug.")).caption == "A mug."


def test_the_sidecar_that_is_there_is_used_and_kept_once(tmp_path: Path) -> None:
    photo, sidecar = tmp_path / "a.jpg", tmp_path / "a.xmp"
    first = digikam(FACES, (400, 300))
    sidecar.write_bytes(first)
    sidecar.chmod(0o640)
    for caption in ("One.", "Two."):
        assert write_caption(photo, caption) == sidecar
        assert parse(sidecar.read_bytes()).caption == caption
    assert (tmp_path / "a.xmp.bak").read_bytes() == first
    assert sidecar.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["a.xmp", "a.xmp.bak"]


def test_a_new_sidecar_has_the_name_of_the_photo(tmp_path: Path) -> None:
    assert write_caption(tmp_path / "a.jpg", "One.") == tmp_path / "a.jpg.xmp"
    assert parse((tmp_path / "a.jpg.xmp").read_bytes()).caption == "One."


@pytest.mark.parametrize("data", [b"<x", b"<x/>", b"\0\1", b"<!DOCTYPE x><x/>"])
def test_what_is_not_xmp_is_left_as_it_is(tmp_path: Path, data: bytes) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(data)
    with pytest.raises(SourceError, match="unchanged"):
        write_caption(tmp_path / "a.jpg", "One.")
    assert sidecar.read_bytes() == data
    assert os.listdir(tmp_path) == ["a.jpg.xmp"]
