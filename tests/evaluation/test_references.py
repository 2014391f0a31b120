"""Scores against reference captions: by hand, by pycocoevalcap, and on the command line."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from repic.cli import app
from repic.cli.common import explain
from repic.errors import CaptionError
from repic.evaluation.records import CaptionFile, Record
from repic.evaluation.reference_files import read_reference_captions
from repic.evaluation.reference_scores import COLUMNS, reference_scores, words
from tests.environments import Package, python_of, run_script
from tests.shared_data import shared_folder

SHARED = shared_folder("repic_captions")
INSIDE = Path(__file__).parent / "inside"
PYCOCOEVALCAP = Package("pycocoevalcap", ("pycocoevalcap==1.2",))


def scores(captions: list[str], references: list[list[str]]) -> dict[str, float]:
    records = [Record(str(n), (), caption) for n, caption in enumerate(captions)]
    by_photo = {str(n): texts for n, texts in enumerate(references)}
    return {
        name: estimate.value or 0.0
        for name, estimate in reference_scores(records, by_photo).items()
    }


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A dog, a CAT!", ["a", "dog", "a", "cat"]),
        ("It isn't Ann's (old) well-known t-shirt.", "it is n't ann 's old well-known t-shirt"),
        ("<Ann> and <mr.krab> pay $3.50 -- “now”…", "ann and mr.krab pay $ 3.50 now"),
        ("O'Neil can\u2019t, they\u2019ll", "o'neil ca n't they 'll"),
        ("猫在桌上 café", ["猫", "在", "桌", "上", "café"]),
        ("...", []),
    ],
)
def test_tokens(text: str, tokens: str | list[str]) -> None:
    assert words(text) == (tokens.split() if isinstance(tokens, str) else tokens)


def test_by_hand() -> None:
    """`a red mug here`: 3 of 4 words, 2 of 3 pairs and 1 of 2 triples are in the reference."""
    result = scores(["A red mug here.", "one two"], [["a red mug there"], ["one two"]])
    one, two, three = 5 / 6, 3 / 4, 1 / 2
    assert result["bleu_1"] == pytest.approx(one, abs=1e-6)
    assert result["bleu_2"] == pytest.approx((one * two) ** (1 / 2), abs=1e-6)
    assert result["bleu_3"] == pytest.approx((one * two * three) ** (1 / 3), abs=1e-6)
    assert result["bleu_4"] < 1e-3
    assert result["rouge_l"] == pytest.approx((0.75 + 1) / 2)
    # Every n-gram of a reference has the weight log 2, and so has the unknown `here`.
    first = (3 / 4 + 2 / 3 + 1 / 2 + 0) / 4
    assert result["cider"] == pytest.approx(10 * (first + (1 + 1 + 0 + 0) / 4) / 2)


def test_the_length_counts_once_and_against_the_closest() -> None:
    result = scores(["one two", "a"], [["one two three four", "one two three"], ["a"]])
    assert result["bleu_1"] == pytest.approx(math.exp(1 - 4 / 3), abs=1e-6)
    precision, recall = 1, 2 / 3
    f = (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)
    assert result["rouge_l"] == pytest.approx((f + 1) / 2)


def test_n_and_interval() -> None:
    records = [Record(str(n % 20), (), f"a mug {'x' * (n % 3)}") for n in range(40)]
    found = reference_scores(records, {str(n): ["a mug on a table"] for n in range(20)})
    assert tuple(found) == COLUMNS
    for estimate in found.values():
        assert (estimate.n, estimate.unit) == (40, "caption")
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.low <= estimate.value <= (estimate.high or 0)
    same = reference_scores([Record("a", (), "x y z")], {"a": ["x y z"]})
    assert same["bleu_3"].value == pytest.approx(1)
    assert same["cider"].value == 0, "one document has no rare n-grams"
    assert same["bleu_1"].low is None, "one photo has no interval"


def test_an_empty_caption_scores_nothing() -> None:
    assert max(scores(["", "..."], [["a mug"], ["a mug"]]).values()) < 1e-6
    with pytest.raises(CaptionError, match=r"reference captions of 0 are empty"):
        scores(["a"], [["..."]])


COCO = {
    "images": [{"id": 9, "file_name": "a.jpg"}, {"id": 4, "file_name": "b.jpg"}],
    "annotations": [
        {"image_id": 9, "caption": "A dog."},
        {"image_id": 4, "caption": "A cat."},
        {"image_id": 9, "caption": "A brown dog."},
    ],
}
MAP = {"x/a.jpg": ["A dog.", "A brown dog."], "x/b.jpg": ["A cat."]}
ROWS = [["x/a.jpg", [], "A dog."], ["x/a.jpg", [], "A brown dog."], ["x\\b.jpg", [], "A cat."]]


@pytest.mark.parametrize("content", [COCO, MAP, ROWS])
def test_files_of_references(content: Any, tmp_path: Path) -> None:
    file = tmp_path / "references.json"
    file.write_text(json.dumps(content))
    found = read_reference_captions(file)
    assert found["./data/x/a.jpg"] == ("A dog.", "A brown dog.")
    assert found["b.jpg"] == ("A cat.",)
    assert len(found) == 2
    with pytest.raises(CaptionError, match=r"c\.jpg has no reference caption: add it"):
        found["x/c.jpg"]


def test_equal_names_in_two_folders_are_kept_apart(tmp_path: Path) -> None:
    file = tmp_path / "references.json"
    file.write_text(json.dumps({"bo/0.png": ["A dog."], "mam/0.png": ["A cat."]}))
    found = read_reference_captions(file)
    assert found["test/mam/0.png"] == ("A cat.",)
    with pytest.raises(CaptionError, match=r"2 photos of the reference captions are called 0\.png"):
        found["0.png"]


def test_the_path_itself_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "references.json"
    file.write_text(json.dumps({"0.png": ["A dog."], "mam/0.png": ["A cat."]}))
    found = read_reference_captions(file)
    assert (found["./0.png"], found["x/mam/0.png"]) == (("A dog.",), ("A cat.",))


def test_one_line_of_a_caption_file_is_one(tmp_path: Path) -> None:
    file = tmp_path / "references.jsonl"
    file.write_text('{"photo": "a.jpg", "concepts": [], "caption": "A dog."}\n')
    assert read_reference_captions(file)["a.jpg"] == ("A dog.",)


@pytest.mark.parametrize(
    "content", ['{"a.jpg": "A dog."}', '{"annotations": [{"image_id": 1}]}', '{"a": [1]}']
)
def test_files_without_references(content: str, tmp_path: Path) -> None:
    file = tmp_path / "references.json"
    file.write_text(content)
    with pytest.raises(CaptionError, match="COCO captions"):
        read_reference_captions(file)
    with pytest.raises(CaptionError, match="there is no file"):
        read_reference_captions(tmp_path / "no.json")


def test_on_the_command_line(tmp_path: Path) -> None:
    captions, references = tmp_path / "captions.json", tmp_path / "references.json"
    captions.write_text(json.dumps([[f"x/{n}.jpg", ["<Ann>"], "<Ann> sits."] for n in range(12)]))
    references.write_text(json.dumps({f"{n}.jpg": ["Ann sits down.", "Ann"] for n in range(12)}))
    command = ["evaluate", "captions", str(captions), "--captions", str(references)]
    for metric in ("strict", "paper"):
        shown = CliRunner().invoke(app, [*command, "--metric", metric])
        assert shown.exit_code == 0, shown.output
        for name in COLUMNS:
            assert name in shown.output
        assert "12 captions" in shown.output
        report = json.loads(
            CliRunner().invoke(app, [*command, "--metric", metric, "--json"]).stdout
        )
        assert report["references"]["bleu_1"]["value"] == pytest.approx(1)
        assert set(report["references"]["cider"]) == {"value", "interval", "n", "unit"}
    references.write_text(json.dumps({"0.jpg": ["Ann sits down."]}))
    failed = CliRunner().invoke(app, command)
    assert "has no reference caption" in (explain(failed.exception) or "")


def _corpora() -> list[dict[str, Any]]:
    """Captions with references: random ones from few words, so that n-grams repeat."""
    rng = random.Random(7)

    def text(longest: int) -> str:
        return " ".join(rng.choices("abcdefgh", k=rng.randint(1, longest)))

    corpora = []
    for _ in range(60):
        count = rng.randint(1, 12)
        captions = [text(14) for _ in range(count)]
        references = [[text(14) for _ in range(rng.randint(1, 5))] for _ in range(count)]
        corpora.append({"captions": captions, "references": references})
    return corpora


def _released() -> dict[str, Any] | None:
    """The captions of the trained model, with those of the four others as references."""
    if SHARED is None:
        return None
    files = [list(CaptionFile(path)) for path in sorted(SHARED.glob("caption*.json"))]
    ours, *others = files[::-1]
    by_photo: dict[str, list[str]] = {}
    for record in (record for file in others for record in file):
        by_photo.setdefault(record.photo, []).append(" ".join(words(record.caption)))
    return {
        "captions": [" ".join(words(record.caption)) for record in ours],
        "references": [by_photo[record.photo] for record in ours],
    }


@pytest.mark.peers
@pytest.mark.timeout(900)
def test_equal_to_pycocoevalcap(tmp_path: Path) -> None:
    python = python_of(PYCOCOEVALCAP, tmp_path)
    corpora = _corpora()
    if released := _released():
        corpora.append(released)
    theirs = run_script(python, INSIDE / "ask_pycocoevalcap.py", {"corpora": corpora})
    for corpus, expected in zip(corpora, theirs, strict=True):
        ours = scores(corpus["captions"], corpus["references"])
        assert {k: round(v, 4) for k, v in ours.items()} == pytest.approx(expected, abs=5.1e-5)
    assert theirs[-1]["bleu_4"] > 0.01
