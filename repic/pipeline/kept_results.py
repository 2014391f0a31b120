"""Kept results of row-wise stages: what is covered, and which parts make up a version."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from repic.config import Settings
from repic.pipeline.scan import Reject
from repic.pipeline.stages.base import Result, RowStage
from storage.parts import Part
from storage.store import Store

FEW_PARTS = 16
"""So many small parts may stay as they are; more are merged, so that nightly builds do not pile up
files of five rows each."""


def keep(
    store: Store, stage: RowStage, settings: Settings, keys: list[str], result: Result
) -> Part:
    """Write a result so that no later build computes it again."""
    return store.write_part(
        stage.name,
        result.rows,
        recipe=stage.fingerprint(settings),
        covers=keys,
        note=json.dumps([asdict(reject) for reject in result.rejects]),
    )


def covered(store: Store, stage: RowStage, settings: Settings) -> set[str]:
    """Keys of all inputs that have a result."""
    parts = store.parts(stage.name, stage.fingerprint(settings))
    return {key for part in parts for key in part.covers}


def rejects(store: Store, stage: RowStage, settings: Settings) -> list[Reject]:
    """All inputs that the stage ever refused in this form."""
    parts = store.parts(stage.name, stage.fingerprint(settings))
    return [Reject(**reject) for part in parts for reject in json.loads(part.note)]


def covering(store: Store, stage: RowStage, settings: Settings, keys: Iterable[str]) -> list[Part]:
    """Parts that hold the results of exactly these inputs, each result once.

    Parts are used as they are where all that they cover is wanted; others are cut down, and many
    small ones merged. Which files a version has leaves no trace in its content.

    Raises:
        LookupError: an input has no result.
    """
    wanted = set(keys)
    size = settings.runtime.shard_rows
    large, small, cut = [], [], []
    for part in sorted(
        store.parts(stage.name, stage.fingerprint(settings)),
        key=lambda part: (-len(part.covers), part.shard.path),
    ):
        useful = wanted.intersection(part.covers)
        wanted -= useful
        if not useful:
            continue
        if len(useful) < len(part.covers):
            cut.append((part, useful))
        elif 2 * len(useful) < size:
            small.append((part, useful))
        else:
            large.append(part)
    if wanted:
        raise LookupError(f"{len(wanted)} inputs of {stage.name} have no result, as {wanted.pop()}")
    if len(small) <= FEW_PARTS:
        large += [part for part, _ in small]
        small = []
    return large + _merged(store, stage, settings, cut + small)


def _merged(
    store: Store, stage: RowStage, settings: Settings, pieces: list[tuple[Part, set[str]]]
) -> list[Part]:
    merged, tables, keys, refused = [], [], [], []
    for place, (part, useful) in enumerate(pieces, start=1):
        subjects = pa.array(sorted({subject_of(key) for key in useful}), pa.string())
        rows = store.read_part(part)
        tables.append(rows.filter(pc.is_in(rows[stage.subject], subjects)))
        # A refusal is a fact about some bytes, whichever of the keys are wanted.
        refused += [Reject(**reject) for reject in json.loads(part.note)]
        keys += sorted(useful)
        if len(keys) >= settings.runtime.shard_rows or place == len(pieces):
            result = Result(pa.concat_tables(tables), tuple(dict.fromkeys(refused)))
            merged.append(keep(store, stage, settings, keys, result))
            tables, keys, refused = [], [], []
    return merged


def subject_of(key: str) -> str:
    """The id that an input is about; what follows a dash tells its forms apart."""
    return key.partition("-")[0]
