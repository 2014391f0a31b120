"""A list that has a name twice claims two objects; a text that says it twice does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.captions.mentions import read_caption
from tests.timing import is_within

NAMES = ["Ann", "Bobby", "玉英"]


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("A photo of <Ann> and <Ann> on a carpet.", ["Ann"]),
        ("<Ann>, <Ann>, <Ann> and <Ann>", ["Ann"] * 3),
        ("There are <Ann>, a purple mug with white dots, and <Ann> on snow.", ["Ann"]),
        ("<Ann> (a red hat), <Ann> (a plain, blue hat) and a mug", ["Ann"]),
        ("On sand: a ball, Ann, Bobby, Ann and Bobby.", ["Ann", "Bobby"]),
        ("<玉英>,<玉英> and <Ann>", ["玉英"]),
        ("Ann, Ann and Ann sit on sand.", ["Ann"] * 2),
        ("On sand. <Ann> and <Ann> is to the left of a mug.", ["Ann"]),
        ("<Ann>, <Ann> is to the left of a mug.", ["Ann"]),
        ("<Ann> (on the left), <Ann> (on the right) sit", ["Ann"]),
        ("A photo of <Ann> and <Ann> sitting on sand.", ["Ann"]),
        ("There are Bobby, Ann playing and Ann (a mug) lying on a mat.", ["Ann"]),
        ("Ann, Bobby, Ann, and Bobby sit", ["Ann"]),  # the last may begin a clause
        ("Ann and a ball and Ann, Bobby and Bobby", ["Ann", "Bobby"]),
        ("Ann, Bobby, Ann is on sand.", ["Ann"]),
        ("Bobby, Ann, and Ann on sand.", ["Ann"]),
        ("A ball and <Ann>, <Ann> on sand.", ["Ann"]),
        ("A ball and Ann (on the left), Ann (on the right), Ann", ["Ann"] * 2),
        ("<Ann>, a boat with black checks and a bow, <Ann> and a red fish", ["Ann"]),
    ],
)
def test_a_list_has_it_again(text: str, again: list[str]) -> None:
    reading = read_caption(text, NAMES)
    assert list(reading.listed_twice) == again
    assert set(again) <= set(reading.named)


@pytest.mark.parametrize(
    "text",
    [
        "<Ann>, <Bobby> and <玉英>",
        "Ann sits, and Ann smiles.",
        "This is Ann, and Ann is happy.",
        "The dog is Ann, and Ann looks at Bobby.",
        "We see Ann and a ball in front of Ann.",
        "Ann, and Ann's toy.",
        "Ann and Ann's toy on a mat.",
        "A photo of Ann, and Ann smiles.",
        "Ann sitting on a mat and Ann is red.",
        "Ann and Bobby, Ann on the left.",
        "Ann and Bobby, Ann is the red one.",
        "We see Ann and Bobby, Ann wearing a hat and Bobby holding a ball.",
        "This is a photo of Ann and Ann smiles.",
        "The ball is left of Bobby, and Bobby on the right is left of Ann.",
        "Ann looks at Bobby, and Bobby at Ann.",
        "The dog sits, and Ann smiles, and Ann laughs.",
        "On the left is Ann and Ann is red.",
        "Ann in a park and Ann on a beach.",
        "Ann and Bobby. Ann, a dog, and Bobby, a cat.",
        "Ann: Ann is red; Bobby is blue.",
        "Ann Ann",  # a stutter; it costs variety
        "Ann (next to Ann and Bobby)",
        "",
    ],
)
def test_a_text_may_say_it_again(text: str) -> None:
    assert read_caption(text, NAMES).listed_twice == ()


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=9))
def test_a_list_counts_each_name_beyond_the_first(names: list[str]) -> None:
    *most, last = (f"<{name}>" for name in names)
    text = f"{', '.join(most)} and {last} on grass." if most else f"{last} on grass."
    assert len(read_caption(text, NAMES).listed_twice) == len(names) - len(set(names))


@pytest.mark.parametrize("part", ["Ann, ", "a b ", "a mug, ", "Ann and ", "(", "Ann (", "a (b) "])
def test_time_is_linear(part: str) -> None:
    text = part * (10_000 // len(part))
    assert is_within(2.0, lambda: read_caption(text, NAMES))
