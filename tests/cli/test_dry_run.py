"""`--dry-run` of build, train and evaluate: what is there, what is missing; nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builds import Album, Built
from tests.evaluation.test_suites import PALS, four
from tests.trained import tiny

__all__ = ["tiny"]

Main = Callable[..., tuple[int, str, str]]


def test_a_build_lists_its_sources_and_models(
    album: Album, tmp_path: Path, repic_main: Main
) -> None:
    store = tmp_path / "store"
    code, out, err = repic_main(*album.arguments, "--dry-run", f"--store={store}")
    assert code == 0, err
    found = " ".join(out.split())
    assert f"{len(album.entries)} photos, {len(album.entries)} with boxes" in found
    assert "with expressions" in found
    assert "annotation boxes, for oct, vlt, ict" in found
    assert not store.exists()


def test_photos_that_are_not_there_and_models_to_fetch_are_said(
    album: Album, tmp_path: Path, repic_main: Main
) -> None:
    own = album.copy(tmp_path / "album")
    for path in (own.folder / "photos").iterdir():
        path.unlink()
    code, out, _ = repic_main(*own.arguments, "--profile=paper", "--dry-run", "--json")
    assert code == 1
    findings = json.loads(out)
    [missing] = (f for f in findings if f["level"] == "error")
    assert missing["subject"] == "source coco"
    assert "sources.coco.images" in missing["remedy"]
    assert any("2000 rows of train: oct 45%" in f["found"] for f in findings)
    code, out, _ = repic_main("build", f"--source=coco:{tmp_path / 'no.json'}", "--dry-run")
    assert code == 1
    assert "there is no file" in " ".join(out.split())
    photos = f"--images={album.folder}"
    _, out, _ = repic_main("build", "--profile=paper", photos, "--dry-run")
    assert "yolov8x-worldv2.pt" in out
    assert " ".join(out.split()).count("repic models pull") == 1
    _, out, _ = repic_main("build", "--profile=paper", photos, "--dry-run", "--json")
    [models] = [f for f in json.loads(out) if f["subject"] == "models"]
    assert "`repic models pull paper`" in models["remedy"]
    assert "yolov8x-worldv2.pt, " in models["found"]


def test_names_that_cannot_be_drawn_are_said(repic_main: Main) -> None:
    no_names = "examples.names.locales=[xx_YY]"
    code, out, _ = repic_main("build", "--profile=sample", "--set", no_names, "--dry-run", "--json")
    assert code == 1
    [error] = (f for f in json.loads(out) if f["level"] == "error")
    assert error["subject"] == "names"
    assert "xx_YY" in error["found"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../outside.jpg", "forbidden: it lies outside of its data set"),
        ("https://photos.example/a.jpg#zz=1", "missing: its URI leads nowhere"),
    ],
)
def test_a_photo_that_a_build_refuses_is_not_read(
    name: str, why: str, tmp_path: Path, repic_main: Main
) -> None:
    (tmp_path / "outside.jpg").write_bytes(b"of somebody else")
    photo = {"id": 1, "file_name": name, "width": 10, "height": 10}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}
    listed = {"images": [photo], "annotations": [box], "categories": [{"id": 1, "name": "dog"}]}
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.json").write_text(json.dumps(listed))
    source = f"--source=coco:{tmp_path}/set/a.json"
    code, out, err = repic_main("build", source, "--dry-run", "--json")
    assert code == 1, err
    [refused] = (f for f in json.loads(out) if f["level"] == "error")
    assert refused["found"].startswith(why)


def test_training_says_rows_model_and_steps(built: Built, tiny: str, repic_main: Main) -> None:
    where = ("--store", str(built.location), "--model", tiny, "--dry-run")
    before = {path: path.stat().st_mtime_ns for path in built.location.rglob("*")}
    code, out, err = repic_main("train", "--profile=paper", *where)
    assert code == 0, err
    rows = built.store.read("examples@latest", ["split"])["split"].to_pylist().count("train")
    found = " ".join(out.split())
    # Two epochs of two prompts per step.
    assert f"GRPO, about {rows} steps of 16 answers in groups of 8: 2 at once" in found
    code, out, _ = repic_main("train", "--profile=paper", "--method=sft", *where)
    assert f"SFT, about {2 * rows // 16} steps of 16 true answers" in " ".join(out.split())
    objectives = built.store.read("examples@latest", ["split", "objective"]).to_pylist()
    boxes = objectives.count({"split": "train", "objective": "vlt"})
    _, out, _ = repic_main("train", "--profile=paper", "--set=train.shares={vlt: 1}", *where)
    assert f"GRPO, about {boxes} steps of 16 answers" in " ".join(out.split())
    assert {path: path.stat().st_mtime_ns for path in built.location.rglob("*")} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--vllm",), "vLLM is not installed: `pip install 'trl[vllm]'`"),
        (("--model=/nowhere",), "/nowhere cannot be opened: there is no such folder"),
        (("--set=train.prompts_per_step=5000",), "less than one generation batch"),
    ],
)
def test_what_would_stop_training_is_said(
    options: tuple[str, ...], message: str, built: Built, tiny: str, repic_main: Main
) -> None:
    if options == ("--vllm",):
        try:
            import vllm  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("vLLM is installed")
    where = ("--store", str(built.location), "--model", tiny, "--dry-run")
    code, out, _ = repic_main("train", *where, *options)
    assert code == 1
    assert message in " ".join(out.split())


def test_an_evaluation_says_photos_captions_and_model(
    tiny: str, tmp_path: Path, repic_main: Main
) -> None:
    four(tmp_path, PALS[:4])
    suite = ("evaluate", "run", "--dry-run", "--profile=paper", "--suite=repic-4c")
    code, out, err = repic_main(*suite, "--folder", str(tmp_path), "--model", tiny)
    assert code == 0, err
    found = " ".join(out.split())
    assert "skip-retrieval, retrieval-forced, wrong: at most 6 captions" in found
    assert "not fetched by repic: yolov8x-worldv2.pt" in found
    assert found.count("`repic models pull paper`") == 1
    code, out, _ = repic_main(*suite, "--folder=/nowhere", "--model=/nowhere", "--json")
    assert code == 1
    errors = {f["subject"] for f in json.loads(out) if f["level"] == "error"}
    assert errors == {"suite", "model"}
    code, out, _ = repic_main("evaluate", "run", "--dry-run", "--model=sample-full")
    assert code == 0
    assert "photos to generate per part" in out
    assert "knows generated photos only" not in out  # the suite is of such photos


@pytest.mark.parametrize(
    ("options", "subject"),
    [
        (("--task=vqa",), "suite"),
        (("--captions=/nowhere.json",), "captions"),
        (("--facts=/nowhere.json",), "facts"),
    ],
)
def test_what_would_stop_an_evaluation_is_said(
    options: tuple[str, ...], subject: str, repic_main: Main
) -> None:
    model = "--model=sample-full"
    code, out, _ = repic_main("evaluate", "run", "--dry-run", model, "--json", *options)
    assert code == 1
    assert {f["subject"] for f in json.loads(out) if f["level"] == "error"} == {subject}


def test_the_help_says_the_least_number_of_photos(repic_main: Main) -> None:
    _, out, _ = repic_main("evaluate", "run", "--help")
    assert "at least 8." in " ".join(out.replace("\u2502", " ").split())
    few = ("evaluate", "run", "--dry-run", "--model=sample-full")
    assert repic_main(*few, "--photos=8")[0] == 0
    assert repic_main(*few, "--photos=7")[0] != 0
