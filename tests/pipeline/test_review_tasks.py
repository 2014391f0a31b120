"""Doubtful pairs as tasks of Label Studio, and the decisions of its export."""

from __future__ import annotations

import base64
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from repic.errors import SchemaError
from repic.images.uris import file_path
from repic.pipeline import review_tasks, reviews
from storage.store import Store
from tests.builds import Built

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(built: Built, tmp_path: Path) -> Store:
    return built.copy(tmp_path / "store")


def doubtful(store: Store) -> set[str]:
    rows = store.read("pairs@latest", ["pair_id", "doubtful"]).to_pylist()
    return {row["pair_id"] for row in rows if row["doubtful"]}


def annotated(task: dict[str, Any], choice: str, by: Any, **more: Any) -> dict[str, Any]:
    """The task as Label Studio's JSON export has it."""
    result = {
        "id": "x1",
        "from_name": "decision",
        "to_name": "anchor",
        "type": "choices",
        "origin": "manual",
        "value": {"choices": [choice]},
    }
    annotation = {"id": 7, "completed_by": by, "result": [result], "was_cancelled": False, **more}
    return {"id": 1, "annotations": [annotation], "predictions": [], **task}


def test_a_task_shows_both_objects(store: Store, tmp_path: Path, repic_main: Main) -> None:
    first = min(doubtful(store))
    decided = {"subject": "pair", "subject_id": first, "decision": "unsure", "reviewer": "Ann"}
    reviews.record(store, [{**decided, "note": ""}])
    file = tmp_path / "tasks.json"
    arguments = (str(file), "--to", "label-studio", "--store", store.location)
    code, out, errors = repic_main("reviews", "export", *arguments)
    assert code == 0, errors
    tasks = json.loads(file.read_text())
    assert f"Wrote {len(tasks)} tasks" in out
    assert {task["data"]["pair_id"] for task in tasks} == doubtful(store) - {first}
    shown = {node.get("value", "")[1:] for node in ET.parse(tmp_path / "tasks.xml").iter()}
    for task in tasks:
        data = task["data"]
        assert {name for name in shown if name and name in data} == {
            *("question", "anchor", "other", "facts")
        }
        assert f"similarity {data['similarity']:.4f}" in data["facts"]
        for end in ("anchor", "other"):
            head, _, encoded = data[end].partition(",")
            assert head == "data:image/jpeg;base64"
            assert max(Image.open(io.BytesIO(base64.b64decode(encoded))).size) <= 256
    assert code == 0


def test_a_photo_that_is_gone_is_told(store: Store, tmp_path: Path) -> None:
    review_tasks.export(store, tmp_path / "tasks.json")
    photo = json.loads((tmp_path / "tasks.json").read_text())[0]["data"]["anchor_photo"]
    kept = Path(file_path(photo))
    content = kept.read_bytes()
    kept.unlink()
    try:
        review_tasks.export(store, tmp_path / "again.json")
    finally:
        kept.write_bytes(content)
    data = json.loads((tmp_path / "again.json").read_text())[0]["data"]
    assert data["anchor"] == ""
    assert "cannot be read" in data["facts"]


def test_decisions_come_back_and_none_is_withdrawn(
    store: Store, tmp_path: Path, repic_main: Main
) -> None:
    review_tasks.export(store, tmp_path / "tasks.json")
    one, two, three, *_ = json.loads((tmp_path / "tasks.json").read_text())
    own = {"subject": "pair", "subject_id": "older", "decision": "accept", "reviewer": "Ann"}
    reviews.record(store, [{**own, "note": ""}])
    exported = [
        annotated(one, "accept", {"id": 3, "email": "ben@example.org"}),
        annotated(two, "reject", 4),
        annotated(three, "accept", 4, was_cancelled=True),
    ]
    (tmp_path / "out.json").write_text(json.dumps(exported))
    code, out, errors = repic_main(
        "reviews", "import", str(tmp_path / "out.json"), "--store", store.location
    )
    assert code == 0, errors
    assert "holds 3 decisions" in out
    said = {(r["subject_id"], r["decision"], r["reviewer"]) for r in reviews.decisions(store)}
    assert said == {
        ("older", "accept", "Ann"),
        (one["data"]["pair_id"], "accept", "ben@example.org"),
        (two["data"]["pair_id"], "reject", "label-studio 4"),
    }


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '[{"data": {}}]',
        '[{"id": 1, "decision": "accept"}]',
        "[" * 100_000,
        json.dumps([annotated({"data": {"pair_id": "x"}}, "maybe", 1)]),
        json.dumps([annotated({"data": {"pair_id": "x"}}, "accept", None)])[:-40],
        "[]",
    ],
)
def test_other_files_are_refused(store: Store, tmp_path: Path, content: str) -> None:
    (tmp_path / "out.json").write_text(content)
    with pytest.raises(SchemaError):
        review_tasks.read(store, tmp_path / "out.json")
    assert store.versions("reviews") == []
