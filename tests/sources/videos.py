"""Small videos, written with PyAV."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Color = tuple[int, int, int]
RATE = 10
SIZE = (64, 48)


def write(
    path: Path,
    shots: Sequence[tuple[Color, float]],
    codec: str = "libx264",
    steps: Sequence[int] = (1,),
) -> Path:
    """A video of shots, each of a color and a number of seconds.

    Args:
        steps: Tenths of a second between frames, repeated: (1, 3) is a variable frame rate.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as video:
        track = video.add_stream(codec, rate=RATE)
        track.width, track.height = SIZE
        track.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        track.codec_context.time_base = Fraction(1, RATE)
        track.codec_context.gop_size = 7
        for pts, picture in _pictures(shots, steps):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, RATE)
            video.mux(track.encode(frame))
        video.mux(track.encode())
    return path


def _pictures(
    shots: Sequence[tuple[Color, float]], steps: Sequence[int]
) -> list[tuple[int, np.ndarray]]:
    """Pictures of the color of their shot, with a dark top half, and their time stamps."""
    pictures, pts = [], 0
    for color, seconds in shots:
        end = pts + round(seconds * RATE)
        while pts < end:
            picture = np.full((SIZE[1], SIZE[0], 3), color, np.uint8)
            picture[: SIZE[1] // 2] //= 4
            pictures.append((pts, picture))
            pts += steps[len(pictures) % len(steps)]
    return pictures


def write_sound(path: Path) -> Path:
    """A file of the container of videos that holds only sound."""
    with av.open(str(path), "w") as file:
        track = file.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 8000, 0
        file.mux(track.encode(frame))
        file.mux(track.encode())
    return path


def turn(path: Path) -> Path:
    """Say in an MP4 that it is shown turned by 90 degrees clockwise, as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # version, times, id, length, layer and volume stand before
    matrix = (0, 1 << 16, 0, -1 << 16, 0, 0, SIZE[1] << 16, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path
