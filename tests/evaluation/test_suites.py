"""Suites: the generated world, and local folders in their authors' layout."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image

from repic import config
from repic.config import EvaluateSettings, profiles
from repic.errors import SuiteError
from repic.evaluation import score
from repic.evaluation.questions import questions, read_requests
from repic.evaluation.retrieval import DetectedCrop, Match
from repic.evaluation.run import _caption_row, load_suite
from repic.evaluation.suites import base, folders, local
from repic.models.vlm.captioners import Captioner
from repic.sample import hard_cases
from repic.tables import TABLES
from tests.evaluation.servers import name_all, serving
from tests.shared_data import shared_folder

SHARED = shared_folder("dreambooth")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def photo(path: Path, colour: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), colour).save(path)


def generated(name: str, **changes: int) -> base.Suite:
    return load_suite(
        config.load("sample", evaluate={"suite": name, "photos": 8, **changes}).evaluate
    )


def test_the_sample_suite_shows_one_two_and_four() -> None:
    suite = generated("sample")
    sizes = {part: {len(q.concepts) for q in suite.queries if q.part == part} for part in "124"}
    assert sizes == {"1": {1}, "2": {2}, "4": {4}}
    assert [query.part for query in suite.queries].count("2") == 8
    names = [concept.name for concept in suite.concepts]
    assert len(set(names)) == len(names)
    references = {view.image_id for concept in suite.concepts for view in concept.views}
    assert not references & {query.photo.image_id for query in suite.queries}
    for query in suite.queries:
        assert {thing.name for thing in query.things} == set(query.concepts) <= set(query.among)
    assert generated("sample") == suite
    assert generated("sample", seed=1) != suite


def test_the_hard_suite_has_its_four_parts() -> None:
    suite = generated("sample-ood")
    assert {query.part for query in suite.queries} == set(hard_cases.KINDS)


def test_a_folder_of_concepts(tmp_path: Path) -> None:
    for concept, count in (("ann", 3), ("bob", 2), ("lonely", 1)):
        for n in range(count):
            photo(tmp_path / concept / f"{n}.jpg", "red" if n else "blue")
    (tmp_path / local.CLASSES).write_text("Classes\n\nsubject_name,class\nann,dog\nbob,cat\n")
    suite = local.suite("dreambooth", str(tmp_path))
    assert [c.name for c in suite.concepts] == ["ann", "bob"]
    assert [q.concepts for q in suite.queries] == [("ann",), ("ann",), ("bob",)]
    assert suite.categories == ("cat", "dog")
    assert suite.concepts[0].info == "A dog."
    assert suite.concepts[0].views[0].uri.endswith("/ann/0.jpg")


def test_yollava_has_references_apart(tmp_path: Path) -> None:
    photo(tmp_path / "train" / "bo" / "0.png")
    photo(tmp_path / "test" / "bo" / "5.png")
    suite = local.suite("yollava", str(tmp_path))
    assert [q.photo.uri.rpartition("/")[2] for q in suite.queries] == ["5.png"]


def database(root: Path, folder: str, pictures: dict[str, str]) -> None:
    """Write a database in the authors' form: names -> pictures, with paths from above `data`."""
    entries = {
        f"<{name}>": {
            "name": name.title(),
            "image": f"./data/database_tot/{folder}/{picture}",
            "info": "A pal.",
            "category": "person",
        }
        for name, picture in pictures.items()
    }
    database_folder = root / "database_tot" / folder
    for picture in pictures.values():
        photo(database_folder / picture)
    (database_folder / "database_mod.json").write_text(json.dumps({"concept_dict": entries}))


def test_two_concepts_whose_names_hold_the_separator(tmp_path: Path) -> None:
    names = ("Ann", "Bob_and_Co", "Co")
    database(tmp_path, "database_2_concepts", {name: f"{name}.jpg" for name in names})
    surplus = tmp_path / "database_tot" / "database_2_concepts" / "database.json"
    surplus.write_text(json.dumps({"concept_dict": {"<Eve>": {"image": "./gone.jpg"}}}))
    photo(tmp_path / "query-image-2-concepts" / "Ann_and_Bob_and_Co" / "1.jpg")
    suite = local.suite("repic-2c", str(tmp_path))
    assert [q.concepts for q in suite.queries] == [("Ann", "Bob_and_Co")]
    assert suite.queries[0].among == names
    photo(tmp_path / "query-image-2-concepts" / "Ann_and_Eve" / "1.jpg")
    with pytest.raises(SuiteError, match="Ann_and_Eve: its name is not"):
        local.suite("repic-2c", str(tmp_path))


@pytest.mark.parametrize("outside", ["../x.jpg", "./data/a/../../x.jpg", "{}/x.jpg"])
def test_pictures_beside_a_data_set_are_not_read(outside: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    database(root, "database_2_concepts", {"Ann": "Ann.jpg"})
    file = root / "database_tot" / "database_2_concepts" / "database_mod.json"
    photo(tmp_path / "x.jpg")
    entry = {"image": outside.format(tmp_path), "info": "A pal."}
    file.write_text(json.dumps({"concept_dict": {"<Ann>": entry}}))
    with pytest.raises(SuiteError, match="it lies outside of the data set"):
        local.suite("repic-2c", str(root))


PALS, FOES = ("mr.a", "b b", "c", "d", "scarlet e"), ("v", "w", "x", "y")


def four(root: Path, *asked: tuple[str, ...]) -> Path:
    """Write two groups and their photos; one file name is misspelt, as in the authors' data."""
    pals = {name: f"pals/{name.replace('scarlet', 'scalet')}.jpg" for name in PALS}
    database(root, "database_4_concepts", pals | {name: f"foes/{name}.jpg" for name in FOES})
    questions = {
        "./data/query-image-4-concepts/group photo_pals.jpg": [
            [f"<{name}>" for name in subset] for subset in asked
        ],
        "./data/query-image-4-concepts/group photo_foes.jpg": [[f"<{name}>" for name in FOES]],
    }
    for group, colour in (("pals", "red"), ("foes", "blue")):
        photo(root / "query-image-4-concepts" / f"group photo_{group}.jpg", colour)
    file = root / "query_tot" / "4_concept_query_templates.json"
    file.parent.mkdir()
    file.write_text(json.dumps(questions))
    return file


def test_four_concepts_are_what_the_authors_ask_about(tmp_path: Path) -> None:
    four(tmp_path, PALS[:4], PALS[1:])
    suite = local.suite("repic-4c", str(tmp_path))
    assert [c.name for c in suite.concepts] == [*PALS, *FOES]
    assert [q.concepts for q in suite.queries] == [PALS[:4], PALS[1:], FOES]
    assert all(set(q.among) == {*PALS, *FOES} for q in suite.queries), "one database for all"
    assert [q.others for q in suite.queries] == [("scarlet e",), ("mr.a",), ()]


def test_nobody_of_the_group_is_shown_as_absent(tmp_path: Path) -> None:
    four(tmp_path, PALS[:4], PALS[1:])
    asked = EvaluateSettings(suite="repic-4c", folder=str(tmp_path), protocols=("wrong", "mixed"))
    result = questions(load_suite(asked), asked, {}, 0.0)
    assert len(result) == 6
    for question in result:
        here = PALS if question.photo.uri.endswith("pals.jpg") else FOES
        absent = {r["name"] for r in question.references if not r["present"]}
        assert absent
        assert not absent & set(here)


def test_others_in_the_photo_are_no_false_accepts(tmp_path: Path) -> None:
    four(tmp_path, PALS[:4], PALS[1:])
    asked = EvaluateSettings(suite="repic-4c", folder=str(tmp_path), protocols=("retrieval",))
    suite = load_suite(asked)
    nearest = (Match("scarlet e", 0.9), Match("v", 0.1))
    crop = DetectedCrop((0.0, 0.0, 9.0, 9.0), "person", 0.5, nearest)
    crops = {query.photo.image_id: [crop] for query in suite.queries}
    captioner = cast(Captioner, SimpleNamespace(name="pal", fingerprint="0"))
    captions = TABLES["captions"].table(
        [
            _caption_row(question, captioner, question.question_id, "Four people.")
            for question in questions(suite, asked, crops, 0.5)
        ]
    )
    scores = score.scores_table(captions, None)
    rows = score.metrics_table(captions, scores, score.Known(0.5, {})).to_pylist()
    [rate] = [row for row in rows if row["score"] == "false_accept_rate"]
    assert (rate["value"], rate["n"]) == (pytest.approx(1 / 3), 3)


def released(root: Path, name: str, photos: str) -> Path:
    """Write the authors' `data`: a database of three, questions about all photos of two of them."""
    database(root, f"database_{name}", {"ann": "ann.jpg", "b-b": "b-b.jpg", "eve": "eve.jpg"})
    asked = {}
    for concept in ("ann", "b-b"):
        for n in range(3):
            asked[f"./data/{photos}/{concept}/{n}.jpg"] = [f"<{concept}>"]
            photo(root / photos / concept / f"{n}.jpg", "red" if n else "blue")
    file = root / "query_tot" / f"{name}_query_templates.json"
    file.parent.mkdir()
    file.write_text(json.dumps(asked))
    return file


@pytest.mark.parametrize(
    ("name", "photos"),
    [("myvlm", "myvlm_data"), ("yollava", "yollava-data"), ("dreambooth", "dreambooth")],
)
def test_the_authors_databases_of_one_concept(name: str, photos: str, tmp_path: Path) -> None:
    file = released(tmp_path, name, photos)
    suite = local.suite(name, str(tmp_path))
    assert [c.name for c in suite.concepts] == ["ann", "b-b", "eve"]
    assert suite.categories == ("person",)
    assert {c.info for c in suite.concepts} == {"A pal."}
    assert suite.concepts[1].views[0].uri.endswith(f"/database_{name}/b-b.jpg")
    assert [q.concepts for q in suite.queries] == 3 * [("ann",)] + 3 * [("b-b",)]
    assert all(q.among == ("ann", "b-b", "eve") for q in suite.queries)
    assert suite.remarks == ("1 concepts of the database are in no photo: eve",)
    gone = tmp_path / photos / "ann" / "1.jpg"
    gone.unlink()
    with pytest.raises(SuiteError, match=r"1\.jpg: the photo that .* asks about is missing"):
        local.suite(name, str(tmp_path))
    file.unlink()
    with pytest.raises(SuiteError, match=rf"{name}_query_templates\.json: there is no such file"):
        local.suite(name, str(tmp_path))


def test_the_captions_of_the_authors_database(tmp_path: Path) -> None:
    released(tmp_path, "myvlm", "myvlm_data")
    asked = EvaluateSettings(
        suite="myvlm", folder=str(tmp_path), protocols=("skip-retrieval",), layout="paper"
    )
    result = questions(load_suite(asked), asked, {}, 0.0)
    assert len(result) == 6
    assert result[0].prompt[0]["type"] == "system"
    assert result[0].prompt[2]["text"] == "1. Name: <ann>, Info: A pal."
    assert len({question.prompt[-1]["text"] for question in result}) == 4


def test_requests_are_those_of_a_file_of_captions(tmp_path: Path) -> None:
    released(tmp_path, "myvlm", "myvlm_data")
    suite = local.suite("myvlm", str(tmp_path))
    rows = [
        [f"./data/photos\\{name}/{n}.jpg", [f"<{name}>"], "A caption.", f"Ask {name} {n}?"]
        for name in ("ann", "b-b")
        for n in range(3)
    ]
    file = tmp_path / "captions.json"
    file.write_text(json.dumps([*rows, ["x/9.jpg", ["<eve>"], "Another one.", "Why?"]]))
    requests = read_requests(file, suite.queries)
    assert requests[0] == "Ask ann 0?"
    assert requests[-1] == "Ask b-b 2?"
    asked = EvaluateSettings(
        suite="myvlm", folder=str(tmp_path), protocols=("skip-retrieval",), layout="paper"
    )
    texts = [q.prompt[-1]["text"] for q in questions(suite, asked, {}, 0.0, requests)]
    assert texts == [f"This is the query. {request}" for request in requests]
    file.write_text(json.dumps([*rows[1:], rows[0][:3]]))
    with pytest.raises(SuiteError, match=r"no request for 1 of 6 questions, .* ann/0\.jpg"):
        read_requests(file, suite.queries)


def test_concepts_that_are_left_out_are_named(tmp_path: Path) -> None:
    for concept, count in (("ann", 2), ("lonely", 1), ("empty", 0)):
        (tmp_path / "one" / concept).mkdir(parents=True)
        for n in range(count):
            photo(tmp_path / "one" / concept / f"{n}.jpg")
    one = local.suite("myvlm", str(tmp_path / "one"))
    reason = "left out for lack of a reference or of a photo to caption"
    assert one.remarks == (f"{reason}: empty, lonely",)
    for folder, concept in (("train", "bo"), ("test", "bo"), ("train", "mam"), ("test", "oong")):
        photo(tmp_path / "two" / folder / concept / "0.png")
    two = local.suite("yollava", str(tmp_path / "two"))
    assert [c.name for c in two.concepts] == ["bo"]
    assert two.remarks == (f"{reason}: mam, oong",)


def test_what_was_left_out_is_said_and_kept(repic_main: Any, tmp_path: Path) -> None:
    for concept, count in (("ann", 3), ("bob", 3), ("lonely", 1)):
        for n in range(count):
            photo(tmp_path / "photos" / concept / f"{n}.jpg", ["red", "blue", "green"][n])
    with serving(name_all) as server:
        code, output, errors = repic_main(
            *("evaluate", "run", "--suite", "myvlm", "--folder", str(tmp_path / "photos")),
            *("--protocol", "skip-retrieval", "--server", server.url, "--model", "pal"),
            *("--store", str(tmp_path / "store"), "--json"),
        )
    assert code == 0, errors
    assert "left out for lack of a reference or of a photo to caption: lonely" in errors
    [remark] = json.loads(output)["remarks"]
    assert "lonely" in remark


def test_questions_about_strangers_or_of_another_form_are_refused(tmp_path: Path) -> None:
    file = four(tmp_path, ("mr.a", "b b", "c", "nobody"))
    with pytest.raises(SuiteError, match="asks about nobody, who is not in the database"):
        local.suite("repic-4c", str(tmp_path))
    file.write_text("[1]")
    with pytest.raises(SuiteError, match="is not a question file; it is"):
        local.suite("repic-4c", str(tmp_path))


@pytest.mark.parametrize("name", list(folders.LAYOUT))
def test_what_is_missing_is_said_with_what_belongs_there(name: str, tmp_path: Path) -> None:
    for folder in (None, str(tmp_path / "nowhere"), str(tmp_path)):
        with pytest.raises(SuiteError, match="FOLDER/"):
            local.suite(name, folder)


def test_a_broken_photo_is_named(tmp_path: Path) -> None:
    photo(tmp_path / "ann" / "0.jpg")
    (tmp_path / "ann" / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(SuiteError, match=r"1\.jpg cannot be read"):
        local.suite("dreambooth", str(tmp_path))


@pytest.mark.skipif(SHARED is None, reason="needs shared/data/dreambooth beside the clone")
def test_dreambooth_itself() -> None:
    suite = local.suite("dreambooth", str(SHARED))
    assert (len(suite.concepts), len(suite.queries)) == (30, 128)
    assert len(suite.categories) == 15
    photos = [path for path in SHARED.glob("*/*") if path.suffix == ".jpg"]
    assert len(photos) == 158, "the paper's count: all photos, with separate references"


@pytest.mark.parametrize("profile", profiles())
def test_every_profile_has_settings_of_an_evaluation(profile: str) -> None:
    asked = config.load(profile, evaluate={"suite": "sample-ood"})
    assert asked.evaluate.suite == "sample-ood"
    assert asked.evaluate.layout == ("paper" if profile == "paper" else "training")
