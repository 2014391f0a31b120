"""What must hold of rows that a stranger wrote, beyond the types of their columns.

Splits and ids become names of files, and sizes become memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from annotated_types import Gt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from repic.config.build import Objective
from repic.images.decode import MAX_PIXELS

MAX_SCALE = 1000
"""Percent by which a crop can be enlarged; builds reduce crops only."""

_Id = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
_Side = Annotated[int, Field(ge=1, le=MAX_PIXELS)]
_Percent = Annotated[int, Field(ge=0, le=MAX_SCALE)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Box = Annotated[list[_Finite], Field(min_length=4, max_length=4)]


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True)


class CheckedChange(_Checked):
    """How a crop is changed."""

    model_config = ConfigDict(extra="forbid")

    mirrored: bool
    scale: Annotated[_Percent, Gt(0)]
    brightness: _Percent
    contrast: _Percent
    saturation: _Percent


class CheckedPicture(_Checked):
    """An entry of the column `images`."""

    image_id: _Id
    uri: str
    width: _Side
    height: _Side
    crop: _Box
    augmentation: CheckedChange | None = None

    @model_validator(mode="after")
    def _shows_something(self) -> Self:
        x1, y1, x2, y2 = self.crop
        if max(x1, 0) >= min(x2, self.width) or max(y1, 0) >= min(y2, self.height):
            raise ValueError("the crop is outside of the photo")
        scale = self.augmentation.scale / 100 if self.augmentation else 1.0
        width, height = min(x2, self.width) - max(x1, 0), min(y2, self.height) - max(y1, 0)
        if width * height * scale * scale > MAX_PIXELS:
            raise ValueError("the picture has too many pixels")
        return self


class CheckedThing(_Checked):
    """An entry of the column `scene`."""

    box: _Box


class CheckedExample(_Checked):
    """A row of the table `examples`."""

    example_id: _Id
    image_id: _Id
    objective: Objective
    split: Literal["train", "validation", "test"]
    images: Annotated[list[CheckedPicture], Field(min_length=1)]
    box: _Box | None = None
    scene: list[CheckedThing] = Field(default=[])
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0


def fault(row: Mapping[str, Any], kind: type[BaseModel] = CheckedExample) -> str | None:
    """What is wrong with a row, in one line without its content; None if nothing is."""
    try:
        kind.model_validate(dict(row))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:100]
        return f"{where}: {first['msg']}" if where else first["msg"]
    return None
