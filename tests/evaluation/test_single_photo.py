"""`repic caption`: the user's own photo and named references."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from repic import config
from repic.errors import SuiteError
from repic.evaluation import single_photo
from repic.sample import photo_files
from repic.sample.composition import PhotoPlan
from repic.sample.identities import RESERVED
from repic.sample.world import World
from tests.evaluation.servers import name_all, serving
from tests.random_vlms import qwen2_5_vl_folder, smolvlm_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A photo of two objects, and references of six."""
    world = World(seed=77)
    cast = RESERVED[::150][:6]
    plans = [PhotoPlan((one,), "sand", n, "own") for n, one in enumerate(cast)]
    plans.append(PhotoPlan(tuple(cast[:2]), "grass", 99, "own"))
    entries = photo_files.read(photo_files.write(world, plans, tmp_path / "world"))
    for n, entry in enumerate(entries):
        path = tmp_path / "world" / "photos" / entry["file"]
        target = tmp_path / "refs" / f"Name{n}.jpg" if n < 6 else tmp_path / "photo.jpg"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


def test_few_references_are_all_shown(photos: Path, repic_main: Any) -> None:
    for n in (3, 4, 5):
        (photos / "refs" / f"Name{n}.jpg").unlink()
    info = {"concept_dict": {"<Name0>": {"info": "A friend.", "category": "pal"}}}
    (photos / "refs" / "concepts.json").write_text(json.dumps(info))
    with serving(name_all) as server:
        arguments = ("caption", str(photos / "photo.jpg"), "--refs", str(photos / "refs"))
        code, output, errors = repic_main(*arguments, "--server", server.url, "--model", "pal")
    assert code == 0, errors
    assert all(f"<Name{n}>" in output for n in range(3))


def test_the_default_model_says_that_it_knows_generated_photos_only(
    photos: Path, repic_main: Any, tmp_path: Path
) -> None:
    for n in range(1, 6):
        (photos / "refs" / f"Name{n}.jpg").unlink()
    arguments = ("caption", str(photos / "photo.jpg"), "--refs", str(photos / "refs"))
    code, output, errors = repic_main(*arguments, "--set", "evaluate.max_new_tokens=4")
    assert code == 0, errors
    assert "sample-full knows generated photos only" in errors
    assert "knows" not in output
    other = qwen2_5_vl_folder(tmp_path / "vlm")
    code, _, errors = repic_main(*arguments, "--model", other, "--set", "evaluate.max_new_tokens=4")
    assert code == 0, errors
    assert "knows" not in errors


def test_of_many_those_in_the_photo_are_shown(photos: Path, repic_main: Any) -> None:
    with serving(name_all) as server:
        arguments = ("caption", str(photos / "photo.jpg"), "--refs", str(photos / "refs"))
        code, output, errors = repic_main(*arguments, "--server", server.url, "--json")
    assert code == 0, errors
    answer = json.loads(output)
    assert len(answer["crops"]) >= 1
    assert len(answer["shown"]) < 6
    assert all(f"<{name}>" in answer["caption"] for name in answer["shown"])


def test_of_references_the_object_is_cut_out(photos: Path) -> None:
    """The things of the photo are found by their objects, hardly by whole references."""
    found = {}
    with serving(name_all) as server:
        at = {"url": server.url, "backend": "server"}
        settings = config.load("sample", scope=config.EVALUATE, evaluate=at)
        for whole in (False, True):
            given = (photos / "photo.jpg", photos / "refs", "pal", settings)
            answer = single_photo.caption(*given, whole_references=whole)
            near = {m.name: m.similarity for c in answer.question.crops for m in c.nearest[:1]}
            found[whole] = near.get("Name0", 0.0), near.get("Name1", 0.0)
            views = [view for concept in answer.references for view in concept.views]
            is_whole = [view.crop == (0, 0, view.width, view.height) for view in views]
            assert all(is_whole) if whole else not any(is_whole)
    assert min(found[False]) > 0.85 > max(found[True])


def test_without_a_detector_whole_references_are_left(photos: Path, repic_main: Any) -> None:
    for n in (3, 4, 5):
        (photos / "refs" / f"Name{n}.jpg").unlink()
    with serving(name_all) as server:
        arguments = ["caption", str(photos / "photo.jpg"), "--refs", str(photos / "refs")]
        arguments += ["--server", server.url, "--model", "pal", "--set", "detector.kind=annotation"]
        code, _, errors = repic_main(*arguments)
        assert code == 2
        assert "--whole-references" in errors
        code, output, errors = repic_main(*arguments, "--whole-references")
    assert code == 0, errors
    assert "<Name0>" in output


def test_a_family_whose_boxes_are_not_known_captions_too(
    photos: Path, tmp_path: Path, repic_main: Any
) -> None:
    arguments = ("caption", str(photos / "photo.jpg"), "--refs", str(photos / "refs"), "--json")
    code, output, errors = repic_main(
        *(*arguments, "--model", smolvlm_folder(tmp_path / "smol")),
        *("--set", "evaluate.max_new_tokens=4"),
    )
    assert code == 0, errors
    assert isinstance(json.loads(output)["caption"], str)


def test_what_is_missing_is_said(photos: Path) -> None:
    with pytest.raises(SuiteError, match=r"Ann\.jpg, or Ann/"):
        single_photo.load_references(photos / "nowhere")
    (photos / "refs" / "Name0").mkdir()
    (photos / "refs" / "Name0" / "a.jpg").write_bytes((photos / "photo.jpg").read_bytes())
    with pytest.raises(SuiteError, match="two concepts are called Name0"):
        single_photo.load_references(photos / "refs")
