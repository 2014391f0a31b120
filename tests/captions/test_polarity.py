"""What a caption affirms, denies, doubts or merely mentions."""

from __future__ import annotations

import pytest

from repic.captions.mentions import read_caption


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no red mug on sand", {"red", "mug"}),
        ("There is no cloud, just sand.", {"cloud"}),
        ("It is not grass but sand.", {"grass"}),
        ("neither boats nor stars", {"boats", "stars"}),
        ("nothing but sand", set()),
        ("not only sand", set()),
        ("no mug here, but a red mug there", {"here"}),
        ("It isn\u2019t a star.", {"star"}),
    ],
)
def test_denied_words(text: str, words: set[str]) -> None:
    reading = read_caption(text, [])
    denied = reading.words - reading.affirmed_words
    assert words <= denied
    assert words or not denied


@pytest.mark.parametrize(
    "text",
    [
        "Ann is on the sand. Unlike Ann, Bob is red.",
        "Ann and Bob. Nobody but Ann is red.",
        "Ann is not far from Bob.",
        "Ann is not alone in the picture.",
        "Ann is missing a wheel.",
        "Ann is far away.",
        "Ann cannot be missed.",
        "Not only Ann is here.",
        "Ann is far from Bob.",
        "Ann and Bob on sand. Ann, not Bob, is red.",
        "_Ann_ on sand",
        "> Ann on sand",
    ],
)
def test_affirmed(text: str) -> None:
    reading = read_caption(text, ["Ann", "Bob"])
    assert "Ann" in reading.named
    assert not reading.hedged
    assert not reading.false_names


@pytest.mark.parametrize(
    "text",
    [
        "Missing: Ann.",
        "Not pictured: Ann.",
        "Ann: absent.",
        "Ann is no longer here.",
        "Ann has left the picture.",
        "There isn't any Ann in it.",
        "someone like Ann",
        "a lookalike of Ann",
        "not even Ann",
        "a mug, not Ann",
        "senza Ann",
        "You won't find Ann; Ann won't be found here.",
    ],
)
def test_not_affirmed(text: str) -> None:
    assert "Ann" not in read_caption(text, ["Ann", "Bob"]).named


@pytest.mark.parametrize(
    "text",
    ["Ann and/or Bob", "Ann (?) on sand", "Ann or something", "what might possibly be Ann"],
)
def test_doubted(text: str) -> None:
    assert "Ann" in read_caption(text, ["Ann", "Bob"]).hedged


@pytest.mark.parametrize(
    "text", ["ann@x.org", "x.org/Ann/1", "C:\\Ann", "&lt;Ann&gt;", "&#65;nn", "Ann=1"]
)
def test_a_name_in_an_address_is_a_stranger(text: str) -> None:
    assert read_caption(text, ["Ann"]).false_names


@pytest.mark.parametrize("text", ["Ro\u017fe", "So\ufb01a"])
def test_another_spelling_of_a_letter_is_no_name(text: str) -> None:
    assert read_caption(text, ["Rose", "Sofia"]).named == ()
