"""Protocols and layouts: references shown, names of a correct caption, and prompts."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic import config
from repic.evaluation.questions import PAPER_REQUESTS, PAPER_SYSTEM, Question, questions
from repic.evaluation.retrieval import (
    DetectedCrop,
    Match,
    count_matches,
    names_above,
    nearest_names,
)
from repic.evaluation.run import load_suite, retrieve
from repic.evaluation.suites.base import Suite
from repic.pipeline.progress import NoProgress

MATCHES = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.floats(-1, 1)), min_size=1, max_size=5
).map(lambda pairs: tuple(Match(n, s) for n, s in sorted(pairs, key=lambda f: -f[1])))
CROPS = st.lists(
    MATCHES.map(lambda matches: DetectedCrop((0.0, 0.0, 9.0, 9.0), "dog", 0.5, matches)), max_size=4
)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return load_suite(config.load("sample", evaluate={"photos": 8}).evaluate)


def asked(suite: Suite, **values: object) -> list[Question]:
    crops = {
        q.photo.image_id: [
            DetectedCrop(
                thing.box,
                thing.label,
                0.9,
                (Match(thing.name, 0.95 if n else 0.5), Match(suite.concepts[0].name, 0.4)),
            )
            for n, thing in enumerate(q.things)
        ]
        for q in suite.queries
    }
    return questions(suite, config.load("sample", evaluate={**values}).evaluate, crops, 0.9)


def test_each_protocol_shows_what_it_says(suite: Suite) -> None:
    result = asked(suite)
    assert len({q.question_id for q in result}) == len(result) == 5 * len(suite.queries)
    by_photo = {query.photo.image_id: query for query in suite.queries}
    for question in result:
        present = set(by_photo[question.photo.image_id].concepts)
        shown = [concept.name for concept in question.shown]
        assert len(set(shown)) == len(shown)
        match question.protocol:
            case "skip-retrieval":
                assert set(shown) == present == set(question.concepts)
            case "wrong":
                assert question.concepts == ()
                assert not set(shown) & present
                assert len(shown) == len(present)
            case "mixed":
                assert set(question.concepts) == set(shown) & present
                assert 2 * len(question.concepts) == len(shown)
            case "retrieval":
                assert set(question.concepts) == present
                assert len(shown) == len(present) - 1  # the first crop is below the threshold
            case "retrieval-forced":
                assert len(shown) == (4 if len(present) == 4 else 2)


def test_a_scene_names_only_whom_a_right_caption_names(suite: Suite) -> None:
    for question in asked(suite):
        named = {thing["name"] for thing in question.scene} - {None}
        assert named == set(question.concepts)


@pytest.mark.parametrize("layout", ["training", "paper"])
def test_prompts_have_a_block_for_each_picture(suite: Suite, layout: str) -> None:
    for question in asked(suite, layout=layout):
        prompt = list(question.prompt)
        if layout == "paper":
            assert prompt.pop(0) == {"type": "system", "text": PAPER_SYSTEM}
        kinds = [block["type"] for block in prompt]
        assert kinds == ["image", "text"] * (len(question.shown) + 1)
        assert kinds.count("image") == len(question.pictures)
        assert question.pictures[-1]["role"] == "query"
        for number, (concept, block) in enumerate(
            zip(question.shown, prompt[1::2], strict=False), start=1
        ):
            assert f"<{concept.name}>" in block["text"]
            assert block["text"].startswith(f"{number}. Name: ") == (layout == "paper")
        if layout == "paper":
            assert prompt[-1]["text"].removeprefix("This is the query. ") in PAPER_REQUESTS
            assert all(reference["info"] for reference in question.references)


@given(CROPS, st.floats(-1, 1), st.floats(-1, 1))
def test_a_higher_threshold_never_accepts_more(
    crops: list[DetectedCrop], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert set(names_above(crops, high)) <= set(names_above(crops, low))
    first, second = count_matches("ab", crops, low), count_matches("ab", crops, high)
    assert all(b <= a for a, b in zip(astuple(first), astuple(second), strict=True))


@given(CROPS, st.integers(1, 6))
def test_forced_retrieval_always_gives_k(crops: list[DetectedCrop], k: int) -> None:
    names = nearest_names(crops, k, "abcdef")
    assert len(names) == len(set(names)) == (k if crops else 0)


def test_without_a_box_the_photo_is_searched_or_nothing_is_shown(suite: Suite) -> None:
    few = Suite("few", suite.concepts, suite.queries[:2])
    forced = {"protocols": ("retrieval", "retrieval-forced")}
    for no_box, crops, shown in (("whole-photo", 1, 2), ("no-reference", 0, 0)):
        settings = config.load(
            "sample", ["detector.confidence=1"], evaluate={"no_box": no_box, **forced}
        )
        found = retrieve(few, settings, NoProgress())
        assert {len(photo_crops) for photo_crops in found.crops.values()} == {crops}
        asked = questions(few, settings.evaluate, found.crops, 1.0)
        by_protocol = {q.protocol: len(q.shown) for q in asked}
        assert by_protocol == {"retrieval": 0, "retrieval-forced": shown}
