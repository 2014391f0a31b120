"""Options that say how the model writes boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from repic.cli.common import UserError

if TYPE_CHECKING:
    from repic.images.coordinates import Convention as BoxConvention

Convention = Annotated[
    Literal["qwen2-vl", "qwen2.5-vl", "qwen3-vl", "internvl", "normalised"],
    typer.Option(help="Box convention of the model."),
]
MinPixels = Annotated[
    int | None, typer.Option(min=1, help="qwen2.5-vl: least pixels of a resized photo.")
]
MaxPixels = Annotated[
    int | None, typer.Option(min=1, help="qwen2.5-vl: most pixels of a resized photo.")
]


def box_convention(
    name: str, min_pixels: int | None, max_pixels: int | None, model: str | None = None
) -> BoxConvention:
    """The convention that the options name, or that of a model.

    Raises:
        UserError: limits are missing or not needed; a model is given beside them.
        repic.errors.RepicError: the model cannot be read.
    """
    from repic.images.coordinates import ConventionError, named_convention

    if model is not None:
        from repic.models.vlm import load

        if min_pixels is not None or max_pixels is not None:
            raise UserError("give --model, or --min-pixels and --max-pixels; not both")
        return load.reader(model).convention
    try:
        return named_convention(name, min_pixels, max_pixels)
    except ConventionError as error:
        options = ("min_pixels", "--min-pixels"), ("max_pixels", "--max-pixels")
        text = str(error)
        for field, option in options:
            text = text.replace(field, option)
        raise UserError(text) from None
