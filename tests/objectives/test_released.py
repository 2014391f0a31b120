"""The mode `paper` against formulas written anew, and where these are not defined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repic.images.coordinates import QWEN3_VL
from repic.rewards.scoring import score
from tests.shared_data import shared_folder

NAMES = ("Ann", "Bobby", "Zoé")
PIECES = (
    *(f"<{name}>" for name in NAMES),
    *(f"</{name}>" for name in NAMES),
    *("yes", "No", "eyes", "cannot", "\n", " ", "x" * 40, "x" * 99, "Ann is not here. "),
    *("[100, 200, 500, 800]", "[100 ,200 , 500,  800]", "[ 100, 200, 500, 800]", "[1, 2, 3]"),
    *(
        "[100.5, 200, 500, 800]",
        "[500, 800, 100, 200]",
        "[1, 2, 3, 12345678901234]",
        "[-1, 2, 3, 4]",
    ),
    *("[0, 0, 0, 0]", "[100, 200, 500, 500]", "[\u0661, 2, 3, 4]", "[[100, 200, 500, 800]]"),
)
JOINS = (",", ", ", " , ", "\n,\t", ";")
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


def row(objective: str = "ict", present: tuple[str, ...] = (), **columns: Any) -> dict[str, Any]:
    references = [{"name": name, "info": "", "present": name in present} for name in NAMES]
    return {
        "objective": objective,
        "kind": "multi",
        "prompt": [{"type": "text", "text": "Caption this."}],
        "references": references,
        "caption": None,
        "images": [{"width": 1_000, "height": 1_000, "crop": [0.0, 0.0, 1_000.0, 1_000.0]}],
        "box": [100.0, 200.0, 500.0, 800.0],
        "answer": "",
        **columns,
    }


def paper(text: str, example: dict[str, Any]) -> float:
    return score(text, example, "paper", QWEN3_VL).total


def yes_or_no(text: str, answer: str) -> float:
    """The first substring decides."""
    for start in range(len(text)):
        for word in ("yes", "no"):
            if text.lower().startswith(word, start):
                return float(word == answer)
    return 0.0


def box(text: str, truth: list[float]) -> float:
    """Character by character: `[`, whole numbers between commas, `]`; the first such box counts."""
    for part in text.split("[")[1:]:
        inside, closed, _ = part.partition("]")
        numbers = inside.split(",")
        starts_and_ends_well = inside == inside.strip()
        if closed and len(numbers) == 4 and starts_and_ends_well:
            plain = [number.strip() for number in numbers]
            if all(number.isdecimal() for number in plain):
                return float(overlap([int(number) for number in plain], truth) >= 0.5)
    return 0.0


def overlap(one: list[int], other: list[float]) -> float:
    def area(x1: float, y1: float, x2: float, y2: float) -> float:
        return (x2 - x1) * (y2 - y1) if x2 > x1 and y2 > y1 else 0.0

    if min(one[2], other[2]) - max(one[0], other[0]) <= 1:
        return 0.0  # the right edge, less one, must be beyond the left one
    if min(one[3], other[3]) - max(one[1], other[1]) <= 1:
        return 0.0
    corners = [max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2])]
    shared = area(*corners, min(one[3], other[3]))
    return shared / (area(*one) + area(*other) - shared)


def names(text: str, present: tuple[str, ...]) -> float:
    """Behind 100 characters: one name without its closing tag, or the share of several."""
    if len(text) < 100:
        return 0.0
    if len(present) == 1:
        return float(f"<{present[0]}>" in text and f"</{present[0]}>" not in text)
    return sum(f"<{name}>" in text for name in present) / len(present)


@given(TEXTS, st.sampled_from(["yes", "no"]))
@settings(max_examples=300)
def test_yes_and_no_are_those_of_the_formula(text: str, answer: str) -> None:
    assert paper(text, row("oct", answer=answer)) == yes_or_no(text, answer)


@given(TEXTS)
@settings(max_examples=300)
def test_boxes_are_those_of_the_formula(text: str) -> None:
    example = row("vlt")
    assert paper(text, example) == box(text, example["box"])


WHOLE = st.lists(st.integers(0, 12), min_size=4, max_size=4)


@given(
    WHOLE, st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(7, 12)] * 2), st.sampled_from(JOINS)
)
@settings(max_examples=300)
def test_small_boxes_are_those_of_the_formula(
    found: list[int], truth: tuple[int, ...], join: str
) -> None:
    view = {"width": 1_000, "height": 1_000, "crop": [0.0, 0.0, 1_000.0, 1_000.0]}
    example = row("vlt", box=[float(side) for side in truth], images=[view])
    text = f"It is [{join.join(map(str, found))}]."
    assert paper(text, example) == box(text, example["box"])


@given(TEXTS, st.sets(st.sampled_from(NAMES), min_size=1).map(lambda s: tuple(sorted(s))))
@settings(max_examples=300)
def test_names_are_those_of_the_formula(text: str, present: tuple[str, ...]) -> None:
    assert paper(text, row(present=present)) == pytest.approx(names(text, present))


def restated(text: str, example: dict[str, Any]) -> float | None:
    """The released reward by the formulas above; None where it is not defined."""
    present = tuple(r["name"] for r in example.get("references") or () if r["present"])
    if example["objective"] == "oct":
        return yes_or_no(text, example["answer"])
    if example["objective"] == "ict" and example["kind"] != "which" and present:
        return names(text, present)
    return None


def data_folder() -> Path:
    folder = shared_folder("repic_captions")
    if folder is None:
        pytest.skip("no saved completions beside this clone")
    return folder


def test_forms_of_answers_score_as_the_formulas() -> None:
    cases = data_folder().parents[1] / "cases"
    rows = json.loads((cases / "rows.json").read_text(encoding="utf-8"))
    lines = (cases / "rewards.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [(case["completion"], rows[case["example_id"]]) for case in map(json.loads, lines)]
    defined = [(t, r, value) for t, r in answers if (value := restated(t, r)) is not None]
    assert len(defined) > len(answers) / 2
    assert not [text for text, r, value in defined if paper(text, r) != pytest.approx(value)]


def test_released_captions_score_as_the_formulas() -> None:
    """Each in the row of its photo, and in that of one of its names."""
    count, differing = 0, []
    for file in sorted(data_folder().glob("caption*.json")):
        for _, tags, caption, *_ in json.loads(file.read_text(encoding="utf-8")):
            found = tuple(tag.strip("<>") for tag in tags)
            for present in (found, found[:1]):
                references = [{"name": name, "info": "", "present": True} for name in present]
                expected = names(caption, present)
                if paper(caption, row(references=references)) != pytest.approx(expected):
                    differing.append(caption)
            count += 1
    assert count >= 400
    assert not differing


def test_where_nobody_is_present_nothing_is_paid() -> None:
    result = score("A quiet street. " * 20, row(), "paper", QWEN3_VL)
    assert (result.total, result.reason) == (0, "undefined")


@pytest.mark.parametrize("mode", ["strict", "paper"])
def test_a_list_of_all_names_does_not_answer_which(mode: Any) -> None:
    example = row(present=("Ann",), kind="which", answer="<Ann>")
    for text in ("<Ann>, <Bobby> and <Zoé>", "<Ann><Bobby>" + "x" * 100, "none, or <Ann>"):
        assert score(text, example, mode, QWEN3_VL).total == 0
    assert score("<Ann>", example, mode, QWEN3_VL).total == 1
