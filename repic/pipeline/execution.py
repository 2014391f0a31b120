"""Running a build: all stages in order, here or by the tasks of a flow.

`build` runs all stages in this process. A flow calls `execute` with tasks of its own, so both walk
the same stages in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from repic.config import Settings
from repic.errors import SourceError
from repic.objectives import names
from repic.pipeline import catalog, failures, kept_results, kept_rows
from repic.pipeline.build import (
    Build,
    BuildCallbacks,
    BuildResult,
    ShardResult,
    StagePlan,
    StageShard,
)
from repic.pipeline.forgotten import Forgotten
from repic.pipeline.kept_levels import keep_level
from repic.pipeline.scan import Reject, Scan, trust_root
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import RowStage, Stage
from storage.errors import NotFoundError
from storage.manifest import Run
from storage.store import Store


def run_shard(shard: StageShard) -> ShardResult:
    """Compute a shard and keep its result. Idempotent, and safe to run on any machine."""
    stage = next(s for s in STAGES if isinstance(s, RowStage) and s.name == shard.stage)
    trust_root(shard.settings)
    if stage.models(shard.settings):
        for later in STAGES[STAGES.index(stage) + 1 :]:
            if isinstance(later, RowStage):
                later.load(shard.settings)
    if shard.earlier:
        store, photos = Store.open(shard.store), shard.inputs["image_id"]
        earlier = kept_rows.earlier(store, stage, shard.earlier, photos)
        output = stage.run_again(shard.inputs, shard.settings, earlier)
    else:
        output = stage.run(shard.inputs, shard.settings)
    gone = tuple(reject for reject in output.rejects if reject.transient)
    gone_ids = {reject.image_id for reject in gone}
    keys = [
        key
        for key, image_id in zip(
            shard.inputs["key"].to_pylist(), shard.inputs["image_id"].to_pylist(), strict=True
        )
        if image_id not in gone_ids
    ]
    kept = replace(output, rejects=tuple(r for r in output.rejects if not r.transient))
    if keys:
        kept_results.write(Store.open(shard.store), stage, shard.settings, keys, kept)
    return ShardResult(output.rows.num_rows, len(output.rejects), gone)


def check(settings: Settings) -> None:
    """Check what can be checked without a photo and without loading a model.

    Raises:
        ConfigError: a locale has too few names, or a model lacks a setting.
        WeightsError: weights do not exist.
        DeviceError: there is no such device.
    """
    names.check(settings.examples.names.locales)
    for stage in STAGES:
        stage.recipe(settings)


def open_and_scan(
    location: str, settings: Settings, scan: Callable[[Settings], Scan]
) -> tuple[Store, Settings, Scan]:
    """Open the store and scan the source. A new store is created only if the scan succeeds.

    Args:
        location: Folder or URL of the store.
        scan: Scans the source of settings.

    Returns:
        The store; the settings to build with, where the level of folders is that of earlier
        builds; the scan.

    Raises:
        storage.errors.StoreError: the store cannot be opened or created.
        repic.errors.SourceError: from `scan`.
        errors of `check`.
    """
    try:
        store = catalog.open_store(location)
    except NotFoundError:
        check(settings)
        scanned = scan(settings)
        return catalog.open_store(location, create=True), settings, scanned
    with failures.recorded(store, Run.here()):
        check(settings)
        settings = keep_level(settings, store)
        return store, settings, scan(settings)


def build(
    settings: Settings,
    store: Store,
    scan: Scan,
    callbacks: BuildCallbacks | None = None,
    allow_shrink: bool = False,
) -> BuildResult:
    """Build one dataset version in this process, computing only missing results.

    An interrupted build resumes when it is run again.

    Args:
        allow_shrink: Publish it also if it lost most of the last version of the same settings.

    Raises:
        storage.errors.StoreError: the store cannot be written.
        errors of `check`.
        repic.errors.QuarantineError: too many files were refused; `latest` stays.
        repic.errors.ShrinkError: it has shrunk; `latest` stays.
    """
    this = Build(settings, store, scan, allow_shrink=allow_shrink)
    return execute(this, computing_here(callbacks), Build.publish)


def computing_here(
    callbacks: BuildCallbacks | None = None,
) -> Callable[[Stage, StagePlan], Iterator[ShardResult]]:
    """A function that runs the shards of a plan in this process, one after the other."""

    def compute(stage: Stage, plan: StagePlan) -> Iterator[ShardResult]:
        if callbacks:
            callbacks.stage(stage, plan)
        for shard in plan.shards:
            yield run_shard(shard)
            if callbacks:
                callbacks.shard(stage, shard)

    return compute


def execute(
    build: Build,
    compute: Callable[[Stage, StagePlan], Iterable[ShardResult]],
    publish: Callable[[Build, Stage], object],
) -> BuildResult:
    """Run all stages in order, then bind and commit their tables.

    If inputs vanish meanwhile, the stages run again without them. An error that ends the build is
    recorded in the store until a build succeeds.

    Args:
        compute: Runs the shards of a plan by `run_shard` and returns their results in order.
        publish: Calls `Build.publish`, after all shards of a stage.
    """
    with failures.recorded(build.store, build.run), build.store.lease():
        if not build.existing_dataset():
            check(build.settings)
            build.find_damage()
            while gone := run_stages(build, compute, publish):
                build = build.without(gone)
        check_forgotten(build)
        result = build.finish()
        failures.clear(build.store)
        return result


def check_forgotten(build: Build) -> None:
    """Raises: SourceError: something of a build was forgotten since it started."""
    if build.scan.without_forgotten(Forgotten.of(build.store)) is not build.scan:
        raise SourceError("nothing was published: photos were forgotten meanwhile, build again")


def run_stages(
    build: Build,
    compute: Callable[[Stage, StagePlan], Iterable[ShardResult]],
    publish: Callable[[Build, Stage], object],
    stages: Iterable[Stage] = STAGES,
) -> list[Reject]:
    """Run the stages in order; stop after the first that misses inputs, and return these."""
    for stage in stages:
        plan = build.plan(stage)
        gone = [reject for result in compute(stage, plan) for reject in result.gone]
        if plan.missing:
            build.processed[stage.name] = build.processed.get(stage.name, 0) + plan.missing
        if gone:
            return gone
        publish(build, stage)
    return []
