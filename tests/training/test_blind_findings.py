"""Findings about answers that pay without looking: what they say, and which remedies they name."""

from __future__ import annotations

from typing import Any

import pytest

from repic.images.coordinates import QWEN3_VL
from repic.objectives.base import Mode
from repic.pipeline.doctor import Finding
from repic.rewards import image_blind
from repic.training.checks import blind_findings
from storage.manifest import Manifest
from tests.builds import Built

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rows(built: Built) -> Rows:
    found: Rows = built.store.read("examples@latest").to_pylist()
    return found


def made_with(built: Built, **settings: Any) -> Manifest:
    """The version, as if it was made with these settings `examples`."""
    manifest = built.store.manifest("examples@latest")
    recipe = {**manifest.settings["recipe"], "settings": settings}
    return manifest.model_copy(update={"settings": {**manifest.settings, "recipe": recipe}})


def findings(examples: Manifest, rows: Rows, mode: Mode, about: str) -> list[Finding]:
    earnings = image_blind.measure(rows, mode, QWEN3_VL)
    found = blind_findings.of_version(examples, rows, earnings, mode, QWEN3_VL)
    return [finding for finding in found if finding.subject.startswith(about)]


def unchecked(rows: Rows, kinds: tuple[str, ...], splits: tuple[str, ...] = ("train",)) -> Rows:
    """Caption rows of these kinds without facts, in each of the splits, and the OCT rows."""
    captions = [
        {**row, "caption": None, "distinctive_words": [], "split": split}
        for row in rows
        if row["objective"] == "ict" and row["kind"] in kinds
        for split in splits
    ]
    return [*captions, *(row for row in rows if row["objective"] == "oct")]


BALANCED = {"balance": True}
UNBALANCED = {"balance": False}
NO_ABSENT = {"balance": True, "shares": {"single": 0.8, "multi": 0.2}}
ADVICE = ("examples.ict.balance=true", "examples.ict.shares=", "in few rows", "label identities")


@pytest.mark.parametrize(
    ("ict", "changes", "has_oct", "advised"),
    [
        (BALANCED, {}, True, "in few rows"),
        (UNBALANCED, {}, True, "examples.ict.balance=true"),
        ({}, {}, True, "examples.ict.balance=true"),  # made before there was any
        (NO_ABSENT, {}, True, "examples.ict.shares="),
        (BALANCED, {"origin": "same_photo"}, True, "examples.ict.shares="),
        (UNBALANCED, {"origin": "same_photo"}, True, "examples.ict.shares="),
        (NO_ABSENT, {}, False, "label identities"),
    ],
)
def test_only_remedies_that_change_something(
    ict: dict[str, Any], changes: dict[str, Any], has_oct: bool, advised: str,
    built: Built, rows: Rows,
) -> None:  # fmt: skip
    of_names = [{**row, **changes} for row in unchecked(rows, ("single", "multi"))]
    version = [row for row in of_names if has_oct or row["objective"] == "ict"]
    [finding] = findings(made_with(built, ict=ict), version, "strict", "ict")
    assert "captions and expressions" in finding.remedy
    assert [advice for advice in ADVICE if advice in finding.remedy] == [advised]


def test_strict_is_advised_only_where_it_pays_less(built: Built, rows: Rows) -> None:
    examples = made_with(built, ict=NO_ABSENT)
    only_present = unchecked(rows, ("single", "multi"))
    [finding] = findings(examples, only_present, "paper", "ict")
    assert "absent ones cost" not in finding.remedy
    assert "with train.mode=strict alone, not looking still earns" in finding.remedy
    assert "examples.ict.shares=" in finding.remedy
    [finding] = findings(examples, unchecked(rows, ("single", "mixed", "absent")), "paper", "ict")
    assert "names of absent ones cost" in finding.remedy
    assert "content is checked" not in finding.remedy
    checked = [row for row in rows if row["kind"] in ("single", "multi")]
    [finding] = findings(examples, checked, "paper", "ict")
    assert "content is checked" in finding.remedy
    assert "absent" not in finding.remedy


def test_a_note_names_its_splits_once(built: Built, rows: Rows) -> None:
    version = unchecked(rows, ("single",), ("train", "validation", "test"))
    [finding] = findings(made_with(built, ict=NO_ABSENT), version, "strict", "ict")
    assert finding.subject == "ict without looking, train, validation, test"
    assert finding.found.count("naming nobody") == 1
    boxes = findings(made_with(built), rows, "strict", "vlt")
    assert len(boxes) == len({finding.level for finding in boxes})


def test_the_remedy_of_one_word_follows_the_settings(built: Built, rows: Rows) -> None:
    version = [row for row in rows if row["objective"] == "oct" and row["answer"] == "yes"]
    [finding] = findings(made_with(built), version, "strict", "oct")
    assert "negatives_per_positive" not in finding.remedy
    few = made_with(built, oct={"negatives_per_positive": 0.2})
    [finding] = findings(few, version, "strict", "oct")
    assert "examples.oct.negatives_per_positive=1" in finding.remedy


@pytest.mark.parametrize(
    ("vlt", "advised"),
    [
        ({}, ""),
        ({"max_lazy_iou": 1.0, "crops": False}, "examples.vlt.max_lazy_iou=0.42"),
        ({"crops": False}, "examples.vlt.crops=true"),
    ],
)
def test_the_remedy_of_one_box_follows_the_settings(
    vlt: dict[str, Any], advised: str, built: Built, rows: Rows
) -> None:
    one = next(row for row in rows if row["objective"] == "vlt")
    version = [{**one, "split": "train", "example_id": f"{n}"} for n in range(5)]
    [finding] = findings(made_with(built, vlt=vlt), version, "strict", "vlt")
    assert "add photos" in finding.remedy
    assert ("examples." in finding.remedy) == bool(advised)
    assert advised in finding.remedy
