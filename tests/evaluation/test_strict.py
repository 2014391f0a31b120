"""The strict metric: cases that the paper's overlooks; a wrong name never raises a score."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.errors import CaptionError
from repic.evaluation import metrics, name_accuracy
from repic.evaluation.metrics import compare_models, measure
from repic.evaluation.name_index import NameIndex
from repic.evaluation.records import Record

NAMES = [
    "<Ann>",
    "<Bob>",
    "<mr.krab>",
    "<black widow>",
    "<Parrot_1>",
    "<민수>",
    "<小明>",
    "<O'Neil>",
]
PHRASES = [
    *("Ann", "ann's dog", "<Bob>", "Bob is not here.", "maybe Ann", "Mr.Krab", "<Black Widow>"),
    *(
        "a black widow's bite",
        "Parrot_1",
        "민수는",
        "小明在",
        "a dog",
        "and",
        ",",
        ".",
        "<Eve>",
        "annex",
    ),
    *("without", "or", "</s>", "o'neil's", "\n", "<"),
]
captions = st.lists(st.sampled_from(PHRASES), max_size=8).map(" ".join)
records = st.builds(
    lambda photo, concepts, given_, caption: Record(
        photo, tuple(concepts), caption, given=tuple(name.strip("<>") for name in given_)
    ),
    st.sampled_from("abcd"),
    st.lists(st.sampled_from(NAMES), unique=True, max_size=3),
    st.lists(st.sampled_from(NAMES), unique=True, max_size=3),
    captions,
)


def values(rows: list[Record]) -> dict[str, float | None]:
    return {name: score.value for name, score in measure(rows, "strict").scores.items()}


def one(concepts: str, caption: str, *given_: str, pool: tuple[str, ...] = ()) -> dict[str, float]:
    record = Record("p", tuple(concepts.split("|")) if concepts else (), caption, given=given_)
    top, bottom = name_accuracy.strict_counts(record, NameIndex({*record.concepts, *given_, *pool}))
    pairs = zip(name_accuracy.COLUMNS, top, bottom, strict=True)
    return {name: part / whole for name, part, whole in pairs if whole}


@pytest.mark.parametrize(
    ("concepts", "caption", "f1"),
    [
        ("<Ann>", "<Ann> smiles.", 1),
        ("<Ann>", "Ann's dog runs.", 1),
        ("<Ann>", "ANN\u2019s dog", 1),
        ("<Ann>", "An annex", 0),
        ("<Ann>", "Ann is not in the picture.", 0),
        ("<Ann>", "", 0),
        ("<Ann>", "Ann and Bob", 2 / 3),
        ("<Ann>|<Bob>", "Ann", 2 / 3),
        ("<black widow>", "The Black  Widow's bite", 1),
        ("<black widow>", "a widow in black", 0),
        ("<mr.krab>|<hulk>", "<Mr.Krab> and Mr.Krab's hulk", 1),
        ("<mr.krab>", "Mr.Krabs", 0),
        ("<Parrot_1>", "Parrot_1, a bird</s>", 1),
        ("<민수>", "민수는 웃는다", 1),
        ("<小明>", "小明在笑", 1),
        ("<O'Neil>", "O'Neil's hat", 1),
        ("<Ann>", "Ann or Bob", 0),
        ("<Ann>", "Ann with <Eve>", 2 / 3),
        ("<Ann>|<Bob>", "Ann and Ann", 1 / 2),
        ("<Ann>", "Ann sits, and Ann smiles.", 1),
        ("", "A dog.", 1),
        ("", "Bob.", 0),
        ("", "Bob is not here.", 1),
    ],
)
def test_names(concepts: str, caption: str, f1: float) -> None:
    scores = one(concepts, caption, pool=("<Bob>",))
    assert scores["f1"] == pytest.approx(f1)
    assert scores["exact"] == (f1 == 1)


def test_naming_everybody_does_not_pay() -> None:
    pool = tuple(f"<Name{letter}>" for letter in "abcdefgh")
    scores = one("<Namea>", " ".join(pool), pool=pool)
    assert scores["precision"] == pytest.approx(1 / 8)
    assert scores["extra_names"] == 7
    assert scores["recall"] == 1


def test_false_mentions_are_of_absent_references_only() -> None:
    assert one("<Ann>", "Ann and Cid", "Ann", "Bob", pool=("<Cid>",))["false_mention"] == 0
    assert one("<Ann>", "Ann and Bob", "Ann", "Bob")["false_mention"] == 1
    assert one("<Ann>", "Ann, maybe Bob", "Ann", "Bob")["false_mention"] == 1
    assert one("<Ann>", "Ann; Bob is not here", "Ann", "Bob")["false_mention"] == 0
    assert "false_mention" not in one("<Ann>", "Ann", "Ann")


def test_binding_where_the_scene_is_known() -> None:
    scene = (
        {"name": "Ann", "label": "mug", "phrases": ["a red mug"], "box": [0, 0, 10, 10]},
        {"name": "Bob", "label": "car", "phrases": ["a blue car"], "box": [20, 0, 30, 10]},
    )

    def binding(caption: str) -> tuple[float | None, int]:
        row = Record("p", ("<Ann>", "<Bob>"), caption, scene=scene)
        score = measure([row], "strict").scores["binding"]
        return score.value, score.n

    assert binding("Ann is the red mug and Bob is the blue car.") == (1, 2)
    assert binding("Ann is the blue car and Bob is the red mug.") == (0, 2)
    assert binding("Ann is left of Bob.") == (1, 1)
    assert binding("Ann and Bob.") == (None, 0)


def test_an_endless_caption_is_wrong_and_takes_no_time() -> None:
    scores = one("<Ann>", "Ann " * 1_000_000)
    assert (scores["f1"], scores["extra_names"]) == (0, 1)
    assert one("", "word " * 1_000_000)["f1"] == 0
    rows = [Record("a", ("<Ann>",), "Ann " * 5_000), Record("b", ("<Ann>",), "Ann")]
    assert any("longer than" in remark for remark in measure(rows, "strict").remarks)


@given(st.lists(records, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_bounded_and_independent_of_the_order(rows: list[Record], rng: random.Random) -> None:
    scores = values(rows)
    for name, value in scores.items():
        assert value is None or 0 <= value <= (1 if name != "extra_names" else 99)
    shuffled = rows.copy()
    rng.shuffle(shuffled)
    first, second = measure(rows, "strict"), measure(shuffled, "strict")
    for name, score in first.scores.items():
        other = second.scores[name]
        assert (score.value, score.low, score.high) == pytest.approx(
            (other.value, other.low, other.high)
        )


@given(records, st.sampled_from(["Zoe", "<Zoe>", "Zoe's friend", "Yan Su", "<yan su>"]))
def test_a_wrong_name_never_raises_a_score(record: Record, wrong: str) -> None:
    pool = NameIndex({*NAMES, "<Zoe>", "<Yan Su>"})
    worse = Record(
        record.photo, record.concepts, f"{record.caption}.\n{wrong} smiles.", given=record.given
    )
    before, after = (name_accuracy.strict_counts(r, pool)[0] for r in (record, worse))
    assert all(b <= a for a, b in zip(before[:4], after[:4], strict=True))
    assert after[4] == before[4] + 1


@given(st.lists(records, min_size=1, max_size=6))
def test_a_model_does_not_differ_from_itself(rows: list[Record]) -> None:
    comparison = compare_models(rows, rows[::-1], "strict")
    assert comparison.left_out == 0
    for difference in comparison.differences.values():
        if difference.value is not None and len({(r.task, r.caption) for r in rows}) == 1:
            assert difference.value == 0
            assert difference.p == 1


def test_comparison_pairs_tasks() -> None:
    first = [Record(f"p{n}", ("<Ann>",), "a dog") for n in range(30)]
    second = [Record(f"p{n}", ("<Ann>",), "Ann") for n in range(1, 31)]
    comparison = compare_models(first, second, "strict")
    assert comparison.left_out == 2
    assert comparison.first.captions == comparison.second.captions == 29
    difference = comparison.differences["f1"]
    assert (difference.value, difference.low, difference.high) == (1, 1, 1)
    assert difference.p is not None
    assert difference.p < 0.001
    with pytest.raises(CaptionError, match="share no task"):
        compare_models(first, [Record("q", ("<Ann>",), "Ann")], "paper")


def test_several_processes_count_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = ("<Ann> is here.", "No Ann, but Bob.", "Maybe Bob's dog", "Café <Eve>", "")
    records = [
        Record(f"{n % 7}.jpg", ("<Ann>",), captions[n % len(captions)], given=("Ann", "Bob"))
        for n in range(40)
    ]
    alone = measure(records, "strict")
    monkeypatch.setattr(metrics, "MANY", 10)
    assert measure(records, "strict", workers=2) == alone
