from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from repic import config
from repic.errors import SourceError
from repic.images import decode, uris
from repic.images.fetch import read_bytes
from repic.mining.splits import split_of
from repic.sources import photos
from repic.sources.base import SourcePhoto
from tests.timing import is_within


def _settings(path: object, **settings: object) -> config.SourceSettings:
    values = {"kind": "sample", "count": 30, "identities": 10, "size": 112, "path": path}
    return config.SourceSettings.model_validate({**values, **settings})


def _photos(path: object, **settings: object) -> list[SourcePhoto]:
    return list(photos(_settings(path and str(path), **settings), config.SplitSettings()))


def _state(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


def test_photos_carry_all_that_is_known(tmp_path: Path) -> None:
    listed = _photos(tmp_path, licence="CC0-1.0")
    assert len(listed) == 30
    splits = config.SplitSettings.model_validate({})
    for photo in listed:
        with Image.open(uris.file_path(photo.uri)) as image:
            assert (image.size, image.format) == ((112, 112), "JPEG")
        assert (photo.source, photo.licence) == ("sample", "CC0-1.0")
        assert photo.caption
        assert 1 <= len(photo.annotations) <= 4
        assert len({split_of(a.identity or "", splits) for a in photo.annotations}) == 1
        assert (photo.identity is None) == (len(photo.annotations) > 1)
        for seen in photo.annotations:
            assert seen.identity
            assert seen.identity.startswith(seen.label)
            assert seen.box == seen.box.clip(112, 112)
            assert seen.truncated is not None
            assert seen.occluded is not None
    assert any(a.expressions for p in listed for a in p.annotations)


def test_a_second_call_writes_nothing_and_is_fast(tmp_path: Path) -> None:
    first = _photos(tmp_path, count=100)
    before = _state(tmp_path)
    assert is_within(0.5, lambda: _photos(tmp_path, count=100))
    assert _photos(tmp_path, count=100) == first
    assert _state(tmp_path) == before


def test_two_folders_hold_the_same_bytes(tmp_path: Path) -> None:
    _photos(tmp_path / "a")
    _photos(tmp_path / "b")
    one, two = ({Path(n).name: data for n, (_, data) in _state(tmp_path / f).items()} for f in "ab")
    assert one == two


def test_more_photos_leave_those_that_are_there(tmp_path: Path) -> None:
    few = _photos(tmp_path)
    before = _state(tmp_path)
    more = _photos(tmp_path, count=40)
    assert set(map(str, few)) <= set(map(str, more))
    assert before.items() <= _state(tmp_path).items()
    assert len(more) == 40


def test_a_lost_or_empty_file_is_made_again(tmp_path: Path) -> None:
    first = _photos(tmp_path)
    before = _state(tmp_path)
    Path(uris.file_path(first[0].uri)).unlink()
    Path(uris.file_path(first[1].uri)).write_bytes(b"")
    assert _photos(tmp_path) == first
    after = _state(tmp_path)
    assert {n: data for n, (_, data) in after.items()} == {n: d for n, (_, d) in before.items()}


def test_without_a_path_they_lie_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPIC_CACHE", str(tmp_path))
    (uri, *_) = (p.uri for p in _photos(None))
    assert Path(uris.file_path(uri)).is_relative_to(tmp_path)


def test_identities_can_be_hidden(tmp_path: Path) -> None:
    for photo in _photos(tmp_path, identity="none"):
        assert photo.identity is None
        assert all(a.identity is None for a in photo.annotations)


def test_photos_are_no_near_duplicates(tmp_path: Path) -> None:
    listed = _photos(tmp_path, count=120, identities=12)
    hashes = [int(decode.probe(read_bytes(p.uri)).phash, 16) for p in listed]
    close = sum((a ^ b).bit_count() <= 6 for i, a in enumerate(hashes) for b in hashes[:i])
    assert close == 0


def test_impossible_settings_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"ask for \d+ photos or more"):
        _photos(tmp_path, count=3)
    with pytest.raises(SourceError, match="local folder"):
        _photos("s3://bucket/world")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SourceError, match=r"source\.path"):
        _photos(tmp_path / "file")
