"""Write a caption into the XMP sidecar of a photo, where photo libraries show it.

Only `dc:description` in the default language changes; every other property is equal after parsing.
"""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from repic.errors import SourceError
from repic.sources.xmp import DC, RDF, XmpError, parse_xml
from storage.atomic import replacing

_DESCRIPTION = f"{DC}description"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_DEFAULT = "x-default"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold (section 2.2)."""
_START = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_END = '\n<?xpacket end="w"?>\n'
_EMPTY = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about=""/></rdf:RDF></x:xmpmeta>'
)


def write_caption(photo: Path, caption: str) -> Path:
    """Write a caption into the sidecar of a photo, and create the sidecar if there is none.

    The sidecar is replaced atomically. Its first content is kept beside it, as `NAME.bak`.

    Returns:
        The sidecar: `photo.jpg.xmp`, or `photo.xmp` if only that exists.

    Raises:
        SourceError: the sidecar cannot be read or written; it is unchanged.
    """
    sidecar = photo.with_name(f"{photo.name}.xmp")
    if not sidecar.exists() and photo.with_suffix(".xmp").exists():
        sidecar = photo.with_suffix(".xmp")
    try:
        existing = sidecar.read_bytes() if sidecar.exists() else None
        content = with_caption(existing or _EMPTY, caption)
        if existing is not None:
            _keep(sidecar)
        with replacing(sidecar) as file:
            file.write(content)
    except (OSError, XmpError) as error:
        raise SourceError(f"{sidecar} cannot be written, it is unchanged: {error}") from error
    return sidecar


def with_caption(packet: bytes, caption: str) -> bytes:
    """A packet whose description in the default language is a caption.

    Raises:
        XmpError: the packet is not XMP.
    """
    root = parse_xml(packet)
    for prefix, uri in _prefixes(packet).items():
        register_namespace(prefix, uri)
    _default_text(_description(root)).text = " ".join(_NOT_XML.sub(" ", caption).split())
    text = tostring(root, encoding="unicode")
    return f"{_START}{text}{_END}".encode()


def _prefixes(packet: bytes) -> dict[str, str]:
    """Prefixes that the packet uses, so that they stay; those that ElementTree makes up are not."""
    from defusedxml.ElementTree import iterparse

    spaces: dict[str, str] = {}
    for _, (prefix, uri) in iterparse(io.BytesIO(packet.strip(b"\0 \t\r\n")), events=["start-ns"]):
        if prefix and not (prefix.startswith("ns") and prefix[2:].isdecimal()):
            spaces.setdefault(prefix, uri)
    return {"dc": DC.strip("{}"), "rdf": RDF.strip("{}")} | spaces


def _description(root: Element) -> Element:
    """The description, made if it is absent."""
    found = root.find(f".//{_DESCRIPTION}")
    if found is not None:
        return found
    holder = root.find(f".//{RDF}RDF/{RDF}Description")
    if holder is None:
        rdf = root if root.tag == f"{RDF}RDF" else root.find(f".//{RDF}RDF")
        if rdf is None:
            raise XmpError("it has no rdf:RDF")
        holder = SubElement(rdf, f"{RDF}Description", {f"{RDF}about": ""})
    holder.attrib.pop(_DESCRIPTION, None)
    return SubElement(holder, _DESCRIPTION)


def _default_text(description: Element) -> Element:
    """The item of the default language, made if it is absent; a plain text becomes one."""
    alternatives = description.find(f"{RDF}Alt")
    if alternatives is None:
        description.text = None
        for child in list(description):
            description.remove(child)
        alternatives = SubElement(description, f"{RDF}Alt")
    for item in alternatives.iterfind(f"{RDF}li"):
        if item.get(_LANGUAGE) == _DEFAULT:
            return item
    item = Element(f"{RDF}li", {_LANGUAGE: _DEFAULT})
    alternatives.insert(0, item)  # XMP wants the default first
    return item


def _keep(sidecar: Path) -> None:
    """Copy the sidecar once, before it is changed for the first time."""
    backup = sidecar.with_name(f"{sidecar.name}.bak")
    if not backup.exists():
        shutil.copy2(sidecar, backup)
