"""A reward worker: scores equal to those in process, typed errors, limits, a token."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from repic.captions.facts import FORMER_NAMES
from repic.images.coordinates import QWEN2_VL, QWEN3_VL, Convention, ResizedGrid
from repic.rewards.gold import gold_answer
from repic.rewards.scoring import score
from repic.rewards.server.app import Limits, create_app
from repic.rewards.server.protocol import ConventionMessage, row_message
from repic.rewards.wrappers import without_end
from repic.training.checks.preflight import corrupted_answer
from tests.builds import Built
from tests.timing import is_within

QWEN25 = Convention("qwen2.5-vl", ResizedGrid(28, 3136, 28224), QWEN3_VL.template)
CONVENTIONS = (QWEN2_VL, QWEN3_VL, QWEN25)
SECRET = "a secret"


@pytest.fixture(scope="module")
def worker() -> TestClient:
    return client(create_app())


@pytest.fixture(scope="module")
def rows(built: Built) -> list[dict[str, Any]]:
    return built.store.read("examples@latest").to_pylist()


def client(app: Any) -> TestClient:
    return TestClient(app, base_url="http://localhost")


def asked(completion: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"completion": completion, "row": row_message(row)}


@pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda c: c.name)
@pytest.mark.parametrize("mode", ["strict", "paper"])
def test_scores_are_those_of_the_definition(
    worker: TestClient, rows: list[dict[str, Any]], convention: Convention, mode: Any
) -> None:
    answers = [
        (text, row)
        for row in rows
        for text in (
            gold_answer(row, convention) or "A <Nobody>.",
            corrupted_answer(row, convention),
        )
    ]
    body = {
        "mode": mode,
        "convention": ConventionMessage.of(convention).model_dump(),
        "rows": [asked(*answer) for answer in answers][:1024],
    }
    scores = worker.post("/v1/score", json=body).json()["scores"]
    for given_score, (text, row) in zip(scores, answers, strict=False):
        expected = score(text, row, mode, convention)
        assert given_score["reward"] == pytest.approx(expected.total, abs=1e-9)
        assert given_score["components"] == pytest.approx(dict(expected.components))
        assert given_score["reason"] == expected.reason
    assert {entry["reward"] for entry in scores} >= {0.0, 1.0}


def test_nothing_of_a_picture_but_its_size_and_hash_is_sent(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row_message(row)["photo"] == row["images"][-1]["image_id"]
        assert all(set(picture) == {"width", "height"} for picture in row_message(row)["images"])
        assert row["images"][0]["uri"] not in json.dumps(row_message(row))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid"),
        (b"{", 422, "invalid"),
        (b"\xff\xfe", 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b'{"rows": []}', 422, "invalid"),
        (b'{"schema_version": 2, "rows": []}', 422, "invalid"),
        (b'{"rows": [{"completion": NaN, "row": {}}]}', 422, "invalid"),
        (b'{"rows": [{"completion": "\\ud800", "row": {"objective": "oct"}}]}', 422, "invalid"),
        (b'{"rows": [{"completion": "", "row": {"objective": "os.system"}}]}', 422, "invalid"),
        (
            b'{"rows": [{"completion": "", "row": {"objective": "oct", "uri": "/etc/passwd"}}]}',
            422,
            "invalid",
        ),
    ],
)
def test_a_bad_body_is_refused_without_an_echo(
    worker: TestClient, body: bytes, status: int, code: str
) -> None:
    reply = worker.post("/v1/score", content=body)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert "passwd" not in reply.text
    assert "os.system" not in reply.text


def test_former_column_names_are_read(worker: TestClient, rows: list[dict[str, Any]]) -> None:
    captions = [
        r for r in rows if r["distinctive_words"] and r["distractor_words"] and r["caption"]
    ]
    now = [asked(f"{r['caption']} {r['distractor_words'][0]}", r) for r in captions[:32]]
    former = [
        {**entry, "row": {FORMER_NAMES.get(name, name): v for name, v in entry["row"].items()}}
        for entry in now
    ]
    first, second = (
        worker.post("/v1/score", json={"rows": entries}).json()["scores"]
        for entries in (now, former)
    )
    assert first == second
    assert any(score["components"]["facts"] < 1 for score in first)


def test_a_row_that_cannot_be_scored_costs_only_itself(worker: TestClient) -> None:
    good = {"completion": "yes", "row": {"objective": "oct", "answer": "yes"}}
    bad = {"completion": "[1, 2, 3, 4]", "row": {"objective": "vlt"}}
    scores = worker.post("/v1/score", json={"rows": [good, bad, good]}).json()["scores"]
    assert [entry["reward"] for entry in scores] == [1.0, None, 1.0]
    assert scores[1]["reason"].startswith("row: ")


def test_limits_are_told() -> None:
    worker = client(create_app(limits=Limits(rows=2, bytes=2_000)))
    row = {"completion": "yes", "row": {"objective": "oct", "answer": "yes"}}
    assert worker.post("/v1/score", json={"rows": [row] * 2}).status_code == 200
    many = worker.post("/v1/score", json={"rows": [row] * 3})
    assert (many.status_code, many.json()["code"]) == (413, "too_many_rows")
    large = worker.post("/v1/score", json={"rows": [{**row, "completion": "x" * 3_000}]})
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    dripped = worker.post("/v1/score", content=(b"x" * 500 for _ in range(9)))
    assert (dripped.status_code, dripped.json()["code"]) == (413, "too_large")


def test_a_full_worker_says_when_to_come_back() -> None:
    worker = client(create_app(limits=Limits(at_once=0)))
    reply = worker.post("/v1/score", json={})
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", ["/v1/score", "/get_reward", "/metrics", "/openapi.json", "/x"])
def test_without_the_token_nothing_is_said(path: str) -> None:
    worker = client(create_app(SECRET))
    wrong = base64.b64encode(b"x:another").decode()
    headers: dict[str, str]
    for headers in (
        {},
        {"Authorization": "Bearer another"},
        {"Authorization": f"Basic {wrong}"},
        {"Authorization": "Basic %%%"},
        {"Authorization": SECRET},
    ):
        for method in ("GET", "POST"):
            reply = worker.request(method, path, headers=headers)
            assert reply.status_code == 401
            assert reply.json()["code"] == "unauthorized"
    assert worker.get("/healthz").status_code == 200


def test_with_the_token_as_bearer_or_password() -> None:
    worker = client(create_app(SECRET))
    row = {"completion": "yes", "row": {"objective": "oct", "answer": "yes"}}
    basic = base64.b64encode(f"anybody:{SECRET}".encode()).decode()
    for value in (f"Bearer {SECRET}", f"Basic {basic}"):
        reply = worker.post("/v1/score", json={"rows": [row]}, headers={"Authorization": value})
        assert reply.status_code == 200


def test_counters_are_exposed(worker: TestClient) -> None:
    row = {"completion": "no", "row": {"objective": "oct", "answer": "yes"}}
    worker.post("/v1/score", json={"rows": [row]})
    worker.get("/nowhere-at-all")
    text = worker.get("/metrics").text
    assert 'repic_reward_rows_total{objective="oct",outcome="scored"}' in text
    assert 'path="other",status="404"' in text
    assert "nowhere" not in text


def test_the_protocol_of_openrlhf(worker: TestClient, rows: list[dict[str, Any]]) -> None:
    row = next(row for row in rows if row["objective"] == "oct")
    prompt = "<|im_start|>user\n<|image_pad|>This is <Ann>.<|image_pad|>?<|im_start|>assistant\n"
    expanded = prompt.replace("<|image_pad|>", "<|image_pad|>" * 36)
    right, wrong = row["answer"], "no" if row["answer"] == "yes" else "yes"
    body = {
        "query": [f"{expanded}{text}<|im_end|>" for text in (right, wrong)] + ["another prompt"],
        "prompts": [prompt] * 3,
        "labels": [json.dumps(row_message(row))] * 3,
    }
    limits = "min_pixels=3136&max_pixels=12845056"
    reply = worker.post(f"/get_reward?name=qwen2.5-vl&{limits}", json=body).json()
    assert reply == {
        "rewards": [1.0, 0.0, 0.5],
        "scores": [1.0, 0.0, 0.5],
        "extra_logs": {"scored": [1.0, 1.0, 0.0]},
    }
    assert worker.post("/get_reward?mode=nice", json=body).status_code == 422
    broken = {**body, "labels": ["{", "[]", "null"]}
    assert worker.post("/get_reward", json=broken).json()["extra_logs"]["scored"] == [0.0] * 3


def test_many_end_tokens_take_linear_time() -> None:
    """240 KB of `</s>` once kept a worker busy for minutes."""
    for unit in ("</s>", " ", " </s>", "</s> x"):
        text = unit * (240_000 // len(unit))
        assert is_within(0.5, lambda t=text: without_end(t))
    assert without_end("yes </s> <|im_end|>\n") == "yes"
    assert without_end("yes </s> no ") == "yes </s> no "
    assert without_end("</s>") == ""


def test_the_limits_of_qwen25_are_required(worker: TestClient) -> None:
    """Other limits than the trainer's made a right box of a large photo score 0."""
    row = {"objective": "vlt", "images": [{"width": 4000, "height": 3000}]}
    row["box"] = [3000, 2000, 3900, 2900]
    box = '{"bbox_2d": [3000, 2000, 3900, 2900]}'
    body = {"query": [box], "prompts": [""], "labels": [json.dumps(row)]}
    refused = worker.post("/get_reward?name=qwen2.5-vl", json=body)
    assert refused.status_code == 422
    assert "give min_pixels and max_pixels" in refused.json()["message"]
    message = {"rows": [{"completion": box, "row": row}], "convention": {"name": "qwen2.5-vl"}}
    assert "give min_pixels" in worker.post("/v1/score", json=message).json()["message"]
    published = "name=qwen2.5-vl&min_pixels=3136&max_pixels=12845056"
    assert worker.post(f"/get_reward?{published}", json=body).json()["rewards"][0] > 0.98
    message["convention"] |= {"min_pixels": 3136, "max_pixels": 12845056}
    assert worker.post("/v1/score", json=message).json()["scores"][0]["reward"] > 0.98
    message["convention"] = {"name": "qwen3-vl", "min_pixels": 1, "max_pixels": 2}
    assert worker.post("/v1/score", json=message).status_code == 200  # as older clients send it


WRAPPED = "<think>A mug, or not?</think><answer>yes</answer>"


def test_wrappers_are_stripped_where_a_request_or_the_worker_says_so(worker: TestClient) -> None:
    row = {"objective": "oct", "answer": "yes"}
    message = {"rows": [{"completion": WRAPPED, "row": row}]}

    def reward(app: TestClient, **options: Any) -> float:
        return app.post("/v1/score", json={**message, **options}).json()["scores"][0]["reward"]

    names = ["think", "answer"]
    assert (reward(worker), reward(worker, strip=names)) == (0, 1)
    assert reward(client(create_app(strip=("think", "answer")))) == 1
    assert worker.post("/v1/score", json={**message, "strip": ["all"]}).status_code == 422
    body = {"query": [WRAPPED], "prompts": [""], "labels": [json.dumps(row)]}
    for query, expected in (("", 0.0), ("?strip=think,answer", 1.0), ("?strip=think", 0.0)):
        assert worker.post(f"/get_reward{query}", json=body).json()["rewards"] == [expected]


def test_huge_pixels_are_invalid(worker: TestClient) -> None:
    body = {"query": ["a"], "prompts": ["a"], "labels": ["{}"]}
    for value in ("1" + "0" * 30, "-1", "0", "nan", "1e9", "\u0661", ""):
        for name in ("min_pixels", "max_pixels", "factor"):
            query = {"name": "qwen2.5-vl", name: value}
            reply = worker.post("/get_reward", params=query, json=body)
            assert reply.status_code == 422, (name, value)


@pytest.mark.parametrize(
    "rows",
    [
        "[%s]",
        '[{"completion": "", "row": {"objective": "oct", "prompt": [%s]}}]',
        '[{"completion": "", "row": {"objective": "ict", "distinctive_words": [%s]}}]',
    ],
)
def test_many_errors_take_no_longer_than_one(worker: TestClient, rows: str) -> None:
    text = '{"rows": ' + rows % ",".join(["[]"] * 300_000) + "}"
    assert is_within(0.5, lambda: worker.post("/v1/score", content=text))
    assert worker.post("/v1/score", content=text).json()["code"] == "invalid"


def test_deep_json_is_invalid(worker: TestClient) -> None:
    deep = "[" * 200_000
    objects = '{"rows":' * 200_000
    for path in ("/v1/score", "/get_reward"):
        for text in (deep, objects, f'{{"rows": {deep}', f'{{"labels": {deep}'):
            assert worker.post(path, content=text).status_code == 422
    body = {"query": ["a"], "prompts": ["a"], "labels": [deep]}
    assert worker.post("/get_reward", json=body).json()["extra_logs"]["scored"] == [0.0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
COLUMNS = ("kind", "answer", "box", "caption", "images", "prompt", "references", "scene", "uri")
NEAR = st.fixed_dictionaries(
    {
        "completion": st.text(),
        "row": st.fixed_dictionaries(
            {"objective": st.sampled_from(["oct", "vlt", "ict"])},
            optional=dict.fromkeys(COLUMNS, JSON),
        ),
    }
)
BODIES = st.one_of(
    st.binary(),
    JSON.map(json.dumps),
    st.lists(NEAR).map(lambda rows: json.dumps({"rows": rows})),
)


@settings(max_examples=100)  # test_fuzz.py sends thousands
@given(body=BODIES, path=st.sampled_from(["/v1/score", "/get_reward"]))
def test_no_body_breaks_a_worker(worker: TestClient, body: Any, path: str) -> None:
    reply = worker.post(path, content=body)
    assert reply.status_code in (200, 413, 422)
    if reply.status_code == 200 and path == "/v1/score":
        for entry in reply.json()["scores"]:
            assert entry["reward"] is None or 0 <= entry["reward"] <= 1
