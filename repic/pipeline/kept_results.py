"""Kept results of row-wise stages: which inputs they cover, and which parts form a version."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from repic.config import Settings
from repic.pipeline.scan import Reject
from repic.pipeline.stages.base import RowStage, ShardOutput
from storage.errors import DamagedError
from storage.parts import Part
from storage.store import Store

MAX_SMALL_PARTS = 16
"""More small parts than this are merged, so that nightly builds do not pile up files of a few rows
each."""


def write(
    store: Store, stage: RowStage, settings: Settings, keys: list[str], output: ShardOutput
) -> Part:
    """Write the results of the inputs `keys`, so that no later build computes them again."""
    return store.write_part(
        stage.name,
        output.rows,
        recipe=stage.fingerprint(settings),
        covers=keys,
        note=json.dumps([asdict(reject) for reject in output.rejects]),
    )


def set_aside_damaged(store: Store, stage: RowStage, settings: Settings) -> dict[str, str]:
    """Move damaged results away, so that they are computed again; path -> what is wrong."""
    return store.set_aside_parts(stage.name, stage.fingerprint(settings))


def covered_keys(store: Store, stage: RowStage, settings: Settings) -> set[str]:
    """Keys of all inputs that have a result."""
    parts = store.parts(stage.name, stage.fingerprint(settings))
    return {key for part in parts for key in part.covers}


def rejects(store: Store, stage: RowStage, settings: Settings) -> list[Reject]:
    """All inputs that the stage has ever refused under this fingerprint."""
    parts = store.parts(stage.name, stage.fingerprint(settings))
    return [reject for part in parts for reject in _rejects(part)]


def parts_for(store: Store, stage: RowStage, settings: Settings, keys: Iterable[str]) -> list[Part]:
    """Parts that hold the results of exactly these inputs, each result once.

    A part is used unchanged if all of its inputs are wanted. Other parts are filtered, and many
    small ones merged. The choice of files does not affect the content hash of the version.

    Raises:
        LookupError: an input has no result.
    """
    wanted = set(keys)
    size = settings.runtime.shard_rows
    large, small, partial = [], [], []
    for part in sorted(
        store.parts(stage.name, stage.fingerprint(settings)),
        key=lambda part: (-len(part.covers), part.shard.path),
    ):
        useful = wanted.intersection(part.covers)
        wanted -= useful
        if not useful:
            continue
        if len(useful) < len(part.covers):
            partial.append((part, useful))
        elif 2 * len(useful) < size:
            small.append((part, useful))
        else:
            large.append(part)
    if wanted:
        raise LookupError(f"{len(wanted)} inputs of {stage.name} have no result: {wanted.pop()}")
    if len(small) <= MAX_SMALL_PARTS:
        large += [part for part, _ in small]
        small = []
    return large + _merged(store, stage, settings, partial + small)


def _merged(
    store: Store, stage: RowStage, settings: Settings, pieces: list[tuple[Part, set[str]]]
) -> list[Part]:
    merged, tables, keys, refused = [], [], [], []
    for number, (part, useful) in enumerate(pieces, start=1):
        subjects = pa.array(sorted({_subject_of(key) for key in useful}), pa.string())
        rows = store.read_part(part)
        tables.append(rows.filter(pc.is_in(rows[stage.subject], subjects)))
        # A refusal depends on the photo's bytes alone, whichever of its keys are wanted.
        refused += _rejects(part)
        keys += sorted(useful)
        if len(keys) >= settings.runtime.shard_rows or number == len(pieces):
            output = ShardOutput(pa.concat_tables(tables), tuple(dict.fromkeys(refused)))
            merged.append(write(store, stage, settings, keys, output))
            tables, keys, refused = [], [], []
    return merged


def _rejects(part: Part) -> list[Reject]:
    """The inputs that a part says were refused."""
    try:
        return [Reject(**reject) for reject in json.loads(part.note)]
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedError(part.shard.path, f"its note is no list of refusals: {error}") from error


def _subject_of(key: str) -> str:
    """The id that a key is about: what comes before its dash (see `RowStage.inputs`)."""
    return key.partition("-")[0]
