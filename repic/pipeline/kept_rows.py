"""Rows of earlier results about the same photos, which need not be computed again.

A photo with a new key differs from what it was by a pair or two, while most of its rows are made
from the same as before. So its shard gets the parts that have an earlier result of its photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repic.config import Settings
from repic.pipeline import kept_results
from repic.pipeline.stages.base import RowStage, ShardOutput
from repic.tables import TABLES
from storage.errors import NotFoundError
from storage.manifest import ArtifactRef
from storage.parts import Part
from storage.store import Store

LOOK_BACK = 20
"""Newest versions that are looked at: those of other settings may lie between."""

Ints = npt.NDArray[np.int64]
Chunk = tuple[Ints, tuple[Part, ...]]
"""Inputs of a shard by their numbers, and the parts that have earlier results of them."""


def chunks(
    store: Store, stage: RowStage, settings: Settings, keys: Sequence[str], missing: Ints, size: int
) -> list[Chunk]:
    """The missing inputs in shards of a size; those of one part together, so that it is read once.

    Args:
        keys: Of all inputs.
    """
    parts = _newest_last(store, stage, settings) if stage.keeps_rows and len(missing) else []
    last: dict[str, int] = {}
    for number, part in enumerate(parts):
        last |= dict.fromkeys(map(kept_results.subject_of, part.covers), number)
    part_of = np.array([last.get(kept_results.subject_of(keys[i]), -1) for i in missing], np.int64)
    order = np.argsort(part_of, kind="stable")
    found = []
    for start in range(0, len(missing), size):
        rows = order[start : start + size]
        numbers = np.unique(part_of[rows]).tolist()
        # A shard does not need the keys, which are much to send to another machine.
        useful = (replace(parts[n], covers=()) for n in numbers if n >= 0)
        found.append((missing[rows], tuple(useful)))
    return found


def earlier(
    store: Store, stage: RowStage, parts: Sequence[Part], subjects: pa.ChunkedArray
) -> ShardOutput:
    """Rows of some parts about these subjects, for `RowStage.run_again`.

    A part that does not say what its rows are made from gives none.
    """
    about = set(subjects.to_pylist())
    found = [kept_results.rows_about(store, stage, part, about) for part in parts]
    told = [(rows, made_from) for rows, made_from in found if made_from is not None]
    tables = [TABLES[stage.name].empty(), *(rows for rows, _ in told)]
    made_from = [np.zeros(0, np.int64), *(made_from for _, made_from in told)]
    return ShardOutput(
        pa.concat_tables([TABLES[stage.name].check(rows) for rows in tables]),
        made_from=np.concatenate(made_from),
    )


def _newest_last(store: Store, stage: RowStage, settings: Settings) -> list[Part]:
    """The parts of a stage, those of the newest version that has any at the end."""
    parts = {p.shard.path: p for p in store.parts(stage.name, stage.row_fingerprint(settings))}
    for version in reversed(store.versions(stage.name)[-LOOK_BACK:] if parts else []):
        with suppress(NotFoundError):  # lost, or removed by gc meanwhile
            manifest = store.manifest(ArtifactRef.exact(stage.name, version))
            if named := parts.keys() & {shard.path for shard in manifest.shards}:
                return sorted(parts.values(), key=lambda part: part.shard.path in named)
    return list(parts.values())
