"""Which person box gets the name of a face."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.pipeline.stages.faces import names

Corners = tuple[float, float, float, float]
FACE: Corners = (40, 20, 60, 40)


def _person(key: str, box: Corners, label: str = "person") -> dict:
    return {
        "object_id": key,
        "label": label,
        **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
    }


def _face(box: Corners, name: str | None, label: str = "face") -> dict:
    return {"box": list(box), "label": label, "identity": name}


def test_a_person_has_the_name_of_the_face_in_it() -> None:
    boxes = [_person("ann", (20, 10, 80, 200)), _person("far", (200, 10, 260, 200))]
    assert names(boxes, [_face(FACE, "Ann")]) == {"ann": "Ann"}


@pytest.mark.parametrize(
    ("boxes", "faces"),
    [
        ([(20, 10, 80, 200)], [(FACE, "Ann"), ((60, 20, 79, 40), "Bob")]),
        ([(20, 10, 80, 200)], [(FACE, "Ann"), ((60, 20, 79, 40), None)]),
        ([(20, 10, 80, 200)], [(FACE, None)]),
        ([(50, 10, 80, 200)], [(FACE, "Ann")]),
        ([FACE], [(FACE, "Ann")]),
    ],
    ids=["two-names", "a-stranger-beside", "no-name", "half-inside", "the-face-itself"],
)
def test_a_name_that_is_not_sure_is_not_used(boxes: list, faces: list) -> None:
    persons = [_person(str(number), box) for number, box in enumerate(boxes)]
    assert names(persons, [_face(*face) for face in faces]) == {}


def test_of_nested_boxes_the_smallest_gets_the_name() -> None:
    boxes = [_person("big", (0, 0, 300, 300)), _person("small", (20, 10, 80, 200))]
    assert names(boxes, [_face(FACE, "Ann")]) == {"small": "Ann"}
    both = [_face(FACE, "Ann"), _face((200, 20, 220, 40), "Bob")]
    assert names(boxes, both) == {"small": "Ann"}


def test_other_objects_and_other_annotations_have_no_faces() -> None:
    box = (20, 10, 80, 200)
    assert names([_person("x", box, "dog")], [_face(FACE, "Ann")]) == {}
    assert names([_person("x", box)], [_face(FACE, "Rex", "pet")]) == {}


_BOXES = st.tuples(*[st.integers(0, 30)] * 4).map(
    lambda v: (v[0], v[1], v[0] + v[2] + 1, v[1] + v[3] + 1)
)


@given(st.lists(_BOXES, max_size=5), st.lists(st.tuples(_BOXES, st.sampled_from("AB")), max_size=4))
def test_every_name_belongs_to_one_face_in_its_box(persons: list, faces: list) -> None:
    boxes = [_person(str(number), box) for number, box in enumerate(persons)]
    found = names(boxes, [_face(box, name) for box, name in faces])
    for key, name in found.items():
        x1, y1, x2, y2 = persons[int(key)]
        inside = [n for (a, b, c, d), n in faces if x1 <= a and y1 <= b and c <= x2 and d <= y2]
        assert set(inside) <= {name}
        assert len(inside) <= 1
