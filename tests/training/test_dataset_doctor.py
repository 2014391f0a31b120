"""`doctor dataset`: rows, answers that do not look, what the recipe lacks and where it was lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from repic.config import ExampleSettings
from repic.pipeline import recipe_check
from repic.pipeline.recipe_check import RecipeLine
from storage.store import Store
from tests.builds import Album, Built, build

Main = Callable[..., tuple[int, str, str]]


def line(lines: list[RecipeLine], objective: str, kind: str = "") -> RecipeLine:
    [found] = (one for one in lines if (one.objective, one.kind) == (objective, kind))
    return found


def check(store: Store, recipe: ExampleSettings) -> list[RecipeLine]:
    examples, dataset = store.manifest("examples@latest"), store.manifest("dataset@latest")
    return recipe_check.check(store, examples, dataset, recipe)


def test_what_was_built_without_limits_lacks_nothing(built: Built) -> None:
    examples = built.store.manifest("examples@latest")
    recipe = ExampleSettings.model_validate(recipe_check.recorded_recipe(examples))
    assert recipe_check.differences(examples, recipe) == []
    lines = check(built.store, recipe)
    assert not any(line(lines, name).is_short for name in ("oct", "vlt", "ict"))
    assert [line(lines, name).wanted for name in ("oct", "vlt", "ict")] == [None] * 3


def test_a_recipe_is_compared_with_the_rows_of_train(built: Built) -> None:
    rows = built.store.read("examples@latest", ["objective", "kind", "split"]).to_pylist()
    there = Counter(row["objective"] for row in rows if row["split"] == "train")
    shares = {"oct": 0.5, "vlt": 0.25, "ict": 0.25}
    recipe = ExampleSettings.model_validate(
        {"total": 2_000, "shares": shares, "ict": {"shares": {"single": 3, "multi": 1}}}
    )
    lines = check(built.store, recipe)
    wanted = {"oct": 1_000, "vlt": 500, "ict": 500}
    assert {name: line(lines, name).wanted for name in wanted} == wanted
    assert {name: line(lines, name).rows for name in wanted} == there
    assert (line(lines, "ict", "single").wanted, line(lines, "ict", "multi").wanted) == (375, 125)
    assert line(lines, "vlt").is_short
    refused = built.store.manifest("examples@latest").notes["vlt"]["refused"]
    found = {loss.count for loss in line(lines, "vlt").losses}
    assert {n for code, n in refused.items() if not code.startswith("pair_")} <= found
    examples = built.store.manifest("examples@latest")
    assert "examples.total=2000" in recipe_check.differences(examples, recipe)


def test_the_scarce_objective_is_named_where_shares_leave_rows_out(
    album: Album, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    shares = "examples.shares={oct: 0.1, vlt: 0.8, ict: 0.1}"
    outcome = build(album.settings(shares, "examples.total=5000"), store)
    notes = outcome.tables["examples"].notes
    lines = check(store, album.settings(shares, "examples.total=5000").examples)
    assert notes["oct"]["candidates"]["train"] > line(lines, "oct").rows
    [loss] = (loss for loss in line(lines, "oct").losses if loss.stage == "shares")
    assert loss.count == notes["oct"]["candidates"]["train"] - line(lines, "oct").rows
    assert "since vlt has too few" in loss.what
    assert not any(loss.stage == "shares" for loss in line(lines, "vlt").losses)


def test_photos_without_a_second_view_and_without_expressions(
    album: Album, tmp_path: Path, repic_main: Main, tiny: str
) -> None:
    """Each object is its own identity, a file is broken, and nothing refers to an object."""
    own = album.copy(tmp_path / "album")
    data = json.loads((own.folder / "instances.json").read_text())
    for number, annotation in enumerate(data["annotations"]):
        annotation["identity"] = f"only-{number}"
    (own.folder / "instances.json").write_text(json.dumps(data))
    (own.folder / "refs.json").write_text("[]")
    own.file(0).write_bytes(b"broken")
    profile = tmp_path / "mine.yaml"
    profile.write_text("examples: {total: 100, shares: {oct: 0.5, vlt: 0.5}}\n")
    where = ("--store", str(tmp_path / "store"))
    code, out, err = repic_main(*own.arguments, "--set=quarantine.budget=0.1", *where)
    assert code == 0, err
    code, out, _ = repic_main(
        "doctor", "dataset", "dataset@latest", f"--profile={profile}", "--model", tiny, *where,
        "--json",
    )  # fmt: skip
    assert code == 1
    report = json.loads(out)
    [found] = (one for one in report["recipe"] if one["objective"] == "oct")
    assert (found["wanted"], found["rows"], found["is_short"]) == (50, 0, True)
    lost = {loss["what"].partition(":")[0]: loss for loss in found["losses"]}
    assert lost["photos in quarantine"]["stage"] == "images"
    objects = Store.open(tmp_path / "store").manifest("objects@latest").rows
    assert lost["objects without a second view"]["count"] == objects
    [finding] = (f for f in report["findings"] if f["subject"] == "oct")
    assert finding["level"] == "error"
    assert "no other photo shows them" in finding["found"]
    assert finding["remedy"]
    [vlt] = (one for one in report["recipe"] if one["objective"] == "vlt")
    assert "expression" in " ".join(loss["what"] for loss in vlt["losses"])
    code, out, _ = repic_main(
        "doctor", "dataset", "--set=examples.total=9", f"--model={tiny}", *where
    )
    assert "without a second view" in " ".join(out.split())
    assert code == 0  # its own settings ask for no shares


def test_the_command_says_what_it_looked_at(built: Built, tiny: str, repic_main: Main) -> None:
    options = ("--store", str(built.location), "--model", tiny)
    code, out, _ = repic_main("doctor", "dataset", "examples@latest", *options)
    assert code == 0
    rows = built.store.manifest("examples@v1").rows
    assert f"all {rows} rows can be trained on with" in out
    assert "one box for all" in out
    assert "a general sentence" in out
    budget = ("--set", "train.max_prompt_tokens=30")
    code, out, _ = repic_main("doctor", "dataset", "dataset@latest", *options, *budget)
    assert code == 1
    assert "raise train.max_prompt_tokens" in out
    code, out, _ = repic_main("doctor", "dataset", "examples@latest", *options, *budget, "--json")
    assert code == 1
    report = json.loads(out)
    assert {problem["check"] for problem in report["problems"]} == {"budget"}
    assert sum(count["rows"] for count in report["counts"]) == rows
    assert {earning["objective"] for earning in report["blind"]} == {"oct", "vlt", "ict", "which"}


def test_without_the_model_all_else_is_checked(built: Built, repic_main: Main) -> None:
    code, out, _ = repic_main(
        "doctor", "dataset", "--store", str(built.location), "--model", "/nowhere/model"
    )
    assert code == 1
    assert "give another with --model; the other checks need none" in " ".join(out.split())
    assert "one box for all" in out


def test_the_released_rewards_pay_for_naming_everybody(
    built: Built, tiny: str, repic_main: Main
) -> None:
    options = ("--store", str(built.location), "--model", tiny, "--set", "train.mode=paper")
    code, out, _ = repic_main("doctor", "dataset", *options)
    assert code == 0
    assert "a general sentence with all names earns" in out
    assert "with train.mode=strict, names of absent ones cost" in out


@pytest.mark.parametrize("override", ["trian.mode=paper", "sources=[]"])
def test_a_wrong_setting_is_a_sentence(override: str, built: Built, repic_main: Main) -> None:
    code, _, err = repic_main(
        "doctor", "dataset", "--store", str(built.location), "--set", override
    )
    assert code == 2
    assert "--show-settings" in err or "unknown setting" in err
