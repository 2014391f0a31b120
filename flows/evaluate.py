"""Deployment `evaluate`: captions, scores, metrics and an evaluation version of a model.

One task captions and scores; after a crash, only the missing captions are computed. This file adds
retries, a run name, and a page with the metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact

from flows import stall
from flows.common import (
    TASK_OPTIONS,
    RunLog,
    check_parameters,
    in_home,
    page_of_run,
    store_location,
)
from repic import config, report
from repic.config import Settings
from repic.config.evaluate import SuiteName
from repic.evaluation.metrics import format_cell
from repic.evaluation.results import EvaluationResult, load
from repic.evaluation.run import run
from repic.pipeline import catalog
from storage.manifest import Run
from storage.store import Store

STRICT_COLUMNS = ("precision", "recall", "f1", "exact", "false_mention", "binding")
QUALITY_COLUMNS = ("length", "self_bleu", "copy_rate", "clip_score")


@task(name="evaluate", **{**TASK_OPTIONS, "retries": 2, "retry_delay_seconds": 30})
def caption_and_score(model: str, settings: Settings, store: str, run_: Run) -> str:
    """Evaluate the model, or resume an interrupted evaluation; the published version."""
    return run(model, settings, catalog.open_store(store, create=True), RunLog(), run_).ref


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    return f"{parameters['model']} on {parameters['suite'] or 'the suite of its profile'}"


@flow(name="evaluate", flow_run_name=_run_name, persist_result=False)
def evaluate(
    model: str = "checkpoint@latest",
    suite: SuiteName | None = None,
    folder: str | None = None,
    profile: str = "sample",
    overrides: list[str] | None = None,
    page: str | None = None,
    store: str | None = None,
    stall_hours: stall.Hours | None = stall.LONGEST,
) -> str:
    """Evaluate a model on a suite.

    Relative paths, including those in a profile, start at REPIC_HOME, the folder of `repic up`.

    Args:
        model: checkpoint@v3, sample-base, a folder, or a name on the hub.
        suite: Photos and names to evaluate on. Default: the profile's.
        folder: Photos of the suite, unless it is generated.
        profile: sample, paper, modern, or a YAML file.
        overrides: Settings to change, such as `evaluate.photos=100`.
        page: HTML file for the report of the evaluation.
        store: Folder or URL of the store. Default: REPIC_STORE, else `repic-store`.
        stall_hours: End a run in which nothing has happened for so long, and say so in the store;
            null: never.

    Returns:
        The version, `evaluation@v3`.
    """
    check_parameters()
    with in_home(), stall.watched(store_location(store), "evaluate", stall_hours):
        chosen = {"suite": suite, "folder": folder}
        settings = config.load(profile, overrides or [], scope=config.EVALUATE, evaluate=chosen)
        located = store_location(store)
        ref = caption_and_score(model, settings, located, Run.here(runtime.flow_run.id))
        opened = Store.open(located)
        if page:
            report.write(opened, ref, Path(page).expanduser())
    _report(load(opened, ref))
    return ref


def _report(evaluation: EvaluationResult) -> None:
    """Create the artifact of the run: strict metric and caption quality of each protocol."""
    lines = [
        f"`{evaluation.ref}`: {evaluation.model} on {evaluation.suite}, "
        f"{evaluation.summary['photos']} photos. Strict metric in per cent with 95 % intervals, "
        "clustered by photo; n where it differs from the number of captions.",
        "",
        *_table(evaluation, "strict", STRICT_COLUMNS, "f1"),
        "",
        "Caption quality: length in words, shares in per cent, CLIPScore (0 to 2.5).",
        "",
        *_table(evaluation, "quality", QUALITY_COLUMNS, "length"),
    ]
    lines += [f"\n{remark}." for remark in evaluation.summary.get("remarks", ())]
    lines += ["", f"`repic report {evaluation.ref}` writes the full report."]
    with page_of_run():
        create_markdown_artifact("\n".join(lines), key="evaluate", description=evaluation.ref)
    get_run_logger().info("%s: %s on %s", evaluation.ref, evaluation.model, evaluation.suite)


def _table(
    evaluation: EvaluationResult, metric: str, columns: Sequence[str], counted: str
) -> list[str]:
    """Markdown table with a row per protocol; the score `counted` has the number of captions."""
    lines = [
        f"| protocol | captions | {' | '.join(name.replace('_', ' ') for name in columns)} |",
        f"|---|---:|{'---|' * len(columns)}",
    ]
    for protocol in evaluation.protocols:
        n = evaluation.score(counted, protocol, metric=metric).n
        cells = [
            format_cell(name, evaluation.score(name, protocol, metric=metric), n)
            for name in columns
        ]
        lines.append(f"| {protocol} | {n} | {' | '.join(cells)} |")
    return lines
