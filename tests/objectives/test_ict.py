"""ICT: kinds of rows, references, captions, reward."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.captions.facts import NO_FACTS
from repic.config import ExampleSettings
from repic.config import IctSettings as Settings
from repic.images.coordinates import QWEN3_VL
from repic.objectives.base import Mode, ObjectiveSummary, Reward, SeededRandom
from repic.objectives.ict import NO_COPY, USE_NAME, Ict
from repic.objectives.phrases import named_caption, reference_info
from tests.objectives.tables import (
    Build,
    image_row,
    labelled_build,
    object_row,
    pair_row,
    the_neighborhood,
    the_object,
)
from tests.timing import is_within


def rows_of(build: Build, **changes: Any) -> tuple[list[dict[str, Any]], ObjectiveSummary]:
    return build.examples("ict", ExampleSettings(ict=Settings(**changes)))


@pytest.fixture(scope="module")
def world() -> Build:
    return labelled_build()


class TestRows:
    def test_all_kinds_are_made(self, world: Build) -> None:
        rows, summary = rows_of(world)
        kinds = Counter(row["kind"] for row in rows)
        assert set(kinds) == {"single", "multi", "absent", "mixed", "which"}
        assert kinds["single"] / len(rows) == pytest.approx(0.35, abs=0.15)
        assert summary.why is None

    def test_references_are_what_they_say(self, world: Build) -> None:
        rows, _ = rows_of(world, per_positive=3)
        objects = {row["object_id"]: row for row in world.objects.to_pylist()}
        for row in rows:
            query = row["images"][-1]["image_id"]
            there = {o["identity"] for o in objects.values() if o["image_id"] == query}
            references = [objects[r["object_id"]] for r in row["references"]]
            present = [r["present"] for r in row["references"]]
            assert present == [obj["identity"] in there for obj in references]
            assert len({obj["identity"] for obj in references}) == len(references) <= 4
            assert all(obj["image_id"] != query for obj in references)
            assert row["pair_ids"]
            if row["kind"] == "which":
                continue
            assert row["answer"] == (row["caption"] or "")
            expected = {
                "single": present == [True],
                "multi": all(present) and len(present) >= 2,
                "absent": not any(present),
                "mixed": any(present) and not all(present),
            }
            assert expected[row["kind"]]

    def test_which_asks_for_the_name_at_a_box(self, world: Build) -> None:
        rows, _ = rows_of(world, shares={"which": 1.0}, per_positive=6)
        objects = {row["object_id"]: row for row in world.objects.to_pylist()}
        query_of = {row["example_id"]: row["images"][-1]["image_id"] for row in rows}
        answers = Counter(row["answer"] == "none" for row in rows)
        assert answers[True] / len(rows) == pytest.approx(1 / 3, abs=0.1)
        for row in rows:
            there = [o for o in objects.values() if o["image_id"] == query_of[row["example_id"]]]
            [target] = [o for o in there if [o["x1"], o["y1"], o["x2"], o["y2"]] == row["box"]]
            named = {objects[r["object_id"]]["identity"]: r["name"] for r in row["references"]}
            name = named.get(target["identity"])
            assert row["answer"] == (f"<{name}>" if name else "none")
            assert len(row["references"]) >= 2
            assert Ict().reward(row["answer"], row, "strict", QWEN3_VL).total == 1
            assert row["caption"] is None

    def test_the_scene_names_its_objects(self, world: Build) -> None:
        for row in rows_of(world)[0]:
            named = {obj["name"] for obj in row["scene"]} - {None}
            assert named == {r["name"] for r in row["references"] if r["present"]}
            assert not row["distinctive_words"]  # no expressions: nothing to check a caption on
            assert not row["distractor_words"]

    def test_kinds_without_a_share_are_not_made(self, world: Build) -> None:
        rows, _ = rows_of(world, shares={"absent": 1.0})
        assert {row["kind"] for row in rows} == {"absent"}

    def test_a_kind_that_cannot_be_made_leaves_its_share(self) -> None:
        a, b = object_row("a", "a"), object_row("b", "b")
        build = Build([image_row("a"), image_row("b")], [a, b], [pair_row(a, b, "positive")])
        rows, _ = rows_of(build, shares={"single": 0.01, "multi": 1.0, "absent": 1.0})
        assert [row["kind"] for row in rows] == ["single"]
        rows, summary = rows_of(build, shares={"multi": 1.0})
        assert not rows
        assert summary.refused["no_kind_with_a_share_can_be_made"] == 1
        assert summary.why is not None

    def test_multi_rows_of_the_same_photo(self, world: Build) -> None:
        rows, _ = rows_of(world, shares={"multi": 1.0}, same_photo_share=1.0)
        assert rows
        for row in rows:
            assert len({picture["image_id"] for picture in row["images"]}) == 1
            assert all(r["present"] for r in row["references"])

    def test_photos_without_pairs_give_same_photo_rows(self) -> None:
        left, right = object_row("l", "a"), object_row("r", "a", x1=400.0, x2=600.0, label="cat")
        build = Build([image_row("a")], [left, right], [])
        assert not rows_of(build)[0]
        assert [r["kind"] for r in rows_of(build, same_photo_share=1.0)[0]] == ["multi"]
        right["x1"], right["x2"] = 120.0, 300.0
        assert not rows_of(Build([image_row("a")], [left, right], []), same_photo_share=1.0)[0]
        right["x1"], right["x2"], right["truncated"] = 400.0, 600.0, True
        assert not rows_of(Build([image_row("a")], [left, right], []), same_photo_share=1.0)[0]

    def test_shares_of_what_is_said(self, world: Build) -> None:
        everything = {"info_share": 1.0, "use_name_share": 0.5, "no_copy_share": 0.5}
        for row in rows_of(world, **everything)[0]:
            request = row["prompt"][-1]["text"]
            asked = [request.endswith(USE_NAME), request.endswith(NO_COPY)]
            assert sum(asked) == (row["kind"] != "which")
            texts = [block["text"] for block in row["prompt"]]
            assert all(
                f"Name: <{r['name']}>, Info: {r['info']}" in texts for r in row["references"]
            )
        for row in rows_of(world, info_share=0.0, use_name_share=0.0, no_copy_share=0.0)[0]:
            assert not any(reference["info"] for reference in row["references"])
            template = next(t for t in Ict.templates if t.id == row["template_id"])
            assert row["prompt"][-1]["text"] == template.text

    def test_captions_use_the_names(self, world: Build) -> None:
        for row in rows_of(world)[0]:
            if row["kind"] == "which":
                continue
            assert row["caption"] is not None
            present = {f"<{r['name']}>" for r in row["references"] if r["present"]}
            absent = {f"<{r['name']}>" for r in row["references"] if not r["present"]}
            assert all(row["caption"].count(tag) == 1 for tag in present)
            assert not any(tag in row["caption"] for tag in absent)
            assert Ict().reward(row["caption"], row, "strict", QWEN3_VL).total == 1


def described(**changes: Any) -> Any:
    return the_object(Build([image_row("a")], [object_row("a", "a", **changes)], []))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "A dog."),
        ({"label": "apple"}, "An apple."),
        ({"label": "scissors"}, "Scissors."),
        ({"label": "Egyptian cat"}, "An Egyptian cat."),
        ({"label": ""}, ""),
        ({"expressions": ["the red dog with a hat."]}, "A red dog with a hat."),
        ({"expressions": ["dog on the left"]}, "A dog."),
    ],
)
def test_info(changes: dict[str, Any], text: str) -> None:
    assert reference_info(described(**changes), SeededRandom(0)) == text


@pytest.mark.parametrize(
    ("caption", "changes", "expected"),
    [
        ("A dog sleeps on the dog bed.", {}, None),
        ("A dog sleeping on a sofa.", {}, "<Ann> sleeping on a sofa."),
        ("A boy and a dog.", {}, "A boy and <Ann>."),
        ("A dog house.", {}, None),
        ("A brown dog.", {}, None),
        ("A brown dog.", {"expressions": ["brown dog"]}, "<Ann>."),
        ("A dog with a ball.", {}, None),
        ("A dog against a wall.", {}, "<Ann> against a wall."),
        ("A dog.", {"same_label_count": 2}, None),
        ("A dog and a dog.", {}, None),
        ("A cat.", {}, None),
        (None, {}, None),
    ],
)
def test_named_caption(caption: str | None, changes: dict[str, Any], expected: str | None) -> None:
    assert named_caption(caption, [(described(**changes), "Ann")]) == expected


def row(*present: str, absent: tuple[str, ...] = (), caption: str | None = None) -> dict[str, Any]:
    references = [
        {"name": name, "info": "A golden retriever.", "present": name in present}
        for name in (*present, *absent)
    ]
    prompt = [{"type": "text", "text": "Describe all that you can see in this picture in detail."}]
    return {"kind": "mixed", "references": references, "caption": caption, "prompt": prompt}


def reward(text: str, example: dict[str, Any], mode: Mode = "strict") -> Reward:
    return Ict().reward(text, example, mode, QWEN3_VL)


SCENE = "sits on a wooden table beside an old lamp while rain falls outside"


class TestReward:
    @pytest.mark.parametrize(
        "text",
        [
            f"<Ann> {SCENE}.",
            f"Ann {SCENE}.",
            f"The photo shows Ann, who {SCENE}.",
            f"Ann's dog {SCENE}; so does Ann!",
            "On a wooden table beside an old lamp,\nrain falling outside, sits (<Ann>).",
        ],
    )
    def test_an_honest_caption_scores_1(self, text: str) -> None:
        result = reward(text, row("Ann", absent=("Bobby",)))
        assert (result.total, result.reason) == (1, "right")
        assert json.dumps(result.parsed)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "empty"),
            (" \n", "empty"),
            (f"A dog {SCENE}.", "missing_name"),
            (f"Anna {SCENE}.", "missing_name"),
            (f"A photo without Ann {SCENE}.", "missing_name"),
            (f"<Ann> and <Bobby> {SCENE}.", "wrong_name"),
            (f"<Ann> and <Eve> {SCENE}.", "wrong_name"),
            (f"<Ann> {SCENE}.</Ann>", "wrong_name"),
            (f"Here are <Ann>, a dog and <Ann>. One {SCENE}.", "wrong_name"),
            (f"Maybe it is <Ann>. {SCENE}.", "wrong_name"),
            (f"<Ann> or Bobby {SCENE}.", "wrong_name"),
            (f"<Ann> {SCENE}. Ann is not here.", "wrong_name"),
            (f"<Ann> {SCENE}. {SCENE}. {SCENE}.", "repetitive"),
            (f"<Ann> <Ann> <Ann> <Ann> {SCENE}.", "repetitive"),
            ("<Ann>", "thin"),
            ("<Ann> " * 50, "thin"),
            ("<Ann> a golden retriever, a golden retriever", "thin"),
            ("<Ann>. Describe all that you can see in this picture in detail.", "copied"),
            (f"<Ann> {SCENE}. " * 20, "repetitive"),
            ("x" * 20_001, "long"),
        ],
    )
    def test_anything_less_costs(self, text: str, reason: str) -> None:
        result = reward(text, row("Ann", absent=("Bobby",)))
        assert result.total < 1
        assert result.reason == reason

    def test_where_nobody_is_present_naming_nobody_is_right(self) -> None:
        example = row(absent=("Ann", "Bobby"))
        assert reward(f"A dog {SCENE}.", example).total == 1
        assert reward(f"A dog {SCENE}; Ann is not in the picture.", example).total == 1
        assert reward(f"<Ann> {SCENE}.", example).total == 0
        assert reward(f"Maybe it is <Ann>. {SCENE}.", example).total == 0
        assert reward(f"Ann is here. Ann is not here. {SCENE}.", example).total == 0
        assert reward(f"A\u200bnn {SCENE}.", example).total == 0
        assert reward("", example).total == 0

    def test_set_f1(self) -> None:
        example = row("Ann", "Bobby", absent=("Carl",))
        assert reward(f"Ann {SCENE}.", example).total == pytest.approx(2 / 3)
        assert reward(f"Ann and Carl {SCENE}.", example).total == pytest.approx(1 / 2)
        assert reward(f"Ann, Bobby, Carl {SCENE}.", example).total == pytest.approx(4 / 5)

    def test_the_length_follows_the_request(self) -> None:
        caption = "<Ann> sleeps on the sofa."
        detailed = row("Ann")
        brief = {**detailed, "prompt": [{"type": "text", "text": "Caption this picture."}]}
        assert reward(caption, brief).total == 1
        assert reward(caption, detailed).total == 0.5
        assert reward("<Ann> sleeps.", brief).total == 0.5
        assert reward(f"<Ann> {SCENE}.", detailed).total == 1

    def test_saying_what_it_is_decides_between_captions_that_are_else_alike(self) -> None:
        thing = {"name": "Ann", "label": "dog", "box": [0, 0, 1, 1], "phrases": []}
        bare = {**row("Ann"), "scene": [thing]}
        bare["references"] = [{**reference, "info": ""} for reference in bare["references"]]
        assert reward(f"<Ann>, a terrier, {SCENE}.", bare).total == 1
        silent = reward("<Ann> sits near an old wall in the sun on a warm day in May.", bare)
        assert 0.95 < silent.total < 1
        assert silent.reason == "unlabelled"
        assert "label" not in reward(f"<Ann> {SCENE}.", {**row("Ann"), "scene": [thing]}).components

    def test_two_names_and_a_verb_are_a_caption(self) -> None:
        brief = {**row("Ann", "Bob"), "prompt": [{"type": "text", "text": "Caption it."}]}
        assert reward("<Ann> hugs <Bob>.", brief).total == 1

    def test_what_is_copied_is_not_thin(self) -> None:
        info = "A golden retriever with a red collar that lies on a blue rug."
        texts = [f"Name: <Ann>, Info: {info}", "Caption it."]
        told = {**row("Ann"), "prompt": [{"type": "text", "text": text} for text in texts]}
        result = reward(f"<Ann>: {info}", told)
        assert result.reason == "copied"
        assert result.total == pytest.approx(0.25)
        assert result.components["content"] == 1
        assert "own_words" not in reward("<Ann> lies on the sofa.", told).components

    def test_a_true_caption_is_long_enough(self) -> None:
        caption = "<Ann> sleeps on the sofa."
        assert reward(caption, row("Ann", caption=caption)).total == 1
        assert reward("<Ann> sleeps.", row("Ann", caption="<Ann>.")).total == 0.5

    def test_paper_mode_keeps_the_holes(self) -> None:
        junk = "x" * 100
        assert reward(f"<Ann>{junk}", row("Ann", absent=("Bobby",)), "paper").total == 1
        assert reward(f"<Ann><Bobby>{junk}", row("Ann", absent=("Bobby",)), "paper").total == 1
        assert reward(f"<Ann></Ann>{junk}", row("Ann"), "paper").total == 0
        assert reward(f"Ann {junk}", row("Ann"), "paper").total == 0
        assert reward("<Ann>", row("Ann"), "paper").total == 0
        assert reward(f"<Ann>{junk}", row("Ann", "Bobby"), "paper").total == 0.5

    @given(
        st.sets(st.sampled_from(["Ann", "Bobby", "Carl", "Dora"])),
        st.sets(st.sampled_from(["Ann", "Bobby", "Carl", "Dora"])),
    )
    def test_reward_rises_with_the_right_names_only(
        self, named: set[str], present: set[str]
    ) -> None:
        absent = tuple({"Ann", "Bobby", "Carl", "Dora"} - present)
        example = row(*present, absent=absent)
        total = reward(f"{' and '.join(sorted(named))} {SCENE}.", example).total
        for name in {"Ann", "Bobby", "Carl", "Dora"} - named:
            more = reward(f"{' and '.join(sorted(named | {name}))} {SCENE}.", example).total
            assert more > total if name in present else more <= total
            assert more < total or name in present or total == 0

    @given(
        st.one_of(st.text(max_size=300), st.text("Ann Bobby<>'s/.no\u200b", max_size=100)),
        st.sampled_from(["strict", "paper"]),
    )
    def test_any_text_scores_within_bounds(self, text: str, mode: Mode) -> None:
        result = reward(text, row("Ann", absent=("Bobby",)), mode)
        assert 0 <= result.total <= 1
        assert all(0 <= value <= 1 for value in result.components.values())
        assert result == reward(text, row("Ann", absent=("Bobby",)), mode)

    @pytest.mark.parametrize(
        "unit", ["<", "Ann ", "<Ann>", "no Ann ", "a'", "a-", "\u0301\u0323", "Ann, ", "not ", "秀"]
    )
    @pytest.mark.parametrize("mode", ["strict", "paper"])
    def test_a_huge_answer_is_quick(self, unit: str, mode: Mode) -> None:
        example = row("Ann", absent=("Bobby",))
        for length in (1_000_000, 10_000):
            text = (unit * length)[:length]
            assert is_within(0.05, lambda text=text: reward(text, example, mode))

    def test_speed(self) -> None:
        example = row("Ann", absent=("Bobby",))
        texts = [f"<Ann> {SCENE}, number {n}. " + "It is a quiet day. " * 8 for n in range(1_000)]
        # 2,500 rewards/s
        assert is_within(len(texts) / 2_500, lambda: [reward(text, example) for text in texts])


def test_a_caption_that_its_row_does_not_reward_is_not_taught(
    world: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {
        "example_id": "right",
        "kind": "single",
        "prompt": [{"type": "text", "text": "Describe this picture."}],
        "references": [{"name": "Ann", "info": "", "present": True}],
        "caption": "<Ann> and a plain blue car on grass.",
        "distinctive_words": ["blue", "car", "grass"],
        "distractor_words": ["snow"],
        "scene": [],
    }
    contradicted = {
        **right,
        "example_id": "contradicted",
        "distinctive_words": ["mug", "house", "tree"],
    }
    short = {**right, "example_id": "short", "caption": "<Ann>.", **NO_FACTS}
    rows = [right, contradicted, short]
    plans = [SimpleNamespace(row=partial(dict, row), made_from=()) for row in rows]
    monkeypatch.setattr(Ict, "_plans", lambda *_: iter(plans))
    refused: Counter[str] = Counter()
    drafts = Ict().drafts(the_neighborhood(world), ExampleSettings(), refused)
    rows_written = [draft.make() for draft in drafts]
    assert rows_written == [right, None, {**short, "caption": None, "answer": ""}]
    assert refused == {"its_true_caption_is_not_rewarded": 1}
