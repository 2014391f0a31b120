"""A build: what is to be made, what is there already, what is missing.

`build` walks the stages on this machine. A flow walks the very same list and sends the shards of
each plan to its own workers. Nothing else knows the order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

import repic
from repic import config
from repic.config import Settings, with_absolute_paths
from repic.pipeline import failures, kept_results, quarantine
from repic.pipeline.scan import Reject, Scan
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import Inputs, Json, Result, RowStage, SetStage, Stage
from repic.tables import TABLES
from storage.errors import NotFoundError
from storage.hashing import fingerprint
from storage.manifest import Manifest, Origin, Run
from storage.store import Store

DATASET = "dataset"
"""Name of the artifact that binds the tables of one build."""


@dataclass(frozen=True)
class Shard:
    """Some inputs of one row-wise stage: the unit of work, of retry and of loss.

    It carries all that a process on another machine needs.
    """

    stage: str
    inputs: pa.Table
    settings: Settings
    store: str


@dataclass(frozen=True)
class ShardReport:
    """What came of a shard. `gone` are inputs that changed or vanished since they were scanned."""

    rows: int
    refused: int
    gone: tuple[Reject, ...]


@dataclass(frozen=True)
class Plan:
    """The shards of a stage that have no result yet, and how many of its inputs that is."""

    shards: tuple[Shard, ...]
    inputs: int
    missing: int


@dataclass(frozen=True)
class Outcome:
    """What a build came to.

    Attributes:
        dataset: The version that holds it.
        tables: Table -> the version that the dataset binds.
        published: Whether the dataset is new; False if the same build was made before.
        files: Photos that the source named, unreadable ones included.
        copies: Those of them that hold the very same bytes as another usable one.
        processed: Row-wise stage -> inputs that were computed now.
        seconds: Wall time.
    """

    dataset: Manifest
    tables: Mapping[str, Manifest]
    published: bool
    files: int
    copies: int
    processed: Mapping[str, int]
    seconds: float


@dataclass
class Build:
    """One build of `settings` on what `scan` found, into `store`."""

    settings: Settings
    store: Store
    scan: Scan
    run: Run = field(default_factory=Run.here)
    processed: dict[str, int] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    _read: dict[str, pa.Table] = field(default_factory=dict, repr=False)

    @cached_property
    def reviews(self) -> Manifest | None:
        """A person's decisions, as they stood when the build began."""
        try:
            return self.store.manifest("reviews@latest")
        except NotFoundError:
            return None

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Table -> hash of everything that it is made from, known before anything is made."""
        known = {
            "source": self.scan.fingerprint,
            "reviews": self.reviews.fingerprint if self.reviews else "",
        }
        made = {}
        for stage in STAGES:
            recipe = stage.fingerprint(self.settings)
            for table in stage.writes:
                origin = [known[name] for name in stage.reads]
                made[table] = fingerprint([table, recipe, origin])
            known |= made
        return {**made, DATASET: fingerprint(made)}

    def without(self, gone: Iterable[Reject]) -> Build:
        """The same build on a source that no longer has these photos in these places."""
        left = self.scan.without(gone)
        return Build(self.settings, self.store, left, self.run, self.processed, self.started)

    def done(self) -> Manifest | None:
        """The dataset version of this very build, if it was published before."""
        return self.store.find(DATASET, self.fingerprints[DATASET])

    def plan(self, stage: Stage) -> Plan:
        """What of a stage is missing. A whole-set stage has no shards: `publish` runs it."""
        if not isinstance(stage, RowStage) or self._made(stage):
            return Plan((), 0, 0)
        inputs = stage.inputs(self._inputs(stage))
        known = pa.array(
            sorted(kept_results.covered(self.store, stage, self.settings)), pa.string()
        )
        missing = inputs.filter(pc.invert(pc.is_in(inputs["key"], known)))
        size = self.settings.runtime.shard_rows
        shards = tuple(
            Shard(stage.name, missing.slice(start, size), self.settings, self.store.location)
            for start in range(0, missing.num_rows, size)
        )
        return Plan(shards, inputs.num_rows, missing.num_rows)

    def publish(self, stage: Stage) -> list[Manifest]:
        """Make versions of the tables of a stage, all of whose shards are done."""
        if made := self._made(stage):
            return made
        inputs = self._inputs(stage)
        if isinstance(stage, RowStage):
            keys = stage.inputs(inputs)["key"].to_pylist()
            parts = kept_results.covering(self.store, stage, self.settings, keys)
            return [self._publish(stage, stage.name, parts, {})]
        assert isinstance(stage, SetStage)
        output = stage.run(inputs)
        return [
            self._publish(stage, name, output.tables[name], output.notes) for name in stage.writes
        ]

    def finish(self) -> Outcome:
        """Bind the tables into one dataset version, and make all of them the latest in one step.

        Raises:
            QuarantineError: more files were refused than the budget allows; `latest` stays.
        """
        tables = {name: self._manifest(name) for stage in STAGES for name in stage.writes}
        refused = self._table("quarantine").to_pylist()
        quarantine.check(
            refused,
            self.scan.files,
            self.settings.quarantine.budget,
            tables["quarantine"].ref,
        )
        dataset = self.done()
        published = dataset is None
        if dataset is None:
            origin = Origin(
                fingerprint=self.fingerprints[DATASET],
                inputs=tuple(manifest.as_input() for manifest in tables.values()),
                settings=with_absolute_paths(self.settings).record(config.BUILD),
                notes={name: manifest.notes for name, manifest in tables.items() if manifest.notes},
                code_version=repic.__version__,
                run=self.run,
            )
            dataset = self.store.publish_dataset(DATASET, origin)
        versions = {manifest.name: manifest.version for manifest in (*tables.values(), dataset)}
        current = self.store.current()
        if any(current.of(name).latest != number for name, number in versions.items()):
            self.store.commit(versions)
        # What a later stage refused is among the images, too.
        unreadable = sum(row["stage"] == "images" for row in refused)
        return Outcome(
            dataset,
            tables,
            published,
            files=self.scan.files,
            copies=self.scan.files - tables["images"].rows - unreadable,
            processed=self.processed,
            seconds=time.monotonic() - self.started,
        )

    def _made(self, stage: Stage) -> list[Manifest]:
        """Versions that the stage's tables already have; empty if one is missing."""
        made = [self.store.find(name, self.fingerprints[name]) for name in stage.writes]
        return [m for m in made if m] if all(made) else []

    def _manifest(self, name: str) -> Manifest:
        manifest = self.store.find(name, self.fingerprints[name])
        if manifest is None:
            raise LookupError(f"{name} was not published by this build")
        return manifest

    def _inputs(self, stage: Stage) -> Inputs:
        names = [name for name in stage.reads if name != "source"]
        refused = [
            reject
            for other in STAGES
            if isinstance(other, RowStage) and other.name in names
            for reject in kept_results.rejects(self.store, other, self.settings)
        ]
        tables = {name: self._table(name) for name in names}
        before = {}
        if isinstance(stage, SetStage) and stage.keeps:
            before = {name: self._before(stage, name) for name in stage.writes}
        return Inputs(self.settings, self.scan, tables, tuple(refused), before)

    def _before(self, stage: Stage, name: str) -> pa.Table:
        """The latest version of a table, if the stage would make its rows in the same way."""
        try:
            latest = self.store.manifest(f"{name}@latest")
        except NotFoundError:
            return TABLES[name].empty()
        if fingerprint(latest.settings) != fingerprint(self._made_by(stage)):
            return TABLES[name].empty()
        return self.store.read(latest.ref)

    def _made_by(self, stage: Stage) -> dict[str, Json]:
        return {"recipe": stage.recipe(self.settings), "version": stage.version}

    def _table(self, name: str) -> pa.Table:
        if name not in self._read:
            manifest = self.reviews if name == "reviews" else self._manifest(name)
            self._read[name] = self.store.read(manifest.ref) if manifest else TABLES[name].empty()
        return self._read[name]

    def _publish(
        self, stage: Stage, name: str, data: pa.Table | list, notes: Mapping[str, Json]
    ) -> Manifest:
        origin = Origin(
            fingerprint=self.fingerprints[name],
            inputs=tuple(
                self._manifest(table).as_input()
                for table in stage.reads
                if table not in ("source", "reviews")
            )
            + ((self.reviews.as_input(),) if "reviews" in stage.reads and self.reviews else ()),
            settings=self._made_by(stage),
            models=stage.models(self.settings),
            sources=self._sources() if "source" in stage.reads else {},
            notes=dict(notes),
            code_version=repic.__version__,
            run=self.run,
        )
        return self.store.publish(
            name, data, origin, key=TABLES[name].key, schema=TABLES[name].schema
        )

    def _sources(self) -> dict[str, Json]:
        settings = with_absolute_paths(self.settings).source.model_dump(
            mode="json", exclude_none=True
        )
        return {self.settings.source.kind: {**settings, "files": self.scan.files}}


def run_shard(shard: Shard) -> ShardReport:
    """Compute a shard and keep its result. Safe to repeat, and to run anywhere."""
    stage = next(s for s in STAGES if isinstance(s, RowStage) and s.name == shard.stage)
    result = stage.run(shard.inputs, shard.settings)
    gone = tuple(reject for reject in result.rejects if reject.transient)
    lost = {reject.image_id for reject in gone}
    keys = [
        key
        for key, image_id in zip(
            shard.inputs["key"].to_pylist(), shard.inputs["image_id"].to_pylist(), strict=True
        )
        if image_id not in lost
    ]
    kept = Result(result.rows, tuple(r for r in result.rejects if not r.transient))
    if keys:
        kept_results.keep(Store.open(shard.store), stage, shard.settings, keys, kept)
    return ShardReport(result.rows.num_rows, len(result.rejects), gone)


def open_for(location: str, look: Callable[[], Scan]) -> tuple[Store, Scan]:
    """The store, and what the source holds. A store is made only if there is something to build.

    Args:
        location: Folder or URL of the store.
        look: Scans the source.

    Raises:
        storage.errors.StoreError: the store cannot be opened or made.
        repic.errors.SourceError: from `look`; a store that was not there is not there now.
    """
    try:
        store = Store.open(location)
    except NotFoundError:
        found = look()
        return Store.open(location, create=True), found
    with failures.noted(store, Run.here()):
        return store, look()


class Watch(Protocol):
    """Who wants to know how a build goes on."""

    def stage(self, stage: Stage, plan: Plan) -> None:
        """A stage begins."""

    def shard(self, stage: Stage, shard: Shard) -> None:
        """A shard of it is done."""


def build(settings: Settings, store: Store, scan: Scan, watch: Watch) -> Outcome:
    """Make one dataset version, on this machine, doing only what is missing.

    Interrupt it at any time; the next call goes on where it was.

    Raises:
        storage.errors.StoreError: the store cannot be written.
        repic.errors.QuarantineError: too many files are bad; nothing becomes visible.
    """

    def compute(stage: Stage, plan: Plan) -> Iterator[ShardReport]:
        watch.stage(stage, plan)
        for shard in plan.shards:
            yield run_shard(shard)
            watch.shard(stage, shard)

    return make(Build(settings, store, scan), compute, Build.publish)


def make(
    this: Build,
    compute: Callable[[Stage, Plan], Iterable[ShardReport]],
    publish: Callable[[Build, Stage], object],
) -> Outcome:
    """Walk the stages in order: whoever can compute a plan and publish a stage can build.

    An error that ends the build is put down in the store, until one succeeds.

    Args:
        compute: Called with each stage and its plan; gives a report per shard, from `run_shard`.
        publish: Called after it; does `Build.publish`.
    """
    with failures.noted(this.store, this.run), this.store.lease():
        if not this.done():
            while gone := _walk(this, compute, publish):
                this = this.without(gone)
        outcome = this.finish()
        failures.clear(this.store)
        return outcome


def _walk(
    this: Build,
    compute: Callable[[Stage, Plan], Iterable[ShardReport]],
    publish: Callable[[Build, Stage], object],
) -> list[Reject]:
    """All stages in order; stops after a stage that found inputs gone, and says which."""
    for stage in STAGES:
        plan = this.plan(stage)
        gone = [reject for report in compute(stage, plan) for reject in report.gone]
        if plan.missing:
            this.processed[stage.name] = this.processed.get(stage.name, 0) + plan.missing
        if gone:
            return gone
        publish(this, stage)
    return []
