"""Examples: the prompt as a model sees it, and the reward of a typed text."""

from __future__ import annotations

import html
import re
from functools import partial
from typing import Any

import pytest
from fastapi.testclient import TestClient

from repic.images.coordinates import named_convention
from repic.models.vlm import load
from repic.objectives.base import answer_of, messages
from repic.studio.app import create_app
from repic.studio.pages import examples as page
from repic.studio.site import Studio
from storage.manifest import Origin
from storage.store import Store
from tests.studio import training_runs
from tests.studio.conftest import ATTACK, HERE, client
from tests.studio.test_frame import check_escaped


def rows(store: Store, objective: str) -> list[dict]:
    return [r for r in store.read("examples@latest").to_pylist() if r["objective"] == objective]


def test_all_examples_in_pages_and_filters(
    browser: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "SIZE", 50)
    found: list[str] = []
    path = "/examples?objective=oct&split=train"
    while path:
        text = browser.get(path).text
        found += re.findall(r'class="tile" data-item href="/examples/(\w+)', text)
        after = re.findall(r'rel="next" href="([^"]+)"', text)
        path = html.unescape(after[0]) if after else ""
    assert found == sorted(r["example_id"] for r in rows(store, "oct") if r["split"] == "train")


@pytest.mark.parametrize("objective", ["oct", "vlt", "ict"])
def test_the_prompt_is_that_of_the_row(browser: TestClient, store: Store, objective: str) -> None:
    for row in rows(store, objective)[:3]:
        path = f"/examples/{row['example_id']}"
        text = html.unescape(browser.get(path).text)
        positions = [text.index(f"{path}/{number}/512.jpg") for number in range(len(row["images"]))]
        assert positions == sorted(positions)
        assert all(b["text"] in text for b in row["prompt"] if "{box}" not in b["text"])
        for family in ("qwen3-vl", "internvl"):
            shown = html.unescape(browser.get(path, params={"family": family}).text)
            assert answer_of(row, named_convention(family)) in shown
        picture = browser.get(f"{path}/0/256.jpg")
        assert picture.headers["content-type"] == "image/jpeg"
        assert browser.get(f"{path}/{len(row['images'])}/256.jpg").status_code == 404


def test_the_reward_of_a_text(browser: TestClient, store: Store) -> None:
    row = rows(store, "oct")[0]
    path = f"/examples/{row['example_id']}/score"
    right = browser.post(path, data={"text": row["answer"], "family": "qwen3-vl"}).text
    assert "Total <b>1.000</b>" in right
    assert "the answer is right, and nothing else follows it" in right
    wrong = browser.post(path, data={"text": "perhaps"}).text
    assert "Total <b>0.000</b>" in wrong
    assert browser.post(path, data={"family": "odd"}).status_code == 404


def test_boxes_are_read_as_the_family_writes_them(browser: TestClient, store: Store) -> None:
    row = rows(store, "vlt")[0]
    for family in ("qwen3-vl", "internvl", "qwen2-vl"):
        typed = answer_of(row, named_convention(family))
        data = {"text": typed, "family": family}
        reply = browser.post(f"/examples/{row['example_id']}/score", data=data).text
        total = re.findall(r"Total <b>([\d.]+)", reply)
        assert float(total[0]) > 0.8, family


def test_a_typed_script_is_escaped(browser: TestClient, store: Store) -> None:
    for objective in ("oct", "vlt", "ict"):
        row = rows(store, objective)[0]
        reply = browser.post(
            f"/examples/{row['example_id']}/score",
            data={"text": "<script>alert(1)</script>{{7*7}}" * 3},
        )
        assert reply.status_code == 200
        assert "<script" not in reply.text
        assert "49" not in reply.text


def test_examples_of_a_version_without_the_column_of_their_photo(store: Store) -> None:
    """Versions of earlier releases have none; the query is the last picture of an example."""
    dataset, before = store.manifest("dataset@latest"), store.manifest("examples@latest")
    table = store.read(before.ref).drop_columns(["image_id"])
    older = store.publish("examples", table, Origin(fingerprint="e" * 32), key=("example_id",))
    inputs = [bound for bound in dataset.inputs if bound.name != "examples"]
    origin = Origin(fingerprint="d" * 32, inputs=(*inputs, older.as_input()))
    bound = store.publish_dataset("dataset", origin)
    store.commit({"examples": older.version, "dataset": bound.version})
    text = client(store).get("/examples").text
    row = min(store.read(before.ref).to_pylist(), key=lambda r: r["example_id"])
    assert f"/pictures/{row['image_id']}/256.jpg" in text


def test_the_answers_that_an_example_got_in_training(
    browser: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = rows(store, "oct")[0]
    path = f"/examples/{row['example_id']}"
    assert "No answer to it was sampled" in browser.get(path).text
    monkeypatch.setattr(training_runs, "rows", partial(asked_about, row["example_id"]))
    training_runs.publish(store, ATTACK)
    training_runs.put(store, {"a": b"b"}, {})  # a later run without answers
    text = browser.get(path).text
    check_escaped(text)
    got = text[text.index("Answers in training") :]
    assert "checkpoint@v1</a> sampled 8 answers" in got
    assert got.count("<tr><td") == 8
    assert re.search(r'<td class="num">5</td>.*1\.000.*right', got)
    assert "none" in got
    assert "answer&nbsp;0.50" in got


def asked_about(example_id: str, step: int, text: str, example: str = "") -> list[dict[str, Any]]:
    """Answers of a step, all of them to one example but those of the last step."""
    some = ROWS(step, text, example)
    return [{**row, "example_id": "other" if example == "other" else example_id} for row in some]


ROWS = training_runs.rows


@pytest.mark.slow
def test_the_prompt_as_a_model_reads_it(store: Store) -> None:
    reader = load.reader("sample-full")
    with TestClient(create_app(Studio(store)), base_url=HERE) as visitor:
        for objective in ("vlt", "ict"):
            row = rows(store, objective)[0]
            path = f"/examples/{row['example_id']}/prompt"
            reply = visitor.get(path, params={"model": "sample-full"})
            text = html.unescape(reply.text.partition("<pre")[2].partition(">")[2])
            expected = reader.processor.apply_chat_template(
                messages(row, reader.convention), add_generation_prompt=True, tokenize=False
            )
            assert text.partition("</pre>")[0] == expected
            assert text.count("<|image_pad|>") == len(row["images"])
        assert visitor.get(path, params={"model": "/etc"}).status_code == 404
