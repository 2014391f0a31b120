"""Rows in which nobody is present, as many as it takes that naming everybody does not pay.

Where only names are known, a caption that names everybody earns the set-F1 of all names without a
look at the photo, and one that names nobody earns 1 where nobody is present. A policy that does not
look still sees how many names are given. So a row with present references gives way, with the
chance F / (1 + F), to one with as many references that are all absent. F is the set-F1 of all its
names: with that chance, naming everybody and nobody earn the same for each number of names.
"""

from __future__ import annotations

from collections.abc import Sequence

from repic.config import ExampleSettings
from repic.objectives.base import SeededRandom, seed_of
from repic.objectives.neighborhood import Neighborhood
from repic.objectives.references import (
    ReferenceCandidate,
    ReferenceIndex,
    ReferenceSelection,
    absent_references,
)

REFUSED = "nothing_is_certainly_absent"
"""Reason for which a row is not made: no other could take its place."""

WHY = (
    "only names are known of the photos, and nothing is certainly absent from any, so that naming "
    "everybody would always be right; examples.ict.balance=false makes such rows"
)


def is_needed(
    near: Neighborhood,
    first: ReferenceCandidate | None,
    settings: ExampleSettings,
) -> bool:
    """Whether a row about a pair needs it: only names are known, and absent rows are wanted.

    Without any negative pair nothing can be absent, and the rows stay as they are; so do those
    whose references are crops of the query itself.
    """
    ict = settings.ict
    is_wanted = ict.balance and ict.shares.get("absent", 0) > 0 and near.has_negatives
    is_about_pair = first is not None and first.pair is not None
    return is_wanted and is_about_pair and not near.fact_words[0]


def may_give_way(selection: ReferenceSelection) -> bool:
    """Whether a row is a caption row without a reference that is a crop of the query."""
    return selection.target is None and not any(c.of_query for c in selection.candidates)


def balanced(
    index: ReferenceIndex, references: Sequence[ReferenceCandidate], seed: int
) -> list[ReferenceCandidate]:
    """The references of a row, or as many absent ones; empty if nothing is certainly absent.

    There are at most as many as the photo has absent ones, so that any row could give way.
    """
    nobody = absent_references(index, seed)
    kept = _first(references, len(nobody))
    f1 = set_f1_of_all(sum(_is_present(reference) for reference in kept), len(kept))
    # Its own generator: the rest of the row depends on the number of references only.
    gives_way = SeededRandom(seed_of(seed, "nobody")).chance(f1 / (1 + f1))
    return nobody[: len(kept)] if gives_way else kept


def _first(references: Sequence[ReferenceCandidate], most: int) -> list[ReferenceCandidate]:
    """The first of the references, one of them absent if there is room and any is."""
    present = [reference for reference in references if _is_present(reference)]
    absent = [reference for reference in references if not _is_present(reference)]
    kept = present[: most - 1 if absent and most > 1 else most]
    return kept + absent[: most - len(kept)]


def kind_of(present: int, shown: int) -> str:
    """The kind of a caption row with so many references, of which some are present."""
    if not present:
        return "absent"
    if present < shown:
        return "mixed"
    return "single" if present == 1 else "multi"


def _is_present(reference: ReferenceCandidate) -> bool:
    return reference.in_query is not None


def set_f1_of_all(present: int, names: int) -> float:
    """Set-F1 of naming everybody, where some of the names are present; 0 if nobody is."""
    return 2 * present / (present + names) if present else 0.0
