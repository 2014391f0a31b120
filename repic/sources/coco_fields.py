"""Values of COCO files, as exporters write them."""

from __future__ import annotations

import math
from typing import Any

from repic.images.coordinates import Box


def key(value: Any) -> str | None:
    """An id as text, so that 7, 7.0 and "7" are one; None for values that are no id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return str(value).strip() or None


def size(image: Any) -> tuple[int, int] | None:
    """Width and height of a photo in pixels, if its entry gives both."""
    try:
        width, height = int(image["width"]), int(image["height"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def text(value: Any) -> str:
    """A text that a table can store; empty for other values."""
    if not isinstance(value, str):
        return ""
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can contain
        return ""
    return value


def sentence(value: Any) -> str:
    """A text in one line; empty for other values."""
    return " ".join(text(value).split())


def flag(value: Any) -> bool | None:
    """A boolean, also as 0, 1 or text; None for other values."""
    return {"0": False, "false": False, "1": True, "true": True}.get(str(value).casefold())


def box(bbox: Any, width: Any, height: Any) -> Box | None:
    """Canonical box for x, y, width, height; None if it has no area in the photo.

    Args:
        width: Width of the photo in pixels; None if it is unknown.
        height: Its height.
    """
    try:
        x, y, w, h = (float(value) for value in bbox)
        right, bottom = float(width or math.inf), float(height or math.inf)
    except (TypeError, ValueError, OverflowError):
        return None
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        return None
    clipped = Box(x, y, x + w, y + h).clip(right, bottom)
    return clipped if clipped.area > 0 else None
