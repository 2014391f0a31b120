"""Deployment `refresh`: build, train, evaluate, and promote the checkpoint if it is better.

`repic.refresh.run` defines the steps. This file adds a schedule, retries, a limit of one run at a
time, and a page with the numbers behind the decision.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows import events, runners, stall
from flows.build_datasets import build_datasets
from flows.common import (
    ONE_RETRY,
    RunLog,
    check_parameters,
    in_home,
    opaque,
    page_of_run,
    store_location,
)
from repic import config
from repic.models.vlm import load
from repic.objectives.rows import examples_of
from repic.pipeline import catalog, generated
from repic.refresh import run as refreshing
from repic.refresh.history import RecordedDecision
from repic.refresh.run import Request
from storage.manifest import Run
from storage.store import Store


@task(name="train", **ONE_RETRY)
def train(request: Request, store: str, run: Run) -> tuple[str, str | None]:
    """Train the candidate, or resume an interrupted run."""
    return refreshing.train(request, catalog.open_store(store), RunLog(), run)


@task(name="evaluate", **ONE_RETRY)
def evaluate(request: Request, candidate: str, store: str, run: Run) -> str:
    """Caption with the candidate and score the captions; the evaluation version."""
    return refreshing.evaluate(request, candidate, catalog.open_store(store), RunLog(), run).ref


@task(name="decide", **ONE_RETRY)
def decide(
    request: Request, candidate: str, why: str | None, store: str, run: Run
) -> RecordedDecision:
    """Compare the candidate with the production checkpoint; move the tag if it is better."""
    return refreshing.decision_on(request, candidate, why, catalog.open_store(store), RunLog(), run)


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    listed = ", ".join(parameters["sources"] or ())
    return f"{parameters['profile'] or 'sample'} {parameters['images'] or listed}".strip()


@flow(name="refresh", flow_run_name=_run_name, persist_result=False)
def refresh(
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
) -> RecordedDecision:
    """Build from new photos, train, evaluate, and promote the checkpoint if it is better.

    Relative paths, including those in a profile, start at REPIC_HOME, the folder of `repic up`.

    Args:
        images: Folder or URL of photos. Default: the sources of the profile. Without a profile,
            photos are generated, unless the latest dataset of the store was built from others.
        sources: Instead of `images`: `KIND:PATH` each, such as `coco:instances.json`.
        profile: sample, paper, modern, or a YAML file. Default: sample.
        identity: Source of identity labels, as in `build-datasets`.
        overrides: Settings to change: of build, training, evaluation and refresh.
        allow_shrink: As of build-datasets. Without it, such a build ends the refresh.
        store: Folder or URL of the store. Default: REPIC_STORE, else `repic-store`.
        runner: Where the shards of the build are computed, as of build-datasets: threads, dask or
            ray. Training and evaluation stay in the process of the flow.
        address: Of a running cluster of Dask or Ray. Default: a local one, for this build.
        workers: Processes of the local cluster.
        stall_hours: End a run in which nothing has happened for so long, and say so in the store;
            null: never.

    Returns:
        The decision; the earlier one if the inputs have not changed.
    """
    check_parameters()
    choice = runners.Choice(runner, address, workers)
    choice.check()
    changes = overrides or []
    with in_home():
        chosen = config.chosen_sources(images, sources, identity)
        settings = config.load(profile or "sample", changes, **chosen)
        located = store_location(store)
        if not (images or sources or profile):
            generated.refuse_in_a_store_of_photos(settings, located)
    built = build_datasets(
        images=images,
        sources=sources,
        profile=profile or "sample",
        identity=identity,
        overrides=changes,
        allow_shrink=allow_shrink,
        store=located,
        stall_hours=stall_hours,
        **asdict(choice),
    )
    with in_home(), stall.watched(located, "train", stall_hours):
        load.quiet()
        opened, run = Store.open(located), Run.here(runtime.flow_run.id)
        request = Request(settings, examples_of(opened, str(built.dataset.ref)))
        recorded = refreshing.known_decision(request, opened)
        is_new = recorded is None
        if recorded is None:
            candidate, why = train(opaque(request), located, run)
            if why is None:
                evaluate(opaque(request), candidate, located, run)
            recorded = decide(opaque(request), candidate, why, located, run)
    _report(recorded, is_new)
    if is_new and recorded.verdict == "refused":
        events.not_promoted(recorded.candidate, recorded.why, located)
    return recorded


def _report(recorded: RecordedDecision, is_new: bool) -> None:
    """Create the artifact of the run: the decision, and the numbers behind it."""
    lines = [
        f"Decision {recorded.number}: **{recorded.verdict}** `{recorded.candidate}`; in use is "
        f"`{recorded.in_use or 'nothing'}`.",
        "",
        recorded.why if is_new else f"Nothing new: {recorded.why}",
        "",
        "| metric | before | after | difference | 95 % | n | margin | |",
        "|---|---:|---:|---:|---|---:|---:|---|",
    ]
    lines += [
        f"| {row['metric']} | {_number(row['before'])} | {_number(row['after'])} | "
        f"{_number(row['difference'])} | {_number(row['low'])} to {_number(row['high'])} | "
        f"{'-' if row.get('n') is None else row['n']} | {_number(row['margin'])} | "
        f"{'met' if row['met'] else 'not met'} |"
        for row in recorded.rows
        if row["metric"] != "-"
    ]
    lines += ["", "`repic refresh rollback` returns the tag to the previous checkpoint."]
    with page_of_run():
        create_markdown_artifact("\n".join(lines), key="refresh", description=recorded.verdict)
    get_run_logger().info("%s %s: %s", recorded.verdict, recorded.candidate, recorded.why)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
