"""Name accuracy of one caption, by the strict metric and by the paper's.

Strict: names are read by `repic.captions.mentions`, as in the reward: at token boundaries, in any
case, with possessives. A negated name is not counted; a doubtful name, a tag without a known name,
and each further time that a list has a name count as wrong. A caption has set precision, recall and
F1 of its names against those present; a file has their means. If no concept is present, naming none
scores 1 and anything else 0; otherwise naming none scores 0. Each known name of the file that is
used but not true is an extra name, whether or not its reference was shown.

Paper: as the released scripts count, including their loopholes. A caption is split at spaces and
the characters of `MARKS` are stripped from each token; `</s>` is removed. A concept of the pool
(the true names of all rows) is present if `<name>` or `name` is a token. A true name is a hit if
present, else a miss if another concept of the pool is present, else uncounted. precision =
hits / (hits + misses), recall = hits / truths. The script for two concepts is case-sensitive,
those for one and for four are not.

Loopholes, kept because the published numbers have them: naming the whole pool in each caption
scores 100/100/100, and extra names cost nothing once the true ones are named; `Ann's` is not the
token `Ann`; a name with a space is never found; an ordinary word ("can", "cat") may be a name; "Ann
is not here" is a hit; it is not checked which name belongs to which object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repic.captions.claims import check_claims
from repic.captions.mentions import CaptionReading, read_caption
from repic.evaluation.name_index import NameIndex
from repic.evaluation.records import Record, bare, folded

MAX_CAPTION = 10_000
"""Characters; a longer caption is not read and counts as one wrong name. 1,024 tokens are about
5,000 characters."""

COLUMNS = ("precision", "recall", "f1", "exact", "extra_names", "false_mention", "binding")
"""Quantities of the strict metric, each a ratio of two sums over captions."""

UNITS = ("caption",) * 5 + ("absent-reference caption", "claim")
"""What the denominator of each column counts."""

MARKS = ".,!?;:()[]{}\"'-"
_MISS = "MISS"

StrictCounts = tuple[Sequence[float], Sequence[float]]
"""Numerators and denominators, one of each per column."""


def strict_counts(record: Record, names: NameIndex) -> StrictCounts:
    """What one caption adds to each column of the strict metric.

    - exact: whether the set of names equals the true one;
    - extra_names: number of wrong names (may exceed 1);
    - false_mention: whether a shown but absent reference is named;
    - binding: correct claims about which name belongs to which object, where `scene` is known
      (`repic.captions.claims`).
    """
    present = _folded(record.concepts)
    absent = _folded(record.given) - present
    reading, order = _read(record, names)
    if reading is None:
        named, wrong, false = set[str](), 1, set[str]()
    else:
        named = _folded(reading.named)
        false = (named | _folded(reading.hedged)) - present
        wrong = len(named - present) + len(reading.hedged) + len(reading.false_names)
        wrong += len(reading.listed_twice)
    hits = len(named & present)
    missing = len(present) - hits
    precision = hits / (hits + wrong) if hits + wrong else float(not present)
    recall = hits / len(present) if present else float(not wrong)
    f1 = 2 * hits / (2 * hits + wrong + missing) if present else float(not wrong)
    correct, claimed = _binding(record, reading, order)
    return (
        (precision, recall, f1, not wrong and not missing, wrong, bool(false & absent), correct),
        (1, 1, 1, 1, 1, bool(absent), claimed),
    )


def _folded(names: Iterable[str]) -> set[str]:
    return {folded(name) for name in names}


def _read(record: Record, names: NameIndex) -> tuple[CaptionReading | None, list[str]]:
    """The reading of a caption, None if it is too long, and the names it was searched for."""
    if len(record.caption) > MAX_CAPTION:
        return None, []
    scene = [thing["name"] for thing in record.scene if thing["name"]]
    text, order = names.prepare(record.caption, (*record.concepts, *record.given, *scene))
    return read_caption(text, order, names_only=True), order


def _binding(record: Record, reading: CaptionReading | None, order: list[str]) -> tuple[int, int]:
    """Number of correct claims, and of all claims."""
    if reading is None or not record.scene:
        return 0, 0
    spelling = {folded(name): name for name in order}
    scene = [
        {**thing, "name": spelling[folded(thing["name"])] if thing["name"] else None}
        for thing in record.scene
    ]
    result = check_claims(
        reading.tokens, {"scene": scene, "references": [{"name": n} for n in order]}
    )
    return (result.right, result.right + result.wrong) if result else (0, 0)


@dataclass(frozen=True)
class PaperScript:
    """The released script for rows with this number of `concepts`."""

    concepts: int

    @property
    def is_case_sensitive(self) -> bool:
        return self.concepts == 2

    @property
    def takes_first(self) -> bool:
        """The script for one concept reads only the first true name of a row."""
        return self.concepts == 1

    def fold(self, text: str) -> str:
        return text if self.is_case_sensitive else text.lower()

    def truths(self, record: Record) -> tuple[str, ...]:
        return record.concepts[:1] if self.takes_first else record.concepts

    def tokens(self, caption: str) -> set[str]:
        text = self.fold(caption.replace("</s>", ""))
        return {token for word in text.split() if (token := word.strip(MARKS))}


@dataclass(frozen=True)
class ConceptPool:
    """The true names of a file, as one of the scripts compares them.

    Attributes:
        concepts: As written in the file.
        by_name: Folded bare name -> the concepts with this name.
    """

    concepts: frozenset[str]
    by_name: dict[str, frozenset[str]]


def concept_pool(concepts: Iterable[str], script: PaperScript) -> ConceptPool:
    """The pool of the true names of all rows, as written."""
    names: dict[str, set[str]] = {}
    written = frozenset(concepts)
    for concept in written:
        names.setdefault(bare(script.fold(concept)), set()).add(concept)
    return ConceptPool(written, {name: frozenset(group) for name, group in names.items()})


def paper_counts(record: Record, pool: ConceptPool, script: PaperScript) -> tuple[int, int, int]:
    """Hits, hits + misses, and true names of one caption."""
    tokens = script.tokens(record.caption)
    # `<name>` counts as `name` only where the pool has it with brackets.
    present = {token for token in tokens if token in pool.by_name}
    for token in tokens:
        name = bare(token)
        if name != token and any(script.fold(c) == token for c in pool.by_name.get(name, ())):
            present.add(name)
    truths = script.truths(record)
    names = [bare(script.fold(concept)) for concept in truths]
    names_other = any(_is_other(name, names, truths, pool, script) for name in present)
    hits = sum(name in present and name != _MISS for name in names)
    missed = sum(name not in present and names_other for name in names)
    missed += sum(name in present and name == _MISS for name in names)
    return hits, hits + missed, len(truths)


def _is_other(
    name: str, names: list[str], truths: tuple[str, ...], pool: ConceptPool, script: PaperScript
) -> bool:
    """Whether a present name belongs to a concept that is not true for this row.

    The script for one concept compares names, the others compare concepts as written.
    """
    if script.takes_first:
        return name not in names
    return any(concept not in truths for concept in pool.by_name[name])
