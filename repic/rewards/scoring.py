"""The score of a completion for a row of any objective."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from repic.captions.facts import FORMER_NAMES, checkable_facts
from repic.config import plugins
from repic.errors import RowError
from repic.images.coordinates import QWEN3_VL, Convention
from repic.objectives import objective_of
from repic.objectives.base import Mode, Reward, Row
from repic.rewards.bounds import excess
from repic.rewards.wrappers import Wrapper, bare_answer, without_thoughts

_RULES = {
    "correct": "the answer is right, and nothing else follows it",
    "format": "the answer is one of the allowed ones",
    "iou": "overlap of the box with the true box",
    "names": "whether it names those in the photo, and nobody else (set-F1)",
    "content": "whether it says enough: different words, as a share of those expected",
    "own_words": "how many of these words are not copied from the prompt",
    "variety": "share of the text that does not repeat itself",
    "language": "whether it is English that says more than what is true of any photo",
    "facts": "words that are true of this photo, less three times those of other photos",
    "label": "whether it says what a named object is, where nothing else is known of the photo",
    "binding": "share of right claims about which name is which object",
}

_FIELDS = {
    "images": ("width", "height"),
    "prompt": ("text",),
    "references": ("name", "info", "present"),
    "scene": ("name", "box", "label", "phrases"),
}


_CHECKED = ("scene", *FORMER_NAMES, *FORMER_NAMES.values())
"""Columns that a row may have besides."""


def score(
    completion: str,
    row: Mapping[str, Any],
    mode: Mode = "strict",
    convention: Convention = QWEN3_VL,
    iou_threshold: float | None = None,
    strip: Collection[Wrapper] = (),
) -> Reward:
    """The reward of a completion: a pure function of its arguments, from 0 to 1.

    Args:
        row: A row of the examples table, or the columns `Objective.needed` of one. ICT also uses
            `scene` and the columns of `FORMER_NAMES`, if any.
        convention: How the model writes boxes; of ours, only VLT reads one.
        iou_threshold: Strict, of boxes: 1 from this IoU on and 0 below it, as for an IoU of 0 and
            an answer without a box; None: the IoU itself.
        strip: Wrappers that are no part of the answer, by name; strict mode also ignores special
            tokens that end a turn, and thoughts that are left earn nothing: the answer is worth
            no more than without them.

    Raises:
        RowError: the objective of the row is unknown. Never for a row of a build.
        PluginError: it is of a plug-in that cannot be used.
    """
    one = objective_of(row.get("objective"))
    answer = bare_answer(completion, strip, end=mode == "strict")
    reward = one.reward(answer, row, mode, convention)
    if mode == "strict" and reward.total and (bare := without_thoughts(answer)) != answer:
        without = one.reward(bare, row, mode, convention)
        reward = without if without.total < reward.total else reward
    if iou_threshold is None or mode != "strict" or not one.answers_with_box:
        return reward
    is_hit = reward.total > 0 and reward.total >= iou_threshold
    reason = reward.reason if reward.parsed is None else "right" if is_hit else "wrong"
    return replace(reward, total=float(is_hit), reason=reason)


def explain(row: Row, result: Reward, released: Reward) -> dict[str, Any]:
    """The parts of a score, as JSON: the question, what was read, each component and its rule."""
    facts = checkable_facts(row) if row["objective"] == "ict" else None
    true_words = sorted(facts.true) if facts else []
    return {
        "example_id": row["example_id"],
        "objective": row["objective"],
        "kind": row["kind"],
        "prompt": "\n".join(block["text"] for block in row["prompt"] if block["text"]),
        "answer": row["answer"] if row["box"] is None else f"{row['answer']} {row['box']}",
        "caption": row["caption"],
        "distinctive_words": true_words,
        "telling": true_words,  # the former name
        "read": result.parsed,
        "reason": result.reason,
        "components": [
            {"name": name, "value": value, "rule": _rule(row, name)}
            for name, value in result.components.items()
        ],
        "total": result.total,
        "released": {"total": released.total, "reason": released.reason},
    }


def _rule(row: Row, name: str) -> str:
    """What a component of a reward means."""
    rules = {**_RULES, **objective_of(row["objective"]).rules}
    if name not in rules and plugins.has("rewards", name):
        return str(plugins.load("rewards", name).RULE)
    return rules.get(name, "")


def check_row(row: Any) -> None:
    """Check the form of a row that does not come from a store, before it is scored.

    Raises:
        RowError: it is not an object, a column or a field is missing, or one has the wrong form.
    """
    if not isinstance(row, dict):
        raise RowError("the row is not a JSON object")
    needed = objective_of(row.get("objective")).needed
    if missing := [name for name in needed if name not in row]:
        raise RowError(f"a row of {row['objective']} needs {', '.join(missing)}")
    for column, fields in _FIELDS.items():
        entries = row.get(column)
        if entries is None and column not in needed:
            continue
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise RowError(f"{column} is not a list of objects")
        if any(name not in entry for entry in entries for name in fields):
            raise RowError(f"an entry of {column} lacks one of {', '.join(fields)}")
    if "images" in needed:
        _check_picture(row)
    _check_texts(row, needed)
    if problem := excess({name: row.get(name) for name in (*needed, *_CHECKED)}):
        raise RowError(problem)


def _check_picture(row: Mapping[str, Any]) -> None:
    if not row["images"]:
        raise RowError("images is empty; its last entry is the query")
    query = row["images"][-1]
    if not all(map(_is_side, (query["width"], query["height"]))) or not _is_box(row["box"]):
        raise RowError("the box is not a list of four numbers, or the query has no size in pixels")
    crop, short_side = query.get("crop"), query.get("short_side")
    if not (crop is None or _is_box(crop)) or not (short_side is None or _is_side(short_side)):
        raise RowError("crop is not a list of four numbers, or short_side is no number of pixels")


def _check_texts(row: Mapping[str, Any], needed: tuple[str, ...]) -> None:
    texts = [row[name] for name in ("answer", "kind") if name in needed]
    texts += [block["text"] for block in row.get("prompt") or ()]
    if "references" in needed:
        texts += [text for r in row["references"] for text in (r["name"], r["info"])]
        texts += [] if row.get("caption") is None else [row["caption"]]
        for thing in row.get("scene") or ():
            if not _is_box(thing["box"]) or not isinstance(thing["phrases"], list):
                raise RowError("an entry of scene has no box of four numbers, or no phrases")
            texts += [thing["label"], *thing["phrases"]]
            texts += [] if thing["name"] is None else [thing["name"]]
        for column in (*FORMER_NAMES, *FORMER_NAMES.values()):
            words = row.get(column) or []
            if not isinstance(words, list):
                raise RowError(f"{column} is not a list")
            texts += words
    if not all(isinstance(text, str) for text in texts):
        raise RowError("a text of the row is not a string")
    if "references" in needed and not all(r["name"].strip() for r in row["references"]):
        raise RowError("a reference has no name")


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_side(value: Any) -> bool:
    return _is_number(value) and value >= 1


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))
