"""10,000 malicious requests: none breaks a worker, none passes without the token."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from repic.rewards.server.app import Limits, create_app
from repic.rewards.server.protocol import row_message
from tests.builds import Built

SECRET = "s3cret"
OURS, SCHEMATHESIS = 8_000, 500
"""Requests of our own, and requests by the schema for each of the four operations."""
AT_ONCE = 16

guarded = create_app(SECRET, Limits(bytes=1 << 20), hosts=("localhost", "testserver"))
schema = schemathesis.openapi.from_asgi(
    "/openapi.json", guarded, headers={"Authorization": f"Bearer {SECRET}"}
)


# One id per operation: pytest-xdist runs tests that share an id only once.
OPERATIONS = [result.ok() for result in schema.get_all_operations()]


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_requests_by_the_schema(
    operation: Any, record_property: Callable[[str, int], None]
) -> None:
    record_property("faults", SCHEMATHESIS)

    @given(case=operation.as_strategy())
    @settings(
        max_examples=SCHEMATHESIS,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
        deadline=None,
    )
    def check(case: Any) -> None:
        reply = case.call(headers={"Authorization": f"Bearer {SECRET}"})
        assert reply.status_code < 500, reply.text
        unknown = case.call(headers={"Authorization": "Bearer none"})
        assert unknown.status_code == 401 or case.path == "/healthz"

    check()


@pytest.mark.slow
def test_requests_of_our_own(built: Built, record_property: Callable[[str, int], None]) -> None:
    record_property("faults", OURS)
    rows = built.store.read("examples@latest").to_pylist()
    draw = random.Random(7)
    good = [
        {"completion": "<Ann> is on the grass.", "row": row_message(row)}
        for row in draw.sample(rows, 40)
    ]
    counts: dict[int, int] = {}

    async def worker(count: int, seed: int) -> None:
        draw = random.Random(seed)
        transport = httpx.ASGITransport(guarded)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for _ in range(count):
                path = draw.choice(["/v1/score", "/get_reward", "/metrics", "/%2e%2e/", "/v1/scor"])
                is_known = draw.random() < 0.8
                token = SECRET if is_known else draw.choice(["", "x", SECRET[:-1], SECRET * 2])
                reply = await http.request(
                    draw.choice(["POST", "POST", "POST", "GET", "PUT", "DELETE"]),
                    path,
                    content=body(draw, good),
                    headers={"Authorization": f"Bearer {token}"} if token else {},
                )
                assert reply.status_code < 500, reply.text
                if not is_known:
                    assert reply.status_code == 401
                counts[reply.status_code] = counts.get(reply.status_code, 0) + 1

    async def all_of_them() -> None:
        await asyncio.gather(*(worker(OURS // AT_ONCE, seed) for seed in range(AT_ONCE)))

    asyncio.run(all_of_them())
    assert sum(counts.values()) == OURS
    assert {200, 401, 404, 405, 422} <= counts.keys()


def body(draw: random.Random, good: list[dict[str, Any]]) -> bytes:
    """A valid request, damaged in one of many ways, or not at all."""
    valid: Any = {"rows": json.loads(json.dumps(draw.sample(good, draw.randint(1, 3))))}
    for _ in range(draw.choice([0, 1, 1, 2, 5])):
        node: Any = valid
        while isinstance(node, (dict, list)) and node:
            key = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if not isinstance(node[key], (dict, list)) or not node[key] or draw.random() < 0.3:
                node[key] = copy.deepcopy(draw.choice(HARMFUL))
                break
            node = node[key]
    text = json.dumps(valid).encode()
    damage = draw.random()
    if damage < 0.1:
        return text[: draw.randrange(len(text))]
    if damage < 0.2:
        at = draw.randrange(len(text))
        return text[:at] + draw.randbytes(draw.randint(1, 8)) + text[at:]
    if damage < 0.25:
        return draw.randbytes(draw.randint(0, 400))
    return text


HARMFUL: list[Any] = [
    *(None, True, -1, 0, 1e308, -1e308, 2**63, 10**400, float("nan"), float("inf"), "", "\0"),
    *("\ud800", "../../etc/passwd", "file:///etc/passwd", "http://169.254.169.254/", "os.system"),
    *(
        "<" * 5_000,
        "<Ann>" * 2_000,
        "é" * 3_000,
        "\u202e<Ann>",
        "{box}",
        "{" * 500,
        "%s%n",
        "\U0001d504",
    ),
    *([], {}, [[]], [None], {"$ref": "#"}, {"__class__": "x"}, [0, 0, 0, 0], ["a"] * 300),
    [1e-320, 1e300, -1e300, 1e300],
]
