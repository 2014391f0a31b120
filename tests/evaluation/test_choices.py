"""Letters, yes and no as models write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.evaluation.answers.choices import choice, options_for, options_in, yes_or_no

OPTIONS = ("Brown", "Grey", "Brown and white", "A lake")


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        *(("B", "B"), ("b", "B"), ("B.", "B"), ("(B)", "B"), ("**B**", "B"), (" [B] \n", "B")),
        *(
            ("B. Grey", "B"),
            ("B) Grey", "B"),
            ("B: Grey", "B"),
            ("(B) Grey.", "B"),
            ("B, grey", "B"),
        ),
        *(("**B.** Grey", "B"), ("B - Grey", "B"), ("Answer: B", "B"), ("The answer is B.", "B")),
        ("The correct option is **(B)** because of the fur.", "B"),
        ("Looking at <bo>, the fur is silver.\n\nAnswer: B", "B"),
        *((r"It is \boxed{B}", "B"), (r"$\boxed{\text{B}}$", "B"), ("Option B", "B")),
        *(
            ("grey", "B"),
            ("The fur of <bo> is grey.", "B"),
            ("Brown and white", "C"),
            ("A lake", "D"),
        ),
        *(("A", "A"), ("A. Brown", "A"), ("A lake is behind <bo>.", "D"), ("D\nA lake", "D")),
    ],
)
def test_what_models_say(reply: str, letter: str) -> None:
    index = choice(reply, OPTIONS)
    assert index is not None
    assert "ABCD"[index] == letter


@pytest.mark.parametrize(
    "reply",
    [
        *("", "I cannot tell.", "A or B", "Grey or brown", "A. Grey", "It is not grey.", "E", "Z."),
        *("A dog is there.", "The answer is A or B.", "Answer: A. Answer: B", "a photo of a dog"),
    ],
)
def test_what_cannot_be_read(reply: str) -> None:
    assert choice(reply, OPTIONS) is None


def test_letters_that_only_look_like_latin_ones_are_not_read() -> None:
    assert choice("The answer is \u212a.", OPTIONS) is None  # the sign of kelvins
    assert yes_or_no("Ye\u017f.") is not False  # a long s


def test_letters_without_texts() -> None:
    assert choice("The answer is C", ("", "", "")) == 2
    assert choice("C. <Ann>", ("", "", "")) == 2
    assert choice("D", ("", "", "")) is None


def test_yes_and_no_as_options() -> None:
    assert choice("Yes, he is.", ("Yes", "No")) == 0
    assert choice("No", ("Yes", "No")) == 1
    assert choice("B. No", ("Yes", "No")) == 1


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        *(("Yes", True), ("yes.", True), ("**Yes**, <bo> is here.", True), ("No", False)),
        *(("No, I can't see <bo>.", False), ('"No"', False), ("<bo> is here", None), ("", None)),
        *(("Nobody", None), ("Yesterday", None), ("I think yes", None)),
    ],
)
def test_yes_or_no(reply: str, answer: bool | None) -> None:
    assert yes_or_no(reply) is answer


def test_options_in_the_text_of_a_question() -> None:
    assert options_in("What does <A> wear? A. A red hat B. Nothing") == ("A red hat", "Nothing")
    assert options_in("Who?\nA) <Ann>\nB) <Bob>\nC) Both") == ("<Ann>", "<Bob>", "Both")
    assert options_in("(A) Left, (B) Right") == ("Left", "Right")
    assert options_in("What is on the left of A?") == ()


@given(st.text(max_size=80))
def test_any_text_is_read_or_not(reply: str) -> None:
    assert choice(reply, OPTIONS) in (None, 0, 1, 2, 3)
    assert yes_or_no(reply) in (None, True, False)


def test_the_right_letter_is_always_one_of_the_options() -> None:
    assert options_for("Who? A. <Ann> B. <Bob>", "B") == ("<Ann>", "<Bob>")
    assert choice("E", options_for("Who is left?", "E")) == 4
    assert choice("E", options_for("Who? A. <Ann> B. <Bob>", "E")) == 4
    assert options_for("Who is left?", "A") == ("",) * 4
