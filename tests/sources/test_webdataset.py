"""Tars of samples: read where they are, and what broken or hostile ones cannot do."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import tarfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from repic import config, sources
from repic.errors import SourceError
from repic.images import decode, uris
from repic.images.fetch import ImageRefused, read_bytes
from repic.pipeline.scan import Scan, scan
from repic.sources.base import RefusedPhoto, SourcePhoto
from repic.sources.shards import shard
from repic.sources.tar_shards import BrokenTarError, files


def _png(width: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, 20), (width, 9, 9)).save(file, "PNG")
    return file.getvalue()


def _tar(path: Path, entries: Iterable[tuple[str, bytes]], form: int = tarfile.GNU_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def _photos(path: object, **chosen: object) -> list[SourcePhoto]:
    given = {"kind": "webdataset", "path": str(path), "identity": "annotation", **chosen}
    return list(sources.photos(config.SourceSettings.model_validate(given), config.SplitSettings()))


def _scan(path: object, **chosen: object) -> Scan:
    given = {"kind": "webdataset", "path": str(path), "identity": "none", **chosen}
    return scan(config.Settings.model_validate({"source": given}))


def _widths(listed: list[SourcePhoto]) -> list[int]:
    return [decode.open_image(photo.uri).width for photo in listed]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_photos_are_read_where_they_are_in_a_tar(tmp_path: Path, form: int) -> None:
    long = "d" * (80 if form == tarfile.USTAR_FORMAT else 300)
    entries = [(f"{long}/ü{n}.png", _png(21 + n)) for n in range(3)]
    entries += [(f"{long}/ü{n}.txt", f"caption {n}".encode()) for n in (2, 1, 0)]
    path = _tar(tmp_path / "a b.tar", entries, form)
    listed = _photos(path)
    assert _widths(listed) == [21, 22, 23]
    assert [p.caption for p in listed] == ["caption 0", "caption 1", "caption 2"]
    assert uris.Location.parse(listed[0].uri).member is not None
    assert os.listdir(tmp_path) == ["a b.tar"]


def test_fields_of_a_sample_come_from_its_files(tmp_path: Path) -> None:
    info = {"caption": "a dog", "person": "rex", "things": [{"bbox": [1, 2, 3, 4], "label": "dog"}]}
    entries = [
        ("0.png", _png(21)),
        ("0.json", json.dumps(info).encode()),
        ("0.cls", b"golden_retriever\n"),
        ("1.png", _png(22)),
        ("1.cls", b"7"),
    ]
    path = _tar(tmp_path / "set.tar", entries)
    columns = {"identity_column": "json.person", "label_column": "cls"}
    first, second = _photos(path, **columns, objects_column="json.things")
    assert (first.identity, first.label, first.caption) == ("rex", "golden retriever", "a dog")
    assert [(a.box.as_list(), a.label) for a in first.annotations] == [([1, 2, 4, 6], "dog")]
    assert (second.identity, second.label, second.caption) == (None, None, None)
    assert [p.identity for p in _photos(path, identity_column="cls")] == ["golden_retriever", "7"]
    with pytest.raises(SourceError, match=r"has txt; they have cls, json, png \(source\.caption"):
        _photos(path, caption_column="txt")


def test_a_field_that_no_sample_has_is_an_error(tmp_path: Path) -> None:
    files = [("1.jpg", _png(20)), ("1.json", b'{"person": "Ann"}'), ("2.jpg", _png(21))]
    path = _tar(tmp_path / "a.tar", files)
    assert [p.identity for p in _photos(path, identity_column="json.person")] == ["Ann", None]
    for wrong in ("json.persn", "json.person.name", "cls"):
        with pytest.raises(
            SourceError, match=rf"no sample .* {wrong}; .* \(source.identity_column"
        ):
            _photos(path, identity_column=wrong)


def test_shards_are_named_by_a_folder_a_pattern_or_another_kind(tmp_path: Path) -> None:
    for number in range(9, 12):
        _tar(tmp_path / "set" / f"s-{number:03}.tar", [(f"{number}.jpg", _png(20 + number))])
    assert _widths(_photos(tmp_path / "set")) == [29, 30, 31]
    assert _widths(_photos(tmp_path / "set" / "s-{009..010}.tar")) == [29, 30]
    assert _widths(_photos(tmp_path / "set" / "s-0{09,11}.tar")) == [29, 31]
    assert _widths(_photos(tmp_path / "set", kind="hf")) == [29, 30, 31]
    with pytest.raises(SourceError, match=r"1 of 4 tars of .*s-012\.tar; correct the pattern"):
        _photos(tmp_path / "set" / "s-{009..012}.tar")
    with pytest.raises(SourceError, match="more than 1,000,000 tars"):
        _photos(tmp_path / "s-{0..99999999999}.tar")
    with pytest.raises(SourceError, match=r"there is no \.tar in"):
        _photos(_tar(tmp_path / "empty" / "a.zip", []).parent)


def test_a_sample_has_one_photo(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entries = [("a.png", _png(21)), ("a.jpg", _png(22)), ("a.mask.png", _png(23))]
    path = _tar(tmp_path / "set.tar", entries)
    with caplog.at_level(logging.WARNING):
        assert _widths(_photos(path)) == [22]
    assert "1 further photos of a sample" in caplog.text
    assert _widths(_photos(path, image_column="png")) == [21]
    assert _widths(_photos(path, image_column="mask.png")) == [23]


def test_hostile_members_are_counted_and_never_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "secret.png")
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("l", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(f"{name}.png")
            info.type, info.linkname = kind, str(tmp_path / "secret.png")
            tar.addfile(info)
        for name in ("/abs.png", "../up.png", "x/../../y.png", "good.png", "good.png"):
            info = tarfile.TarInfo(name)
            info.size = len(_png(21))
            tar.addfile(info, io.BytesIO(_png(21)))
    with caplog.at_level(logging.WARNING):
        assert _widths(_photos(path)) == [21]
    assert "skipped 2 links in tars" in caplog.text
    assert "skipped 1 devices" in caplog.text
    assert "skipped 3 files in tars with an absolute path or .." in caplog.text
    assert "skipped 1 files whose name is twice" in caplog.text


def test_a_broken_tar_gives_what_stands_before(tmp_path: Path) -> None:
    good = _tar(tmp_path / "set" / "a.tar", [("1.png", _png(21)), ("2.png", _png(22))])
    data = good.read_bytes()
    second = data.index(b"2.png")
    (tmp_path / "set" / "cut.tar").write_bytes(data[: second + 600].replace(b"1.png", b"3.png"))
    (tmp_path / "set" / "torn.tar").write_bytes(data[:second] + b"\xff" * 2048)
    (tmp_path / "set" / "none.tar").write_bytes(b"this is no tar" * 99)
    (tmp_path / "set" / "void.tar").write_bytes(b"")
    (tmp_path / "set" / "zip.tar").write_bytes(gzip.compress(data))
    scanned = _scan(tmp_path / "set")
    assert len(scanned.photos) == 2
    reasons = {Path(r.uri).name: (r.error, r.message) for r in scanned.rejects}
    broken = {n: m for n, (error, m) in reasons.items() if error == "corrupt"}
    assert broken.keys() >= {"cut.tar", "torn.tar", "none.tar", "void.tar", "zip.tar"}
    assert "decompress" in broken["zip.tar"]
    assert "there is no header at byte" in broken["torn.tar"]


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "data",
    [
        _header("a.png", -512) + _header("a.png", -1024) + bytes(1024),
        _header("a.png", 1 << 40) + bytes(1024),
        _header("././@LongLink", 1 << 33, tarfile.GNUTYPE_LONGNAME) + bytes(2048),
        _header("pax", 1 << 33, tarfile.XHDTYPE) + bytes(2048),
        _header("pax", -512, tarfile.XHDTYPE) + bytes(2048),
        _header("pax", 512, tarfile.XHDTYPE) * 3000,
    ],
    ids=["negative", "huge", "long-name", "long-pax", "negative-pax", "nested-pax"],
)
def test_a_hostile_header_ends_its_tar(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "set.tar"
    path.write_bytes(data)
    with pytest.raises(BrokenTarError):
        list(files(shard(str(path)), Counter()))


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 5000), st.binary(min_size=1, max_size=12))
def test_any_damage_is_a_refusal(tmp_path: Path, at: int, noise: bytes) -> None:
    path = _tar(tmp_path / "set.tar", [("1.png", _png(21)), ("1.txt", b"x"), ("2.png", _png(22))])
    data = bytearray(path.read_bytes())
    data[at : at + len(noise)] = noise
    path.write_bytes(data)
    try:
        listed = _photos(path)
    except SourceError:
        return
    refusals = [_refusal(photo.uri) for photo in listed if not isinstance(photo, RefusedPhoto)]
    assert set(refusals) <= {None, "truncated", "missing", "empty"}


def _refusal(uri: str) -> str | None:
    try:
        read_bytes(uri)
    except ImageRefused as refused:
        return refused.reason
    return None


def test_a_place_in_a_tar_that_was_written_anew_is_missing(tmp_path: Path) -> None:
    path = _tar(tmp_path / "set.tar", [("1.png", _png(21)), ("2.png", _png(22))])
    _, second = _photos(path)
    _tar(path, [("1.png", _png(21) + bytes(4096)), ("2.png", _png(22))])
    with pytest.raises(ImageRefused, match=r"missing: .*written anew"):
        read_bytes(second.uri)
    place = uris.Member("x.png", 512, 1 << 40)
    with pytest.raises(ImageRefused, match="too-large"):
        read_bytes(str(uris.Location(path.as_uri(), member=place)))
    os.mkfifo(tmp_path / "pipe.tar")
    fifo = uris.Location((tmp_path / "pipe.tar").as_uri(), member=uris.Member("x.png", 512, 9))
    with pytest.raises(ImageRefused, match="not-a-file"):
        read_bytes(str(fifo))


@pytest.mark.parametrize(
    "fragment",
    ["member=a", "offset=1&size=2", "member=a&offset=-1&size=2", "member=a&offset=1&size=x",
     "member=a&offset=1&size=2&row=1&column=x", "member=a&offset=99999999999999999999&size=1"],
)  # fmt: skip
def test_a_malformed_place_in_a_tar_is_refused(fragment: str) -> None:
    with pytest.raises(ValueError, match="#"):
        uris.Location.parse(f"file:///a.tar#{fragment}")


def test_a_tar_in_a_store_is_read_by_ranges(tmp_path: Path) -> None:
    import fsspec

    path = _tar(tmp_path / "set.tar", [("1.png", _png(21)), ("1.txt", b"hi"), ("2.png", _png(22))])
    fsspec.filesystem("memory").pipe_file("/tars/set.tar", path.read_bytes())
    listed = _photos("memory://tars/set.tar")
    assert _widths(listed) == [21, 22]
    assert listed[0].caption == "hi"
