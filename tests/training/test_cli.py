"""`repic train`: printed settings, and one sentence for an error that the user can fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builds import Built
from tests.trained import Trained
from tests.training.runs import PLAIN, SMALL

Main = Callable[..., tuple[int, str, str]]


def test_settings_are_listed_with_reasons(repic_main: Main) -> None:
    code, out, _ = repic_main("train", "--show-settings")
    assert code == 0
    assert "train.lora.rank = 16" in out
    assert "trainer.beta = 0.04" in out
    assert "the paper's best" in out
    _, out, _ = repic_main("train", "--method", "sft", "--show-settings")
    assert "trainer.max_length = None" in out
    assert "trainer.beta" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "trainer.learning_rat=1"), "did you mean learning_rate?"),
        (("--set", "train.lora.rnk=1"), "did you mean train.lora.rank?"),
        (("--set", "train.prompts_per_step=5000"), "rows are less than one generation batch"),
        (("--set", "train.split=test", "--set", "train.max_prompt_tokens=9"), "(budget)"),
        (("--dataset", "examples@v9"), "There is no examples@v9"),
        (("--dataset", "pairs@v1"), "give examples@v3, or a dataset"),
        (("--model", "no/such-model"), "cannot be opened"),
        (("--profile", "papr"), "did you mean paper?"),
    ],
)
def test_what_a_person_can_mend_is_one_sentence(
    arguments: tuple[str, ...], said: str, built: Built, tiny: str, repic_main: Main, tmp_path: Path
) -> None:
    store = built.copy(tmp_path / "store")
    model = () if "--model" in arguments else ("--model", tiny)
    profile = () if "--profile" in arguments else ("--profile", PLAIN)
    changes = [f"--set={change}" for change in SMALL]
    store_option = ("--store", store.location)
    code, _, err = repic_main("train", *store_option, *model, *profile, *changes, *arguments)
    assert code == 2, err
    assert said in err
    assert "Traceback" not in err
    assert store.names() == built.store.names()


def test_the_table_is_printed_again_for_a_known_run(
    trained: Trained, tiny: str, repic_main: Main
) -> None:
    options = ("--profile", PLAIN, "--model", tiny, "--store", trained.store.location)
    changes = [f"--set={change}" for change in SMALL]
    code, out, err = repic_main("train", *options, *changes)
    assert code == 0, err
    assert "Nothing new: this is checkpoint@v1 with rollouts@v1" in out
    assert "difference" in out
    code, out, err = repic_main("train", *options, *changes, "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["checkpoint"] == "checkpoint@v1"
    assert len(summary["changes"]) == 8
    assert summary["notes"]["steps"] == 3
