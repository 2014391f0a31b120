"""A build: which results exist, which are missing, and how one dataset version is published.

`repic.pipeline.execution` runs its stages.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, overload

import numpy as np
import pyarrow as pa

from repic import config, sources
from repic.config import Settings, as_recorded
from repic.pipeline import kept_results, kept_rows, shrinkage
from repic.pipeline.forgotten import Forgotten
from repic.pipeline.scan import Reject, Scan
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import Inputs, Json, PreparedInputs, RowStage, Stage, TableStage
from repic.pipeline.stages.quarantine import check_budget
from repic.tables import TABLES
from storage.errors import DamagedError, NotFoundError
from storage.hashing import fingerprint
from storage.manifest import Manifest, Origin, Run
from storage.parts import Part
from storage.store import Store

DATASET = "dataset"
"""Name of the artifact that binds the tables of one build."""


@dataclass(frozen=True)
class StageShard:
    """Inputs of one row-wise stage: the unit of work and of retry.

    Picklable; it holds everything that a process on another machine needs.
    """

    stage: str
    inputs: pa.Table
    settings: Settings
    store: str
    earlier: tuple[Part, ...] = ()
    """Parts with rows about the same photos; see `repic.pipeline.kept_rows`."""


@dataclass(frozen=True)
class ShardResult:
    """Counts of a computed shard. `gone` are inputs that changed or vanished since the scan."""

    rows: int
    refused: int
    gone: tuple[Reject, ...]


@dataclass(frozen=True)
class Shards(Sequence[StageShard]):
    """Shards of a stage, each put together when it is asked for, so that one is in memory."""

    stage: str
    store: str
    parts: tuple[tuple[PreparedInputs, Settings, kept_rows.Chunk], ...] = ()
    """Of each shard: the inputs that it is of, their settings, and which they are."""

    def __len__(self) -> int:
        return len(self.parts)

    @overload
    def __getitem__(self, index: int) -> StageShard: ...

    @overload
    def __getitem__(self, index: slice) -> Shards: ...

    def __getitem__(self, index: int | slice) -> StageShard | Shards:
        if isinstance(index, slice):
            return replace(self, parts=self.parts[index])
        inputs, settings, (rows, earlier) = self.parts[index]
        return StageShard(self.stage, inputs.take(rows), settings, self.store, earlier)


@dataclass(frozen=True)
class StagePlan:
    """Shards of a stage that have no result yet; `inputs` and `missing` count its inputs."""

    shards: Sequence[StageShard]
    inputs: int
    missing: int


@dataclass(frozen=True)
class BuildResult:
    """Result of a build.

    Attributes:
        dataset: The dataset version.
        tables: Table name -> version that the dataset binds.
        published: Whether the dataset is new; False if an identical build exists.
        files: Number of photos in the source, unreadable ones included.
        copies: Number of photos whose bytes duplicate those of another usable photo.
        processed: Row-wise stage -> number of inputs computed by this build.
        seconds: Wall time.
        repaired: Path in the store -> what was wrong, of lost and damaged files of this version
            and of its kept results, which were computed again.
    """

    dataset: Manifest
    tables: Mapping[str, Manifest]
    published: bool
    files: int
    copies: int
    processed: Mapping[str, int]
    seconds: float
    repaired: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What `repic build --json` prints."""
        return {
            "dataset": str(self.dataset.ref),
            "published": self.published,
            "fingerprint": self.dataset.fingerprint,
            "content": self.dataset.content,
            "files": self.files,
            "copies": self.copies,
            "rows": {name: manifest.rows for name, manifest in self.tables.items()},
            "processed": dict(self.processed),
            "repaired": dict(self.repaired),
            "notes": self.dataset.notes,
            "seconds": round(self.seconds, 2),
        }


class BuildCallbacks(Protocol):
    """Progress callbacks of a build."""

    def stage(self, stage: Stage, plan: StagePlan) -> None:
        """A stage starts."""

    def shard(self, stage: Stage, shard: StageShard) -> None:
        """A shard of the stage is complete."""


@dataclass
class Build:
    """One build with `settings` of the photos in `scan` that `store` is not to forget.

    `allow_shrink` publishes it also if it lost most of the last version.
    """

    settings: Settings
    store: Store
    scan: Scan
    run: Run = field(default_factory=Run.here)
    processed: dict[str, int] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    damaged: dict[str, str] = field(default_factory=dict)
    allow_shrink: bool = False
    _tables: dict[str, pa.Table] = field(default_factory=dict, repr=False)
    _inputs_of: dict[str, PreparedInputs] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.scan = self.scan.without_forgotten(Forgotten.of(self.store))

    @cached_property
    def reviews(self) -> Manifest | None:
        """The latest reviews when the build started."""
        try:
            return self.store.manifest("reviews@latest")
        except NotFoundError:
            return None

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Table -> hash of everything it is made from; computed before any stage runs."""
        external = {
            "source": self.scan.fingerprint,
            "reviews": self.reviews.fingerprint if self.reviews else "",
        }
        tables: dict[str, str] = {}
        for stage in STAGES:
            recipe = stage.fingerprint(self.settings)
            inputs = [(external | tables)[name] for name in stage.reads]
            tables |= {name: fingerprint([name, recipe, inputs]) for name in stage.writes}
        return {**tables, DATASET: fingerprint(tables)}

    def without(self, gone: Iterable[Reject]) -> Build:
        """The same build of a source that no longer has these photos at these URIs."""
        return replace(self, scan=self.scan.without(gone), _tables={}, _inputs_of={})

    def find_damage(self) -> None:
        """Note which files of earlier versions of this build are lost or damaged."""
        for name, made_from in self.fingerprints.items():
            for manifest in self.store.find_all(name, made_from):
                self.damaged |= self.store.faults(manifest)

    def existing_dataset(self) -> Manifest | None:
        """The intact dataset version of an identical earlier build."""
        return self.store.find(DATASET, self.fingerprints[DATASET])

    def plan(self, stage: Stage) -> StagePlan:
        """Missing shards of a stage; a whole-table stage has none, because `publish` runs it."""
        if not isinstance(stage, RowStage) or self._existing(stage):
            return StagePlan((), 0, 0)
        parts = []
        count = 0
        for settings in stage.parts_of(self.settings):
            self.damaged |= kept_results.set_aside_damaged(self.store, stage, settings)
            inputs = self._prepared(stage, settings)
            covered = kept_results.covered_keys(self.store, stage, settings)
            keys = inputs.keys["key"].to_pylist()
            missing = np.flatnonzero([key not in covered for key in keys])
            size = shard_size(settings, len(keys))
            chunks = kept_rows.chunks(self.store, stage, settings, keys, missing, size)
            parts += [(inputs, settings, chunk) for chunk in chunks]
            count += len(keys)
        shards = Shards(stage.name, self.store.location, tuple(parts))
        return StagePlan(shards, count, sum(len(rows) for _, _, (rows, _) in parts))

    def publish(self, stage: Stage) -> list[Manifest]:
        """Publish the tables of a stage. All shards of the stage must be complete."""
        if existing := self._existing(stage):
            return existing
        if isinstance(stage, RowStage):
            return [self._publish_rows(stage)]
        assert isinstance(stage, TableStage)
        output = stage.run(self._inputs(stage))
        return [
            self._publish(stage, name, output.tables[name], output.notes) for name in stage.writes
        ]

    def finish(self) -> BuildResult:
        """Bind the tables into one dataset version and commit all of them in one step.

        Raises:
            QuarantineError: more files were refused than the budget allows; `latest` stays.
            ShrinkError: it has shrunk against the last version; `latest` stays.
        """
        tables = {name: self._manifest(name) for stage in STAGES for name in stage.writes}
        refused = self._table("quarantine").to_pylist()
        budget = self.settings.quarantine.budget
        check_budget(refused, self.scan.files, budget, tables["quarantine"].ref)
        if not self.allow_shrink:
            shrinkage.check(self.store, DATASET, self.settings, tables)
        dataset = self.existing_dataset()
        published = dataset is None
        if dataset is None:
            origin = Origin(
                fingerprint=self.fingerprints[DATASET],
                inputs=tuple(manifest.as_input() for manifest in tables.values()),
                settings=as_recorded(self.settings).record(config.BUILD),
                notes={name: manifest.notes for name, manifest in tables.items() if manifest.notes},
                code_version=config.version(),
                run=self.run,
            )
            dataset = self.store.publish_dataset(DATASET, origin)
        self.store.commit({m.name: m.version for m in (*tables.values(), dataset)})
        # Photos that a later stage refused are still rows of the images table.
        unreadable = sum(row["stage"] == "images" for row in refused)
        return BuildResult(
            dataset,
            tables,
            published,
            files=self.scan.files,
            copies=self.scan.files - tables["images"].rows - unreadable,
            processed=self.processed,
            seconds=time.monotonic() - self.started,
            repaired=self.damaged,
        )

    def _existing(self, stage: Stage) -> list[Manifest]:
        """Versions that the stage's tables already have; empty if one is missing."""
        manifests = [self.store.find(name, self.fingerprints[name]) for name in stage.writes]
        return [m for m in manifests if m] if all(manifests) else []

    def _manifest(self, name: str) -> Manifest:
        """The version of a table that this build has published. Raises: DamagedError."""
        if manifest := self.store.find(name, self.fingerprints[name]):
            return manifest
        written = next(self.store.find_all(name, self.fingerprints[name]), None)
        if written is None:
            raise LookupError(f"{name} was not published by this build")
        for path, reason in self.store.faults(written).items():
            raise DamagedError(self.store.files.full(path), reason)
        return written  # it can be read again

    def _inputs(self, stage: Stage) -> Inputs:
        later = STAGES[STAGES.index(stage) :]
        whole = {name for other in later for name in other.reads if name not in other.columns}
        for name in self._tables.keys() - whole:
            del self._tables[name]
        names = [name for name in stage.reads if name != "source"]
        rejects = [
            reject
            for other in STAGES
            if isinstance(other, RowStage) and other.name in names
            for settings in other.parts_of(self.settings)
            for reject in kept_results.rejects(self.store, other, settings)
        ]
        tables = {name: self._table(name, stage.columns.get(name)) for name in names}
        return Inputs(self.settings, self.scan, tables, tuple(rejects), self.store)

    def _prepared(self, stage: RowStage, settings: Settings) -> PreparedInputs:
        """Inputs of a stage under some of its settings; those of the last stage are kept."""
        recipe = stage.row_fingerprint(settings)
        if recipe not in self._inputs_of:
            self._inputs_of.clear()
            inputs = replace(self._inputs(stage), settings=settings)
            self._inputs_of[recipe] = stage.prepare(inputs)
        return self._inputs_of[recipe]

    def _publish_rows(self, stage: RowStage) -> Manifest:
        """Publish the kept results of a row-wise stage."""
        parts: list[Part] = []
        data: list[Part] | Iterator[pa.Table] = parts
        notes: Mapping[str, Json] = {}
        for settings in stage.parts_of(self.settings):
            inputs = self._prepared(stage, settings)
            keys = inputs.keys["key"].to_pylist()
            parts += kept_results.parts_for(self.store, stage, settings, keys)
            if stage.selects_by:
                data, notes = kept_results.selected(self.store, stage, inputs, parts)
                if data is not parts:  # then no version names them
                    recipe = stage.row_fingerprint(settings)
                    self.store.keep_parts(stage.name, recipe, "selection", parts)
            del inputs
        self._inputs_of.clear()  # no later stage has the same
        return self._publish(stage, stage.name, data, notes)

    def _recipe(self, stage: Stage) -> dict[str, Json]:
        return {"recipe": stage.recipe(self.settings), "version": stage.version}

    def _table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A table, which is kept for later stages unless only some columns are asked for."""
        if name in self._tables:
            return self._tables[name]
        manifest = self.reviews if name == "reviews" else self._manifest(name)
        if not manifest:
            return TABLES[name].empty()
        rows = self.store.read(manifest.ref, columns)
        if columns is None:
            self._tables[name] = rows
        return rows

    def _publish(
        self,
        stage: Stage,
        name: str,
        data: pa.Table | list[Part] | Iterator[pa.Table],
        notes: Mapping[str, Json],
    ) -> Manifest:
        inputs = [
            self._manifest(table) for table in stage.reads if table not in ("source", "reviews")
        ]
        if "reviews" in stage.reads and self.reviews:
            inputs.append(self.reviews)
        origin = Origin(
            fingerprint=self.fingerprints[name],
            inputs=tuple(manifest.as_input() for manifest in inputs),
            settings=self._recipe(stage),
            models=stage.models(self.settings),
            sources=self._sources() if "source" in stage.reads else {},
            notes=dict(notes),
            code_version=config.version(),
            run=self.run,
        )
        return self.store.publish(
            name, data, origin, key=TABLES[name].key, schema=TABLES[name].schema
        )

    def _sources(self) -> dict[str, Json]:
        """Settings of each source, what else is known of it, and how many photos it lists."""
        uris: dict[str, list[str]] = defaultdict(list)
        for scanned in self.scan.photos:
            uris[scanned.photo.source].append(scanned.photo.uri)
        return {
            source.name: {
                **source.model_dump(mode="json", exclude_none=True),
                **sources.provenance(source, uris[source.name]),
                "files": self.scan.found.get(source.name, 0),
            }
            for source in as_recorded(self.settings).sources
        }


def shard_size(settings: Settings, inputs: int) -> int:
    """Inputs per shard: so few that a small collection shows progress and a crash costs it little.

    Whole batches, because a model pads the last batch of each shard; and at most as many shards as
    there may be small parts, because more would be merged, which writes their rows twice.
    Of all inputs, not of those that miss a result: lost shards are then computed as they were, so
    that their version has its files again.
    """
    batch = settings.runtime.batch_size
    batches = math.ceil(inputs / (batch * kept_results.MAX_SMALL_PARTS))
    return min(settings.runtime.shard_rows, max(1, batches) * batch)
