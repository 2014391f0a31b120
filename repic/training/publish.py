"""The versions that a run publishes: its rollouts, and a checkpoint with curves and a page."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from repic import config
from repic.models.vlm import checkpoints
from repic.rewards.held_out import Measured, RewardChange, compare, shared
from repic.tables import TABLES
from repic.training.rollouts import NAME as ROLLOUTS
from repic.training.rollouts import rollouts_of
from repic.web.templates import page_templates
from storage.manifest import Manifest, Origin, Run
from storage.store import Store

if TYPE_CHECKING:
    from repic.training.session import TrainingSession

PICTURE, PAGE = "curves.png", "training.html"
SHOWN, SHOWN_LOSSES = 8, 2
"""Rows on the page, with the answers before and after training, and most of them that got worse."""
SMOOTH = 0.1
"""Share of a run over which a noisy curve is averaged."""

PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("reward", ("reward", "rewards/oct", "rewards/vlt", "rewards/ict")),
    ("KL to the start, nats per token", ("kl",)),
    ("entropy, nats per token", ("entropy",)),
    ("length of an answer, tokens", ("completions/mean_length",)),
    ("groups without difference", ("frac_reward_zero_std",)),
    ("loss", ("loss",)),
)


@dataclass(frozen=True)
class TrainingResult:
    """The versions of a run.

    Attributes:
        rollouts: None for a method that samples nothing.
        published: False if an earlier call published the same run.
        changes: Held-out rewards before and after; empty if nothing was measured.
    """

    checkpoint: Manifest
    rollouts: Manifest | None
    published: bool
    changes: tuple[RewardChange, ...]

    def as_json(self) -> dict[str, Any]:
        """What `repic train --json` prints."""
        return {
            "checkpoint": str(self.checkpoint.ref),
            "rollouts": str(self.rollouts.ref) if self.rollouts else None,
            "published": self.published,
            "fingerprint": self.checkpoint.fingerprint,
            "notes": {k: v for k, v in self.checkpoint.notes.items() if k != "changes"},
            "changes": [asdict(change) for change in self.changes],
        }


def publish(
    session: TrainingSession,
    before: Measured | None,
    after: Measured | None,
    run: Run,
    weights: dict[str, Any] | None = None,
) -> TrainingResult:
    """Publish the rollouts and the checkpoint; `latest` does not move.

    Args:
        weights: As gathered by `session.whole_weights`; None: the model has them.

    Raises:
        storage.errors.StoreError: they cannot be written.
    """
    plan = session.plan
    base = {"name": plan.reader.name, "fingerprint": plan.reader.fingerprint}
    if before and after:
        before, after = shared(before, after)
    changes = tuple(compare(before, after)) if before and after else ()
    common: dict[str, Any] = {
        "fingerprint": plan.fingerprint,
        "settings": plan.settings.record(config.TRAIN),
        "models": {"base": base},
        "code_version": config.version(),
        "run": run,
    }
    inputs = [plan.examples.as_input()]
    if earlier := plan.settings.train.difficulty.rollouts:
        inputs.append(plan.store.manifest(earlier).as_input())  # decided which rows were trained on
    rollouts = None
    if session.rollouts:
        rollouts = plan.store.publish(
            ROLLOUTS,
            session.rollouts.table(session.steps),
            Origin(inputs=tuple(inputs), **common),
            key=TABLES[ROLLOUTS].key,
            schema=TABLES[ROLLOUTS].schema,
        )
        inputs.append(rollouts.as_input())
    notes = {
        **session.notes,
        "steps": session.steps,
        "stopped": session.guard.stopped,
        "warnings": session.guard.warnings,
        "changes": [asdict(change) for change in changes],
    }
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        checkpoints.save(session.model, plan.reader.processor, folder, weights)
        _write(folder / "settings.json", common["settings"])
        _write(folder / "trainer.json", _portable(session.trainer.args.to_sanitized_dict()))
        _write(folder / "log.json", session.history)
        if before and after:
            _write(folder / "measured.json", {"before": before.as_json(), "after": after.as_json()})
        _write_page(folder, session.history, changes, before, after, title=_title(session))
        checkpoint = plan.store.publish_files(
            checkpoints.NAME,
            checkpoints.files_of(folder),
            Origin(inputs=tuple(inputs), notes=notes, **common),
            kind="checkpoint",
        )
    return TrainingResult(checkpoint, rollouts, True, changes)


def published_before(store: Store, checkpoint: Manifest) -> TrainingResult:
    """The result of a run that an earlier call published."""
    rollouts = rollouts_of(checkpoint)
    changes = tuple(RewardChange(**change) for change in checkpoint.notes.get("changes", ()))
    return TrainingResult(
        checkpoint, store.manifest(rollouts) if rollouts else None, False, changes
    )


def _title(session: TrainingSession) -> str:
    train = session.plan.settings.train
    return f"{train.method.upper()} of {train.model} on {session.plan.examples.ref}"


def _portable(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of TRL's config without this machine's folders."""
    return {name: value for name, value in fields.items() if not name.endswith("_dir")}


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, default=str), encoding="utf-8")


def _write_page(
    folder: Path,
    history: Sequence[dict[str, Any]],
    changes: Sequence[RewardChange],
    before: Measured | None,
    after: Measured | None,
    title: str,
) -> None:
    """Write `curves.png` and the self-contained page `training.html` into a folder."""
    draw_curves(folder / PICTURE, history)
    style = resources.files("repic.report") / "templates" / "style.css"
    page = page_templates("repic.report").get_template("training.html")
    text = page.render(
        title=title,
        style=style.read_text(encoding="utf-8"),
        curves=base64.b64encode((folder / PICTURE).read_bytes()).decode(),
        changes=changes,
        pairs=example_answers(before, after),
    )
    (folder / PAGE).write_text(text, encoding="utf-8")


def example_answers(before: Measured | None, after: Measured | None) -> list[tuple[Any, Any]]:
    """Greedy answers before and after: those that gained most, objectives in turn, then those that
    lost most."""
    if before is None or after is None:
        return []
    pairs = sorted(zip(before.greedy, after.greedy, strict=True), key=_gain, reverse=True)
    losses = [pair for pair in reversed(pairs) if _gain(pair) < 0][:SHOWN_LOSSES]
    by_objective: dict[str, list[tuple[Any, Any]]] = {}
    for pair in pairs:
        by_objective.setdefault(pair[0].objective, []).append(pair)
    turns = (pair for turn in zip_longest(*by_objective.values()) for pair in turn if pair)
    others = [pair for pair in turns if pair not in losses]
    return [*others[: SHOWN - len(losses)], *losses]


def _gain(pair: tuple[Any, Any]) -> float:
    before, after = pair
    return float(after.reward - before.reward)


def draw_curves(path: Path, history: Sequence[dict[str, Any]]) -> None:
    """Draw curves over steps as a PNG: points, and their average over `SMOOTH` of the run.

    The same numbers give the same bytes: the file has no date.
    """
    from matplotlib.figure import Figure

    panels = [(name, keys) for name, keys in PANELS if any(k in h for h in history for k in keys)]
    figure = Figure(figsize=(9, 2.4 * max(1, -(-len(panels) // 2))), layout="constrained")
    for number, (name, keys) in enumerate(panels, start=1):
        axes = figure.add_subplot(-(-len(panels) // 2), 2, number)
        for key in keys:
            points = [(h["step"], h[key]) for h in history if isinstance(h.get(key), int | float)]
            if not points:
                continue
            steps, values = zip(*points, strict=True)
            [line] = axes.plot(steps, _averaged(values), label=key.removeprefix("rewards/"))
            axes.plot(steps, values, ".", markersize=2, alpha=0.3, color=line.get_color())
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        if len(keys) > 1:
            axes.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _averaged(values: Sequence[float]) -> list[float]:
    """Mean of each value and its predecessors in a window."""
    window = max(1, round(len(values) * SMOOTH))
    return [
        sum(values[max(0, i - window + 1) : i + 1]) / min(window, i + 1) for i in range(len(values))
    ]
