"""Kept results of row-wise stages: which inputs they cover, and which parts form a version."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from repic.config import Settings
from repic.pipeline.forgotten import Forgotten
from repic.pipeline.scan import Reject
from repic.pipeline.stages.base import Json, PreparedInputs, RowStage, ShardOutput
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
        recipe=stage.row_fingerprint(settings),
        covers=keys,
        note=_note(output),
    )


def set_aside_damaged(store: Store, stage: RowStage, settings: Settings) -> dict[str, str]:
    """Move damaged results away, so that they are computed again; path -> what is wrong."""
    return store.set_aside_parts(stage.name, stage.row_fingerprint(settings))


def covered_keys(store: Store, stage: RowStage, settings: Settings) -> set[str]:
    """Keys of all inputs that have a result."""
    parts = store.parts(stage.name, stage.row_fingerprint(settings))
    return {key for part in parts for key in part.covers}


def rejects(store: Store, stage: RowStage, settings: Settings) -> list[Reject]:
    """All inputs that the stage has ever refused under this fingerprint."""
    parts = store.parts(stage.name, stage.row_fingerprint(settings))
    return [reject for part in parts for reject in _read_note(part).rejects]


def parts_for(store: Store, stage: RowStage, settings: Settings, keys: Iterable[str]) -> list[Part]:
    """Parts that hold the results of exactly these inputs, each result once.

    A part is used unchanged if all of its inputs are wanted. Other parts are filtered, and many
    small ones merged. The choice of files does not affect the content hash of the version.

    Raises:
        LookupError: an input has no result.
    """
    wanted = set(keys)
    size = settings.runtime.shard_rows
    forgotten = Forgotten.of(store)
    large, small, partial = [], [], []
    for part in sorted(
        store.parts(stage.name, stage.row_fingerprint(settings)),
        key=lambda part: (-len(part.covers), part.shard.path),
    ):
        useful = wanted.intersection(part.covers)
        wanted -= useful
        if not useful:
            continue
        if len(useful) < len(part.covers) or _refuses(part, forgotten):
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


def rows_about(
    store: Store, stage: RowStage, part: Part, subjects: Collection[str]
) -> tuple[pa.Table, npt.NDArray[np.int64] | None]:
    """The rows of a part about some subjects, and `ShardOutput.made_from` of these, if it is told.

    Raises:
        StoreError: the part cannot be read, or its note is damaged.
    """
    rows, made_from = store.read_part(part), _read_note(part).made_from
    wanted = pa.array(sorted(subjects), pa.string())
    mask = pc.is_in(rows[stage.subject], wanted)
    return rows.filter(mask), None if made_from is None else made_from[mask.to_numpy()]


def selected(
    store: Store, stage: RowStage, inputs: PreparedInputs, parts: list[Part]
) -> tuple[list[Part] | Iterator[pa.Table], Mapping[str, Json]]:
    """The rows of these parts that a stage publishes, and its notes.

    These are the parts themselves if all rows are selected, else one table after the other.
    """
    columns = list(stage.selects_by)
    rows = (store.read_part(part, columns) for part in parts)
    wanted = set(inputs.keys["image_id"].to_pylist())
    counts = (
        of for part in parts for subject, of in _read_note(part).counts.items() if subject in wanted
    )
    chosen, notes = inputs.select(rows, counts)
    if chosen.all():
        return parts, notes
    masks = np.split(chosen, np.cumsum([part.shard.rows for part in parts])[:-1])
    kept = zip(parts, masks, strict=True)
    return (store.read_part(p).filter(pa.array(mask)) for p, mask in kept if mask.any()), notes


def _merged(
    store: Store, stage: RowStage, settings: Settings, pieces: list[tuple[Part, set[str]]]
) -> list[Part]:
    merged: list[Part] = []
    tables: list[pa.Table] = []
    made_from: list[npt.NDArray[np.int64] | None] = []
    keys: list[str] = []
    refused: list[Reject] = []
    counts: dict[str, Json] = {}
    forgotten = Forgotten.of(store)
    for number, (part, useful) in enumerate(pieces, start=1):
        subjects = {subject_of(key) for key in useful}
        rows, told = rows_about(store, stage, part, subjects)
        note = _read_note(part)
        tables.append(rows)
        made_from.append(told)
        # A refusal depends on the photo's bytes alone, whichever of its keys are wanted.
        of_photos = stage.subject == "image_id"
        refused += (
            reject
            for reject in note.rejects
            if not _is_forgotten(reject, forgotten)
            and (reject.image_id in subjects or not of_photos)
        )
        counts |= {subject: of for subject, of in note.counts.items() if subject in subjects}
        keys += sorted(useful)
        if len(keys) >= settings.runtime.shard_rows or number == len(pieces):
            rejects = tuple(dict.fromkeys(refused))
            all_told = [told for told in made_from if told is not None]
            is_told = len(all_told) == len(made_from)
            output = ShardOutput(
                pa.concat_tables(tables),
                rejects,
                counts,
                np.concatenate(all_told) if is_told else None,
            )
            merged.append(write(store, stage, settings, keys, output))
            tables, made_from, keys, refused, counts = [], [], [], [], {}
    return merged


def _refuses(part: Part, forgotten: Forgotten) -> bool:
    """Whether a part names a refused photo that is forgotten, so that it must be written anew."""
    return bool(forgotten) and any(_is_forgotten(r, forgotten) for r in _read_note(part).rejects)


def _is_forgotten(reject: Reject, forgotten: Forgotten) -> bool:
    return forgotten.has_id(reject.image_id) or forgotten.has(None, [reject.uri])


@dataclass(frozen=True)
class _Note:
    """What a part says of its inputs besides their rows; see `ShardOutput`."""

    rejects: tuple[Reject, ...] = ()
    counts: Mapping[str, Json] = field(default_factory=dict)
    made_from: npt.NDArray[np.int64] | None = None


def _note(output: ShardOutput) -> str:
    """The note of a part: a list of the refused inputs; an object where there is more to say."""
    rejects = [asdict(reject) for reject in output.rejects]
    more: dict[str, Json] = {"counts": output.counts} if output.counts else {}
    if output.made_from is not None:
        more["made_from"] = base64.b64encode(output.made_from.astype("<i8").tobytes()).decode()
    return json.dumps({"rejects": rejects, **more} if more else rejects)


def _read_note(part: Part) -> _Note:
    try:
        told = json.loads(part.note)
        told = told if isinstance(told, dict) else {"rejects": told}
        rejects = tuple(Reject(**reject) for reject in told["rejects"])
        made_from = None
        if (encoded := told.get("made_from")) is not None:
            made_from = np.frombuffer(base64.b64decode(encoded, validate=True), "<i8")
            if len(made_from) != part.shard.rows:
                raise ValueError(f"it tells of {len(made_from)} rows, not {part.shard.rows}")
        return _Note(rejects, dict(told.get("counts", {})), made_from)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedError(part.shard.path, f"its note is no list of refusals: {error}") from error


def subject_of(key: str) -> str:
    """The id that a key is about: what comes before its dash (see `RowStage.inputs`)."""
    return key.partition("-")[0]
