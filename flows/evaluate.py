"""Deployment `evaluate`: a model in; captions, scores, metrics and an evaluation version out.

One task captions and scores; run again after a crash, it makes only the captions that are missing.
This file adds what an operator wants: a retry, a name, and a page with the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact

from flows.common import TASK_OPTIONS, RunLog, in_home, store_location
from repic import report
from repic.config import evaluate as settings
from repic.evaluate.formatting import cell
from repic.evaluate.results import Evaluated, load
from repic.evaluate.run import run
from repic.pipeline import catalog
from storage.manifest import Run
from storage.store import Store

SHOWN = ("precision", "recall", "f1", "exact", "false_mention", "binding")
READ = ("length", "self_bleu", "copy_rate", "clip_score")


@task(name="evaluate", **{**TASK_OPTIONS, "retries": 2, "retry_delay_seconds": 30})
def measure(model: str, asked: settings.Asked, store: str, run_: Run) -> str:
    """Evaluate, or go on with what was interrupted; the version that came of it."""
    return run(model, asked, Store.open(store, create=True), RunLog(), run_).ref


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    return f"{parameters['model']} on {parameters['suite'] or 'the suite of its profile'}"


@flow(name="evaluate", flow_run_name=_run_name, persist_result=False)
def evaluate(
    model: str = "checkpoint@latest",
    suite: str | None = None,
    folder: str | None = None,
    profile: str = "sample",
    overrides: list[str] | None = None,
    page: str | None = None,
    store: str | None = None,
) -> str:
    """Evaluate a model on a suite.

    Relative paths, also those inside a profile, start at REPIC_HOME: the folder of `repic up`.

    Args:
        model: checkpoint@v3, sample-sft, a folder, or a name on the hub.
        suite: sample, sample-ood, dreambooth, myvlm, yollava, repic-2c or repic-4c.
        folder: Where the photos of a suite lie that is not generated.
        profile: sample, paper, modern, or a YAML file.
        overrides: Changes of single settings, as `evaluate.photos=100`.
        page: HTML file to write the evaluation's page to.
        store: Folder or URL of the store; by default REPIC_STORE, or repic-store.

    Returns:
        The version, `evaluation@v3`.
    """
    with in_home():
        asked = settings.load(profile, overrides or [], suite=suite, folder=folder)
        located = store_location(store)
        ref = measure(model, asked, located, Run.here(runtime.flow_run.id))
        opened = Store.open(located)
        if opened.files.local:
            catalog.refresh(opened)
        if page:
            report.write(opened, ref, Path(page).expanduser())
    show(load(opened, ref))
    return ref


def show(found: Evaluated) -> None:
    """A page in Prefect's UI: the strict metric of each protocol, with intervals."""
    lines = [
        f"`{found.ref}`: {found.model} on {found.suite}, {found.summary['photos']} photos. Strict "
        "metric in per cent with 95 % intervals, clustered by photo; n where it is not captions.",
        "",
        *_table(found, "strict", SHOWN, "f1"),
        "",
        "How captions read: words, shares in per cent, CLIPScore (0 to 2.5).",
        "",
        *_table(found, "quality", READ, "length"),
    ]
    lines += [f"\n{remark}." for remark in found.summary.get("remarks", ())]
    lines += ["", f"`repic report {found.ref}` writes its page."]
    create_markdown_artifact("\n".join(lines), key="evaluate", description=found.ref)
    get_run_logger().info("%s: %s on %s", found.ref, found.model, found.suite)


def _table(found: Evaluated, metric: str, shown: Sequence[str], counted: str) -> list[str]:
    lines = [
        f"| protocol | captions | {' | '.join(name.replace('_', ' ') for name in shown)} |",
        f"|---|---:|{'---|' * len(shown)}",
    ]
    for protocol in found.protocols:
        n = found.score(counted, protocol, metric=metric).n
        cells = [cell(name, found.score(name, protocol, metric=metric), n) for name in shown]
        lines.append(f"| {protocol} | {n} | {' | '.join(cells)} |")
    return lines
