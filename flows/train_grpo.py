"""Deployment `train-grpo`: train on a dataset version; publish a checkpoint and its rollouts.

One task trains; after a crash, it resumes from the last checkpoint. This file adds a retry, a run
name, and a page with the before/after table and the curves.
"""

from __future__ import annotations

import base64
from typing import Literal

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_image_artifact, create_markdown_artifact

from flows import stall
from flows.common import ONE_RETRY, RunLog, check_parameters, in_home, page_of_run, store_location
from repic import config
from repic.config import Settings
from repic.pipeline import catalog
from repic.training.publish import PICTURE, TrainingResult
from repic.training.run import train
from storage.manifest import Run
from storage.store import Store


@task(name="train", **ONE_RETRY)
def train_model(settings: Settings, store: str, dataset: str, run: Run) -> TrainingResult | None:
    """Train, or resume an interrupted run."""
    return train(settings, catalog.open_store(store), dataset, RunLog(), run)


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    return f"{parameters['method'] or 'grpo'} on {parameters['dataset']}"


@flow(name="train-grpo", flow_run_name=_run_name, persist_result=False)
def train_grpo(
    dataset: str = "examples@latest",
    method: Literal["grpo", "sft"] | None = None,
    profile: str = "sample",
    model: str | None = None,
    overrides: list[str] | None = None,
    store: str | None = None,
    stall_hours: stall.Hours | None = stall.LONGEST,
) -> TrainingResult | None:
    """Train on a dataset version.

    Relative paths, including those in a profile, start at REPIC_HOME, the folder of `repic up`.

    Args:
        dataset: Version of the examples table or of a dataset.
        method: grpo (from rewards) or sft (from true answers). Default: the profile's.
        profile: sample, paper, modern, or a YAML file.
        model: sample-base, a folder, or a name on the hub. Default: the profile's.
        overrides: Settings to change, such as `train.lora.rank=8` or `trainer.beta=0.1`.
        store: Folder or URL of the store. Default: REPIC_STORE, else `repic-store`.
        stall_hours: End a run in which nothing has happened for so long, and say so in the store;
            null: never.
    """
    check_parameters()
    with in_home(), stall.watched(store_location(store), "train", stall_hours):
        chosen = {"method": method, "model": model}
        settings = config.load(profile, overrides or [], scope=config.TRAIN, train=chosen)
        located = store_location(store)
        outcome = train_model(settings, located, dataset, Run.here(runtime.flow_run.id))
    if outcome:
        _report(outcome, Store.open(located))
    return outcome


def _report(outcome: TrainingResult, store: Store) -> None:
    """Create the artifacts of the run: the before/after table, and the curves as a picture."""
    verb = "Published" if outcome.published else "Nothing new: this is"
    rollouts = f" with `{outcome.rollouts.ref}`" if outcome.rollouts else ""
    lines = [f"{verb} `{outcome.checkpoint.ref}`{rollouts}.", ""]
    if outcome.changes:
        lines += [
            "| answers | objective | rows | before | after | difference | 95 % |",
            "|---|---|---:|---:|---:|---:|---|",
        ]
        lines += [
            f"| {c.how} | {c.objective} | {c.n} | {c.before:.3f} | {c.after:.3f} | "
            f"{c.difference:+.3f} | {c.low:+.3f} to {c.high:+.3f} |"
            for c in outcome.changes
        ]
    data = base64.b64encode(store.read_file(outcome.checkpoint.ref, PICTURE)).decode()
    with page_of_run():
        create_markdown_artifact(
            "\n".join(lines), key="train-grpo", description=str(outcome.checkpoint.ref)
        )
        create_image_artifact(
            f"data:image/png;base64,{data}",
            key="train-grpo-curves",
            description="Curves of the run",
        )
    get_run_logger().info(lines[0])
