"""Photos with named faces, as digiKam, Lightroom, Picasa and Google Takeout write them.

Every person is a square of one color, so that the pixels say where each name belongs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from PIL import Image, ImageDraw

Corners = tuple[float, float, float, float]
Faces = Sequence[tuple[str | None, Corners]]
Size = tuple[int, int] | None

FACES: Faces = [("Ann Lee", (0.1, 0.2, 0.3, 0.5)), ("Zoé & Co", (0.6, 0.1, 0.9, 0.4))]
SPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
}
ORIENTED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""EXIF orientation -> how a camera that writes it stores an upright photo."""


def _packet(properties: str) -> bytes:
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in SPACES.items())
    return (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta {spaces}><rdf:RDF>'
        f'<rdf:Description rdf:about="">{properties}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()


def _center(corners: Corners) -> dict[str, float]:
    x1, y1, x2, y2 = corners
    return {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2, "w": x2 - x1, "h": y2 - y1}


def digikam(faces: Faces, size: Size, kind: str = "Face", caption: str = "") -> bytes:
    """Structures as nested descriptions with attributes."""
    items = ""
    for name, corners in faces:
        area = " ".join(f'stArea:{key}="{value:.6f}"' for key, value in _center(corners).items())
        named = f" mwg-rs:Name={quoteattr(name)}" if name is not None else ""
        items += (
            f'<rdf:li><rdf:Description mwg-rs:Type="{kind}"{named}>'
            f'<mwg-rs:Area {area} stArea:unit="normalized"/></rdf:Description></rdf:li>'
        )
    applied = (
        f'<mwg-rs:AppliedToDimensions stDim:w="{size[0]}" stDim:h="{size[1]}" stDim:unit="pixel"/>'
        if size
        else ""
    )
    described = (
        "<dc:description><rdf:Alt><rdf:li xml:lang='fr'>Non</rdf:li>"
        f"<rdf:li xml:lang='x-default'>{escape(caption)}</rdf:li></rdf:Alt></dc:description>"
        "<xmpRights:UsageTerms><rdf:Alt><rdf:li xml:lang='x-default'>CC BY 4.0</rdf:li></rdf:Alt>"
        "</xmpRights:UsageTerms>"
        if caption
        else ""
    )
    return _packet(
        f'<mwg-rs:Regions rdf:parseType="Resource">{applied}<mwg-rs:RegionList><rdf:Bag>{items}'
        f"</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>{described}"
    )


def lightroom(faces: Faces, size: Size) -> bytes:
    """Structures as resources with child elements."""
    items = ""
    for name, corners in faces:
        area = "".join(
            f"<stArea:{key}>{value:.6f}</stArea:{key}>" for key, value in _center(corners).items()
        )
        named = f"<mwg-rs:Name>{escape(name)}</mwg-rs:Name>" if name is not None else ""
        items += (
            '<rdf:li rdf:parseType="Resource"><mwg-rs:Area rdf:parseType="Resource">'
            f"{area}<stArea:unit>normalized</stArea:unit></mwg-rs:Area>{named}"
            "<mwg-rs:Type>Face</mwg-rs:Type><mwg-rs:Rotation>-0.02</mwg-rs:Rotation></rdf:li>"
        )
    applied = (
        f'<mwg-rs:AppliedToDimensions rdf:parseType="Resource"><stDim:w>{size[0]}</stDim:w>'
        f"<stDim:h>{size[1]}</stDim:h><stDim:unit>pixel</stDim:unit></mwg-rs:AppliedToDimensions>"
        if size
        else ""
    )
    return _packet(
        f'<mwg-rs:Regions rdf:parseType="Resource">{applied}<mwg-rs:RegionList><rdf:Bag>{items}'
        "</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
    )


def picasa(faces: Faces, size: Size) -> bytes:
    """As digiKam, with the regions inside of a nested description and a sequence."""
    return (
        digikam(faces, size)
        .replace(b'<mwg-rs:Regions rdf:parseType="Resource">', b"<mwg-rs:Regions><rdf:Description>")
        .replace(b"</mwg-rs:Regions>", b"</rdf:Description></mwg-rs:Regions>")
        .replace(b"rdf:Bag>", b"rdf:Seq>")
    )


def microsoft(faces: Faces, size: Size) -> bytes:
    """People tags of Windows: corner and size in one text."""
    items = "".join(
        '<rdf:li rdf:parseType="Resource">'
        f"<MPReg:Rectangle>{x1}, {y1}, {x2 - x1}, {y2 - y1}</MPReg:Rectangle>"
        f"<MPReg:PersonDisplayName>{escape(name or '')}</MPReg:PersonDisplayName></rdf:li>"
        for name, (x1, y1, x2, y2) in faces
    )
    return _packet(
        f'<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag>{items}</rdf:Bag>'
        "</MPRI:Regions></MP:RegionInfo>"
    )


def takeout(path: Path, people: Sequence[str], name: str | None = None) -> Path:
    """The JSON file of a photo in an export of Google Photos."""
    target = path.with_name(name or f"{path.name}.supplemental-metadata.json")
    entries = [{"name": person} for person in people]
    target.write_text(json.dumps({"title": path.name, "people": entries}), encoding="utf-8")
    return target


def draw(people: Sequence[tuple[str, Corners]], size: tuple[int, int], color: int) -> Image.Image:
    """An upright photo: each person is a square of `color_of` their name on noise-free grey."""
    picture = Image.new("RGB", size, (color, color, color))
    pen = ImageDraw.Draw(picture)
    for name, (x1, y1, x2, y2) in people:
        corners = (x1 * size[0], y1 * size[1], x2 * size[0] - 1, y2 * size[1] - 1)
        pen.rectangle(corners, fill=color_of(name))
    return picture


def color_of(name: str) -> tuple[int, int, int]:
    """The color of a person."""
    value = sum(name.encode()) * 2654435761 % 2**24
    return value >> 16, value >> 8 & 255, (value & 255) // 2


def save(picture: Image.Image, path: Path, orientation: int, xmp: bytes | None = None) -> None:
    """Store an upright photo as a camera with this EXIF orientation does."""
    turn = ORIENTED[orientation]
    stored = picture.transpose(turn) if turn is not None else picture
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"xmp": xmp} if xmp else {}
    stored.save(path, exif=exif.tobytes(), quality=95, **options)


def stored_corners(corners: Corners, orientation: int) -> Corners:
    """Where a region of the upright photo lies on the stored one, by turning a picture of it."""
    side = 1000
    mask = Image.new("L", (side, side))
    x1, y1, x2, y2 = (round(value * side) for value in corners)
    mask.paste(255, (x1, y1, x2, y2))
    turn = ORIENTED[orientation]
    box = (mask.transpose(turn) if turn is not None else mask).getbbox()
    assert box
    return box[0] / side, box[1] / side, box[2] / side, box[3] / side
