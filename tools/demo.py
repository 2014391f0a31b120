"""The end of `make demo`: what a training run taught, what it did not, and whether that is enough.

    python -m tools.demo demo/store        # exit status 1 if the claim is not met

Reads the newest checkpoint of a store and its held-out answers before and after training.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from repic.images.coordinates import Convention
from repic.models.vlm import load
from repic.objectives import objective_of
from repic.objectives.base import Reward, Row, answer_of, messages
from repic.objectives.identify import KIND as WHICH
from repic.rewards.held_out import ALL, HeldOutAnswer, Measured, RewardChange
from repic.rewards.scoring import score
from repic.training.publish import example_answers
from storage.manifest import Manifest
from storage.store import Store

GAIN, LOSS = 0.05, 0.03
"""Least gain of the greedy mean, and largest loss of one objective."""
WIDTH = 80
"""Columns of a line of the answers."""
NOT_LEARNED = (
    "It did not learn to see: the vision tower is frozen, and what is shown is described as well "
    "as before. So it confuses the names of several references. Training taught it what to say "
    "about what it sees."
)


def missed(changes: Sequence[RewardChange]) -> list[str]:
    """Why held-out rewards do not show that training works; empty if they do.

    The mean greedy reward of all objectives must be up by at least `GAIN`, with its 95 % interval
    above 0, and no objective down by more than `LOSS`.
    """
    greedy = {change.objective: change for change in changes if change.how == "greedy"}
    if ALL not in greedy:
        return ["nothing was measured before and after training (train.measure.per_objective)"]
    found = []
    mean = greedy.pop(ALL)
    if mean.difference < GAIN:
        found.append(f"the greedy mean changed by {mean.difference:+.3f}, at least +{GAIN} needed")
    if mean.low <= 0:
        found.append(f"the interval of the greedy mean starts at {mean.low:+.3f}, not above 0")
    found += [
        f"{name} changed by {change.difference:+.3f}, at most -{LOSS} allowed"
        for name, change in greedy.items()
        if change.difference < -LOSS
    ]
    return found


@dataclass(frozen=True)
class Scored:
    """A greedy answer with its row and the components of its reward."""

    row: Row
    reward: Reward


Habit = Callable[[Scored], Iterator[float]]
"""The values that one answer gives, none if it says nothing about the habit."""


def names_used(answer: Scored) -> Iterator[float]:
    """Whether each present reference is called by its name."""
    return _uses(answer, present=True)


def absent_named(answer: Scored) -> Iterator[float]:
    """Whether each absent reference is named."""
    return _uses(answer, present=False)


def listed_twice(answer: Scored) -> Iterator[float]:
    """Whether a caption with more than one present reference has a name twice in a list."""
    if _is_caption(answer) and sum(r["present"] for r in answer.row["references"]) > 1:
        yield bool((answer.reward.parsed or {}).get("listed_twice"))


def look_alikes_refused(answer: Scored) -> Iterator[float]:
    """Whether a look-alike gets a no."""
    if answer.row["objective"] == "oct" and answer.row["answer"] == "no":
        yield answer.reward.total


def recognized(answer: Scored) -> Iterator[float]:
    """Whether the object itself gets a yes."""
    if answer.row["objective"] == "oct" and answer.row["answer"] == "yes":
        yield answer.reward.total


def overlap(answer: Scored) -> Iterator[float]:
    """IoU of the box."""
    if answer.row["objective"] == "vlt":
        yield answer.reward.components.get("iou", 0.0)


def facts_right(answer: Scored) -> Iterator[float]:
    """How right the colours, patterns and kinds of things are, where a name can replace no word."""
    is_present = any(r["present"] for r in answer.row["references"])
    if "facts" in answer.reward.components and not is_present:
        yield answer.reward.components["facts"]


HABITS: dict[str, Habit] = {
    "present references are named": names_used,
    "absent references are named": absent_named,
    "captions that list a name twice": listed_twice,
    "look-alikes are refused": look_alikes_refused,
    "the object itself is recognized": recognized,
    "boxes, mean IoU": overlap,
    "facts of captions without a name": facts_right,
}


def _is_caption(answer: Scored) -> bool:
    return bool(answer.row["objective"] == "ict" and answer.row["kind"] != WHICH)


def _uses(answer: Scored, present: bool) -> Iterator[float]:
    """Whether a caption has the name of each reference that is present, or absent."""
    if _is_caption(answer):
        named = (answer.reward.parsed or {}).get("named", [])
        yield from (r["name"] in named for r in answer.row["references"] if r["present"] is present)


def means(answers: Sequence[Scored]) -> dict[str, tuple[float, int]]:
    """Mean and number of values of each of `HABITS`; habits without a value are left out."""
    values = {name: [v for a in answers for v in of(a)] for name, of in HABITS.items()}
    return {name: (sum(v) / len(v), len(v)) for name, v in values.items() if v}


def measured(store: Store, checkpoint: Manifest) -> tuple[Measured, Measured]:
    """Held-out answers before and after the run of a checkpoint."""
    kept = json.loads(store.read_file(checkpoint.ref, "measured.json"))
    return Measured.from_json(kept["before"]), Measured.from_json(kept["after"])


def scored(store: Store, checkpoint: Manifest, answers: Sequence[HeldOutAnswer]) -> list[Scored]:
    """Answers with the rows that they answer and all components of their strict rewards."""
    [examples] = [bound.ref for bound in checkpoint.inputs if bound.name == "examples"]
    rows = {row["example_id"]: row for row in store.read(examples).to_pylist()}
    convention = convention_of(checkpoint)
    return [
        Scored(row, score(answer.completion, row, "strict", convention))
        for answer in answers
        for row in (rows[answer.example_id],)
    ]


def convention_of(checkpoint: Manifest) -> Convention:
    """How the model of a checkpoint writes boxes."""
    return load.reader(checkpoint.models["base"]["name"]).convention


def answers_shown(
    row: Row, convention: Convention, before: HeldOutAnswer, after: HeldOutAnswer
) -> list[str]:
    """At most five lines of `WIDTH`: task, question, true answer, and both answers with rewards."""
    title = objective_of(row["objective"]).title
    if row["objective"] == "ict" and row["kind"] != WHICH:
        lines = [_cut(f"{title}: {_names_to_say(row)}")]
    else:
        question = messages(row, convention)[-1]["content"][-1]["text"].strip()
        lines = [_cut(f"{title}: {question}"), _cut(f"  true answer  {answer_of(row, convention)}")]
    for when, answer in (("before", before), ("after", after)):
        start = f"  {when:6} {answer.reward:.2f}  "
        lines += textwrap.wrap(
            answer.completion.strip() or "(nothing)",
            WIDTH,
            initial_indent=start,
            subsequent_indent=" " * len(start),
            max_lines=2,
            placeholder=" ...",
        )
    return lines


def _names_to_say(row: Row) -> str:
    """What makes a caption right: the names in it, and those that it must not have."""
    present, absent = (
        ", ".join(f"<{r['name']}>" for r in row["references"] if r["present"] is there)
        for there in (True, False)
    )
    return f"right with {present or 'no name'}" + (f", without {absent}" if absent else "")


def _cut(text: str) -> str:
    return textwrap.wrap(text, WIDTH, max_lines=1, placeholder=" ...")[0]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo", description="What the newest training run taught."
    )
    parser.add_argument("store", help="store of the demo")
    store = Store.open(parser.parse_args().store)
    checkpoint = store.manifest("checkpoint@latest")
    before, after = measured(store, checkpoint)
    print(f"What training changed, in greedy answers to {len(before.greedy)} held-out rows:")
    answers, answers_after = (scored(store, checkpoint, m.greedy) for m in (before, after))
    new = means(answers_after)
    for name, (value, count) in means(answers).items():
        print(f"  {name:34}{value:6.2f} -> {new[name][0]:4.2f}   n={count}")
    rows = {answer.row["example_id"]: answer.row for answer in answers}
    examples = example_answers(before, after)
    print(f"\n{len(examples)} answers with their rewards, before and after:")
    for one, other in examples:
        print()
        print("\n".join(answers_shown(rows[one.example_id], convention_of(checkpoint), one, other)))
    print(f"\n{textwrap.fill(NOT_LEARNED, WIDTH)}")
    problems = missed([RewardChange(**change) for change in checkpoint.notes["changes"]])
    for problem in problems:
        print(f"Not as claimed: {problem}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
