"""Claims about named objects."""

from __future__ import annotations

from typing import Any

import pytest

from repic.captions.claims import check_claims
from repic.captions.mentions import read_caption


def scene(name: str | None, label: str, phrase: str, x: float) -> dict[str, Any]:
    box = [x, 10.0, x + 10.0, 20.0]
    return {"name": name, "label": label, "phrases": [f"the {phrase}"], "box": box}


ROW = {
    "references": [{"name": name} for name in ("Ann", "Bob", "Cy")],
    "scene": [
        scene("Ann", "mug", "red mug with white dots and a bow", 0),
        scene("Bob", "car", "plain blue car", 50),
        scene(None, "star", "green star with a crown", 100),
    ],
}


def score(text: str, row: dict[str, Any] = ROW) -> float | None:
    checked = check_claims(read_caption(text, ["Ann", "Bob", "Cy"]).tokens, row)
    return checked.score if checked else None


RIGHT = [
    "On the far left we find Ann, and on the right Bob.",
    "Ann is the red mug and Bob is the blue car.",
    "Ann (the red mug with white dots and a bow) and Bob (the blue car).",
    "Ann, a red mug with a bow, and Bob, a blue car.",
    "The red mug with white dots and a bow Ann and the blue car Bob.",
    "A mug named Ann stands there. Bob, who is a car, too.",
    "Ann is to the left of Bob.",
    "Bob is on the right and Ann is on the left.",
    "Ann wears a bow.",
    "Ann and Bob are the red mug and the blue car, respectively.",
    "- Ann: the red mug\n- Bob: the blue car",
    "We see the red mug (Ann) and the blue car (Bob).",
    "The red mug, named Ann, and the blue car, called Bob.",
    "Ann is a mug that is red.",
    "Ann appears as a red mug and Bob appears as a blue car.",
    "Ann, which happens to be a red mug, and Bob, who turns out to be a blue car.",
    "Ann: red mug\nBob: blue car",
    "| Ann | red mug |\n| Bob | blue car |",
    "A red mug named Ann, a blue car named Bob.",
    "From left to right: Ann, Bob.",
    "To the right of Ann is Bob.",
    "Ann (left) and Bob (right).",
]
WRONG = [
    "On the far left we find Bob, and on the right Ann.",
    "Bob is the red mug and Ann is the blue car.",
    "Bob (the red mug with white dots and a bow) and Ann (the blue car).",
    "Bob, the red mug with a bow, and Ann, the blue car.",
    "The red mug with white dots and a bow Bob and the blue car Ann.",
    "A mug named Bob stands there. Ann, who is a car, too.",
    "Bob is to the left of Ann.",
    "Ann is on the right and Bob is on the left.",
    "Bob wears a bow.",
    "Ann is the green star.",
    "Ann and Bob are the blue car and the red mug, respectively.",
    "Ann: the blue car; Bob: the red mug.",
    "We see the red mug (Bob) and the blue car (Ann).",
    "The red mug, named Bob, and the blue car, called Ann.",
    "Ann is not the red mug.",
    "Ann appears as a blue car and Bob appears as a red mug.",
    "Ann, which happens to be a blue car, and Bob, who turns out to be a red mug.",
    "Ann: blue car\nBob: red mug",
    "| Ann | blue car |\n| Bob | red mug |",
    "A blue car named Ann, a red mug named Bob.",
    "From left to right: Bob, Ann.",
    "To the left of Ann is Bob.",
    "Ann (right) and Bob (left).",
    "A blue mug and a red car.",
    "A red mug with a crown.",
]
SILENT = [
    "Ann and Bob on grass.",
    "Ann, a green star and Bob on grass.",
    "A red mug and Bob.",
    "Ann stands next to a blue car.",
    "To the left of the blue car Ann stands.",
    "Ann with a blue car.",
    "A photo of Ann.",
    "Ann is not the blue car.",
    "Ann is facing the blue car.",
    "Ann is watching the blue car.",
    "Ann is the same size as the blue car.",
    "Ann was there before the blue car.",
    "A red mug and a blue car.",
    "The blue car hides Ann.",
    "Beside Ann is the blue car.",
    "Ann is with the blue car.",
    "Ann is bigger than the blue car.",
    "Ann is like the blue car.",
    "",
]


@pytest.mark.parametrize("text", RIGHT)
def test_right(text: str) -> None:
    assert score(text) == 1


@pytest.mark.parametrize("text", WRONG)
def test_wrong(text: str) -> None:
    assert score(text) == 0


@pytest.mark.parametrize("text", SILENT)
def test_nothing_is_claimed(text: str) -> None:
    assert score(text) is None


def test_a_wrong_claim_takes_a_right_one_away() -> None:
    assert score("Ann is the red mug. Bob is the green star.") == 0
    text = "Ann is the red mug. Bob is the blue car. The star is red."
    assert score(text) == pytest.approx(1 / 3)


def test_where_nothing_is_known_nothing_is_checked() -> None:
    assert score(WRONG[0], {"references": ROW["references"]}) is None
    assert score(WRONG[0], {**ROW, "scene": ROW["scene"][:1]}) is None
    assert (
        score("Ann is the dog.", {**ROW, "scene": [{**t, "name": None} for t in ROW["scene"]]})
        is None
    )
