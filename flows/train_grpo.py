"""Deployment `train-grpo`: a dataset version in, a checkpoint version and its rollouts out.

One task trains; run again after a crash, it goes on from its last checkpoint. This file adds what
an operator wants: a retry, a name, and a page with the table and the curves.
"""

from __future__ import annotations

import base64
import os
from contextlib import chdir
from typing import Any, Literal

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from flows.build_datasets import _located
from repic.config import train as settings
from repic.errors import FIXABLE
from repic.pipeline import catalog
from repic.train.curves import PICTURE
from repic.train.run import Outcome, train
from storage.manifest import Run
from storage.store import Store


class Logged:
    """Watches a run: phases, and every tenth step, go to the log of the flow run."""

    def __init__(self) -> None:
        self._log = get_run_logger()

    def phase(self, name: str, total: int) -> None:
        """Something begins that has so many parts."""
        self._log.info("%s: %d", name, total)

    def tick(self, done: int = 1) -> None:
        """Parts of it are done."""

    def step(self, number: int, logs: dict[str, Any]) -> None:
        """The trainer logged a step."""
        if number % 10 == 0:
            self._log.info("step %d: reward %s, kl %s", number, logs.get("reward"), logs.get("kl"))

    def say(self, sentence: str) -> None:
        """Something that a person should know."""
        self._log.info("%s", sentence)


def _may_pass(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    return not isinstance(state.data, FIXABLE)


@task(
    name="train",
    retries=1,
    retry_delay_seconds=30,
    retry_condition_fn=_may_pass,
    persist_result=False,
    cache_policy=NO_CACHE,
)
def learn(asked: settings.Training, store: str, dataset: str, run: Run) -> Outcome | None:
    """Train, or go on with what was interrupted."""
    return train(asked, Store.open(store), dataset, Logged(), run)


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
) -> Outcome | None:
    """Train on a dataset version.

    Relative paths, also those inside a profile, start at REPIC_HOME: the folder of `repic up`.

    Args:
        dataset: Version of examples, or of a dataset.
        method: From rewards (grpo) or from the true answers (sft).
        profile: sample, paper, modern, or a YAML file.
        model: sample-sft, a folder, or a name on the hub; by default the profile's.
        overrides: Changes of single settings, as `train.lora.rank=8` or `trainer.beta=0.1`.
        store: Folder or URL of the store; by default REPIC_STORE, or repic-store.
    """
    with chdir(os.environ.get("REPIC_HOME", os.curdir)):
        asked = settings.load(profile, overrides or [], method=method, model=model)
        located = _located(store)
        outcome = learn(asked, located, dataset, Run.here(runtime.flow_run.id))
        opened = Store.open(located)
        if outcome and opened.files.local:
            catalog.refresh(opened)
    if outcome:
        _report(outcome, opened)
    return outcome


def _report(outcome: Outcome, store: Store) -> None:
    """A page in Prefect's UI: the table, and the curves as a picture."""
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
    create_markdown_artifact(
        "\n".join(lines), key="train-grpo", description=str(outcome.checkpoint.ref)
    )
    picture = next(file for file in outcome.checkpoint.files if file.name == PICTURE)
    data = base64.b64encode(store.files.read(picture.path)).decode()
    create_image_artifact(
        f"data:image/png;base64,{data}", key="train-grpo-curves", description="Curves of the run"
    )
    get_run_logger().info(lines[0])
