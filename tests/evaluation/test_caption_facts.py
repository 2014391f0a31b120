"""What captions alone convey: facts of present concepts add, those of absent ones subtract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from repic.cli import app
from repic.cli.common import explain
from repic.errors import CaptionError
from repic.evaluation.caption_facts import (
    ConceptFacts,
    Fact,
    WordReader,
    fact_scores,
    facts_of_info,
    read_facts,
)
from repic.evaluation.records import Record
from tests.evaluation.servers import CaptionServer

COLOUR = Fact("What colour is Ann's hat?", ("red", "blue", "green"), 0)
FACTS = {
    "ann": (COLOUR, Fact("", ("She plays chess",))),
    "bob": (Fact("", ("wooden leg",)), Fact("", ("plays chess",))),
}


def scores(caption: str, facts: ConceptFacts = FACTS, **values: Any) -> dict[str, float | None]:
    record = Record("p", ("<Ann>",), caption, **{"given": ("Ann", "Bob"), **values})
    found = fact_scores([record], facts, WordReader())
    return {name: estimate.value for name, estimate in found.items()}


def test_right_facts_add_and_absent_ones_subtract() -> None:
    """Of Bob's facts only the leg counts: that somebody plays chess is true of Ann, too."""
    result = scores("<Ann> in a red hat plays chess.")
    assert result == {"right_facts": 1, "wrong_facts": 0, "absent_facts": 0, "net_facts": 2 / 3}
    result = scores("<Ann> in a red hat has a wooden leg.")
    assert result == {"right_facts": 1 / 2, "wrong_facts": 0, "absent_facts": 1, "net_facts": 0}
    result = scores("<Ann> in a blue hat.")
    assert result == {"right_facts": 0, "wrong_facts": 1, "absent_facts": 0, "net_facts": 0}
    assert scores("")["net_facts"] == 0


@pytest.mark.parametrize(
    "caption", ["Her hat is red or blue.", "Her hat isn't red.", "A hat.", "<red> <Ann>"]
)
def test_what_is_not_stated(caption: str) -> None:
    assert scores(caption)["right_facts"] == 0


def test_nobody_is_known_to_be_absent_without_references() -> None:
    result = scores("<Ann> in a red hat has a wooden leg.", given=())
    assert result["right_facts"] == 1 / 2
    assert (result["absent_facts"], result["net_facts"]) == (None, None)
    listed = Record("p", ("Ann",), "", given=("Ann",))
    unlisted = Record("q", ("Ann",), "A wooden leg.")
    found = fact_scores([unlisted, listed], FACTS, WordReader())
    assert (found["absent_facts"].n, found["net_facts"].n) == (0, 4)


def test_facts_that_are_not_known_to_be_absent() -> None:
    assert scores("A wooden leg.", given=("Ann",))["absent_facts"] is None
    in_photo = ({"name": None, "label": "leg", "phrases": ["wooden"], "box": [0, 0, 1, 1]},)
    assert scores("A wooden leg.", scene=in_photo)["absent_facts"] is None


def test_words_of_a_sentence_are_facts() -> None:
    facts = facts_of_info("A red mug with white stripes and a bow.")
    assert [fact.options for fact in facts] == [
        ("red",),
        ("mug",),
        ("white",),
        ("stripes",),
        ("bow",),
    ]
    result = scores("<Ann> is striped and red.", {"ann": facts})
    assert result["right_facts"] == pytest.approx(2 / 5)


def test_n_and_interval() -> None:
    records = [Record(str(n), ("Ann",), "red" if n % 2 else "", given=("Bob",)) for n in range(12)]
    found = fact_scores(records, FACTS, WordReader())
    assert {name: (e.n, e.unit) for name, e in found.items()} == {
        "right_facts": (24, "fact"),
        "wrong_facts": (12, "question"),
        "absent_facts": (12, "absent fact"),
        "net_facts": (36, "fact"),
    }
    assert all(estimate.low is not None for estimate in found.values())


def facts_file(path: Path) -> Path:
    question = {"question": "Hat?", "options": {"A": "blue", "B": "red"}, "correct_answer": "B"}
    entries = {
        "<Ann>": {"facts": ["She plays chess", question]},
        "<Bob>": {"info": "A man with a wooden leg."},
    }
    path.write_text(json.dumps({"concept_dict": entries}))
    return path


def test_facts_of_a_file(tmp_path: Path) -> None:
    file = facts_file(tmp_path / "facts.json")
    facts = read_facts(file)
    assert facts["ann"] == (Fact("", ("She plays chess",)), Fact("Hat?", ("blue", "red"), 1))
    assert ("leg",) in {fact.options for fact in facts["bob"]}
    for broken in ('{"facts": [{"question": "?"}]}', '{"facts": 3}', '{"facts": "She sings"}'):
        file.write_text(f'{{"concept_dict": {{"<Ann>": {broken}}}}}')
        with pytest.raises(CaptionError, match='the facts of ann cannot be read; "facts" is'):
            read_facts(file)


def test_on_the_command_line(tmp_path: Path) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text(
        json.dumps(
            [
                {
                    "photo": f"{n}.jpg",
                    "concepts": ["<Ann>"],
                    "caption": "<Ann> in red plays chess.",
                    "references": ["Ann", "Bob"],
                }
                for n in range(12)
            ]
        )
    )
    facts = str(facts_file(tmp_path / "facts.json"))
    command = ["evaluate", "captions", str(captions), "--facts", facts]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "right_facts" in shown.output
    assert "24 facts" in shown.output
    report = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["facts"]
    assert report["right_facts"]["value"] == 1
    assert report["absent_facts"]["value"] == 0


class Judge(CaptionServer):
    """Says that every caption states the first option."""

    def answer(self, body: dict[str, Any]) -> str:
        asked = json.loads(body["messages"][1]["content"])
        assert asked["caption"] == "Anything."
        assert list(asked["options"].values())[-1] == "The caption does not say it."
        return "Answer: A"


def test_a_judge_reads_captions_only(tmp_path: Path) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps([["a.jpg", ["<Ann>"], "Anything."]]))
    facts = str(facts_file(tmp_path / "facts.json"))
    judge = Judge(lambda names, pictures: "")
    command = ["evaluate", "captions", str(captions), "--judge", judge.url]
    try:
        done = CliRunner().invoke(app, [*command, "--facts", facts, "--json"])
        judge.fails = 99
        failed = CliRunner().invoke(app, [*command, "--facts", facts])
    finally:
        judge.http.shutdown()
        judge.http.server_close()
    report = json.loads(done.stdout)["facts"]
    assert report["right_facts"]["value"] == report["wrong_facts"]["n"] / 2 == 1 / 2
    assert (report["absent_facts"]["n"], report["net_facts"]["value"]) == (0, None)
    assert "no caption lists its references" in " ".join(done.stderr.split())
    assert judge.url in (explain(failed.exception) or "")
    alone = CliRunner().invoke(app, command)
    assert "--judge reads facts" in (explain(alone.exception) or "")
