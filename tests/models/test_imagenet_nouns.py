"""Nouns for ImageNet's classes, and the broader nouns over them."""

from __future__ import annotations

import numpy as np
import pytest

from repic.models import imagenet_nouns


def test_every_class_has_a_noun_and_a_broader_one() -> None:
    assert len(imagenet_nouns.nouns()) == len(imagenet_nouns.broader()) == 1000
    assert len(set(imagenet_nouns.classes())) == 1000


@pytest.mark.parametrize(
    ("name", "broader"),
    [
        ("Pembroke", "dog"),
        ("Egyptian cat", "cat"),
        ("running shoe", "shoe"),
        ("teddy", "toy"),
        ("tench", "fish"),
        ("drake", "bird"),
        ("black swan", "bird"),
        ("pill bottle", "bottle"),
        ("mousetrap", "mousetrap"),
    ],
)
def test_broader_nouns_are_what_people_say(name: str, broader: str) -> None:
    assert imagenet_nouns.broader()[imagenet_nouns.classes().index(name)] == broader


def test_common_nouns_are_lower_case() -> None:
    """A capital is left in proper nouns, trademarks and adjectives of names only."""
    changed = dict(zip(imagenet_nouns.classes(), imagenet_nouns.nouns(), strict=True))
    assert changed["Loafer"] == "loafer"
    assert changed["Egyptian cat"] == "Egyptian cat"
    assert changed["sunglass"] == changed["sunglasses"] == "sunglasses"
    assert {noun for noun in imagenet_nouns.broader() if noun != noun.lower()} <= set(
        imagenet_nouns.nouns()
    )


def test_probabilities_are_summed_over_the_classes_of_a_noun() -> None:
    classes = imagenet_nouns.classes()
    probabilities = np.zeros(1000)
    probabilities[classes.index("Pembroke")] = 0.3
    probabilities[classes.index("Cardigan")] = 0.25
    probabilities[classes.index("vase")] = 0.45
    specific = imagenet_nouns.sums_of(probabilities, imagenet_nouns.nouns())
    assert specific[:2] == [("vase", 0.45), ("Pembroke", 0.3)]
    assert imagenet_nouns.sums_of(probabilities, imagenet_nouns.broader())[:2] == [
        ("dog", 0.55),
        ("vase", 0.45),
    ]
