"""Preflight: the failing row, the reason and the remedy."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from repic.errors import PreflightError
from repic.images.identity import image_id_of
from repic.models.vlm import load
from repic.models.vlm.load import Reader
from repic.objectives.base import system_block
from repic.objectives.rows import balanced
from repic.rewards.scoring import score
from repic.training.checks import preflight
from tests.builds import Built


@pytest.fixture(scope="module")
def reader(tiny: str) -> Reader:
    return load.reader(tiny)


@pytest.fixture(scope="module")
def examples(built: Built) -> list[dict[str, Any]]:
    """Forty rows of each objective."""
    return balanced(built.store.read("examples@latest"), 40)


def first(examples: list[dict[str, Any]], objective: str, **values: Any) -> dict[str, Any]:
    return next(
        row
        for row in examples
        if row["objective"] == objective and all(row[k] == v for k, v in values.items())
    )


@pytest.mark.parametrize("mode", ["strict", "paper"])
def test_a_good_version_has_no_problem(
    mode: Any, examples: list[dict[str, Any]], reader: Reader
) -> None:
    ticks: list[int] = []
    assert preflight.examine(examples, reader, 4096, mode, ticks.append) == []
    assert sum(ticks) == len(examples)
    preflight.refuse([], len(examples))


def test_a_picture_that_the_processor_refuses_is_found(
    examples: list[dict[str, Any]], reader: Reader, tmp_path: Path
) -> None:
    """A side ratio above 200, which Qwen's processors refuse."""
    path = tmp_path / "wide.png"
    Image.new("RGB", (1000, 40)).save(path)
    row = first(examples, "oct")
    wide = {
        **row["images"][0],
        "uri": path.as_uri(),
        "image_id": image_id_of(hashlib.sha256(path.read_bytes()).hexdigest(), None),
        "crop": [0.0, 0.0, 1000.0, 4.0],
    }
    [problem] = preflight.examine([{**row, "images": [wide, row["images"][1]]}], reader, 4096)
    assert problem.check == "processor"
    assert "aspect ratio" in problem.message


def test_a_photo_that_was_replaced_since_the_build_is_found(
    examples: list[dict[str, Any]], reader: Reader, tmp_path: Path
) -> None:
    Image.new("RGB", (96, 96)).save(tmp_path / "other.png")
    row = first(examples, "oct")
    other = {**row["images"][0], "uri": (tmp_path / "other.png").as_uri()}
    [problem] = preflight.examine([{**row, "images": [other, row["images"][1]]}], reader, 4096)
    assert problem.check == "picture"
    assert "has changed since the build" in str(problem)


def test_true_answers_score_the_most_also_where_no_caption_is_known(
    examples: list[dict[str, Any]], reader: Reader
) -> None:
    for row in examples:
        unknown = {**row, "caption": None}
        gold = preflight.best_answer(unknown, reader.convention)
        if row["objective"] != "vlt":
            assert score(gold, unknown, "strict", reader.convention).total == pytest.approx(1)


@pytest.mark.parametrize(
    ("objective", "change", "check"),
    [
        ("oct", {"answer": "maybe"}, "gold"),
        ("vlt", {"box": [5.0, 5.0, 5.0, 5.0]}, "gold"),
        ("oct", {"images": "missing"}, "picture"),
    ],
)
def test_a_bad_row_is_found(
    objective: str, change: dict[str, Any], check: str, examples: list[Any], reader: Reader
) -> None:
    row = first(examples, objective)
    if change.get("images") == "missing":
        gone = {**row["images"][-1], "uri": Path("/nowhere.jpg").as_uri()}
        change = {"images": [*row["images"][:-1], gone]}
    problems = preflight.examine([{**row, **change}], reader, 4096)
    assert check in {problem.check for problem in problems}
    with pytest.raises(PreflightError) as caught:
        preflight.refuse(problems, 1)
    message = str(caught.value)
    assert "1 of 1 rows cannot be trained on" in message
    assert row["example_id"] in message
    assert preflight.REMEDIES[check] in message


def test_a_system_turn_is_part_of_the_prompt(
    examples: list[dict[str, Any]], reader: Reader
) -> None:
    row = first(examples, "oct")
    prompt = [system_block("You answer briefly. " * 100), *row["prompt"]]
    assert preflight.examine([{**row, "prompt": prompt}], reader, 4096) == []
    [problem] = preflight.examine([{**row, "prompt": prompt}], reader, 300)
    assert problem.check == "budget"


def test_a_prompt_beyond_the_budget_is_found(
    examples: list[dict[str, Any]], reader: Reader
) -> None:
    problems = preflight.examine(examples[:10], reader, 20)
    assert len(problems) == 10
    assert {problem.check for problem in problems} == {"budget"}
    with pytest.raises(PreflightError, match="and 5 more"):
        preflight.refuse(problems, 10)


def test_tokens_that_do_not_fit_the_features_are_found(
    examples: list[dict[str, Any]], tiny: str
) -> None:
    """The processor merges 2 x 2 patches; the model does not."""
    reader = load.reader(tiny)
    reader.config.vision_config.spatial_merge_size = 1
    [problem] = preflight.examine(examples[:1], reader, 4096)
    assert problem.check == "tokens"
    assert "image tokens for" in problem.message


def test_an_answer_that_the_model_cannot_write_is_found(
    examples: list[dict[str, Any]], reader: Reader
) -> None:
    """Decoding drops a name that is a special token."""
    row = first(examples, "ict", kind="which")
    name = "|im_start|"
    references = [
        {**r, "name": name if not i else r["name"]} for i, r in enumerate(row["references"])
    ]
    problems = preflight.examine(
        [{**row, "references": references, "answer": f"<{name}>"}], reader, 4096
    )
    assert {problem.check for problem in problems} == {"tokenizer"}


def test_a_reward_that_cannot_tell_wrong_from_right_is_found(
    examples: list[dict[str, Any]], reader: Reader
) -> None:
    """The released reward takes nothing for an absent name, even one that holds the present one."""
    row = first(examples, "ict", kind="single")
    present = row["references"][0]
    absent = {**present, "name": f"{'x' * 100}> <{present['name']}", "present": False}
    row = {**row, "references": [present, absent]}
    [problem] = preflight.examine([row], reader, 4096, "paper")
    assert problem.check == "corrupted"
