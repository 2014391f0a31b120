"""Wrappers and end tokens around answers, in every place that scores them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import repic
from repic import config
from repic.cli import app
from repic.errors import ConfigError
from repic.evaluation.run import bare_captions
from repic.images.coordinates import QWEN3_VL
from repic.rewards.scoring import score
from repic.rewards.wrappers import ENDS, WRAPPERS, bare_answer, without_thoughts
from repic.training.reward import TrainedReward
from tests.rewards.test_scoring import ICT, OCT, VLT
from tests.timing import is_within

THOUGHT = "<think>The box begins at 3, 4 and ends there; it is not Ann.</think>"
BOX = '{"bbox_2d": [100, 200, 500, 800]}'
ANSWERS = ((OCT, "yes"), (VLT, BOX), (ICT, ICT["caption"]))


@pytest.mark.parametrize(("row", "answer"), ANSWERS, ids=["oct", "vlt", "ict"])
def test_a_wrapped_answer_is_scored_as_the_bare_one(row: dict[str, Any], answer: str) -> None:
    honest = score(answer, row).total
    assert honest > 0.99
    wrapped = (f"{THOUGHT}<answer>{answer}</answer>", f"{THOUGHT}\n\n<answer>\n{answer}</answer>\n")
    for text in wrapped:
        assert score(text, row, strip=WRAPPERS).total == honest
        assert score(text, row, strip=("answer",)).total <= honest
    assert score(THOUGHT + answer, row, strip=("think",)).total == honest
    assert score(THOUGHT.removeprefix("<think>") + answer, row, strip=("think",)).total == honest


def test_a_thought_costs_but_never_earns_unless_it_is_stripped() -> None:
    thought = "<think>The grass is green and the sky is a deep blue.</think>"
    assert score(f"{thought}yes", OCT).reason == "malformed"
    short = "Ann sits."
    assert score(thought + short, ICT).total <= score(short, ICT).total
    assert score(thought + short, ICT, strip=("think",)) == score(short, ICT)
    assert score(f"<think>Bob is here.</think>{ICT['caption']}", ICT).total < 1


TAGS = ("<think>", "</think>", "<THINKING>", "</thinking>")
SAID = (BOX, "[100, 200, 500, 800]", "The box is ", ICT["caption"], "Ann", "Bob", "yes", "no", "\n")
THINKING = st.lists(st.sampled_from((*TAGS, *SAID)), max_size=7).map(" ".join)


@given(THINKING, st.sampled_from([OCT, VLT, ICT]), st.sampled_from([(), ("think",)]))
def test_what_stands_in_a_thought_never_earns(text: str, row: dict[str, Any], strip: Any) -> None:
    outside = without_thoughts(bare_answer(text, strip))
    assert score(text, row, strip=strip).total <= score(outside, row).total
    assert "think" not in outside.casefold()


@pytest.mark.parametrize(
    ("text", "outside"),
    [
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("b<think>a", "b"),
        ("b<think>a<think>c</think>d</think>e", "be"),
        ("b <Think>a</Think> c<thinking>d</thinking>", "b  c"),
        ("no thought ", "no thought "),
    ],
)
def test_what_stands_outside_of_thoughts(text: str, outside: str) -> None:
    assert without_thoughts(text) == outside


@pytest.mark.parametrize("strip", [(), WRAPPERS])
@pytest.mark.parametrize(("row", "answer"), ANSWERS, ids=["oct", "vlt", "ict"])
def test_tokens_that_end_a_turn_are_no_part_of_an_answer(
    row: dict[str, Any], answer: str, strip: Any
) -> None:
    for end in ENDS:
        assert score(f"{answer}{end}\n{end}", row, strip=strip) == score(answer, row)
    assert score(f"{answer}<|im_end|>", row, "paper").total <= score(answer, row, "paper").total


@pytest.mark.parametrize(
    "text",
    [
        *("<think>yes", "yes</think>", "<think>a</think>yes</think>no", "no <think>a</think>yes"),
        *("<answer>yes</answer><answer>no</answer>", "no <answer>yes</answer>", "<answer>yes"),
        *("<think><answer>yes</answer></think>", "yes<answer></answer>", THOUGHT),
    ],
)
def test_a_broken_wrapper_is_no_answer(text: str) -> None:
    assert score(text, OCT, strip=WRAPPERS).reason == "malformed"


@given(st.text("<>/thinkanswer yo", max_size=80), st.sets(st.sampled_from(WRAPPERS)))
def test_stripping_only_removes_and_ends(text: str, strip: set[Any]) -> None:
    bare = bare_answer(text, strip)
    assert bare in text
    assert bare_answer(bare, ()) == bare
    assert strip or bare == text or text.rstrip().endswith(ENDS)


def test_a_huge_wrapped_answer_is_quick() -> None:
    for unit in ("<think>", "</think>", "<answer>", "</s>", "<think>a</think>", " "):
        text = unit * (1_000_000 // len(unit))
        assert is_within(0.1, lambda text=text: bare_answer(text, WRAPPERS))


def test_the_command_strips_by_name(tmp_path: Path) -> None:
    file = tmp_path / "completions.jsonl"
    file.write_text(json.dumps({**OCT, "completion": f"{THOUGHT}<answer>yes</answer>"}))

    def total(*options: str) -> float:
        result = CliRunner().invoke(app, ["reward", "score", str(file), "--json", *options])
        assert result.exit_code == 0, result.output
        return float(json.loads(result.stdout)[0]["total"])

    assert total() == 0
    assert total("--strip", "think,answer") == 1


def test_the_command_and_python_read_boxes_of_qwen25(tmp_path: Path) -> None:
    row = {"objective": "vlt", "images": [{"width": 4000, "height": 3000}]}
    row["box"] = [3000.0, 2000.0, 3900.0, 2900.0]
    box = "[3000, 2000, 3900, 2900]"
    file = tmp_path / "completions.jsonl"
    file.write_text(json.dumps({**row, "completion": box}))
    command = ["reward", "score", str(file), "--json", "--convention", "qwen2.5-vl"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code != 0
    limits = ["--min-pixels", "3136", "--max-pixels", "12845056"]
    result = CliRunner().invoke(app, [*command, *limits])
    assert json.loads(result.stdout)[0]["total"] > 0.98
    sizes = {"min_pixels": 3136, "max_pixels": 12845056}
    assert repic.score(box, row, convention="qwen2.5-vl", **sizes).total > 0.98
    with pytest.raises(ConfigError, match="give min_pixels and max_pixels"):
        repic.score(box, row, convention="qwen2.5-vl")


def test_training_and_evaluation_strip_as_the_settings_say() -> None:
    settings = config.load("sample", ["rewards.strip=[think, answer]"], scope=config.TRAIN)
    strip = settings.rewards.strip
    text = f"{THOUGHT}<answer>yes</answer>"
    reward = TrainedReward(QWEN3_VL, "strict", 1, frozenset(), lambda values: values, strip)
    assert [r.total for r in reward.scores([text], [OCT]) if r] == [1]
    captions = pa.table({"caption_id": ["a"], "caption": [text]})
    assert bare_captions(captions, strip).to_pylist() == [{"caption_id": "a", "caption": "yes"}]
    assert bare_captions(captions, ()) is captions


def test_the_setting_is_recorded_only_where_it_is_on() -> None:
    for scope in (config.TRAIN, config.EVALUATE, config.REFRESH):
        off, on = (
            config.load("sample", given).record(scope) for given in ((), ("rewards.strip=[think]",))
        )
        assert "strip" not in off.get("rewards", {})
        assert on["rewards"]["strip"] == ["think"]
    with pytest.raises(ConfigError, match=r"reads only .*rewards\.strip"):
        config.load("sample", ["rewards.judge.url=x"], scope=config.TRAIN)


def test_a_file_of_captions_can_be_stripped(tmp_path: Path) -> None:
    file = tmp_path / "captions.json"
    row = ["a.jpg", ["<Ann>", "<Bob>"], "<think> Is it <Bob> ? </think> <Ann> sits.", "Caption it."]
    file.write_text(json.dumps([row]), encoding="utf-8")

    def recall(*options: str) -> float:
        result = CliRunner().invoke(
            app, ["evaluate", "captions", str(file), "--metric", "paper", "--json", *options]
        )
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["recall"]

    assert (recall(), recall("--strip", "think")) == (1.0, 0.5)
    wrong = CliRunner().invoke(app, ["evaluate", "captions", str(file), "--strip", "thoughts"])
    assert wrong.exit_code != 0
