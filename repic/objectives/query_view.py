"""What a row shows of its query photo: the whole photo, or a crop of it, and how large.

The box of a row is in pixels of the whole photo, like all boxes. A model sees the view only, and
answers in its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repic.images.coordinates import Box, BoxText, Convention, reduced


@dataclass(frozen=True, slots=True)
class QueryView:
    """The shown part of a photo.

    Attributes:
        left: Left edge in whole pixels of the photo; `top` likewise.
        width: Width of the picture that the model gets, in pixels; `height` likewise.
        scale: Pixels of the view per pixel of the photo along x and y; below 1 if it is reduced.
    """

    left: int
    top: int
    width: int
    height: int
    scale: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> QueryView:
        """The view of a row; of the whole photo where the row names no crop.

        An entry of `images` may have a `short_side`, to which its shorter side is reduced.
        """
        query = row["images"][-1]
        left, top, right, bottom = 0, 0, query["width"], query["height"]
        if (crop := query.get("crop")) is not None:
            # As `repic.images.decode.open_image` crops.
            left, top = max(0, math.floor(crop[0])), max(0, math.floor(crop[1]))
            right, bottom = min(right, math.ceil(crop[2])), min(bottom, math.ceil(crop[3]))
        width, height = right - left, bottom - top
        shown = reduced(width, height, query.get("short_side"))
        if shown == (width, height):
            return cls(left, top, width, height)
        return cls(left, top, *shown, (shown[0] / width, shown[1] / height))

    def to_view(self, box: Box) -> Box:
        """The visible part of a box, in pixels of the view."""
        moved = box.shift(-self.left, -self.top).scale(*self.scale)
        return moved.clip(self.width, self.height)

    def to_photo(self, box: Box) -> Box:
        """A box in pixels of the view, in pixels of the photo."""
        across, down = self.scale
        return box.scale(1 / across, 1 / down).shift(self.left, self.top)

    def render(self, box: Box, convention: Convention) -> str:
        """A box of the photo as a model that sees the view writes it."""
        return convention.render(self.to_view(box), self.width, self.height)

    def box_of(self, written: BoxText, convention: Convention) -> Box:
        """The box of an answer about the view, in pixels of the photo.

        Raises:
            BoxError: as `Convention.box_of`.
        """
        return self.to_photo(convention.box_of(written, self.width, self.height))


def box_in_view(row: Mapping[str, Any]) -> Box:
    """The true box of a row in pixels of its view."""
    return QueryView.of(row).to_view(Box.of(row["box"]))
