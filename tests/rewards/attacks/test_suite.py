"""The attack suite: no attack succeeds, no paraphrase is punished, and the suite is large."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from repic.captions.facts import NO_FACTS
from repic.images.coordinates import INTERNVL, QWEN2_VL
from repic.objectives.base import Row
from repic.rewards.attacks import suite
from repic.rewards.attacks.base import Target
from repic.rewards.attacks.paraphrases import all_paraphrases
from repic.rewards.attacks.sample_rows import generated
from repic.rewards.gold import gold_answer
from repic.rewards.scoring import score
from tests.timing import is_within
from tools.sample_models import reward_search


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return generated()


@pytest.fixture(scope="module")
def report(rows: list[Row]) -> suite.AttackReport:
    return suite.run(rows)


def test_nothing_succeeds_and_nobody_is_punished(report: suite.AttackReport) -> None:
    assert [vars(case) for case in (*report.succeeded, *report.punished)] == []


def test_the_suite_is_large_enough(report: suite.AttackReport) -> None:
    assert report.attacks >= 240
    assert report.paraphrases >= 240
    assert set(report.rows) == {"oct", "vlt", "ict", "which"}
    assert report.unused <= 0.05 * sum(report.rows.values())
    assert all(counts["tried"] for counts in report.families.values())
    assert json.dumps(report.as_json())


def test_names_are_unique_and_rules_are_named() -> None:
    for forms in (suite.all_attacks(), all_paraphrases()):
        names = Counter((form.task, form.family, form.name) for form in forms)
        assert [name for name, count in names.items() if count > 1] == []
    assert all(attack.rule for attack in suite.all_attacks())


def test_every_attack_applies_to_some_row(rows: list[Row]) -> None:
    untried = {(a.task, a.name): a for a in suite.all_attacks()}
    for row in rows:
        text = gold_answer(row, QWEN2_VL)
        if text is None:
            continue
        target = Target(row, text, QWEN2_VL)
        for key in [k for k, a in untried.items() if a.task == suite.task_of(row)]:
            if untried[key].make(target) is not None:
                del untried[key]
        if not untried:
            break
    assert not untried


def test_the_released_rewards_fall_for_many(report: suite.AttackReport) -> None:
    assert report.released > 0.25 * report.tried
    assert report.released_punished > 0


def test_what_is_undefended_is_listed(report: suite.AttackReport) -> None:
    rates = {case.name: case for case in report.undefended}
    assert rates["ict: all names and a fluent caption, nothing known"].rate > 0.3
    assert rates["ict: all names and a fluent caption, facts known"].rate == 0
    assert len(rates) >= 7


@pytest.mark.parametrize("convention", [QWEN2_VL, INTERNVL], ids=lambda c: c.name)
def test_other_families_of_models(rows: list[Row], convention: object) -> None:
    boxes = [row for row in rows if row["objective"] == "vlt"]
    assert suite.run(boxes, convention, per_attack=3).succeeded == []  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1_000_000, 10_000_000])
def test_time_is_bounded(rows: list[Row], size: int) -> None:
    examples = {suite.task_of(row): row for row in rows}
    units = ("<", "no ", "[", "{", "y", "1,", "or ", "maybe ", "\u0301", "秀", "a-", "\n", "<a>")
    for row in examples.values():
        for name in [f"{row['references'][0]['name']} "] if row["references"] else []:
            units += (name, f"not {name}", f"{name}or ")
        for unit in units:
            text = (unit * (size // len(unit) + 1))[:size]
            for answer in (text, text[:10_000], text[:2_000]):
                assert is_within(0.05, lambda answer=answer, row=row: score(answer, row)), (
                    row["objective"],
                    unit,
                    len(answer),
                )


@pytest.mark.slow
@pytest.mark.parametrize("answers", [80, 300])
def test_a_blind_search_finds_next_to_nothing(rows: list[Row], answers: int) -> None:
    for task in reward_search.tasks():
        result = reward_search.search(task, rows, answers=answers)
        assert result is not None
        # Few rows and few answers; benchmarks/reward_search.py uses more.
        assert result.gain - 3 * result.error <= 0.02
        assert result.answers <= answers


@pytest.mark.slow
def test_the_search_finds_what_is_there_to_find(rows: list[Row]) -> None:
    """Without facts about the photo, naming everyone pays, and the search must find that."""
    captions = next(task for task in reward_search.tasks() if task.name == "ict")
    bare = [{**row, "caption": None, "scene": [], **NO_FACTS} for row in rows]
    result = reward_search.search(captions, bare, answers=100)
    assert result is not None
    assert result.gain > 0.2


def test_rewards_need_no_torch() -> None:
    modules = "sys, repic.rewards.attacks.suite, repic.rewards.judge"
    code = f"import {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
