"""What XMP metadata says about a photo: face regions with names, caption and licence.

Regions follow the Metadata Working Group (MWG guidance 2.0, section 5.9), which digiKam, Lightroom
and Picasa write, or Microsoft's people tags (`MP:RegionInfo`), which digiKam writes as well. XML is
parsed by defusedxml, which refuses entities and document types.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ParseError

from repic.images.coordinates import Box
from repic.sources.base import one_form

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 16 * 2**20
"""Maximum size of a packet; larger ones are refused."""

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
REGIONS = "{http://www.metadataworkinggroup.com/schemas/regions/}"
AREA = "{http://ns.adobe.com/xmp/sType/Area#}"
DIMENSIONS = "{http://ns.adobe.com/xap/1.0/sType/Dimensions#}"
PEOPLE = "{http://ns.microsoft.com/photo/1.2/}"
PEOPLE_INFO = "{http://ns.microsoft.com/photo/1.2/t/RegionInfo#}"
PERSON = "{http://ns.microsoft.com/photo/1.2/t/Region#}"
DC = "{http://purl.org/dc/elements/1.1/}"
LICENCES = (
    "{http://creativecommons.org/ns#}license",
    "{http://ns.adobe.com/xap/1.0/rights/}UsageTerms",
    "{http://ns.adobe.com/xap/1.0/rights/}WebStatement",
)
LABELS = {"face": "face", "pet": "pet"}
"""Type of a region -> label. Focus areas and bar codes are no objects."""

NOBODY = frozenset({"unknown", "unconfirmed", "ignored", "unnamed"})
"""Names that programs give to a face before a person has named it."""


class XmpError(ValueError):
    """A packet that is not XMP."""


@dataclass(frozen=True)
class FaceRegion:
    """A region of a photo.

    Attributes:
        box: xyxy as shares of the photo's width and height, 0 to 1, in the frame of `size`.
        label: `face` or `pet`.
        name: Who it is, if a person has said so.
        size: Width and height in pixels of the photo that the region was drawn on, if known.
    """

    box: Box
    label: str
    name: str | None
    size: tuple[float, float] | None


@dataclass(frozen=True)
class Xmp:
    """What a packet says."""

    regions: tuple[FaceRegion, ...] = ()
    caption: str | None = None
    licence: str | None = None


def parse(packet: bytes) -> Xmp:
    """Read a packet, or the content of a sidecar file.

    Raises:
        XmpError: it is not well-formed XML, declares entities, or is too large.
    """
    root = parse_xml(packet)
    regions = tuple(_mwg_regions(root))
    named = {region.name for region in regions}
    regions += tuple(r for r in _people(root) if r.name and r.name not in named)
    return Xmp(regions, _first_text(root, f"{DC}description"), _licence(root))


def parse_xml(data: bytes) -> Element:
    """The root element of XML without entities and document types.

    Raises:
        XmpError: as `parse`.
    """
    from defusedxml.ElementTree import fromstring

    if len(data) > MAX_BYTES:
        raise XmpError(f"it has more than {MAX_BYTES:,} bytes")
    try:
        root: Element = fromstring(data.strip(b"\0 \t\r\n"), forbid_dtd=True)
    except (ParseError, ValueError, RecursionError, LookupError) as error:
        raise XmpError(f"it is not well-formed XML: {error}") from error
    return root


def name_of(text: str | None) -> str | None:
    """A person's name in the form of `one_form`; None if it names nobody."""
    name = one_form(text)
    return None if name is None or name.casefold() in NOBODY else name


def _mwg_regions(root: Element) -> Iterator[FaceRegion]:
    for listed in root.iter(f"{REGIONS}Regions"):
        fields = _fields(listed)
        size = _size(_struct(fields.get(f"{REGIONS}AppliedToDimensions")))
        for item in _items(fields.get(f"{REGIONS}RegionList")):
            region = _fields(item)
            label = LABELS.get(_text(region.get(f"{REGIONS}Type"), "face").casefold())
            box = _area(_struct(region.get(f"{REGIONS}Area")), size)
            if label and box:
                yield FaceRegion(box, label, name_of(_text(region.get(f"{REGIONS}Name"))), size)


def _people(root: Element) -> Iterator[FaceRegion]:
    for listed in root.iter(f"{PEOPLE}RegionInfo"):
        for item in _items(_fields(listed).get(f"{PEOPLE_INFO}Regions")):
            region = _fields(item)
            numbers = _numbers(*_text(region.get(f"{PERSON}Rectangle")).split(","))
            if numbers and len(numbers) == 4 and (box := _inside(*numbers)):
                name = name_of(_text(region.get(f"{PERSON}PersonDisplayName")))
                yield FaceRegion(box, LABELS["face"], name, None)


def _area(fields: Mapping[str, Element | str], size: tuple[float, float] | None) -> Box | None:
    """Box of an `stArea`, which has the centre and the size of the region."""
    numbers = _numbers(*(_text(fields.get(f"{AREA}{key}")) for key in "xywh"))
    if not numbers:
        return None
    x, y, width, height = numbers
    if _text(fields.get(f"{AREA}unit"), "normalized") == "pixel":
        if size is None:
            return None
        x, y, width, height = x / size[0], y / size[1], width / size[0], height / size[1]
    return _inside(x - width / 2, y - height / 2, width, height)


def _inside(left: float, top: float, width: float, height: float) -> Box | None:
    """The part inside of the photo; None if there is none."""
    if width <= 0 or height <= 0:
        return None
    box = Box(left, top, left + width, top + height).clip(1, 1)
    return box if box.area > 0 else None


def _size(fields: Mapping[str, Element | str]) -> tuple[float, float] | None:
    numbers = _numbers(*(_text(fields.get(f"{DIMENSIONS}{key}")) for key in "wh"))
    if not numbers or min(numbers) <= 0:
        return None
    return numbers[0], numbers[1]


def _numbers(*texts: str) -> tuple[float, ...] | None:
    """Finite numbers; None if a text is not one."""
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _fields(element: Element) -> dict[str, Element | str]:
    """Fields of a structure, which RDF writes as attributes, children, or a nested Description."""
    nested = element.findall(f"{RDF}Description")
    fields: dict[str, Element | str] = {}
    for holder in (element, *nested):
        fields |= holder.attrib
        fields |= {child.tag: child for child in holder}
    return fields


def _struct(value: Element | str | None) -> dict[str, Element | str]:
    return _fields(value) if isinstance(value, Element) else {}


def _items(value: Element | str | None) -> list[Element]:
    return list(value.iterfind(f"*/{RDF}li")) if isinstance(value, Element) else []


def _text(value: Element | str | None, default: str = "") -> str:
    if isinstance(value, Element):
        value = value.text
    return value.strip() if value and value.strip() else default


def _first_text(root: Element, tag: str) -> str | None:
    """First text of a property, of the language `x-default` if it is there, in one line."""
    for element in root.iter(tag):
        items = [item for item in _items(element) if item.text]
        texts = [item.text for item in sorted(items, key=_is_translation)] or [element.text]
        if text := " ".join((texts[0] or "").split()):
            return text
    return None


def _is_translation(item: Element) -> bool:
    return item.get("{http://www.w3.org/XML/1998/namespace}lang", "x-default") != "x-default"


def _licence(root: Element) -> str | None:
    for tag in LICENCES:
        if text := _first_text(root, tag):
            return text
        for element in root.iter():
            if text := element.get(tag) or (
                element.get(f"{RDF}resource") if element.tag == tag else None
            ):
                return text
    return None
