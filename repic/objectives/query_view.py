"""What a row shows of its query photo: the whole photo, or a crop of it.

The box of a row is in pixels of the whole photo, like all boxes. A model sees the view only, and
answers in its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repic.images.coordinates import Box, BoxText, Convention


@dataclass(frozen=True, slots=True)
class QueryView:
    """The shown part of a photo: left and top edge, width and height, in whole pixels."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> QueryView:
        """The view of a row; of the whole photo where the row names no crop."""
        query = row["images"][-1]
        crop = query.get("crop")
        if crop is None:
            return cls(0, 0, query["width"], query["height"])
        # As `repic.images.decode.open_image` crops.
        left, top = max(0, math.floor(crop[0])), max(0, math.floor(crop[1]))
        right = min(query["width"], math.ceil(crop[2]))
        bottom = min(query["height"], math.ceil(crop[3]))
        return cls(left, top, right - left, bottom - top)

    def to_view(self, box: Box) -> Box:
        """The visible part of a box, in pixels of the view."""
        return box.shift(-self.left, -self.top).clip(self.width, self.height)

    def to_photo(self, box: Box) -> Box:
        """A box in pixels of the view, in pixels of the photo."""
        return box.shift(self.left, self.top)

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
