"""Nouns for the same thing."""

from __future__ import annotations

import pytest

from repic.captions.nouns import broader_nouns, calls_it
from repic.captions.tokens import content_stems
from repic.models import imagenet_nouns


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Pembroke", "A corgi sits on grass."),
        ("golden retriever", "A dog on grass."),
        ("dog", "A terrier on grass."),
        ("dog", "A puppy sleeps."),
        ("running shoe", "A pair of sneakers on tiles."),
        ("teddy", "A teddy bear on a rock."),
        ("wooden giraffe", "The giraffe is small."),
    ],
)
def test_synonyms_and_broader_nouns_say_what_it_is(label: str, text: str) -> None:
    assert calls_it(label, content_stems(text))


@pytest.mark.parametrize(
    ("label", "text"),
    [("dog", "A toaster on grass."), ("teapot", "It stands on a rock."), ("", "A dog.")],
)
def test_other_nouns_do_not(label: str, text: str) -> None:
    assert not calls_it(label, content_stems(text))


def test_the_classes_of_timm_are_those_of_the_classifier() -> None:
    from repic.captions.nouns import _classes

    expected = broader_nouns([*imagenet_nouns.classes()])
    assert [broader for broader, _ in _classes()] == [noun.casefold() for noun in expected]
