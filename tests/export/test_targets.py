"""The targets that `datasets`, Ultralytics, DuckDB or our own readers read back."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import datasets
import duckdb
import pytest

from repic import config
from repic.export import card, chat, registry
from repic.export.llamafactory import NO_ANSWER
from repic.export.target import ExportOptions
from repic.export.trl import READ_BY_GRPO, READ_BY_SFT
from repic.images.coordinates import QWEN2_VL, QWEN3_VL, Box
from repic.objectives.base import messages
from repic.objectives.query_view import box_in_view
from repic.rewards import in_process
from repic.rewards.gold import gold_answer
from repic.rewards.scoring import score
from repic.sources import photos
from repic.tables import TABLES
from storage.hashing import content_hash
from tests.builds import Built
from tests.export.reading import exported, pictures_are_equal, rows_of, same, shown

SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_trl(built: Built, tmp_path: Path) -> None:
    exported(built.store, "trl", tmp_path / "out")
    rows = rows_of(built.store)
    grpo = datasets.load_dataset(str(tmp_path / "out"))
    assert {name: set(part.column_names) for name, part in grpo.items()} == {
        name: set(READ_BY_GRPO) for name in SPLITS
    }
    lines = {line["example_id"]: line for part in grpo.values() for line in part}
    assert {*lines} == {*rows}
    for key, line in list(lines.items())[::97]:
        assert pictures_are_equal(line["images"], rows[key])
        assert [turn["role"] for turn in line["prompt"]] == ["user"]
        own = messages(rows[key], QWEN3_VL)[0]["content"]
        assert [(b["type"], b["text"]) for b in line["prompt"][0]["content"]] == [
            (b["type"], b.get("text")) for b in own
        ]
    answered = rows_of(built.store, lambda row: gold_answer(row, QWEN3_VL) is not None)
    sft = datasets.load_dataset(str(tmp_path / "out"), "sft")
    assert sum(part.num_rows for part in sft.values()) == len(answered) < len(rows)
    assert set(sft["train"].column_names) == set(READ_BY_SFT)
    texts = Counter(line["completion"][0]["content"][0]["text"] for line in sft["train"])
    assert texts == Counter(
        gold_answer(row, QWEN3_VL) for row in answered.values() if row["split"] == "train"
    )


def test_the_reward_of_trl_is_ours(built: Built, tmp_path: Path) -> None:
    options = ExportOptions(QWEN2_VL, splits=("validation",))
    exported(built.store, "trl", tmp_path / "out", options)
    rows = rows_of(built.store)
    lines = datasets.load_dataset(str(tmp_path / "out"))["validation"]
    for answer in (lambda row: gold_answer(row, QWEN2_VL) or "A photo.", lambda row: "no"):
        answers = [answer(rows[key]) for key in lines["example_id"]]
        turns = [[{"role": "assistant", "content": text}] for text in answers]
        rewards = in_process.reward(turns, list(lines["label"]), list(lines["convention"]))
        assert rewards == pytest.approx(
            [
                score(text, rows[key], "strict", QWEN2_VL).total
                for text, key in zip(answers, lines["example_id"], strict=True)
            ]
        )
    assert in_process.reward(["x"], ["no row"], [lines["convention"][0]]) == [None]


def test_hf(built: Built, tmp_path: Path) -> None:
    result = exported(built.store, "hf", tmp_path / "out")
    table, rows = built.store.read("examples@latest"), rows_of(built.store)
    loaded = datasets.load_dataset(str(tmp_path / "out"))
    assert list(loaded) == list(SPLITS)
    every = datasets.concatenate_datasets([*loaded.values()])
    assert every.features["images"] == datasets.List(datasets.Image())
    assert every.features["box"] == datasets.List(datasets.Value("float32"), 4)
    facts = every.remove_columns("images").rename_column("image_facts", "images")
    back = TABLES["examples"].table(facts.to_list())
    assert content_hash(back) == content_hash(table) == result.facts["content"]
    for line in every.select(range(0, len(every), 97)):
        assert pictures_are_equal(line["images"], rows[line["example_id"]])


def test_without_uris_nothing_names_a_folder_of_this_machine(built: Built, tmp_path: Path) -> None:
    for name in ("hf", "repic-json"):
        folder = tmp_path / name
        exported(built.store, name, folder, ExportOptions(uris=False))
        secret = str(built.album.folder).encode()
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert not [path for path in files if secret in path.read_bytes()]
        if name == "hf":
            facts = datasets.load_dataset(str(folder))["test"]["image_facts"]
            assert {picture["uri"] for pictures in facts for picture in pictures} == {""}


def test_verl(built: Built, tmp_path: Path) -> None:
    exported(built.store, "verl", tmp_path / "out")
    assert (tmp_path / "out" / "train.parquet").is_file()
    rows = rows_of(built.store)
    lines = datasets.load_dataset(str(tmp_path / "out"))
    every = datasets.concatenate_datasets([*lines.values()])
    assert len(every) == len(rows)
    for line in every.select(range(0, len(every), 97)):
        row = rows[line["extra_info"]["example_id"]]
        assert pictures_are_equal(line["images"], row)
        assert line["prompt"][0]["content"].count("<image>") == len(row["images"])
        assert json.loads(line["reward_model"]["ground_truth"])["objective"] == row["objective"]
    assert sorted(every["extra_info"], key=lambda info: info["index"])[-1]["index"] == len(rows) - 1


@pytest.mark.parametrize("name", ["ms-swift", "openrlhf", "llamafactory"])
def test_json_lines(built: Built, name: str, tmp_path: Path) -> None:
    result = exported(built.store, name, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    folder = tmp_path / "moved" / "grpo" if name == "ms-swift" else tmp_path / "moved"
    lines = [
        json.loads(line)
        for split in SPLITS
        for line in (folder / f"{split}.jsonl").read_text("utf-8").splitlines()
    ]
    rows = rows_of(built.store)
    assert len(lines) + result.facts["left_out"].get(NO_ANSWER, 0) == len(rows)
    for line in lines:
        text = "".join(turn["content"] for turn in line["messages"])
        assert text.count("<image>") == len(line["images"])
        assert all((tmp_path / "moved" / path).is_file() for path in line["images"])
    if name == "ms-swift":
        answers = (tmp_path / "moved" / "sft" / "test.jsonl").read_text("utf-8").splitlines()
        assert all(json.loads(line)["messages"][-1]["role"] == "assistant" for line in answers)


def test_what_a_target_cannot_hold_is_left_out_with_its_pictures(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(built.store, lambda row: row["split"] == "validation")
    said = {key for key, row in rows.items() if row["references"]}
    monkeypatch.setattr(chat, "_MEDIA", re.compile("<"))  # every name is written as <name>
    options = ExportOptions(splits=("validation",))
    facts = exported(built.store, "openrlhf", tmp_path / "out", options).facts
    assert facts["left_out"] == {chat.SAYS_PLACEHOLDER: len(said)}
    assert 0 < len(said) < len(rows) == len(said) + sum(facts["rows"]["validation"].values())
    held = [row for key, row in rows.items() if key not in said]
    assert facts["photos"] == len({p["image_id"] for row in held for p in row["images"]})
    lines = (tmp_path / "out" / "validation.jsonl").read_text("utf-8").splitlines()
    written = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*g")}
    assert written == {path for line in lines for path in json.loads(line)["images"]}


def test_repic_json(built: Built, tmp_path: Path) -> None:
    exported(built.store, "repic-json", tmp_path / "out")
    rows = rows_of(built.store)
    nobody = sum(row["kind"] == "absent" for row in rows.values())
    which = sum(row["kind"] == "which" for row in rows.values())
    assert nobody * which > 0
    records = [
        json.loads(line)
        for split in SPLITS
        for line in (tmp_path / "out" / f"{split}.jsonl").read_text("utf-8").splitlines()
    ]
    assert len(records) == len(rows) - nobody - which
    for record in records:
        row = rows[record["example"]["example_id"]]
        if row["objective"] == "vlt":
            assert Box.of(record["solution"]).iou(box_in_view(row)) > 0.8
            assert all(isinstance(value, int) for value in record["solution"])
            assert isinstance(record["image"], str)
        elif row["objective"] == "oct":
            assert (record["accu_reward_method"], record["solution"]) == ("yes_no", row["answer"])
        else:
            named = {f"<{r['name']}>" for r in row["references"] if r["present"]}
            told = record["solution"]
            assert ({told} if isinstance(told, str) else {*told}) == named
    source = config.SourceSettings(kind="repic", path=str(tmp_path / "out" / "data.yaml"))
    found = list(photos(source, config.SplitSettings()))
    boxes = [a.box for photo in found for a in photo.annotations]
    assert len(boxes) == len(
        {
            (row["images"][0]["image_id"], *row["box"])
            for row in rows.values()
            if row["objective"] == "vlt" and row["split"] == "train"
        }
    )


def test_fiftyone(built: Built, tmp_path: Path) -> None:
    result = exported(built.store, "fiftyone", tmp_path / "out")
    samples = json.loads((tmp_path / "out" / "samples.json").read_text("utf-8"))["samples"]
    images = {row["image_id"]: row for row in built.store.read("images@latest").to_pylist()}
    objects = {row["object_id"]: row for row in built.store.read("objects@latest").to_pylist()}
    assert {sample["image_id"] for sample in samples} == {*images}
    assert sum(rows["photos"] for rows in result.facts["rows"].values()) == len(samples)
    assert all((tmp_path / "out" / sample["filepath"]).is_file() for sample in samples)
    ends: Counter[tuple[str, str]] = Counter()
    for pair in built.store.read("pairs@latest").to_pylist():
        if not pair["doubtful"]:
            ends.update((pair[side], pair["kind"]) for side in ("anchor_id", "other_id"))
    seen = set()
    for sample in samples:
        size = sample["metadata"]["width"], sample["metadata"]["height"]
        for found in sample["objects"]["detections"]:
            row = objects[found["object_id"]]
            seen.add(found["object_id"])
            assert row["image_id"] == sample["image_id"]
            left, top, width, height = found["bounding_box"]
            shown = Box(left, top, left + width, top + height).scale(*size)
            assert shown.as_list() == pytest.approx(Box.of_row(row).as_list())
            assert found["identity"] == row["identity"]
            assert found["main"] == row["main"]
            assert found["positives"] == ends[row["object_id"], "positive"]
            assert found["negatives"] == ends[row["object_id"], "negative"]
    assert seen == {*objects}


def test_coco(built: Built, tmp_path: Path) -> None:
    exported(built.store, "coco", tmp_path / "out")
    settings = {
        "kind": "coco",
        "path": str(tmp_path / "out" / "instances.json"),
        "identity": "annotation",
    }
    found = {
        Path(photo.uri).name: photo
        for photo in photos(config.SourceSettings.model_validate(settings), config.SplitSettings())
    }
    coco = json.loads((tmp_path / "out" / "instances.json").read_text("utf-8"))
    names = {entry["id"]: entry["file_name"] for entry in coco["images"]}
    objects = built.store.read("objects@latest").to_pylist()
    images = {row["image_id"]: row for row in built.store.read("images@latest").to_pylist()}
    assert len(found) == len(images) == len(names)
    assert len(coco["annotations"]) == len(objects)
    by_id = {entry["object_id"]: entry for entry in coco["annotations"]}
    for thing in objects:
        photo = found[Path(names[by_id[thing["object_id"]]["image_id"]]).name]
        (annotation,) = (a for a in photo.annotations if a.box == Box.of_row(thing))
        assert (annotation.label, annotation.identity) == (thing["label"], thing["identity"])
        assert photo.caption == images[thing["image_id"]]["caption"]
    captions = json.loads((tmp_path / "out" / "captions.json").read_text("utf-8"))
    assert len(captions["annotations"]) == sum(bool(row["caption"]) for row in images.values())
    assert all((tmp_path / "out" / name).is_file() for name in names.values())


def test_yolo(built: Built, tmp_path: Path) -> None:
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    exported(built.store, "yolo", tmp_path / "out")
    data = check_det_dataset(str(tmp_path / "out" / "data.yaml"), autodownload=False)
    boxes: list[tuple[str, float]] = []
    for split in ("train", "val", "test"):
        found = YOLODataset(img_path=data[split], data=data, augment=False, imgsz=96)
        for label in found.labels:
            height, width = label["shape"]
            for kind, (_, _, w, h) in zip(label["cls"][:, 0], label["bboxes"], strict=True):
                boxes.append((data["names"][int(kind)], round(float(w * h * width * height))))
    objects = built.store.read("objects@latest").to_pylist()
    areas = Counter((row["label"], round(Box.of_row(row).area)) for row in objects)
    assert Counter(boxes) == areas


def test_csv(built: Built, tmp_path: Path) -> None:
    exported(built.store, "csv", tmp_path / "out")
    rows = rows_of(built.store)
    read = duckdb.read_csv(str(tmp_path / "out" / "examples.csv"))
    lines = [dict(zip(read.columns, line, strict=True)) for line in read.fetchall()]
    assert {line["example_id"] for line in lines} == {*rows}
    for line in lines[::97]:
        row = rows[line["example_id"]]
        assert same(tmp_path / "out" / line["query"], shown(row)[-1])
        if row["box"]:
            box = [float(line[name]) for name in ("x1", "y1", "x2", "y2")]
            assert box == pytest.approx(row["box"])


def test_every_target_says_what_it_is(built: Built, tmp_path: Path) -> None:
    for target in registry.targets():
        result = exported(built.store, target.name, tmp_path / target.name)
        text = (tmp_path / target.name / "README.md").read_text("utf-8")
        assert f"content `{result.facts['content']}`" in text
        assert card.UNKNOWN in text
        record = json.loads((tmp_path / target.name / "export.json").read_text("utf-8"))
        assert record == result.facts
        assert record["identities"] > 0
        assert record["people"] == 0
