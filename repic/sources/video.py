"""Frames of videos: a few per shot, addressed by their time stamp.

A shot begins where the colors of a frame, in four quarters of the picture, differ from those of the
frame before by more than `CUT`. The same file gives the same frames. Dissolves and fades are no
cuts.

With `identity: none` (and by default) a shot gives its middle frame and nobody an identity. With
`identity: shot`, frames at least `SECONDS_APART` apart have the shot as identity; the stage
`objects` ends it where the main object's box does not overlap that of the frame before, because
only then do both frames show one thing.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repic.errors import SourceError
from repic.images import uris, video_frames
from repic.images.refusal import ImageRefused
from repic.sources import local_files
from repic.sources.base import RefusedPhoto, SourceFacts, SourcePhoto

if TYPE_CHECKING:
    import av

    from repic import config

_log = logging.getLogger(__name__)

SUFFIXES = (".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi")
CUT = 0.5
"""Share of the pixels that have another color than in the frame before, at a cut."""
SECONDS_APART = 2.0
"""Least time between two frames of a shot."""
FRAMES_PER_SHOT = 4
"""Most frames of a shot that share its identity."""

FACTS = SourceFacts(
    path="a local folder of videos, or one video",
    identity="the shot, while its main object stays in its place (`shot`); otherwise none",
    splits="none; shots of a video can be in different ones",
    lacks="names, boxes, captions, licences; which shots show one thing",
)

_SIDE = 32
_LEVELS = 4


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """Frames of all videos below `settings.path`, or of the video that it is.

    Raises:
        SourceError: there is no such folder or no video in it, or the package `av` is missing.
    """
    try:
        video_frames.needed()
    except ImageRefused as missing:
        raise SourceError(f"{settings.path} cannot be read: {missing.message}") from None
    paths = list(_videos(str(local_files.local_path(settings, "a video"))))
    if not paths:
        raise SourceError(
            f"there is no video in {settings.path}; known endings are {', '.join(SUFFIXES)}"
        )
    counts: Counter[str] = Counter()
    limit = FRAMES_PER_SHOT if settings.identity == "shot" else 1
    for path in paths:
        url = uris.file_uri(path)
        shots: list[_Shot] = []
        broken = _collect(path, shots, counts)
        digest = _digest(path) if shots and settings.identity == "shot" else None
        for number, shot in enumerate(shots):
            name = f"video {digest} shot {number + 1}" if digest else None
            for pts in shot.chosen(limit):
                uri = str(uris.Location(url, pts=pts))
                yield SourcePhoto(uri, settings.kind, settings.licence, identity=name)
        if broken:
            yield RefusedPhoto(url, settings.kind, why=broken.message, reason=broken.reason)
    for reason, count in sorted(counts.items()):
        _log.warning("%s: %d %s", settings.path, count, reason)


@dataclass
class _Shot:
    """Time stamps of the frames of a shot, and their times in seconds."""

    pts: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def chosen(self, limit: int) -> list[int]:
        """Time stamps of at most `limit` frames, evenly spread and `SECONDS_APART` apart."""
        length = self.seconds[-1] - self.seconds[0]
        count = max(1, min(limit, int(length / SECONDS_APART)))
        times = self.seconds[0] + length * (np.arange(count) + 0.5) / count
        nearest = np.abs(np.asarray(self.seconds)[None] - times[:, None]).argmin(axis=1)
        return [self.pts[index] for index in dict.fromkeys(nearest.tolist())]


def _videos(root: str) -> Iterator[str]:
    """Paths of videos, sorted; links to folders are not followed."""
    if os.path.isfile(root):
        yield root
        return
    if not os.path.isdir(root):
        raise SourceError(f"there is no folder {root}; give an existing one (source.path)")
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield os.path.join(folder, name)


def _digest(path: str) -> str:
    """Start of the hash of a file: the same for a copy elsewhere, another one for another file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _collect(path: str, shots: list[_Shot], counts: Counter[str]) -> ImageRefused | None:
    """Add the shots of a video; returns what is wrong with it."""
    before: np.ndarray | None = None
    try:
        with video_frames.opened(path) as video:
            last = -1
            for frame in video_frames.frames(video):
                if frame.pts is None or frame.pts <= last:
                    continue  # a time stamp that is there twice
                last = frame.pts
                colors = _colors(frame)
                if before is None or np.abs(colors - before).sum() / 2 > CUT:
                    shots.append(_Shot())
                before = colors
                shots[-1].pts.append(frame.pts)
                shots[-1].seconds.append(float(frame.time or 0.0))
            _count_missing_end(video, shots, counts)
    except ImageRefused as refused:
        return refused
    if not shots:
        return ImageRefused("empty", "its video has no frame")
    return None


def _count_missing_end(
    video: av.container.InputContainer, shots: list[_Shot], counts: Counter[str]
) -> None:
    """Count a video that ends before the length that it states."""
    track = video.streams.video[0]
    if shots and track.duration and track.time_base:
        stated = float(track.duration * track.time_base)
        if shots[-1].seconds[-1] - shots[0].seconds[0] < 0.9 * stated - 1:
            counts["videos end before the length that they state"] += 1


def _colors(frame: av.VideoFrame) -> np.ndarray:
    """Shares of 64 colors in each quarter of a frame, which together are 1."""
    small = frame.reformat(width=_SIDE, height=_SIDE, format="rgb24").to_ndarray()
    levels = small.astype(np.int64) * _LEVELS // 256
    color = (levels[..., 0] * _LEVELS + levels[..., 1]) * _LEVELS + levels[..., 2]
    half = np.arange(_SIDE) * 2 // _SIDE
    quarter = half[:, None] * 2 + half[None]
    counted = np.bincount((quarter * _LEVELS**3 + color).ravel(), minlength=4 * _LEVELS**3)
    return counted / _SIDE**2
