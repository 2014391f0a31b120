"""Recognition and VQA in the published layouts of Yo'LLaVA and MC-LLaVA."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from repic import config
from repic.cli import app
from repic.cli.common import explain
from repic.errors import SuiteError
from repic.evaluation.answers import asking, scores
from repic.evaluation.answers.run import AnswerResult, load, questions, run
from repic.evaluation.run import load_suite
from repic.evaluation.suites.base import Suite
from storage.errors import StoreError
from storage.store import Store
from tests.evaluation.layouts import sample, write_mc_llava, write_yollava
from tests.evaluation.servers import Reply, serving


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield sample()


@pytest.fixture(scope="module")
def layouts(generated: Suite, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("layouts")
    return {
        "yollava": write_yollava(root / "yollava-data", generated),
        "mc-llava": write_mc_llava(root / "mc-llava", generated),
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def settings(layouts: dict[str, Path], suite: str, task: str, **values: Any) -> config.Settings:
    asked = {"suite": suite, "folder": str(layouts[suite]), "task": task, **values}
    return config.load("sample", evaluate=asked)


def answered(
    layouts: dict[str, Path], suite: str, task: str, store: Store, reply: Reply
) -> AnswerResult:
    with serving(reply) as server:
        asked = settings(layouts, suite, task, url=server.url, backend="server")
        return run("pal", asked, store)


def yes(names: list[str], pictures: list[Any]) -> str:
    assert len(pictures) > 1
    return f"Yes, <{names[0]}> is in the photo."


def test_yollava_asks_about_every_concept_in_every_photo(layouts: dict[str, Path]) -> None:
    suite, asked = questions(settings(layouts, "yollava", "recognition"))
    photos, concepts = len(suite.queries), len(suite.concepts)
    assert Counter(one.answer for one in asked) == {"yes": photos, "no": photos * (concepts - 1)}
    assert len({one.question.question_id for one in asked}) == len(asked)
    for one in asked:
        assert [block["type"] for block in one.question.prompt] == ["image", "text"] * 2
        tag = f"<{one.question.shown[0].name}>"
        assert tag in one.question.prompt[-1]["text"]
        assert (one.answer == "yes") == (one.question.concepts == (one.question.shown[0].name,))
    few = questions(settings(layouts, "yollava", "recognition", negatives=1))[1]
    assert Counter(one.answer for one in few) == {"yes": photos, "no": photos}


def test_always_yes_has_a_weighted_accuracy_of_one_half(
    layouts: dict[str, Path], store: Store
) -> None:
    result = answered(layouts, "yollava", "recognition", store, yes)
    found = result.estimates["single"]
    values = {name: (estimate.value, estimate.n) for name, estimate in found.items()}
    assert values == {
        "recall": (1, 4),
        "specificity": (0, 12),
        "weighted": (0.5, 16),
        "accuracy": (0.25, 16),
        "unread": (0, 16),
    }
    assert all(estimate.low is not None for estimate in found.values())
    assert result.is_new
    assert load(store, "answers@latest").model == "pal"
    with pytest.raises(StoreError, match="evaluation"):
        load(store, "evaluation@v1")


def test_answers_that_cannot_be_read_are_wrong(layouts: dict[str, Path], store: Store) -> None:
    result = answered(layouts, "yollava", "recognition", store, lambda names, pictures: "Perhaps.")
    found = result.estimates["single"]
    assert (found["unread"].value, found["recall"].value, found["specificity"].value) == (1, 0, 0)


def test_questions_of_yollava(layouts: dict[str, Path], store: Store) -> None:
    suite, asked = questions(settings(layouts, "yollava", "vqa"))
    assert len(asked) == len(suite.queries)
    text = asked[0].question.prompt[-1]["text"]
    assert text.startswith(f"What is the main colour of <{asked[0].question.shown[0].name}>?\nA. ")
    assert text.endswith(asking.LETTER)
    first = sum(one.answer == "A" for one in asked) / len(asked)
    result = answered(layouts, "yollava", "vqa", store, lambda names, pictures: "The answer is A.")
    assert result.estimates["single"]["accuracy"].value == first
    assert {row["read"] for row in result.rows} == {"A"}


def test_questions_of_yollava_without_the_level_of_concepts(
    layouts: dict[str, Path], tmp_path: Path, generated: Suite
) -> None:
    folder = write_yollava(tmp_path / "yollava-data", generated)
    file = folder / "yollava-visual-qa.json"
    nested = json.loads(file.read_text())
    flat = {path: entry for entries in nested.values() for path, entry in entries.items()}
    file.write_text(json.dumps(flat))
    asked = questions(settings({"yollava": folder}, "yollava", "vqa"))[1]
    expected = questions(settings(layouts, "yollava", "vqa"))[1]
    assert [one.answer for one in asked] == [one.answer for one in expected]
    path, entry = next(iter(flat.items()))
    for broken, words in (
        ({path: {**entry, "correct_answer": "C"}}, "is not a file of questions"),
        ({"./yollava-data/test/nobody/0.png": entry}, "the photo that .* asks about is missing"),
    ):
        file.write_text(json.dumps(broken))
        with pytest.raises(SuiteError, match=words):
            questions(settings({"yollava": folder}, "yollava", "vqa"))
    file.unlink()
    with pytest.raises(SuiteError, match=r"yollava-visual-qa\.json: there is no such file"):
        questions(settings({"yollava": folder}, "yollava", "vqa"))


def test_mc_llava_has_photos_of_one_and_of_several(layouts: dict[str, Path]) -> None:
    suite = load_suite(settings(layouts, "mc-llava", "recognition").evaluate)
    assert [c.name for c in suite.concepts] == sorted(c.name for c in suite.concepts)
    assert all(len(concept.views) == 2 for concept in suite.concepts), "masks are no references"
    names = tuple(concept.name for concept in suite.concepts)
    assert [set(query.concepts) for query in suite.queries[:3]] == [
        {names[0]},
        {names[1]},
        set(names),
    ]
    assert [query.part for query in suite.queries] == ["1", "1", "2", "1"]
    assert all(set(query.among) == set(names) for query in suite.queries)
    _, asked = questions(settings(layouts, "mc-llava", "recognition"))
    kinds = Counter((one.question.part, one.answer) for one in asked)
    assert kinds == {
        ("single", "yes"): 3,
        ("single", "no"): 3,
        ("multi", "yes"): 2,
        ("together", "yes"): 1,
    }
    both = next(one.question for one in asked if one.question.part == "together")
    assert len(both.pictures) == 3
    assert "Are <" in both.prompt[-1]["text"]


def test_choices_of_mc_llava(layouts: dict[str, Path], store: Store) -> None:
    _, asked = questions(settings(layouts, "mc-llava", "vqa"))
    assert [one.answer for one in asked] == ["A", "A", "A", "B", "A", "B"]
    assert [one.question.part for one in asked] == [
        *("single", "single", "multi", "together", "single", "single"),
    ]
    result = answered(layouts, "mc-llava", "vqa", store, lambda names, pictures: "A. An object")
    found = result.estimates
    assert found["all"]["accuracy"].n == 6
    assert found["all"]["accuracy"].value == pytest.approx(4 / 6)
    assert list(found) == ["all", "together", "single", "multi"]


def test_folders_that_are_not_mc_llava(tmp_path: Path, generated: Suite) -> None:
    for folder in (tmp_path, write_mc_llava(tmp_path / "mc", generated)):
        if folder != tmp_path:
            scenario = next((folder / "two_concept" / "multi").iterdir())
            scenario.rename(scenario.with_name("Nobody_Else"))
        with pytest.raises(SuiteError, match="mc-llava needs FOLDER/<case>/concept/train"):
            load_suite(settings({"mc-llava": folder}, "mc-llava", "vqa").evaluate)


def test_two_models_are_compared_on_the_same_questions(
    layouts: dict[str, Path], store: Store
) -> None:
    first = answered(layouts, "yollava", "recognition", store, yes)
    other = Store.open(store.location + "-other", create=True)
    second = answered(layouts, "yollava", "recognition", other, lambda names, pictures: "No.")
    differences = scores.compare(first.rows, second.rows)
    assert {name: change.value for name, change in differences.items()} == {
        "recall": -1,
        "specificity": 1,
        "weighted": 0,
        "accuracy": 0.5,
        "unread": 0,
    }
    assert differences["recall"].n == 16


def test_the_sample_suite_is_recognized_too(generated: Suite) -> None:
    few = config.load("sample", evaluate={"photos": 8, "negatives": 2, "task": "recognition"})
    asked = asking.recognition(generated, few.evaluate)
    photos = len(generated.queries)
    assert sum(one.answer == "no" for one in asked) == 2 * photos
    assert sum(one.question.part == "together" for one in asked) == 2 * photos / 3


def test_on_the_command_line(layouts: dict[str, Path], tmp_path: Path) -> None:
    base = ["evaluate", "run", "--suite", "yollava", "--folder", str(layouts["yollava"])]
    base += ["--store", str(tmp_path / "store"), "--model", "pal"]
    with serving(yes) as server:
        base += ["--server", server.url]
        shown = CliRunner().invoke(app, [*base, "--task", "recognition"])
        report = json.loads(CliRunner().invoke(app, [*base, "--task", "vqa", "--json"]).stdout)
        page = CliRunner().invoke(app, [*base, "--task", "vqa", "--report", "x.html"])
    assert shown.exit_code == 0, shown.output
    for words in (
        "Published answers@v1",
        "recall",
        "specificity",
        "weighted",
        "(answer no)",
    ):
        assert words in shown.output
    [part] = report["scores"]
    assert part["unread"] == {
        "value": 1,
        "interval": [1, 1],
        "n": 4,
        "unit": "question",
    }
    assert "--report writes a page about captions" in (explain(page.exception) or "")
    compare = ["evaluate", "compare", "--store", str(tmp_path / "store")]
    both = CliRunner().invoke(app, [*compare, "answers@v1", "answers@v1"])
    assert "answers@v1 minus answers@v1" in both.output
    mixed = CliRunner().invoke(app, [*compare, "answers@v1", "answers@v2"])
    assert "different tasks" in (explain(mixed.exception) or "")


@pytest.mark.slow
def test_the_sample_model_answers(layouts: dict[str, Path], store: Store) -> None:
    """It was trained to recognize; letters it does not know."""
    for suite in ("yollava", "mc-llava"):
        result = run("sample-full", settings(layouts, suite, "recognition"), store)
        found = next(iter(result.estimates.values()))
        assert found["unread"].value == 0
        assert (found["weighted"].value or 0) > 0.6
        assert not run("sample-full", settings(layouts, suite, "recognition"), store).is_new
        choices = run("sample-full", settings(layouts, suite, "vqa"), store)
        assert next(iter(choices.estimates.values()))["accuracy"].n >= 4
