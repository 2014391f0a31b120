"""Deployment `build-datasets`: publish a dataset version from photos.

`repic.pipeline.execution` defines the steps: scan the source, compute the missing shards, publish.
This file adds retries, concurrency, run names, and a page with the result.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import exponential_backoff
from pydantic import Field

from flows import events, gpu, runners, stall
from flows.common import (
    TASK_OPTIONS,
    check_parameters,
    in_home,
    opaque,
    page_of_run,
    store_location,
)
from flows.runners import pools
from repic import config
from repic.config import Settings
from repic.errors import QuarantineError
from repic.pipeline import execution, generated
from repic.pipeline.build import Build, BuildResult, ShardResult, StagePlan, StageShard
from repic.pipeline.handover import HandedShard
from repic.pipeline.scan import Scan, scan
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import Stage
from storage.manifest import Run

SHARDS_AT_ONCE = 4
"""Per process. Shards of a stage with a model take turns: it is one model, on one device."""

LOGGED_EVERY = 10.0
"""Seconds between two lines about the progress of a stage."""

RETRIES: dict[str, Any] = {
    **TASK_OPTIONS,
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(5),
    "retry_jitter_factor": 0.3,
}


@task(name="scan", **RETRIES)
def scan_source(settings: Settings) -> Scan:
    """Read and hash every photo of the source."""
    return scan(settings)


@task(name="shard", task_run_name="{shard.stage} {number}/{total}", **RETRIES)
def compute(
    shard: StageShard | HandedShard, number: int, total: int, uses_model: bool
) -> ShardResult:
    """Compute one shard and keep its result, in a thread here or on a worker of a cluster."""
    if isinstance(shard, HandedShard):
        shard = shard.read()
    if not uses_model:
        return execution.run_shard(shard)
    with gpu.turn():
        return execution.run_shard(shard)


@task(name="publish", task_run_name="publish {stage.name}", **RETRIES)
def publish(this: Build, stage: Stage) -> None:
    """Publish versions of the tables of a stage."""
    this.publish(stage)
    stall.advanced(f"{stage.name} were published")


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    listed = ", ".join(parameters["sources"] or ())
    return parameters["images"] or listed or parameters["profile"] or "sample"


@flow(
    name="build-datasets",
    flow_run_name=_run_name,
    task_runner=ThreadPoolTaskRunner(max_workers=SHARDS_AT_ONCE),  # type: ignore[arg-type]
    persist_result=False,
)
def build_datasets(
    images: str | None = None,
    sources: list[str] | None = None,
    profile: str | None = None,
    identity: str | None = None,
    overrides: list[str] | None = None,
    allow_shrink: bool = False,
    store: str | None = None,
    runner: runners.Kind = "threads",
    address: str | None = None,
    workers: Annotated[int, Field(ge=1)] | None = None,
    stall_hours: stall.Hours | None = stall.LONGEST,
) -> BuildResult:
    """Build one dataset version from photos: OCT, VLT and ICT examples.

    Relative paths, including those in a profile, start at REPIC_HOME, the folder of `repic up`.

    Args:
        images: Folder or URL of photos. Without it, sources and a profile, photos are generated,
            unless the latest dataset of the store was built from others.
        sources: Instead of `images`: `KIND:PATH` each, such as `coco:instances.json`.
        profile: sample, photos, paper, modern, or a YAML file. Default with photos: photos.
        identity: Source of identity labels: folder (sub-folder names), folder:LEVEL (1 is the first
            below the root, -1 that of the photo), annotation, or none.
        overrides: Settings to change, such as `section.key=value`.
        allow_shrink: Publish even if most photos or rows of the last version, or an objective, are
            lost.
        store: Folder or URL of the store. Default: REPIC_STORE, else `repic-store`.
        runner: Where shards are computed: in threads of this process, on Dask or on Ray.
        address: Of a running cluster of Dask or Ray. Default: a local one, for this build.
        workers: Processes of the local cluster. Default: one per GPU, else as many as there are
            cores for `runtime.threads` each.
        stall_hours: End a run in which nothing has happened for so long, and say so in the store;
            null: never.
    """
    check_parameters()
    chosen_runner = runners.Choice(runner, address, workers)
    chosen_runner.check()
    with in_home(), stall.watched(store_location(store), "build", stall_hours):
        chosen = profile or ("photos" if images or sources else "sample")
        values = config.chosen_sources(images, sources, identity)
        settings = config.load(chosen, overrides or [], **values)
        located = store_location(store)
        if not (images or sources or profile):
            generated.refuse_in_a_store_of_photos(settings, located)
        opened, kept, scanned = execution.open_and_scan(located, settings, scan_source)
        run = Run.here(runtime.flow_run.id)
        this = Build(kept, opened, scanned, run, allow_shrink=allow_shrink)
        with (
            _refusal_told(located),
            pools.opened(chosen_runner, kept, opened, compute) as pool,
        ):
            outcome = execution.execute(
                this, partial(_compute_all, pool), lambda this, stage: publish(opaque(this), stage)
            )
    _report(outcome)
    if outcome.published:
        dataset, examples = outcome.dataset.ref, outcome.tables["examples"].ref
        events.published(str(dataset), str(examples), located)
    return outcome


@contextmanager
def _refusal_told(store: str) -> Iterator[None]:
    """Report to the server that a build refused too many files to publish the rest."""
    try:
        yield
    except QuarantineError as error:
        events.refused_files(str(error), store)
        raise


def _compute_all(pool: pools.Pool, stage: Stage, plan: StagePlan) -> Iterator[ShardResult]:
    """Compute the missing shards of a stage; their reports, in order."""
    total = len(plan.shards)
    stall.advanced(f"{stage.name} began")
    if not total:
        return
    log = get_run_logger()
    here = {"stage": stage.name}
    kept = plan.inputs - plan.missing
    log.info("%s: %d to compute, %d kept", stage.name, plan.missing, kept, extra=here)
    submitted: deque[Callable[[], ShardResult]] = deque()
    logged = time.monotonic()
    shards = iter(plan.shards)
    for number in range(1, total + 1):
        while len(submitted) < pool.waiting and (shard := next(shards, None)):
            place = number + len(submitted)
            uses_model = bool(stage.models(shard.settings))
            submitted.append(pool.submit(shard, place, total, uses_model))
        yield submitted.popleft()()
        stall.advanced(f"shard {number}/{total} of {stage.name}")
        if time.monotonic() - logged > LOGGED_EVERY:
            logged = time.monotonic()
            done = {**here, "shard": f"{number}/{total}"}
            log.info("%s: %d of %d shards are complete", stage.name, number, total, extra=done)


def _report(outcome: BuildResult) -> None:
    """Create the artifact of the run: its tables, versions and counts."""
    verb = "Published" if outcome.published else "Nothing new: this is"
    lines = [
        f"{verb} `{outcome.dataset.ref}` in {outcome.seconds:.0f} s, "
        f"from {outcome.files} photos found.",
        "",
        "| stage | table | version | rows | computed now |",
        "|---|---|---|---:|---:|",
    ]
    for stage in STAGES:
        for name in stage.writes:
            version = outcome.tables[name]
            now = outcome.processed.get(stage.name, 0)
            lines.append(
                f"| {stage.name} | {name} | {version.ref} | {version.rows} | {now or ''} |"
            )
    lines += ["", f"Fingerprint `{outcome.dataset.fingerprint}`"]
    lines += [f"content `{outcome.dataset.content}`"]
    with page_of_run():
        create_markdown_artifact(
            "\n".join(lines), key="build-datasets", description=str(outcome.dataset.ref)
        )
    get_run_logger().info(lines[0])
