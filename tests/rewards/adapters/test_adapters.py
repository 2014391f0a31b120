"""Adapters return what their trainer expects, from a real worker and from a bad one."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from repic.errors import ConfigError
from repic.images.coordinates import QWEN3_VL
from repic.rewards import in_process
from repic.rewards.adapters import openrlhf_reward, query, trl_reward, verl_reward
from repic.rewards.gold import gold_answer
from repic.rewards.scoring import score
from repic.rewards.server.protocol import label_of
from tests.builds import Built, repic
from tests.rewards.server.workers import BAD_REPLIES, HARM, harmful, reply, worker

YES = json.dumps({"objective": "oct", "answer": "yes"})
NO = json.dumps({"objective": "oct", "answer": "no"})


@pytest.fixture
def worker_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with worker(token="abc") as url:
        monkeypatch.setenv("REPIC_REWARD_URL", url)
        monkeypatch.setenv("REPIC_REWARD_TOKEN", "abc")
        yield url


def test_trl_gets_none_for_what_cannot_be_scored(worker_url: str) -> None:
    turn = [{"role": "assistant", "content": [{"type": "text", "text": "yes"}]}]
    labels = [YES, NO, "{", YES]
    rewards = trl_reward.reward(["yes", "yes", "yes", turn], label=labels, prompts=["?"] * 4)
    assert rewards == [1.0, 0.0, None, 1.0]
    assert asyncio.run(trl_reward.reward_async(["yes"], label=[NO])) == [0.0]
    assert trl_reward.reward([], label=[]) == []


def test_trl_finds_it_by_its_dotted_path() -> None:
    # As trl.scripts.grpo does for --reward_funcs repic.rewards.adapters.trl_reward.reward.
    module, _, name = "repic.rewards.adapters.trl_reward.reward".rpartition(".")
    assert getattr(importlib.import_module(module), name) is trl_reward.reward


def test_verl_gets_numbers_and_a_flag(worker_url: str) -> None:
    assert verl_reward.compute_score("repic/oct", "yes", YES) == {"score": 1.0, "scored": 1.0}
    assert verl_reward.compute_score("repic/oct", "yes", "?") == {"score": 0.5, "scored": 0.0}
    scores = verl_reward.compute_scores(["x"] * 3, ["yes", "no", "yes"], [YES, YES, "?"])
    assert scores == [
        {"score": 1.0, "scored": 1.0},
        {"score": 0.0, "scored": 1.0},
        {"score": 0.5, "scored": 0.0},
    ]


def test_openrlhf_gets_tensors_of_answers_without_their_prompts(worker_url: str) -> None:
    prompt = "<|im_start|>user\n<|image_pad|>Is it?<|im_end|>\n<|im_start|>assistant\n"
    long = prompt.replace("<|image_pad|>", "<|image_pad|>" * 9)
    result = openrlhf_reward.reward_func(
        [f"{long}yes<|im_end|>", f"{prompt}no"], [prompt] * 2, [YES] * 2
    )
    assert torch.equal(result["rewards"], torch.tensor([1.0, 0.0]))
    assert torch.equal(result["extra_logs"]["scored"], torch.ones(2))


def test_a_query_without_its_prompt_is_not_taken_for_an_answer(worker_url: str) -> None:
    result = openrlhf_reward.reward_func(["no", "Is it?no"], ["yes?", "Is it?"], [NO, NO])
    assert result["extra_logs"]["scored"].tolist() == [0.0, 1.0]
    assert result["rewards"].tolist() == [1.0, 1.0], "the mean of its group"


def test_neutral_is_the_mean_of_the_group() -> None:
    filled = query.fill_unscored([1.0, 0.5, None, None], ["a", "a", "a", "b"])
    assert filled == [1.0, 0.5, 0.75, query.NEUTRAL]


@pytest.mark.parametrize("harm", [*HARM, *BAD_REPLIES], ids=lambda act: act.__name__)
def test_a_harmful_worker_gives_none(harm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "SECONDS", 0.3)
    monkeypatch.setattr(query, "TRIES", 2)
    with harmful(harm) as url:
        monkeypatch.setenv("REPIC_REWARD_URL", url)
        assert query.request_rewards(["yes"], [YES]) == [None]


def test_a_redirect_gives_none_and_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[str] = []
    monkeypatch.setenv("REPIC_REWARD_TOKEN", "abc")

    def redirects(handler: Any, _: Any) -> None:
        reached.append(handler.path)
        reply(handler, 302, b"", location="/elsewhere")

    with harmful(redirects) as url:
        monkeypatch.setenv("REPIC_REWARD_URL", url)
        assert query.request_rewards(["yes", "no"], [YES, NO]) == [None, None]
    assert reached == ["/v1/score"]


def test_a_row_that_a_worker_refuses_costs_only_itself(worker_url: str) -> None:
    odd = [json.dumps(row) for row in ({"objective": "none"}, {"objective": "oct", "box": [1]})]
    labels = [YES, odd[0], NO, YES, YES, odd[1], YES, '"\\ud800"', "[" * 100_000]
    rewards = query.request_rewards(["yes"] * 8 + ["no"], labels)
    assert rewards == [1.0, None, 0.0, 1.0, 1.0, None, 1.0, None, None]
    assert query.request_rewards(["yes \ud800", "yes"], [YES, YES]) == [None, 1.0]


def test_a_convention_without_its_limits_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPIC_REWARD_CONVENTION", "qwen2.5-vl")
    with pytest.raises(query.WorkerError, match="lacks the limits of its processor"):
        query.request_rewards(["yes"], ['{"objective": "oct", "answer": "yes"}'])


def test_a_convention_that_is_not_json_is_told(
    worker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPIC_REWARD_CONVENTION", '{"name": ')
    with pytest.raises(query.WorkerError, match="REPIC_REWARD_CONVENTION is not JSON"):
        query.request_rewards(["yes"], [YES])


@pytest.mark.parametrize("address", ["", "127.0.0.1:8899", "file:///etc/passwd", "ftp://host/x"])
def test_an_address_that_is_none_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPIC_REWARD_URL", address)
    with pytest.raises(query.WorkerError, match="set REPIC_REWARD_URL"):
        query.request_rewards(["yes"], [YES])


def test_no_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPIC_REWARD_URL", raising=False)
    with pytest.raises(query.WorkerError, match="set REPIC_REWARD_URL"):
        query.request_rewards(["yes"], [YES])


def test_asking_needs_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import repic.rewards.adapters.verl_reward;"
        "print(*sorted({n.partition('.')[0] for n in set(sys.modules) - before}"
        " - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["repic"]


def test_rows_that_are_handed_on_are_scored_alike(
    built: Built, worker_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    arguments = ("export", "dataset@latest", str(folder), "--to=openrlhf")
    done = repic(*arguments, f"--store={built.location}")
    assert done.returncode == 0, done.stderr
    assert '"name": "qwen3-vl"' in done.stdout.replace("\n", "")
    rows = built.store.read("examples@latest").to_pylist()
    assert {row["objective"] for row in rows} == {"oct", "vlt", "ict"}
    answers = [gold_answer(row, QWEN3_VL) or "no" for row in rows]
    rewards = trl_reward.reward(answers, label=[label_of(row) for row in rows])
    expected = [score(answer, row).total for answer, row in zip(answers, rows, strict=True)]
    assert rewards == pytest.approx(expected)


def test_an_unknown_mode_of_rewards_in_the_trainer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPIC_REWARD_MODE", "papr")
    with pytest.raises(ConfigError, match="'papr': choose strict or paper"):
        in_process.reward([], [], [])
