"""The three objectives, and the function that makes the training examples of a build."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from heapq import nsmallest
from typing import Any

import pyarrow as pa

from repic.config import SPLITS, ExampleSettings, SourceSettings
from repic.objectives import names, source_use
from repic.objectives.base import (
    ExampleDraft,
    Objective,
    ObjectiveSummary,
    Reward,
    Row,
    Template,
    seed_of,
)
from repic.objectives.corpus import Corpus
from repic.objectives.ict import Ict
from repic.objectives.oct import Oct
from repic.objectives.quotas import by_shares
from repic.objectives.source_use import RowOrder
from repic.objectives.vlt import Vlt

__all__ = [
    "OBJECTIVES",
    "Corpus",
    "Objective",
    "ObjectiveSummary",
    "Reward",
    "Row",
    "Template",
    "build",
    "describe",
    "selection_columns",
    "write_drafts",
]

OBJECTIVES: dict[str, Objective] = {"oct": Oct(), "vlt": Vlt(), "ict": Ict()}


def describe(settings: ExampleSettings, sources: Sequence[SourceSettings] = ()) -> dict[str, Any]:
    """The recipe of the rows besides the tables, as JSON: settings, templates, sources of names,
    and sources whose photos are used in another way than all.

    It is part of the fingerprint of the examples, and imports nothing heavy.
    """
    sentences = {
        name: [[template.id, template.text] for template in objective.templates]
        for name, objective in OBJECTIVES.items()
    }
    return {
        "settings": settings.model_dump(mode="json"),
        "sentences": sentences,
        "names": names.describe(settings.names.locales),
        **source_use.describe(sources),
    }


def selection_columns(sources: Sequence[SourceSettings]) -> tuple[str, ...]:
    """Columns by which rows are selected and counted; `build` needs no others of existing rows."""
    columns = ("draft", "example_id", "objective", "kind", "split", "origin")
    return (*columns, "images") if source_use.weights(sources) else columns


def build(
    images: pa.Table,
    objects: pa.Table,
    labels: Mapping[str, str | None],
    pairs: pa.Table,
    splits: Mapping[str, str | None],
    settings: ExampleSettings,
    existing: Mapping[str, Row] | None = None,
    sources: Sequence[SourceSettings] = (),
) -> tuple[list[Row], list[ObjectiveSummary]]:
    """Rows of the examples table, and a summary of each objective.

    Args:
        images: The images table of one build.
        objects: Its objects table.
        labels: object_id -> what texts call it; None or absent if nothing is sure.
        pairs: Its pairs table.
        splits: image_id -> split; a photo that is missing or has None is not used.
        settings: How pairs become examples.
        existing: Rows of the same settings and templates by their `draft`. They are returned as
            they are instead of being written again, and need only the `selection_columns`.
        sources: Which objectives the photos of each source are used for, and their weights.

    Returns:
        Rows sorted by `example_id`, and one summary per objective, in the order of `OBJECTIVES`.
    """
    candidates: dict[str, dict[str, Row]] = {}
    summaries = {name: ObjectiveSummary(name) for name in OBJECTIVES}
    with _without_gc():
        corpus = Corpus.of(images, objects, labels, pairs, splits)
        for name, objective in OBJECTIVES.items():
            summary = summaries[name]
            summary.refused.update({f"pair_{reason}": n for reason, n in corpus.refused.items()})
            # Two drafts may give the same example, which is then one row.
            own = source_use.corpus_for(name, corpus, images, sources)
            drafts = objective.drafts(own, settings, summary)
            rows_written = write_drafts(drafts, existing or {})
            candidates[name] = {row["example_id"]: row for row in rows_written}
            summary.candidates.update(row["split"] for row in candidates[name].values())
            if corpus.splits and not own.splits:
                summary.why = "no source has photos for it (source.objectives)"
        order = source_use.row_order(seed_of(settings.seed, "share"), images, sources)
        rows = [row for split in SPLITS for row in _select(candidates, split, settings, order)]
    _count(rows, summaries, settings)
    return sorted(rows, key=lambda row: row["example_id"]), list(summaries.values())


def _count(
    rows: Iterable[Row], summaries: Mapping[str, ObjectiveSummary], settings: ExampleSettings
) -> None:
    """Count the selected rows, and say why an objective whose drafts gave some has none."""
    for row in rows:
        summary = summaries[row["objective"]]
        summary.rows[row["kind"], row["split"]] += 1
        if row["origin"] is not None:
            summary.origins[row["origin"]] += 1
    for name, summary in summaries.items():
        if not summary.rows and summary.why is None:
            summary.why = (
                "its share in examples.shares is 0"
                if settings.shares is not None and name not in _positive(settings.shares)
                else "examples.total or examples.shares leave no row for it"
            )


@contextmanager
def _without_gc() -> Iterator[None]:
    """Pause cyclic garbage collection, a quarter of the time; rows have no reference cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def write_drafts(drafts: Iterable[ExampleDraft], existing: Mapping[str, Row]) -> Iterator[Row]:
    """Rows of these drafts, each with its `draft`; a row in `existing` is not written again."""
    for draft in drafts:
        if row := existing.get(draft.key):
            yield row
        elif row := draft.write():
            row["draft"] = draft.key
            yield row


def _select(
    candidates: Mapping[str, Mapping[str, Row]],
    split: str,
    settings: ExampleSettings,
    order: RowOrder,
) -> list[Row]:
    """Rows of one split, limited to the shares and, for training, to the total.

    Rows are taken in the order of a hash of their ids and the weights of their sources, so that a
    larger selection contains most of a smaller one. The share of an objective without rows goes to
    the others. With shares of objectives, the kinds of ICT have theirs as well,
    unless they are balanced.
    """
    available = {
        name: [row for row in rows.values() if row["split"] == split]
        for name, rows in candidates.items()
    }
    total = settings.total if split == "train" else None
    if settings.shares is None:
        everything = [row for rows in available.values() for row in rows]
        return everything if total is None else nsmallest(total, everything, key=order)
    shares = {name: s for name, s in _positive(settings.shares).items() if available[name]}
    share_sum = sum(shares.values())
    if not share_sum:
        return []
    most = min(len(available[name]) * share_sum / share for name, share in shares.items())
    size = most if total is None else min(most, total)
    chosen: list[Row] = []
    for name, share in shares.items():
        count = round(size * share / share_sum)
        # Balance decides how many absent rows there are, in place of their share.
        if name == "ict" and not (settings.ict.balance and settings.ict.shares.get("absent")):
            kinds: dict[str, list[Row]] = {kind: [] for kind in settings.ict.shares}
            for row in sorted(available[name], key=order):
                kinds[row["kind"]].append(row)
            chosen += by_shares(kinds, settings.ict.shares, count)
        else:
            chosen += nsmallest(count, available[name], key=order)
    return chosen


def _positive(shares: Mapping[Any, float]) -> dict[str, float]:
    return {str(name): share for name, share in shares.items() if share > 0}
