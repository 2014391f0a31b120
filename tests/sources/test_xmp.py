"""XMP packets of the programs that write face regions, and packets that are broken or hostile."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.images.coordinates import Box
from repic.sources.xmp import XmpError, name_of, parse
from tests.sources.libraries import FACES, digikam, lightroom, microsoft, picasa


@pytest.mark.parametrize("write", [digikam, lightroom, picasa, microsoft], ids=lambda f: f.__name__)
def test_programs_write_the_same_regions(write) -> None:
    found = parse(write(FACES, (4000, 3000)))
    assert [(region.name, region.label) for region in found.regions] == [
        (name, "face") for name, _ in FACES
    ]
    for region, (_, box) in zip(found.regions, FACES, strict=True):
        assert region.box.as_list() == pytest.approx(list(box), abs=1e-5)


def test_a_name_written_twice_is_one_region() -> None:
    both = digikam(FACES, (4000, 3000)).replace(
        b"</rdf:RDF>", microsoft(FACES, None).partition(b"<rdf:RDF")[2].partition(b">")[2]
    )
    assert len(parse(both.partition(b"</x:xmpmeta>")[0] + b"</x:xmpmeta>").regions) == len(FACES)


def test_description_licence_and_pets() -> None:
    packet = digikam(
        [("Rex", (0.1, 0.1, 0.3, 0.4))], (400, 300), kind="Pet", caption="A dog\n runs."
    )
    found = parse(packet)
    assert (found.regions[0].label, found.regions[0].name) == ("pet", "Rex")
    assert found.caption == "A dog runs."
    assert found.licence == "CC BY 4.0"


@pytest.mark.parametrize("name", ["", "  ", "Unknown", "unconfirmed", None])
def test_a_face_without_a_name_stays_without_one(name: str | None) -> None:
    (region,) = parse(digikam([(name, (0.1, 0.1, 0.3, 0.4))], (400, 300))).regions
    assert region.name is None


def test_focus_areas_are_no_faces() -> None:
    assert parse(digikam(FACES, (400, 300), kind="Focus")).regions == ()


@pytest.mark.parametrize("values", [("nan", "0.5", "0.1", "0.1"), ("0.5", "x", "0.1", "0.1")])
def test_an_area_of_no_numbers_is_left_out(values: tuple[str, ...]) -> None:
    packet = digikam([("Ann", (0.1, 0.1, 0.3, 0.4))], (400, 300)).decode()
    for key, value in zip("xywh", values, strict=True):
        start, _, rest = packet.partition(f'stArea:{key}="')
        packet = f'{start}stArea:{key}="{value}"{rest.partition(chr(34))[2]}'
    assert parse(packet.encode()).regions == ()


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<x:xmpmeta xmlns:x="adobe:ns:meta/">&b;</x:xmpmeta>"""
FILE = b"""<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>"""


@pytest.mark.parametrize(
    "packet",
    [b"", b"<x", b"\xff\xfe\x00", BOMB, FILE, b"<a>" * 10, b"<a>" + b" " * 2**24 + b"</a>"],
    ids=["empty", "cut", "binary", "entities", "file", "open", "large"],
)
def test_what_is_not_xmp_is_refused(packet: bytes) -> None:
    with pytest.raises(XmpError):
        parse(packet)


def test_deep_nesting_is_read_or_refused() -> None:
    with contextlib.suppress(XmpError):
        assert parse(b"<a>" * 200_000 + b"</a>" * 200_000).regions == ()


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(packet: bytes) -> None:
    with contextlib.suppress(XmpError):
        parse(packet)


@given(
    st.lists(
        st.tuples(*(st.floats(-1, 2, allow_nan=False) for _ in range(4))), min_size=1, max_size=4
    )
)
def test_boxes_lie_inside_of_the_photo(corners: list[tuple[float, float, float, float]]) -> None:
    faces = [(f"P{n}", corners) for n, corners in enumerate(corners)]
    for region in parse(lightroom(faces, (400, 300))).regions:
        box = region.box
        assert 0 <= box.x1 < box.x2 <= 1
        assert 0 <= box.y1 < box.y2 <= 1
        assert Box(0, 0, 1, 1).iou(box) > 0


def test_names_have_one_form() -> None:
    assert name_of("Zoe\u0301") == name_of(" Zoé ") == "Zoé"
    assert name_of("Ann \n Lee") == "Ann Lee"
