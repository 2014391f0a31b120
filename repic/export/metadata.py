"""A JPEG without its metadata, byte for byte the same picture.

Removed are the application segments (EXIF with GPS, XMP, IPTC, a thumbnail, colour profiles),
comments, and what follows the end of the picture (a second picture, or the video of a moving
photo). JFIF and Adobe segments stay: they say how colours are coded (ITU T.81, annex B.1).
"""

from __future__ import annotations

_KEPT_APPS = {0xE0, 0xEE}
"""APP0 (JFIF) and APP14 (Adobe)."""
_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length: TEM and the restarts."""
_START, _END, _SCAN, _COMMENT = 0xD8, 0xD9, 0xDA, 0xFE


def without_metadata(jpeg: bytes) -> bytes | None:
    """The file without metadata; None if it is not a JPEG or its segments cannot be told apart."""
    if jpeg[:2] != bytes((0xFF, _START)):
        return None
    kept, position = bytearray(jpeg[:2]), 2
    while position + 1 < len(jpeg):
        if jpeg[position] != 0xFF:
            return None
        marker = jpeg[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == _END:
            return bytes(kept + jpeg[position : position + 2])
        end = position + 2
        if marker not in _ALONE:
            end += int.from_bytes(jpeg[end : end + 2], "big")
        if marker == _SCAN:
            end = _scan_end(jpeg, end)
        if not _is_metadata(marker):
            kept += jpeg[position:end]
        position = end
    return None


def _is_metadata(marker: int) -> bool:
    return marker == _COMMENT or (0xE0 <= marker <= 0xEF and marker not in _KEPT_APPS)


def _scan_end(jpeg: bytes, position: int) -> int:
    """Where the coded pixels of a scan end: at the next marker other than a restart."""
    while (position := jpeg.find(b"\xff", position)) >= 0 and position + 1 < len(jpeg):
        if jpeg[position + 1] not in (0x00, *_ALONE):
            return position
        position += 2
    return len(jpeg)
