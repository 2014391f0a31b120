"""A contact sheet: a grid of photos with their boxes."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image, ImageDraw

from repic.sample.world import WorldPhoto

COLUMNS = 8


def contact_sheet(photos: Iterable[WorldPhoto], boxes: bool = True) -> Image.Image:
    """All photos in rows of eight, each object's visible box in magenta."""
    tiles = [_tile(photo, boxes) for photo in photos]
    width, height = tiles[0].size
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (width * min(COLUMNS, len(tiles)), height * rows), "white")
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (k % COLUMNS * width, k // COLUMNS * height))
    return sheet


def _tile(photo: WorldPhoto, boxes: bool) -> Image.Image:
    size = photo.image.width
    tile = Image.new("RGB", (size + 4, size + 4), "white")
    tile.paste(photo.image, (2, 2))
    draw = ImageDraw.Draw(tile)
    for seen in photo.objects if boxes else ():
        x1, y1, x2, y2 = (int(v) for v in seen.box.as_list())
        draw.rectangle((x1 + 1, y1 + 1, x2 + 2, y2 + 2), outline=(255, 0, 255))
    return tile
