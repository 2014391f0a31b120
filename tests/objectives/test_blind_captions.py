"""What captions that name people without looking earn, and the shares that make up for it."""

from __future__ import annotations

from typing import Any

import pytest

from repic.objectives.blind_captions import measure, suggested_shares


def row(kind: str, present: int, absent: int = 0, **changes: Any) -> dict[str, Any]:
    here = [{"name": f"P{n}", "present": True, "info": ""} for n in range(present)]
    gone = [{"name": f"A{n}", "present": False, "info": ""} for n in range(absent)]
    fixed = {"objective": "ict", "kind": kind, "split": "train", "caption": None}
    return {**fixed, "references": here + gone, **changes}


def test_rows_with_only_present_names_pay_for_naming_everybody() -> None:
    (result,) = measure([row("single", 1)] * 9 + [row("absent", 0, 2)])
    assert (result.rows, result.checked) == (10, 0)
    assert (result.nobody, result.everybody) == pytest.approx((0.1, 0.9))
    assert result.best == pytest.approx(1)  # one name: everybody; two: nobody
    assert result.too_high


def test_rows_with_facts_which_rows_and_other_objectives_do_not_count() -> None:
    facts = {"distinctive_words": ["red", "mug", "sand"], "distractor_words": []}
    rows = [row("single", 1, **facts), row("which", 1, 1), row("single", 1, objective="oct")]
    assert measure(rows) == []
    (result,) = measure([*rows, row("absent", 0, 1)])
    assert (result.rows, result.checked, result.nobody) == (2, 1, 1)


def test_rows_with_a_label_are_counted() -> None:
    scene = [{"name": "P0", "label": "dog"}]
    told = [{"name": "P0", "present": True, "info": "A small dog."}]
    rows = [row("single", 1, scene=scene), row("single", 1, scene=scene, references=told)]
    (result,) = measure([*rows, row("single", 1)])
    assert (result.rows, result.labelled) == (3, 1)


def test_with_the_suggested_shares_not_looking_gains_little() -> None:
    gone = [row("absent", 0, number) for number in (1, 2, 3, 4)] * 5
    rows = [row("single", 1)] * 50 + [row("mixed", 1, 1)] * 20 + [row("mixed", 1, 3)] * 20 + gone
    (before,) = measure(rows)
    assert before.too_high
    shares = suggested_shares(rows)
    assert sum(shares.values()) == pytest.approx(1, abs=0.02)
    made = [row("single", 1)] * round(1000 * shares["single"])
    made += [row("mixed", 1, 1)] * round(500 * shares["mixed"])
    made += [row("mixed", 1, 3)] * round(500 * shares["mixed"])
    made += [row("absent", 0, number) for number in (1, 2, 3, 4)] * round(250 * shares["absent"])
    (after,) = measure(made)
    assert after.best - after.nobody <= 0.06


def test_rows_of_one_kind_have_a_suggestion() -> None:
    assert sum(suggested_shares([row("absent", 0, 1)]).values()) == pytest.approx(1, abs=0.02)
    assert sum(suggested_shares([row("single", 1)]).values()) == pytest.approx(1, abs=0.02)
