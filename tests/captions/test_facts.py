"""Facts of a row: the words that a caption is checked against, also under their former names."""

from __future__ import annotations

from typing import Any

from repic.captions.facts import FORMER_NAMES, checkable_facts, fact_words

ROW: dict[str, Any] = {
    "caption": "<Ann> and a plain blue car on grass.",
    "references": [{"name": "Ann", "info": "A mug."}],
    "distinctive_words": ["red", "mug", "blue", "car", "grass"],
    "distractor_words": ["star", "snow"],
}


def former(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the column names of older stores."""
    return {FORMER_NAMES.get(name, name): value for name, value in row.items()}


def test_words_that_the_prompt_gives_are_not_facts() -> None:
    facts = checkable_facts(ROW)
    assert facts is not None
    assert facts.true == {"red", "blu", "car", "gras"}
    assert facts.score(["red", "blue", "car"]) == 1
    assert facts.score(["red", "blue", "car", "snow"]) == 0


def test_general_words_for_surroundings_are_no_facts() -> None:
    row = {**ROW, "distinctive_words": ["blue", "car", "tiles", "floor"]}
    facts = checkable_facts({**row, "distractor_words": ["wooden", "wall"]})
    assert facts is not None
    assert facts.true == {"blu", "car", "til"}
    assert facts.score(["blue", "car", "tiled", "floor"]) == 1
    assert facts.score(["blue", "car", "wooden", "floor"]) == 0
    assert facts.score(["blue", "car", "tiled", "wall"]) == 1


def test_words_for_the_same_thing_are_one_fact() -> None:
    facts = checkable_facts(ROW)
    assert facts is not None
    assert facts.score(["red", "blue", "automobile", "lawn"]) == 1


def test_a_short_caption_needs_fewer_facts() -> None:
    caption = "red blue car grass bow flag crown tiles star pink ball zigzags"
    words = caption.split()
    row = {**ROW, "caption": caption, "distinctive_words": words}
    facts = checkable_facts(row)
    assert facts is not None
    assert facts.enough == 7
    assert facts.score(words[:6]) == 1
    assert facts.score(words[:4]) == 0
    assert facts.score([*words[:6], "snow"]) == 0


def test_a_row_without_distinctive_words_has_no_facts() -> None:
    assert checkable_facts({**ROW, "distinctive_words": []}) is None
    assert checkable_facts({"caption": None, "references": []}) is None


def test_former_column_names_are_read() -> None:
    assert former(ROW).keys() >= {"telling", "elsewhere"}
    assert checkable_facts(former(ROW)) == checkable_facts(ROW)
    assert fact_words({**former(ROW), "distinctive_words": []}) == ((), ["star", "snow"])
    assert fact_words({**former(ROW), "distinctive_words": None}) == fact_words(ROW)
