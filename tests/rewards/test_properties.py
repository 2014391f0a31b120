"""Properties of rewards: monotone in IoU and set-F1, and linear time in the length of the text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repic.errors import RowError
from repic.images.coordinates import NORMALIZED, QWEN3_VL, Box
from repic.objectives.caption_reward import MAX_CAPTION
from repic.rewards import bounds
from repic.rewards.scoring import check_row, score
from repic.rewards.server.protocol import score_row
from tests.rewards.test_scoring import ICT, VLT
from tests.timing import is_within

PEOPLE = ("Ann", "Bob", "Cleo", "Dora", "Emil", "Fay")
TEXT = "stands in calm light near something plain while nobody else can be seen around here."
UNITS = """
@0 |@0 , |@0 , and |@0 or |@0 ? |@0 is |@0 is not be |@0 left of |@0 a b c left |@0 on the left |no
|no @0 , |not a |nobody a |either @0 |could be |maybe maybe |, not |a|a'|a-|<|<a|<ref>|<ref>a|1|1,
|1 1 |[1|[1,|(1,1),|-1.1 |[1a|[a1|([|\u0301|秀|이|영이|&#1|&lt|name@|> |  > |```a|1.1111|nan
|<\\|object_ref_start\\|>|@0 has left a |@0 , or |, |@0 : absent
""".replace("\n", "").replace("\\|", "\x01")
LINEAR = [unit.replace("\x01", "|") for unit in UNITS.split("|")]


def _fragments(draw: st.DrawFn) -> str:
    return "".join(draw(st.lists(st.sampled_from(LINEAR), min_size=1, max_size=4)))


ROWS = (
    ("oct", {"objective": "oct", "answer": "yes"}),
    ("vlt", VLT),
    ("ict", ICT),
    ("which", {**ICT, "kind": "which", "answer": "none"}),
)


@pytest.mark.parametrize("mode", ["strict", "paper"])
@pytest.mark.parametrize(("objective", "row"), ROWS, ids=[name for name, _ in ROWS])
@settings(max_examples=40, deadline=None)
@given(unit=st.composite(_fragments)())
def test_every_objective_takes_linear_time(
    objective: str, row: dict[str, Any], mode: Any, unit: str
) -> None:
    """A quadratic rule takes over a second for a million characters."""
    for length in (MAX_CAPTION, 1_000_000):
        text = (unit * (length // len(unit) + 1))[:length]
        assert is_within(0.3, lambda t=text: score(t, row, mode))


@pytest.mark.parametrize(
    "unit",
    [
        "Ann, ",
        "Ann: the, ",
        "Ann: the blue car, ",
        "Ann, the blue car, ",
        "the blue car Ann ",
        "Ann? ",
        "Ann is not the car and ",
        "Ann and Bob are the car and the mug respectively ",
        "Ann, car, ",
        "Ann left of Bob ",
        "no red mug ",
        "named, ",
        "<Ann>/",
        "@Ann",
        "&lt;",
        "_",
        "> \n",
    ],
)
def test_the_longest_captions_take_a_bounded_time(unit: str) -> None:
    text = (unit * MAX_CAPTION)[:MAX_CAPTION]
    assert is_within(0.05, lambda: score(text, ICT))


@given(
    st.tuples(st.floats(0, 0.45), st.floats(0, 0.45), st.floats(0.55, 1), st.floats(0.55, 1)),
    st.tuples(st.floats(0, 0.45), st.floats(0, 0.45), st.floats(0.55, 1), st.floats(0.55, 1)),
)
def test_monotone_in_iou(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    truth = Box.of(VLT["box"])
    scores = []
    for shares in (first, second):
        box = Box(shares[0] * 1000, shares[1] * 500, shares[2] * 1000, shares[3] * 500)
        text = NORMALIZED.render(box, 1000, 500)
        read = NORMALIZED.parse(text, 1000, 500)
        scores.append((read.iou(truth), score(text, VLT, "strict", NORMALIZED).total))
    (low, paid_low), (_, paid_high) = sorted(scores)
    assert low == pytest.approx(paid_low)
    assert paid_low <= paid_high


def _row(present: frozenset[str]) -> dict[str, Any]:
    references = [{"name": n, "info": "", "present": n in present} for n in PEOPLE]
    return {**ICT, "references": references, "scene": [], "distinctive_words": [], "caption": None}


def _f1(named: frozenset[str], present: frozenset[str]) -> float:
    if not present:
        return float(not named)
    return 2 * len(named & present) / (len(named) + len(present))


NAMED = st.frozensets(st.sampled_from(PEOPLE))


@given(NAMED, NAMED, NAMED)
def test_monotone_in_set_f1(
    present: frozenset[str], first: frozenset[str], second: frozenset[str]
) -> None:
    row = _row(present)
    scores = []
    for named in (first, second):
        result = score(f"{' and '.join(sorted(named))} {TEXT}", row)
        assert result.components["names"] == pytest.approx(_f1(named, present))
        scores.append((_f1(named, present), result.total))
    (_, paid_low), (_, paid_high) = sorted(scores)
    assert paid_low <= paid_high + 1e-9


@given(NAMED, NAMED)
def test_one_more_right_name_never_costs(present: frozenset[str], named: frozenset[str]) -> None:
    row = _row(present)
    before = score(f"{' and '.join(sorted(named))} {TEXT}", row).total
    for name in present - named:
        assert score(f"{' and '.join(sorted(named | {name}))} {TEXT}", row).total >= before - 1e-9
    for name in frozenset(PEOPLE) - present - named:
        assert score(f"{' and '.join(sorted(named | {name}))} {TEXT}", row).total <= before + 1e-9


def _row_of(counts: dict[str, int]) -> dict[str, Any]:
    """A row with these numbers of entries."""
    names = [f"N{chr(97 + i % 26)}{chr(97 + i // 26)}x" for i in range(counts["references"])]
    thing = {"box": [0.0, 0.0, 9.0, 9.0], "phrases": ["red mug"] * counts["phrases"]}
    return {
        **ICT,
        "prompt": [{"text": "Describe it."}] * counts["prompt"],
        "references": [{"name": n, "info": "", "present": True} for n in names],
        "scene": [
            {**thing, "name": names[i] if i < len(names) else None, "label": f"mug{i}"}
            for i in range(counts["scene"])
        ],
        "distinctive_words": [f"a{i}" for i in range(counts["distinctive_words"])],
        "distractor_words": [f"b{i}" for i in range(counts["distractor_words"])],
    }


LARGEST = {**bounds.MAX_ENTRIES, "phrases": bounds.MAX_PHRASES}


@pytest.mark.parametrize("unit", ["Naax, the red mug, ", "Naax is the mug and ", "<Naax>/", "the "])
def test_the_largest_rows_take_a_bounded_time(unit: str) -> None:
    row = _row_of(LARGEST)
    assert bounds.excess(row) == ""
    text = (unit * MAX_CAPTION)[:MAX_CAPTION]
    assert is_within(0.3, lambda: score(text, row))


def test_objects_of_one_label_take_a_bounded_time() -> None:
    row = _row_of({**LARGEST, "scene": 255, "phrases": 1})
    alike = [{**thing, "label": "mug"} for thing in row["scene"]]
    row["scene"] = [*alike, {**alike[0], "name": None, "label": "car", "phrases": ["a blue car"]}]
    text = ("Naax: a blue mug. " * MAX_CAPTION)[:MAX_CAPTION]
    assert is_within(0.3, lambda: score(text, row))


@pytest.mark.parametrize(
    "column", sorted(LARGEST.keys() & {"references", "scene", "phrases", "prompt"})
)
def test_a_larger_row_is_an_error_of_that_row(column: str) -> None:
    row = _row_of({**LARGEST, column: LARGEST[column] + 1})
    with pytest.raises(RowError, match="more than"):
        check_row(row)
    message = {name: row[name] for name in ("prompt", "references", "scene")}
    result = score_row("yes", {"objective": "oct", **message}, "strict", QWEN3_VL)  # type: ignore[typeddict-item]
    assert result.reward is None
    assert result.reason.startswith("row: ")
