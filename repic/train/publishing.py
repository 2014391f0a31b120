"""What a run leaves: rollouts and a checkpoint, each a version that says what it was made from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import repic
from repic.models.vlm import checkpoints
from repic.rewards.held_out import Measured, RewardChange, compare, shared
from repic.tables import TABLES
from repic.train import curves
from repic.train.rollouts import NAME as ROLLOUTS
from repic.train.rollouts import of as rollouts_of
from storage.manifest import Manifest, Origin, Run
from storage.store import Store

if TYPE_CHECKING:
    from repic.train.run import Outcome
    from repic.train.session import Job


def publish(job: Job, before: Measured | None, after: Measured | None, run: Run) -> Outcome:
    """Versions of the rollouts and the checkpoint; nothing moves `latest`.

    Raises:
        storage.errors.StoreError: they cannot be written.
    """
    from repic.train.run import Outcome

    plan = job.plan
    base = {"name": plan.reader.name, "fingerprint": plan.reader.fingerprint}
    if before and after:
        before, after = shared(before, after)
    changes = tuple(compare(before, after)) if before and after else ()
    common: dict[str, Any] = {
        "fingerprint": plan.fingerprint,
        "settings": plan.settings.model_dump(mode="json"),
        "models": {"base": base},
        "code_version": repic.__version__,
        "run": run,
    }
    inputs = [plan.examples.as_input()]
    if earlier := plan.settings.train.difficulty.rollouts:
        inputs.append(plan.store.manifest(earlier).as_input())  # decided which rows were trained on
    rollouts = None
    if job.rollouts:
        rollouts = plan.store.publish(
            ROLLOUTS,
            job.rollouts.table(job.steps),
            Origin(inputs=tuple(inputs), **common),
            key=TABLES[ROLLOUTS].key,
            schema=TABLES[ROLLOUTS].schema,
        )
        inputs.append(rollouts.as_input())
    notes = {
        **job.notes,
        "steps": job.steps,
        "stopped": job.guard.stopped,
        "warnings": job.guard.warnings,
        "changes": [asdict(change) for change in changes],
    }
    with TemporaryDirectory() as place:
        folder = Path(place)
        checkpoints.save_adapter(job.model, folder / checkpoints.ADAPTER)
        _write(folder / "settings.json", common["settings"])
        _write(folder / "trainer.json", _portable(job.trainer.args.to_sanitized_dict()))
        _write(folder / "log.json", job.history)
        if before and after:
            _write(folder / "measured.json", {"before": before.as_json(), "after": after.as_json()})
        curves.write(folder, job.history, changes, before, after, title=_title(job))
        checkpoint = plan.store.publish_files(
            checkpoints.NAME,
            checkpoints.files_of(folder),
            Origin(inputs=tuple(inputs), notes=notes, **common),
            kind="checkpoint",
        )
    return Outcome(checkpoint, rollouts, True, changes)


def known(store: Store, checkpoint: Manifest) -> Outcome:
    """The outcome of a run that was made before."""
    from repic.train.run import Outcome

    found = rollouts_of(checkpoint)
    changes = tuple(RewardChange(**change) for change in checkpoint.notes.get("changes", ()))
    return Outcome(checkpoint, store.manifest(found) if found else None, False, changes)


def _title(job: Job) -> str:
    train = job.plan.settings.train
    return f"{train.method.upper()} of {train.model} on {job.plan.examples.ref}"


def _portable(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of TRL's config without folders of this machine."""
    return {name: value for name, value in fields.items() if not name.endswith("_dir")}


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, default=str), encoding="utf-8")
