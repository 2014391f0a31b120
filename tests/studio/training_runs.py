"""Training runs without a model: a finished one with its rollouts, and one in progress."""

from __future__ import annotations

import json
from typing import Any

from repic.rewards.held_out import HeldOutAnswer, Measured, compare
from repic.tables import TABLES
from repic.training.rollouts import NAME as ROLLOUTS
from repic.training.rollouts import Rollouts
from storage import jobs, parts
from storage.manifest import Manifest, Origin
from storage.store import Store

LIVE = "ab12"
"""Fingerprint of the run in progress."""

STEPS = (1, 5, 9)


def rows(step: int, text: str, example: str = "e") -> list[dict[str, Any]]:
    """Two groups of two answers: one without difference, one with an answer without a score."""
    rewards = ((0.5, 0.5), (1.0, None))
    return [
        {
            "example_id": f"{example}{group}",
            "objective": ("oct", "vlt")[group],
            "kind": "positive",
            "completion": f"{text} {step}.{group}.{sample}",
            "reward": reward,
            "components": {"answer": reward or 0.0},
            "reason": "error" if reward is None else "right" if reward == 1 else "wrong",
            "advantage": 0.0,
            "length": 10 * step + sample,
            "truncated": False,
        }
        for group, pair in enumerate(rewards)
        for sample, reward in enumerate(pair)
    ]


def publish(store: Store, text: str = "answer") -> Manifest:
    """A finished run of three steps; the last asks about other examples."""
    answers = Rollouts(store, "cd34")
    for step in STEPS:
        answers.add(step, rows(step, text, "other" if step == 9 else "e"), 2)
    told = Origin(fingerprint="cd34")
    table = TABLES[ROLLOUTS]
    rollouts = store.publish(ROLLOUTS, answers.table(99), told, key=table.key, schema=table.schema)
    held = [HeldOutAnswer(f"e{n}", "oct", f"{text} {n}", n / 4, text) for n in range(4)]
    before, after = (Measured(tuple(some), tuple(some)) for some in (held[:2], held[2:]))
    after = Measured(
        *(
            tuple(_renamed(a, b) for a, b in zip(x, y, strict=True))
            for x, y in ((before.greedy, after.greedy), (before.sampled, after.sampled))
        )
    )
    changes = [vars(change) for change in compare(before, after)]
    log = [
        {
            "step": s,
            "loss": 0.1,
            "reward": s / 10,
            "rewards/oct": s / 9,
            "kl": 0.01 * s,
            "entropy": 1 / s,
            "unscored": 0.25,
            "frac_reward_zero_std": 0.5,
            "completions/mean_length": 7.0,
        }
        for s in STEPS
    ]
    files = {
        "log.json": json.dumps(log).encode(),
        "measured.json": json.dumps(
            {"before": before.as_json(), "after": after.as_json()}
        ).encode(),
    }
    notes = {"steps": 9, "changes": changes, "warnings": [text], "stopped": None}
    return put(store, files, notes, text, (rollouts.as_input(),))


def _renamed(before: HeldOutAnswer, after: HeldOutAnswer) -> HeldOutAnswer:
    return HeldOutAnswer(
        before.example_id, before.objective, after.completion, after.reward, after.reason
    )


def put(
    store: Store, files: dict[str, bytes], notes: Any, text: str = "base", inputs: Any = ()
) -> Manifest:
    """A version of `checkpoint` of any content."""
    settings = {"train": {"method": "grpo", "model": text}}
    fingerprint = "cd34" if inputs else f"{len(files)}{notes}".encode().hex()
    origin = Origin(fingerprint=fingerprint, inputs=inputs, notes=notes, settings=settings)
    made = store.publish_files("checkpoint", files, origin, kind="checkpoint")
    store.commit({made.name: made.version})
    return made


def start(store: Store, text: str = "answer") -> Rollouts:
    """A run in progress after its first two steps."""
    kept = (parts.folder(ROLLOUTS, LIVE),)
    jobs.keep(store.files, jobs.UnfinishedJob(id=LIVE, what=f"GRPO of {text}", keeps=kept))
    answers = Rollouts(store, LIVE)
    for step in STEPS[:2]:
        answers.add(step, rows(step, text), 2)
    return answers
