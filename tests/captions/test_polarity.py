"""What a caption affirms, denies, doubts or merely mentions."""

from __future__ import annotations

import pytest

from repic.captions.mentions import read_caption
from repic.captions.polarity import MANY


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
        ("a mug that is not on a carpet", {"carpet"}),
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
        "Bob has no hat, unlike Ann, on sand.",
        "_Ann_ on sand",
        "> Ann on sand",
        "Ann is captured in motion on sand.",
        "Ann is made of wood.",
        "It looks like Ann is sleeping.",
        "Let us not forget Ann on sand.",
        "Ann, on the sand, is not alone.",
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
        "The claim that this is Ann is false.",
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


OUTSIDE = [
    "A mug. Photo by Ann.",
    "A mug. Dear Ann, thank you.",
    "A mug, in the style of Ann.",
    "A mug. #Ann #mug",
    "A mug. Tags: Ann.",
    "A mug. See you soon, Ann!",
    "A mug. It looks like Ann.",
    "A mug. If Ann were here, all would be well.",
    "A mug. Ann would have loved it.",
    "A mug. Is it Ann?",
    "A mug. Happy birthday Ann!",
    "A mug, for the article by Ann.",
    "A mug. As Ann once said, look closely.",
    "A mug. Is Ann sitting on it?",
    "A mug. Imagine Ann sitting on it.",
    "A mug. I wish that Ann were here.",
    "A mug, bought for Ann.",
]


@pytest.mark.parametrize("text", OUTSIDE)
def test_a_name_that_is_no_object_is_only_mentioned(text: str) -> None:
    assert read_caption(text, ["Ann"]).hedged == ("Ann",)
    assert read_caption(f"Ann is on sand. {text}", ["Ann"]).named == ("Ann",)


@pytest.mark.parametrize(
    "text",
    [
        "Ann is not absent.",
        "Ann did not come alone.",
        "Ann is not visible in full.",
        "Ann may be waiting for a friend.",
        "Perhaps Ann is asleep.",
        "Never has Ann been so close.",
        "Unlike Bob, Ann is red.",
        "Without Bob, Ann sits on sand.",
        "Neither Ann nor Bob is moving.",
        "Isn't Ann lovely?",
    ],
)
def test_what_is_presupposed_is_affirmed(text: str) -> None:
    assert "Ann" in read_caption(text, ["Ann", "Bob"]).named


@pytest.mark.parametrize(
    "text",
    [
        "Ann does not seem to be present.",
        "Ann isn't part of the picture.",
        "Ann appears to be absent.",
        "Ann? No.",
        "Ann: no",
        "No object here matches Ann.",
        "Neither of the known ones, Ann, is here.",
        "I was shown Ann, but not here.",
        "Das ist nicht Ann.",
        "Ann is not among them.",
        "Ann, however, is missing.",
        "Ann, a dog, is not here.",
        "Ann, who was mentioned before, does not appear here.",
        "It is not the case that Ann sits on sand.",
    ],
)
def test_denied(text: str) -> None:
    reading = read_caption(text, ["Ann", "Bob"])
    assert reading.negated == ("Ann",)
    assert not reading.named


@pytest.mark.parametrize(
    "text",
    [
        "Not in the picture: a red mug.",
        "It is hard to believe in a red mug.",
        "There is a red mug. In fact nothing of this is true.",
        "If only there were a red mug!",
        "Is there a red mug? Hardly.",
        "A red mug is not visible.",
        "There are no cars, red mugs or boats.",
    ],
)
def test_words_that_are_not_affirmed(text: str) -> None:
    assert "red" not in read_caption(text, []).affirmed_words


@pytest.mark.parametrize(
    "text", ["Not one but two things lie there: a red mug and sand.", "Ann isn't alone: a red mug."]
)
def test_a_list_after_another_negation_is_affirmed(text: str) -> None:
    assert "red" in read_caption(text, ["Ann"]).affirmed_words


def test_adjectives_of_the_surroundings_are_no_facts() -> None:
    reading = read_caption("A red mug on green grass. The background is white.", [])
    assert reading.affirmed_words >= {"red", "mug", "grass"}
    assert not reading.affirmed_words & {"green", "white"}


@pytest.mark.parametrize(
    "text", ["All of this is untrue.", "But all of the above is made up.", "That would be a lie."]
)
def test_a_denial_takes_back_what_was_said_of_names(text: str) -> None:
    assert not read_caption(f"Ann on sand. {text}", ["Ann"]).named


def test_what_is_made_up_of_parts_is_no_lie() -> None:
    assert read_caption("Ann on sand. The sand is made up of stones.", ["Ann"]).named == ("Ann",)


def test_of_many_mentions_none_is_read() -> None:
    few, many = (read_caption("Ann sits. " * count, ["Ann", "Bob"]) for count in (MANY, MANY + 1))
    assert (few.named, few.hedged) == (("Ann",), ())
    assert (many.named, many.hedged) == ((), ("Ann",))
