"""The cut of all candidate rows to shares and a total, and what is said about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from repic.config import SPLITS, ExampleSettings, SourceSettings, plugins
from repic.objectives import balance, ict, same_photo, source_use, vlt
from repic.objectives.base import ObjectiveSummary, seed_of
from repic.objectives.corpus import Ints, all_bits
from repic.objectives.inputs import ExampleInputs
from repic.objectives.quotas import by_shares

COLUMNS = {
    **dict.fromkeys(
        ("example_id", "image_id", "objective", "kind", "split", "origin"), pa.string()
    ),
    "seed": pa.int64(),
}
"""Columns by which rows are selected and counted, and their types."""

Counts = Mapping[str, Mapping[str, int]]
"""Objective -> number of candidates that are not used, by reason."""


def select(
    rows: Iterable[pa.Table],
    inputs: ExampleInputs,
    refused: Iterable[Counts],
    settings: ExampleSettings,
    sources: Sequence[SourceSettings] = (),
) -> tuple[NDArray[np.bool_], list[ObjectiveSummary]]:
    """Which of the candidate rows are examples, and a summary of each objective.

    Of rows with one id, the one of the smallest seed is a candidate. Candidates are taken in the
    order of a hash of their ids and the weights of their sources, so that a larger selection
    contains most of a smaller one.

    Args:
        rows: The `COLUMNS` of all rows, in several tables.
        inputs: What they were made from.
        refused: Counts of the photos.
    """
    ids, seeds, texts = _light(rows)
    by_id = np.lexsort((seeds, ids[:, 1], ids[:, 0]))
    is_new = np.ones(len(ids), bool)
    is_new[1:] = (np.diff(ids[by_id], axis=0) != 0).any(axis=1)
    distinct = by_id[is_new]
    candidates = texts.take(pa.array(distinct)).combine_chunks()
    kept = np.arange(len(distinct))
    if settings.shares is not None or settings.total is not None:
        seed, image_id = seed_of(settings.seed, "share"), _whole(candidates["image_id"])
        photos = inputs.corpus.photos
        order = source_use.row_order(seed, ids[distinct, 0], image_id, photos, sources)
        kept = _cut(candidates, order, settings)
    chosen = np.zeros(len(ids), bool)
    chosen[distinct[kept]] = True
    summaries = _summaries(candidates, candidates.take(pa.array(kept)), inputs, refused, settings)
    return chosen, summaries


def _light(tables: Iterable[pa.Table]) -> tuple[NDArray[np.uint64], Ints, pa.Table]:
    """Ids and seeds of the rows, and their other columns, in which each text is a number."""
    names = [name for name, kind in COLUMNS.items() if kind == pa.string() and name != "example_id"]
    kinds = [(name, pa.dictionary(pa.int32(), pa.string())) for name in names]
    ids, seeds = [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.int64)]
    texts = [pa.schema(kinds).empty_table()]
    for table in tables:
        ids.append(all_bits(table["example_id"]))
        seeds.append(table["seed"].to_numpy())
        encoded = {name: table[name].dictionary_encode() for name in names}
        texts.append(pa.table(encoded).unify_dictionaries())
    joined = pa.concat_tables(texts).unify_dictionaries().combine_chunks()
    return np.concatenate(ids), np.concatenate(seeds), joined


def _whole(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A column of texts that are numbers, as one array."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _are(column: pa.ChunkedArray, text: str) -> NDArray[np.bool_]:
    """Where a column of texts has this one."""
    array = _whole(column)
    number = array.dictionary.index(text).as_py()
    return np.asarray(array.indices.fill_null(-2).to_numpy() == number)


def _cut(candidates: pa.Table, order: Ints, settings: ExampleSettings) -> Ints:
    """The candidates of all splits that the shares and the total leave, as their numbers.

    The total limits the rows of train. The share of an objective without rows goes to the others.
    With shares of objectives, the kinds of ICT have theirs as well, unless they are balanced.
    """
    split, objective, kind = (candidates[name] for name in ("split", "objective", "kind"))
    kept: list[Ints] = [order[:0]]
    for name in SPLITS:
        of_split = order[_are(split, name)[order]]
        total = settings.total if name == "train" else None
        if settings.shares is None:
            kept.append(of_split[:total])
            continue
        available = {one: of_split[_are(objective, one)[of_split]] for one in settings.shares}
        for one, count in _sizes(available, settings.shares, total).items():
            rows = available[one]
            # Balance decides how many absent rows there are, in place of their share.
            if one == "ict" and not (settings.ict.balance and settings.ict.shares.get("absent")):
                kinds = {str(k): rows[_are(kind, k)[rows]] for k in settings.ict.shares}
                kept.append(by_shares(kinds, settings.ict.shares, count))
            else:
                kept.append(rows[:count])
    return np.concatenate(kept)


def _sizes(
    available: Mapping[str, Ints], given: Mapping[str, float], total: int | None
) -> dict[str, int]:
    """Number of rows of each objective in a split, by the shares of those that have any."""
    shares = {name: share for name, share in given.items() if share > 0 and len(available[name])}
    if not shares:
        return {}
    share_sum = sum(shares.values())
    most = min(len(available[name]) * share_sum / share for name, share in shares.items())
    size = most if total is None else min(most, total)
    return {name: round(size * share / share_sum) for name, share in shares.items()}


def _count(rows: pa.Table, by: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The values of some columns, and in how many rows they are."""
    counts = rows.group_by([*by]).aggregate([([], "count_all")]).to_pydict()
    return zip(*(counts[name] for name in (*by, "count_all")), strict=True)


def _summaries(
    candidates: pa.Table,
    rows: pa.Table,
    inputs: ExampleInputs,
    refused: Iterable[Counts],
    settings: ExampleSettings,
) -> list[ObjectiveSummary]:
    summaries = {
        name: ObjectiveSummary(name, refused=Counter(counts))
        for name, counts in inputs.refused.items()
    }
    for of_photo in refused:
        for name, counts in of_photo.items():
            summaries[name].refused.update(counts)
    for name, split, count in _count(candidates, ("objective", "split")):
        summaries[name].candidates[split] = count
    for name, kind, split, count in _count(rows, ("objective", "kind", "split")):
        summaries[name].rows[kind, split] = count
    for name, origin, count in _count(rows, ("objective", "origin")):
        if origin is not None:
            summaries[name].origins[origin] = count
    for summary in summaries.values():
        summary.without_facts = summary.refused.pop(ict.WITHOUT_FACTS, 0)
        summary.why = _why(summary, inputs, settings)
    return list(summaries.values())


def _why(summary: ObjectiveSummary, inputs: ExampleInputs, settings: ExampleSettings) -> str | None:
    """Why an objective has no rows, or not the rows that matter; None if it has."""
    name, refused = summary.objective, summary.refused
    if len(inputs.queries) and not inputs.has_photos[name]:
        return "no source has photos for it (source.objectives)"
    if not inputs.candidates.get(name, summary.candidates.total()):
        if plugins.is_plugin("objectives", name):
            return "it finds nothing to ask about in these photos"
        if name == "vlt":
            return vlt.NO_CANDIDATES
        return balance.WHY if refused[balance.REFUSED] else same_photo.why_no_rows(settings)
    if summary.rows:
        return None
    if settings.shares is not None and name not in {k for k, s in settings.shares.items() if s}:
        return "its share in examples.shares is 0"
    return "examples.total or examples.shares leave no row for it"
