"""Precision, recall and F1 as the released scripts count them, with their loopholes.

A caption is split at spaces and the marks of `MARKS` are taken from both ends of each token; `</s>`
is removed. A concept of the pool (all truths of the file) is present if `<name>` or `name` is a
token. Per truth: a hit; else a miss if a concept of the pool that is no truth of this row is
present; else nothing. precision = hits / (hits + misses), recall = hits / truths. There are three
scripts: the one for two concepts minds case, those for one and for four do not.

Known loopholes (kept, because the published numbers have them): naming the whole pool in each
caption scores 100/100/100, an extra name costs nothing where the truths are named; `Ann's` is no
token `Ann`; a name with a space is never found; an ordinary word ("can", "cat") may be a name; "Ann
is not here" is a hit; who is who is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from repic.evaluate.records import Record, bare

MARKS = ".,!?;:()[]{}\"'-"
_MISS = "MISS"


@dataclass(frozen=True)
class Rule:
    """Which script: that for `concepts` truths per row."""

    concepts: int

    @property
    def minds_case(self) -> bool:
        return self.concepts == 2

    @property
    def takes_first(self) -> bool:
        """The script for one concept reads the first truth of a row only."""
        return self.concepts == 1

    def fold(self, text: str) -> str:
        return text if self.minds_case else text.lower()

    def truths(self, record: Record) -> tuple[str, ...]:
        return record.concepts[:1] if self.takes_first else record.concepts


@dataclass(frozen=True)
class Pool:
    """The concepts of a file under a rule.

    Attributes:
        concepts: As the file writes them.
        by_name: Folded bare name -> the concepts that are written so.
    """

    concepts: frozenset[str]
    by_name: dict[str, frozenset[str]]


def rule_of(counts: Iterable[int]) -> Rule:
    """The script for a file whose rows have so many truths: that of the longest row."""
    return Rule(max(max(counts, default=1), 1))


def pool_of(concepts: Iterable[str], rule: Rule) -> Pool:
    """The pool; `concepts` are the truths of all rows, as written."""
    names: dict[str, set[str]] = {}
    written = frozenset(concepts)
    for concept in written:
        names.setdefault(bare(rule.fold(concept)), set()).add(concept)
    return Pool(written, {name: frozenset(found) for name, found in names.items()})


def tokens(caption: str, rule: Rule) -> set[str]:
    """Tokens of a caption."""
    text = rule.fold(caption.replace("</s>", ""))
    return {token for word in text.split() if (token := word.strip(MARKS))}


def tally(record: Record, pool: Pool, rule: Rule) -> tuple[int, int, int]:
    """Hits, hits and misses, truths of one caption."""
    said = tokens(record.caption, rule)
    # `<name>` counts as `name` only where the pool has it with brackets.
    present = {token for token in said if token in pool.by_name}
    for token in said:
        name = bare(token)
        if name != token and any(rule.fold(c) == token for c in pool.by_name.get(name, ())):
            present.add(name)
    truths = rule.truths(record)
    names = [bare(rule.fold(concept)) for concept in truths]
    is_other = any(_has_other(name, names, truths, pool, rule) for name in present)
    hits = sum(name in present and name != _MISS for name in names)
    missed = sum(name not in present and is_other for name in names)
    missed += sum(name in present and name == _MISS for name in names)
    return hits, hits + missed, len(truths)


def _has_other(
    name: str, names: list[str], truths: tuple[str, ...], pool: Pool, rule: Rule
) -> bool:
    """Whether a present name stands for a concept that is no truth here.

    The script for one concept compares names, the others compare them as written.
    """
    if rule.takes_first:
        return name not in names
    return any(concept not in truths for concept in pool.by_name[name])
