"""Names that a caption mentions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.captions.mentions import read_caption

NAMES = ("Ann", "Bobby", "Zoé", "민준", "秀英")


@pytest.mark.parametrize(
    "text",
    [
        "<Ann> is here",
        "Ann is here",
        "ANN",
        "It is Ann.",
        "Ann's dog",
        "Ann\u2019s dog",
        "(Ann)",
        '"Ann"',
        "Ann\nand a dog",
        "l'Ann",
        "Ann, a dog",
        "Ann\u2014a dog",
        "Ann은 여기",
        "Ann在这里",
        "Is it Ann? It is!",
        "Ann is not looking at the camera",
        "Ann, not far from a tree",
        "No, it is Ann",
        "Nothing hides <Ann>",
    ],
)
def test_a_mention(text: str) -> None:
    reading = read_caption(text, NAMES)
    assert reading.named == ("Ann",)
    assert not reading.false_names


@pytest.mark.parametrize(
    "text", ["민준", "민준이 있다", "민준은 여기", "<민준>이", "민준이가", "민준의 개"]
)
def test_a_mention_in_korean(text: str) -> None:
    assert read_caption(text, NAMES).named == ("민준",)


@pytest.mark.parametrize("text", ["秀英", "照片里秀英坐着", "<秀英>坐着", "A photo of 秀英."])
def test_a_mention_in_chinese(text: str) -> None:
    assert read_caption(text, NAMES).named == ("秀英",)


@pytest.mark.parametrize(
    "text",
    [
        "Anna",
        "Banner",
        "Ann-Marie",
        "Ann_x",
        "Bob",
        "A\u200bnn",
        "An\u0430",
        "\u0410nn",
        "A n n",
        "민준하",
        "Ann\u0336",
        "",
    ],
)
def test_no_mention(text: str) -> None:
    assert not read_caption(text, NAMES).named


@pytest.mark.parametrize("text", ["Zoe\u0301 is here", "Zoe is here", "<Zoe>"])
def test_accents_may_be_composed_or_missing(text: str) -> None:
    assert read_caption(text, NAMES).named == ("Zoé",)


@pytest.mark.parametrize(
    "text",
    [
        *("<Ann's> hat", "<Name: Ann>", "@Ann", "\\<Ann\\>", "<b>Ann</b>", "Ann<br>on sand"),
        *("<Ann> sits -> on sand", "Ann <3", "I see Ann, and 3 > 2", "Ann/the one on the sand"),
    ],
)
def test_markup_and_marks_are_no_strangers(text: str) -> None:
    reading = read_caption(text, NAMES)
    assert reading.named == ("Ann",)
    assert not reading.false_names


def test_the_longest_chinese_name_is_read() -> None:
    assert read_caption("丽丽坐着", ["丽", "丽丽"]).named == ("丽丽",)
    assert read_caption("丽和丽丽坐着", ["丽", "丽丽"]).named == ("丽丽", "丽")


def test_names_that_are_words_of_grammar() -> None:
    names = ["No", "Or", "May", "Ann"]
    assert read_caption("There is no dog here, or Ann is not in it.", names).negated == ("Ann",)
    assert read_caption("May sits on sand; <No> may be tired.", names).named == ("May", "No")
    assert read_caption("No Ann here.", names).negated == ("Ann",)


@pytest.mark.parametrize(
    "text",
    [
        "Ann is not in the picture.",
        "<Ann> isn't in this photo",
        "Ann isn\u2019t here",
        "Ann is not visible",
        "Ann cannot be seen here",
        "Ann does not appear",
        "Ann is absent",
        "Ann is nowhere",
        "There is no Ann here",
        "a dog without Ann",
        "neither Ann nor a cat",
        "I do not see Ann",
        "It can't be seen whether... I don't see any Ann",
        "This is not Ann",
        "a dog instead of Ann",
        "no sign of <Ann>",
        "Ann is here. Ann is not here.",
        "nobody named Ann is here",
        "everyone but Ann",
        "Ann did not come",
        "Ann is out of the frame",
    ],
)
def test_a_negated_mention_names_nobody(text: str) -> None:
    reading = read_caption(text, NAMES)
    assert reading.negated == ("Ann",)
    assert not reading.named


@pytest.mark.parametrize(
    "text",
    [
        "maybe Ann",
        "It could be Ann",
        "this may or may not be Ann",
        "Ann or Bobby",
        "Ann, or not.",
        "Ann, perhaps.",
        "either Ann or somebody",
        "Ann is here. Ann is not here.",
        "No Ann. But there is Ann.",
    ],
)
def test_a_doubtful_mention_is_hedged(text: str) -> None:
    reading = read_caption(text, NAMES)
    assert "Ann" in reading.hedged
    assert "Ann" not in reading.named


@pytest.mark.parametrize(
    "text", ["Neither Ann nor Bobby", "no Ann or Bobby here", "Ann on oranges"]
)
def test_no_doubt(text: str) -> None:
    assert not read_caption(text, NAMES).hedged


@pytest.mark.parametrize(
    "text",
    ["A\u200bnn", "\u0410nn", "An\u0578", "A-n-n", "\uff21nn", "A\u0336n\u0336n", "秀英x", "a민준"],
)
def test_what_only_looks_like_a_name_is_a_stranger(text: str) -> None:
    is_unlisted = text == "An\u0578"  # an Armenian letter, which the list of look-alikes lacks
    assert bool(read_caption(text, NAMES).false_names) != is_unlisted


@pytest.mark.parametrize("text", ["<Ann", "Ann>", "<<Ann>>", "<!-- <Ann> -->"])
def test_a_broken_tag_is_a_stranger(text: str) -> None:
    assert read_caption(text, NAMES).false_names


def test_repetition() -> None:
    text = "a small brown dog sits on the grass"
    assert read_caption(text, NAMES).repetition == 0
    assert read_caption(f"{text}. {text}.", NAMES).repetition > 0.25
    assert read_caption("Ann on tiles. Ann on tiles.", NAMES).repetition == 0.5
    assert read_caption("### Caption\n\nAnn sleeps here...", NAMES).repetition == 0
    assert read_caption("so so so so nice", NAMES).repetition > 0.5
    assert read_caption(text, NAMES, request="the dog sits on the grass today").repetition > 0.2


def test_a_negated_list() -> None:
    reading = read_caption("A dog with Zoé; neither Ann nor <Bobby> is here.", NAMES)
    assert (reading.named, reading.negated) == (("Zoé",), ("Ann", "Bobby"))


@pytest.mark.parametrize("text", ["<Eve> is here", "</Ann>", "<Ann Bobby>", "<Ann, Ann>", "<Ann:>"])
def test_a_tag_that_holds_no_name_is_a_stranger(text: str) -> None:
    assert len(read_caption(text, NAMES).false_names) == 1


def test_words_that_are_copied_do_not_count() -> None:
    prompt = "Describe this picture in detail, please."
    assert not read_caption("Describe this picture in detail", NAMES, prompt).new_words
    assert read_caption("this picture of a dog", NAMES, prompt).new_words == {
        *("this", "picture", "of", "a", "dog")
    }
    assert read_caption("照片里秀英坐着", NAMES).words == {"照", "片", "里", "坐", "着"}
    assert read_caption("照片里", NAMES).words == {"照", "片", "里"}


@given(st.text(max_size=300), st.lists(st.sampled_from(NAMES), unique=True))
def test_any_text_can_be_read(text: str, names: list[str]) -> None:
    reading = read_caption(text, names, "some prompt of five words")
    assert set(reading.named) | set(reading.negated) <= set(names)
    assert not set(reading.named) & set(reading.negated)
    assert len(reading.new_words) <= len(reading.words) <= reading.word_count
