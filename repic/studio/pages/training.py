"""Training: runs with their curves, live while they run, and answers beside those of the start."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from cachetools import LRUCache
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from repic.errors import FIXABLE
from repic.models.vlm.checkpoints import NAME as CHECKPOINT
from repic.rewards.held_out import Measured, RewardChange
from repic.studio.curves import Logs, panels
from repic.studio.site import PageNotFoundError, Studio, is_part
from repic.training.publish import example_answers
from repic.training.rollouts import NAME as ROLLOUTS
from repic.training.rollouts import Rollouts, rollouts_of
from storage import jobs
from storage.errors import StoreError
from storage.jobs import UnfinishedJob
from storage.manifest import ArtifactRef, Manifest

NAME, PATH = "Training", "/training"
SIZE = 20
"""Runs on a page."""

GROUPS = 40
"""Groups of answers that the page of a step shows."""

KEPT_STEPS = 20_000
"""Steps of runs in progress whose figures stay in memory."""

BROKEN = (LookupError, TypeError, ValueError, AttributeError)
"""What a checkpoint of unexpected content raises; the page must say so, and show the others."""


@dataclass(frozen=True)
class RunLine:
    """A finished run in the list.

    Attributes:
        reward: Change of the mean greedy reward; None if nothing was measured.
        broken: Why the checkpoint cannot be read.
    """

    manifest: Manifest | None
    number: int
    aliases: tuple[str, ...]
    method: str = ""
    model: str = ""
    reward: RewardChange | None = None
    broken: str = ""


@dataclass(frozen=True)
class AnswerGroup:
    """The answers to one example in a step, and those of an earlier step to compare with.

    Attributes:
        since: The earlier step; None if there is none.
        is_same: Whether the earlier answers are to the same example, or to another one of the same
            objective.
    """

    example_id: str
    objective: str
    now: tuple[Mapping[str, Any], ...]
    start: tuple[Mapping[str, Any], ...]
    since: int | None
    is_same: bool


def routes(studio: Studio) -> APIRouter:
    """Routes of the page."""
    routes = APIRouter()
    live = LiveRuns(studio)

    @routes.get("/training")
    def runs(request: Request, before: int | None = None) -> Response:
        numbers = [n for n in studio.store.versions(CHECKPOINT) if before is None or n < before]
        shown = numbers[-SIZE:][::-1]
        return studio.page(
            request,
            "runs.html",
            running=live.jobs(),
            lines=[_line(studio, number) for number in shown],
            older=shown[-1] if len(numbers) > len(shown) else None,
        )

    @routes.get("/training/unfinished/{job_id}")
    def unfinished(request: Request, job_id: str) -> Response:
        job = live.job(job_id)
        if job is None:
            return _ended(studio, request, job_id)
        logs, steps = live.logs(job_id)
        return studio.page(request, "live.html", job=job, panels=panels(logs), steps=steps)

    @routes.get("/training/unfinished/{job_id}/steps/{step}")
    def unfinished_step(request: Request, job_id: str, step: int) -> Response:
        job = live.job(job_id)
        if job is None:
            return _ended(studio, request, job_id)
        table = Rollouts(studio.store, job_id).table(step)
        return _step(studio, request, table, step, job.what, f"/training/unfinished/{job_id}")

    @routes.get("/training/{number}")
    def run(request: Request, number: int) -> Response:
        return _finished(studio, request, number)

    @routes.get("/training/{number}/steps/{step}")
    def finished_step(request: Request, number: int, step: int) -> Response:
        manifest = _checkpoint(studio, number)
        answers = rollouts_of(manifest)
        if answers is None:
            raise PageNotFoundError(f"{manifest.ref} was trained without sampling answers.")
        table = studio.store.read(answers)
        return _step(studio, request, table, step, str(manifest.ref), f"/training/{number}")

    return routes


class LiveRuns:
    """Runs in progress, out of what they have written so far. Threads may share one."""

    def __init__(self, studio: Studio) -> None:
        self._store = studio.store
        self._figures: LRUCache[str, dict[str, Any]] = LRUCache(KEPT_STEPS)

    def jobs(self) -> list[UnfinishedJob]:
        """Runs that have not ended, the last touched first."""
        found = [job for job in jobs.find(self._store.files) if self._is_run(job)]
        return sorted(found, key=lambda job: job.touched, reverse=True)

    def job(self, job_id: str) -> UnfinishedJob | None:
        """A run in progress; None if it has ended."""
        return next((job for job in self.jobs() if job.id == job_id), None)

    def logs(self, job_id: str) -> tuple[Logs, list[int]]:
        """Figures by step, and the steps whose answers are kept.

        Those of the answers are there at once; the trainer's own, such as KL and entropy, up to its
        last checkpoint, if the store is on this machine.
        """
        merged = {entry["step"]: dict(entry) for entry in self._trainer_logs(job_id)}
        steps = []
        for step, part in sorted(Rollouts(self._store, job_id).parts().items()):
            steps.append(step)
            if part.shard.path not in self._figures:
                self._figures[part.shard.path] = figures(self._store.read_part(part))
            merged.setdefault(step, {"step": step})
            merged[step] = {**self._figures[part.shard.path], **merged[step]}
        return [merged[step] for step in sorted(merged)], steps

    def _is_run(self, job: UnfinishedJob) -> bool:
        return any(kept.startswith(f"parts/{ROLLOUTS}/") for kept in job.keeps)

    def _trainer_logs(self, job_id: str) -> Logs:
        if not self._store.files.local:
            return []
        folder = Path(self._store.files.full(jobs.folder(job_id))) / "trainer"
        states = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=_step_of)
        try:
            saved = json.loads(states[-1].read_text(encoding="utf-8"))["log_history"]
            return [entry for entry in saved if "loss" in entry and isinstance(entry["step"], int)]
        except (OSError, *BROKEN):  # none yet, or it is written or removed right now
            return []


def _step_of(state: Path) -> int:
    step = state.parent.name.rpartition("-")[2]
    return int(step) if step.isdecimal() else -1


def figures(answers: pa.Table) -> dict[str, Any]:
    """What the trainer logs of the answers of a step, under the names that TRL has for it."""
    rows = answers.select(["group", "objective", "reward", "length"]).to_pylist()
    groups: dict[int, list[float]] = {row["group"]: [] for row in rows}
    by_objective: dict[str, list[float]] = {}
    for row in rows:
        if row["reward"] is not None:
            groups[row["group"]].append(row["reward"])
            by_objective.setdefault(row["objective"], []).append(row["reward"])
    scored = [reward for rewards in groups.values() for reward in rewards]
    if not rows:
        return {}
    means = {f"rewards/{name}": _mean(rewards) for name, rewards in by_objective.items()}
    return {
        **means,
        **({"reward": _mean(scored)} if scored else {}),
        "completions/mean_length": _mean([row["length"] for row in rows]),
        "frac_reward_zero_std": _mean([len(set(rewards)) < 2 for rewards in groups.values()]),
        "unscored": 1 - len(scored) / len(rows),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _ended(studio: Studio, request: Request, job_id: str) -> Response:
    """Leads to the checkpoint of a run that has ended."""
    made = studio.store.find(CHECKPOINT, job_id)
    if made is None:
        raise PageNotFoundError("This run is not in progress, and has published no checkpoint.")
    path = f"/training/{made.version}"
    if is_part(request):
        return Response(status_code=204, headers={"HX-Redirect": path})
    return RedirectResponse(path, 303)


def _line(studio: Studio, number: int) -> RunLine:
    ref = studio.store.current().of(CHECKPOINT)
    tags = sorted(tag for tag, version in ref.tags.items() if version == number)
    aliases = (*(["latest"] if ref.latest == number else []), *tags)
    try:
        manifest = _checkpoint(studio, number)
        train = manifest.settings.get("train") or {}
        changes = _changes(manifest)
        greedy = [c for c in changes if c.how == "greedy"]
        reward = next((c for c in greedy if c.objective == "all"), greedy[0] if greedy else None)
        method, model = str(train.get("method", "")), str(train.get("model", ""))
        return RunLine(manifest, number, aliases, method, model, reward)
    except FIXABLE as error:
        return RunLine(None, number, aliases, broken=str(error))
    except BROKEN as error:
        broken = f"Its notes are not those of a run ({type(error).__name__}: {error})."
        return RunLine(None, number, aliases, broken=broken)


def _checkpoint(studio: Studio, number: int) -> Manifest:
    return studio.store.manifest(ArtifactRef.exact(CHECKPOINT, number))


def _changes(manifest: Manifest) -> list[RewardChange]:
    changes = [RewardChange(**change) for change in manifest.notes.get("changes") or ()]
    for change in changes:
        float(change.difference), float(change.low), float(change.high), int(change.n)
    return changes


def _finished(studio: Studio, request: Request, number: int) -> Response:
    manifest = _checkpoint(studio, number)
    names = {file.name for file in manifest.files}

    def content(name: str) -> Any:
        return json.loads(studio.store.read_file(manifest.ref, name)) if name in names else None

    answers = rollouts_of(manifest)
    try:
        logs = [entry for entry in content("log.json") or [] if isinstance(entry["step"], int)]
        measured = content("measured.json") or {}
        ends = [Measured.from_json(measured[end]) for end in ("before", "after") if measured]
        return studio.page(
            request,
            "run.html",
            number=number,
            manifest=manifest,
            notes=manifest.notes,
            panels=panels(logs),
            changes=_changes(manifest),
            pairs=example_answers(*ends) if ends else [],
            answers=answers,
            steps=_steps(studio.store.read(answers, ["step"])) if answers else [],
        )
    except BROKEN as error:
        raise StoreError(
            f"{manifest.ref} cannot be shown: its files are not those of a run "
            f"({type(error).__name__}: {error})."
        ) from None


def _steps(answers: pa.Table) -> list[int]:
    return sorted(pc.unique(answers["step"]).to_pylist())


def _step(
    studio: Studio, request: Request, table: pa.Table, step: int, title: str, back: str
) -> Response:
    steps = _steps(table)
    if step not in steps:
        raise PageNotFoundError(f"{title} has no answers of step {step}.")
    groups = answer_groups(table, step)
    place = steps.index(step)
    return studio.page(
        request,
        "step.html",
        title=title,
        back=back,
        step=step,
        groups=groups[:GROUPS],
        total=len(groups),
        before=steps[place - 1] if place else None,
        after=steps[place + 1] if place + 1 < len(steps) else None,
    )


def answer_groups(table: pa.Table, step: int) -> list[AnswerGroup]:
    """The groups of a step, each beside the first answers to its example, or to another one of its
    objective in the first step."""
    now = _by_group(table.filter(pc.equal(table["step"], step)))
    earlier = table.filter(pc.less(table["step"], step))
    first = pc.min(earlier["step"]).as_py()
    ids = pa.array([group[0]["example_id"] for group in now], pa.string())
    repeated = _by_group(earlier.filter(pc.is_in(earlier["example_id"], ids)))
    is_first = pc.equal(earlier["step"], -1 if first is None else first)
    start = _firsts(_by_group(earlier.filter(is_first)), "objective")
    same = _firsts(repeated, "example_id")
    found = []
    for group in now:
        example_id, objective = group[0]["example_id"], group[0]["objective"]
        then = same.get(example_id) or start.get(objective) or ()
        since = then[0]["step"] if then else None
        found.append(AnswerGroup(example_id, objective, group, then, since, example_id in same))
    return found


def _by_group(answers: pa.Table) -> list[tuple[Mapping[str, Any], ...]]:
    """Groups of answers in order of step and number."""
    order = [("step", "ascending"), ("group", "ascending"), ("sample", "ascending")]
    groups: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for row in answers.sort_by(order).to_pylist():
        groups.setdefault((row["step"], row["group"]), []).append(row)
    return [tuple(group) for group in groups.values()]


def _firsts(
    groups: Sequence[tuple[Mapping[str, Any], ...]], column: str
) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """The first group with each value of a column."""
    found: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for group in groups:
        found.setdefault(group[0][column], group)
    return found
