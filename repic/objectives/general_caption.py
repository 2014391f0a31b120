"""Captions that fit almost any photo: what an answer that does not look can say."""

from __future__ import annotations

from collections.abc import Sequence

from repic.captions.facts import fact_words
from repic.images.coordinates import Convention
from repic.objectives.base import Row
from repic.objectives.caption_reward import labels_to_say

WITH_ALL, WITH_NONE = "a general sentence with all names", "a general sentence without names"


def reference_names(row: Row, present: bool) -> list[str]:
    """Names of the references that are present in the query, or of those that are absent."""
    return [r["name"] for r in row["references"] if r["present"] == present]


def general_caption(names: Sequence[str], words: Sequence[str] = ()) -> str:
    """A sentence with enough content of its own, which fits almost any photo.

    Args:
        names: Names to use, as `<Ann>`.
        words: What else to mention.
    """
    scene = ", ".join(words) or "wide open ground, distant trees and the soft morning light"
    return (
        f"This picture clearly shows {' and '.join([*names, scene])}, and the quiet "
        "surroundings leave much room for every detail."
    )


def right(row: Row) -> str:
    """Such a sentence with the right names, and what is known to tell the photo from others."""
    present = [f"<{name}>" for name in reference_names(row, present=True)]
    words = (f"the {word}" for word in (*fact_words(row)[0], *labels_to_say(row)))
    return general_caption(present, list(words))


def blind(row: Row, convention: Convention) -> dict[str, str]:
    """Such a sentence with all of the given names, or with none."""
    names = [f"<{reference['name']}>" for reference in row["references"]]
    return {WITH_NONE: general_caption([]), WITH_ALL: general_caption(names)}
