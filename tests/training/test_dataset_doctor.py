"""`doctor dataset`: rows, answers that do not look, what the recipe lacks and where it was lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repic.config import ExampleSettings
from repic.pipeline import recipe_check
from repic.pipeline.recipe_check import RecipeLine
from repic.training.checks import dataset_doctor
from storage.store import Store
from tests.builds import Album, Built, build

Main = Callable[..., tuple[int, str, str]]


def line(lines: list[RecipeLine], objective: str, kind: str = "") -> RecipeLine:
    [found] = (one for one in lines if (one.objective, one.kind) == (objective, kind))
    return found


def check(store: Store, recipe: ExampleSettings) -> list[RecipeLine]:
    examples, dataset = store.manifest("examples@latest"), store.manifest("dataset@latest")
    rows = store.read(examples.ref).to_pylist()
    return recipe_check.check(store, examples, dataset, recipe, rows)


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


def found_of(main: Main, built: Built, profile: Path) -> dict[str, Any]:
    """The report by a recipe, without a model."""
    report: dict[str, Any] = json.loads(
        main(
            *("doctor", "dataset", "--store", str(built.location), "--model", "/nowhere"),
            *("--profile", str(profile), "--json"),
        )[1]
    )
    return report


def test_a_shortfall_of_a_kind_is_a_note_that_says_why(
    built: Built, repic_main: Main, tmp_path: Path
) -> None:
    """Also if the recipe is the one of the build, and with a remedy."""
    profile = tmp_path / "mine.yaml"
    profile.write_text("examples: {ict: {shares: {single: 0.1, which: 0.9}}}\n")
    report = found_of(repic_main, built, profile)
    [which] = (one for one in report["recipe"] if one["kind"] == "which")
    assert which["is_short"]
    assert "other examples.ict.shares" in which["losses"][0]["what"]
    examples = built.store.manifest("examples@latest")
    recipe = ExampleSettings.model_validate(recipe_check.recorded_recipe(examples))
    rows = built.store.read(examples.ref).to_pylist()
    fewer = [row for row in rows if row["kind"] != "multi"]
    lines = recipe_check.check(built.store, examples, None, recipe, fewer)
    [loss] = line(lines, "ict", "multi").losses
    assert loss.count == line(lines, "ict", "multi").missing > 0
    assert "drawn as another kind" in loss.what
    assert loss.remedy
    findings = list(dataset_doctor.of_recipe(lines, [], False))
    [note] = (finding for finding in findings if finding.subject == "ict multi")
    assert (note.level, "drawn as another kind" in note.found) == ("note", True)
    assert not any(finding.level == "ok" for finding in findings)


def test_more_than_the_recipe_is_a_note(built: Built, repic_main: Main, tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text(
        "examples: {total: 10, shares: {oct: 0.4, vlt: 0.4, ict: 0.2}, "
        "ict: {shares: {single: 1, multi: 0, absent: 0, mixed: 0, which: 0}}}\n"
    )
    report = found_of(repic_main, built, profile)
    lines = {(one["objective"], one["kind"]): one for one in report["recipe"]}
    assert (lines["oct", ""]["wanted"], lines["oct", ""]["is_over"]) == (4, True)
    assert (lines["ict", "which"]["wanted"], lines["ict", "which"]["is_over"]) == (0, True)
    notes = {finding["subject"]: finding for finding in report["findings"]}
    assert f"oct {lines['oct', '']['rows']} (" in notes["above the recipe"]["found"]
    assert "of all) instead of 4" in notes["above the recipe"]["found"]
    assert not any(f["subject"] == "recipe" and f["level"] == "ok" for f in report["findings"])


@pytest.mark.parametrize(
    ("kind", "wanted", "rows", "short", "over"),
    [
        ("multi", 580, 508, True, False),
        ("multi", 580, 569, False, False),
        ("multi", 580, 640, False, True),
        ("multi", 3, 4, False, False),
        ("", 900, 898, True, False),
        ("", 900, 899, False, False),
        ("", 900, 1_000, False, True),
        ("", 0, 2, False, True),
    ],
)
def test_the_tolerance(kind: str, wanted: int, rows: int, short: bool, over: bool) -> None:
    found = RecipeLine("ict", kind, wanted, rows)
    assert (found.is_short, found.is_over) == (short, over)


def test_a_shortfall_always_says_where(built: Built) -> None:
    """Also of an objective of which no stage left anything out."""
    recipe = ExampleSettings.model_validate(
        {"total": 10**6, "shares": {"oct": 0.4, "vlt": 0.3, "ict": 0.3}}
    )
    for one in check(built.store, recipe):
        assert one.is_short == bool(one.losses)
    examples = built.store.manifest("examples@latest")
    silent = examples.model_copy(update={"notes": {}, "inputs": ()})
    for one in recipe_check.check(built.store, silent, None, recipe, []):
        assert one.is_short
        assert one.losses[0].remedy


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


@pytest.mark.slow
def test_the_command_says_what_it_looked_at(built: Built, tiny: str, repic_main: Main) -> None:
    options = ("--store", str(built.location), "--model", tiny)
    code, out, _ = repic_main("doctor", "dataset", "examples@latest", *options)
    assert code == 0
    rows = built.store.manifest("examples@v1").rows
    assert f"all {rows} rows can be trained on with" in out
    assert "one box for all" in " ".join(out.split())
    assert "a general sentence" in out
    headers = [line.split()[:2] for line in out.splitlines() if line.startswith(" objective")]
    assert headers == [["objective", "kind"]] * 3
    for title in ("Rows", "Without looking", "Recipe", "Findings"):
        assert any(line.startswith(title) for line in out.splitlines())
    budget = ("--set", "train.max_prompt_tokens=30")
    code, out, _ = repic_main("doctor", "dataset", "dataset@latest", *options, *budget, "--json")
    assert code == 1
    assert "raise train.max_prompt_tokens" in out
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
    assert "Without looking" in out


def test_the_released_rewards_pay_for_naming_everybody(
    built: Built, tiny: str, repic_main: Main
) -> None:
    options = ("--store", str(built.location), "--model", tiny, "--set", "train.mode=paper")
    code, out, _ = repic_main("doctor", "dataset", *options, "--json")
    assert code == 0
    assert "a general sentence with all names earns" in out
    assert "names of absent ones cost" in out


@pytest.mark.parametrize("override", ["trian.mode=paper", "sources=[]"])
def test_a_wrong_setting_is_a_sentence(override: str, built: Built, repic_main: Main) -> None:
    code, _, err = repic_main(
        "doctor", "dataset", "--store", str(built.location), "--set", override
    )
    assert code == 2
    assert "--show-settings" in err or "unknown setting" in err
