"""Frames of videos, by their time stamp: read where they are, upright, and from local files only.

A video comes from strangers. Its first bytes choose one of a few containers, which get an open file
and cannot open another one; only codecs in `CODECS` are decoded; and no frame has more pixels than
a photo may have. Decoders are those of FFmpeg, in the package `av` (`pip install 'repic[video]'`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from repic.images import regular_file, uris
from repic.images.refusal import ImageRefused

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

CODECS = frozenset(
    {
        *("av1", "libdav1d", "libaom-av1", "ffv1", "h264", "hevc", "mjpeg", "mpeg2video", "mpeg4"),
        *("prores", "rawvideo", "theora", "vp8", "vp9", "libvpx", "libvpx-vp9"),
    }
)
"""Names of FFmpeg's decoders of what cameras, phones and video sites write."""
MAX_FRAME_PIXELS = 36_000_000
"""Maximum pixels of a frame: those of an 8K video."""
MAX_FRAMES = 1_000_000
"""Maximum frames of a video that are decoded: nine hours at 30 a second."""
HEAD_BYTES = 16


def needed() -> None:
    """Load the decoders.

    Raises:
        ImageRefused: `unsupported`: the package `av` is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise ImageRefused(
            "unsupported", "it is a video; `pip install 'repic[video]'` to read it"
        ) from error
    av.logging.set_level(av.logging.PANIC)  # what is wrong is said by a refusal


def frame(url: str, pts: int) -> bytes:
    """The frame of a video with a time stamp, upright, as a BMP file.

    Args:
        pts: Presentation time stamp in units of the track, which is exact, unlike seconds.

    Raises:
        ImageRefused: there is no such frame, or the video cannot be read.
    """
    if not url.startswith("file://"):
        raise ImageRefused("forbidden", "videos are read from a local disk only; download it")
    with opened(uris.file_path(url)) as video:
        track = video.streams.video[0]
        _seek(video, track, pts)
        for found in frames(video):
            if found.pts == pts:
                picture = found.to_image().rotate(found.rotation, expand=True)
                file = io.BytesIO()
                picture.save(file, "BMP")
                return file.getvalue()
            if (found.pts or 0) > pts:
                break
    raise ImageRefused("missing", f"the video has no frame with the time stamp {pts}")


@contextmanager
def opened(path: str) -> Iterator[InputContainer]:
    """An open video with one track to decode.

    Raises:
        ImageRefused: it is not a video, has no video stream, or uses an unsupported codec; also if
            its data turns out to be broken while it is read.
    """
    needed()
    import av

    try:
        with regular_file.opened(path) as file:
            form = _container(file.read(HEAD_BYTES))
            file.seek(0)
            with av.open(file, "r", format=form, io_open=_refuse_other_files) as video:
                _check_track(video)
                yield video
    except av.FFmpegError as error:
        raise ImageRefused("corrupt", f"its video cannot be decoded: {error.strerror}") from error


def frames(video: InputContainer) -> Iterator[av.VideoFrame]:
    """Frames that have a time stamp, in their order, from the current place on.

    Raises:
        ImageRefused: there are too many, or one is too large.
    """
    for number, found in enumerate(video.decode(video.streams.video[0])):
        if number >= MAX_FRAMES:
            raise ImageRefused("too-large", f"it has more than {MAX_FRAMES:,} frames")
        if found.width * found.height > MAX_FRAME_PIXELS:
            raise _too_many_pixels(found.width, found.height)
        if found.pts is not None and found.pts >= 0 and not found.is_corrupt:
            yield found


def _container(head: bytes) -> str:
    """FFmpeg's name of the container that a file begins like."""
    if not head:
        raise ImageRefused("empty", "there are no bytes in it")
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    raise ImageRefused("not-an-image", "it is no MP4, QuickTime, Matroska, WebM or AVI video")


def _check_track(video: InputContainer) -> None:
    if not video.streams.video:
        raise ImageRefused("not-an-image", "it has no video track, only sound or nothing")
    track = video.streams.video[0]
    context = track.codec_context
    if context is None or context.codec.name not in CODECS:
        name = context.codec.name if context else "unknown"
        raise ImageRefused("unsupported", f"its codec is {name}; known are H.264, HEVC, VP9, AV1")
    if context.width * context.height > MAX_FRAME_PIXELS:
        raise _too_many_pixels(context.width, context.height)
    context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}


def _too_many_pixels(width: int, height: int) -> ImageRefused:
    return ImageRefused(
        "too-many-pixels", f"{width}x{height} pixels; at most {MAX_FRAME_PIXELS:,} are decoded"
    )


def _seek(video: InputContainer, track: Any, pts: int) -> None:
    """Go to the last key frame before a time stamp, or stay at the start of a broken index."""
    import av

    try:
        video.seek(pts, stream=track, backward=True)
    except av.FFmpegError:
        video.seek(0)


def _refuse_other_files(url: str, flags: int, options: dict[str, str]) -> Any:
    raise PermissionError(f"a video may not open another file: {url[:100]}")
