"""Forms in which people write `yes`, `no` and a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.objectives import identify
from repic.objectives.short_answers import bare, yes_or_no
from repic.rewards.scoring import score
from tests.rewards.test_scoring import WHICH


@pytest.mark.parametrize(
    "text",
    [
        *("no", "No.", "NO!", '"No"', "'no.'", '"no".', "No\u3002", "no\uff01", " no\r\n"),
        *(
            "No, it is not.",
            "No, it isn't",
            "no, she does not.",
            "No, that is right.",
            "No, it's true",
        ),
    ],
)
def test_no_in_its_forms(text: str) -> None:
    assert yes_or_no(text) == "no"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            '"',
            '""',
            "''no''",
            "\u201cno\u201d",
            "no!!",
            "no?",
            "no\u2026",
            "no - sure",
            "`no`",
        ),
        *(
            "No, it is.",
            "No, that is not right",
            "no, it is right there",
            "no, yes",
            "Yes, it is not",
        ),
        *("no, it is not, or is it", "n o", "no\xa0", "not", "nope", "it is no"),
    ],
)
def test_other_texts_are_no_answer(text: str) -> None:
    assert yes_or_no(text) is None


@given(st.text("yesno,.!'\"it ", max_size=20))
def test_an_answer_begins_with_its_word(text: str) -> None:
    answer = yes_or_no(text)
    assert answer is None or bare(text).lower().startswith(answer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is <Ann>.", "<Ann>"),
        ("The name is Ann!", "<Ann>"),
        ('"<Ann>"', "<Ann>"),
        ("it's ann", "<Ann>"),
        ("None of them.", "none"),
        ("None of the names", "none"),
        ("No one", "none"),
        ("It is none.", "none"),
        ("None of the names above", "none"),
        ("The answer is <Ann>", "<Ann>"),
        ("It is not Ann", None),
        ("It is Ann, or Bob", None),
        ("none, or Ann", None),
        ("nobody", None),
        ("It is it is Ann", None),
    ],
)
def test_a_name_in_its_forms(text: str, expected: str | None) -> None:
    assert identify.parse(text, ["Ann", "Bob"]) == expected


def test_a_name_is_read_before_the_words_for_none() -> None:
    row = {**WHICH, "references": [{"name": "None", "info": "", "present": True}]}
    assert score("None", {**row, "answer": "<None>"}).total == 1
    assert score("none of them", {**row, "answer": "none"}).total == 1
