"""Frames of videos: which are chosen, and what broken or hostile videos cannot do."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path

import pytest

pytest.importorskip("av", reason="frames of videos are read with PyAV")

from repic import config, sources
from repic.errors import SourceError
from repic.images import decode, uris, video_frames
from repic.images.fetch import ImageRefused, read_bytes
from repic.pipeline.scan import scan
from repic.sources.base import RefusedPhoto, SourcePhoto
from tests.sources.videos import SIZE, turn, write, write_sound

RED, BLUE, GREEN = (250, 20, 20), (20, 20, 250), (20, 250, 20)


def _photos(path: object, **chosen: object) -> list[SourcePhoto]:
    given = {"kind": "video", "path": str(path), "identity": "none", **chosen}
    return list(sources.photos(config.SourceSettings.model_validate(given), config.SplitSettings()))


def _color(uri: str) -> str:
    """The strongest of red, green and blue in the lower half of a frame."""
    picture = decode.open_image(uri)
    pixel = picture.getpixel((picture.width // 2, picture.height * 3 // 4))
    assert isinstance(pixel, tuple)
    return "rgb"[max(range(3), key=lambda channel: pixel[channel])]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a b.mp4", "libx264"), ("a.mkv", "mpeg4"), ("a.mov", "mjpeg"), ("a.avi", "mpeg4"),
     ("a.webm", "libvpx-vp9")],
)  # fmt: skip
def test_a_shot_gives_its_middle_frame(tmp_path: Path, name: str, codec: str) -> None:
    path = write(tmp_path / name, [(RED, 2), (BLUE, 1), (RED, 1)], codec)
    listed = _photos(path)
    assert [_color(p.uri) for p in listed] == ["r", "b", "r"]
    assert {p.identity for p in listed} == {None}
    assert [p.uri for p in _photos(tmp_path)] == [p.uri for p in listed]
    assert decode.open_image(listed[0].uri).size == SIZE


def test_frames_of_a_shot_share_an_identity_only_on_request(tmp_path: Path) -> None:
    write(tmp_path / "x" / "a.mp4", [(RED, 7), (BLUE, 1), (GREEN, 30)])
    listed = _photos(tmp_path, identity="shot")
    by_shot: dict[str | None, list[int]] = {}
    for photo in listed:
        pts = uris.Location.parse(photo.uri).pts
        assert pts is not None
        by_shot.setdefault(photo.identity, []).append(pts)
    counts = [len(stamps) for stamps in by_shot.values()]
    assert counts == [3, 1, 4]
    unit = by_shot[listed[-1].identity][1] - by_shot[listed[-1].identity][0]
    assert unit > 0
    assert _photos(tmp_path, identity="folder")[0].identity is None


def test_a_frame_is_the_same_whatever_was_read_before(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [(RED, 1), (BLUE, 1), (GREEN, 1)])
    addresses = [p.uri for p in _photos(path)]
    first = [read_bytes(uri) for uri in addresses]
    assert [read_bytes(uri) for uri in reversed(addresses)] == first[::-1]


def test_a_variable_frame_rate_keeps_the_times(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", [(RED, 8), (BLUE, 8)], "mpeg4", steps=(1, 1, 1, 1, 1, 9))
    listed = _photos(path, identity="shot")
    assert [_color(p.uri) for p in listed] == ["r", "r", "r", "b", "b", "b"]


def test_a_turned_video_is_shown_upright(tmp_path: Path) -> None:
    path = turn(write(tmp_path / "a.mp4", [(RED, 1)]))
    (photo,) = _photos(path)
    picture = decode.open_image(photo.uri)
    assert picture.size == SIZE[::-1]
    dark, bright = (picture.getpixel((x, 32)) for x in (40, 8))
    assert isinstance(dark, tuple)
    assert isinstance(bright, tuple)
    assert bright[0] > 2 * dark[0]  # the dark top is at the right after a turn clockwise


def test_broken_videos_are_refused_beside_good_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = write(tmp_path / "good.mp4", [(RED, 2), (BLUE, 2)])
    data = good.read_bytes()
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    (tmp_path / "list.mkv").write_text("#EXTM3U\nhttp://127.0.0.1/x.ts")
    write_sound(tmp_path / "sound.mp4")
    os.mkfifo(tmp_path / "pipe.mov")
    torn = bytearray(data)
    torn[60:90] = b"\xff" * 30
    (tmp_path / "torn.mp4").write_bytes(torn)
    given = {"kind": "video", "path": str(tmp_path), "identity": "none"}
    found = scan(config.Settings.model_validate({"source": given}))
    assert len({Path(uris.file_path(p.photo.uri)).name for p in found.photos}) >= 1
    reasons = {Path(reject.uri).name: reject.error for reject in found.rejects}
    assert reasons["empty.mp4"] == "empty"
    assert reasons["text.mp4"] == reasons["list.mkv"] == "not-an-image"
    assert reasons["sound.mp4"] == "not-an-image"
    assert reasons["pipe.mov"] == "not-a-file"
    assert reasons["cut.mp4"] == "corrupt"


def test_a_video_that_breaks_off_gives_the_frames_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.avi", [(RED, 4), (BLUE, 4)], "mpeg4")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    with caplog.at_level(logging.WARNING):
        usable = [p for p in _photos(path) if not isinstance(p, RefusedPhoto)]
    assert {_color(p.uri) for p in usable} == {"r"}
    assert "end before the length that they state" in caplog.text


def test_a_frame_that_is_not_there_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [(RED, 1)])
    for pts in (1, 10**9):
        with pytest.raises(ImageRefused, match="missing"):
            read_bytes(str(uris.Location(path.as_uri(), pts=pts)))
    with pytest.raises(ImageRefused, match="missing: there is no such file"):
        read_bytes("file:///gone.mp4#pts=1")
    with pytest.raises(ImageRefused, match="forbidden: videos are read from a local disk"):
        read_bytes("https://example.org/a.mp4#pts=1")


@pytest.mark.parametrize("fragment", ["pts=-1", "pts=x", "pts=1.5", "pts=1&row=2&column=image"])
def test_a_malformed_time_stamp_is_refused(fragment: str) -> None:
    with pytest.raises(ValueError, match="#"):
        uris.Location.parse(f"file:///a.mp4#{fragment}")


def test_frames_larger_than_a_limit_and_other_codecs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp4", [(RED, 1)])
    monkeypatch.setattr(video_frames, "MAX_FRAME_PIXELS", 1000)
    (photo,) = _photos(path)
    assert isinstance(photo, RefusedPhoto)
    assert photo.reason == "too-many-pixels"
    monkeypatch.undo()
    monkeypatch.setattr(video_frames, "MAX_FRAMES", 5)
    assert {type(p) for p in _photos(path)} == {SourcePhoto, RefusedPhoto}
    monkeypatch.undo()
    monkeypatch.setattr(video_frames, "CODECS", frozenset())
    (photo,) = _photos(path)
    assert isinstance(photo, RefusedPhoto)
    assert photo.reason == "unsupported"


def test_a_video_opens_no_other_file_and_no_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        playlists = {
            "a.mov": f"#EXTM3U\n#EXTINF:1,\n{address}\n",
            "b.mkv": f"ffconcat version 1.0\nfile {address}\n",
            "c.mp4": f"<?xml version='1.0'?><MPD><BaseURL>{address}</BaseURL></MPD>",
        }
        for name, text in playlists.items():
            (tmp_path / name).write_text(text)
        listed = _photos(tmp_path)
        assert {p.reason for p in listed if isinstance(p, RefusedPhoto)} == {"not-an-image"}
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_container_that_names_another_file_is_not_given_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(b"another file")
    playlist = tmp_path / "a.mov"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n")
    monkeypatch.setattr(video_frames, "_container", lambda head: "hls")
    with pytest.raises(ImageRefused, match="may not open another file"):
        video_frames.frame(uris.file_uri(str(playlist)), 0)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="there is no video in"):
        _photos(tmp_path)
    with pytest.raises(SourceError, match="there is no folder"):
        _photos(tmp_path / "gone")
    with pytest.raises(SourceError, match="is read from a local disk, not from"):
        _photos("s3://bucket/videos")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SourceError, match=r"pip install 'repic\[video\]'"):
        _photos(tmp_path)
    with pytest.raises(ImageRefused, match="unsupported: it is a video"):
        read_bytes("file:///a.mp4#pts=1")
