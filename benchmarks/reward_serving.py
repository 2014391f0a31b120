"""Cost of serving rewards: requests per second relative to an echo, and tail latency.

    python benchmarks/reward_serving.py      # exit status 1 if a target is missed

Targets: with one client, at least half the rate of a FastAPI application that parses the same body
and returns it; with 64 concurrent clients, a 99th percentile below five times the median. Both
services run as processes with one worker each. The same clients use them in turn, in short rounds,
so that a busy machine slows both. A body has 16 answers to rows of a generated build, of all
objectives.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from repic.images.coordinates import QWEN3_VL
from repic.rewards.attacks import sample_rows
from repic.rewards.gold import gold_answer
from repic.rewards.server.protocol import row_message

ROWS, ROUNDS, SECONDS, CLIENTS = 16, 5, 2.0, 64
SHARE, SPREAD = 0.5, 5.0

ECHO = """
import fastapi, sys, uvicorn
app = fastapi.FastAPI()

@app.post("/v1/score")
async def echo(body: dict) -> dict:
    return body

uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False)
"""


def body() -> bytes:
    """A request with rows of every objective."""
    rows = sample_rows.generated()
    by_objective: dict[str, list[Any]] = {}
    for row in rows:
        by_objective.setdefault(row["objective"], []).append(row)
    chosen = [by_objective[name][k] for k in range(ROWS) for name in sorted(by_objective)][:ROWS]
    return json.dumps(
        {
            "rows": [
                {"completion": gold_answer(row, QWEN3_VL) or "A photo.", "row": row_message(row)}
                for row in chosen
            ]
        }
    ).encode()


def started(command: list[str], port: int) -> subprocess.Popen[bytes]:
    """Start a service and wait until its port is open."""
    process = subprocess.Popen([sys.executable, *command])
    for _ in range(1200):
        with socket.socket() as tried:
            if not tried.connect_ex(("127.0.0.1", port)):
                return process
        time.sleep(0.1)
    sys.exit("a service did not start")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def request_times(port: int, sent_body: bytes, clients: int) -> list[float]:
    """Seconds of each request of one round."""
    taken: list[float] = []
    context = ssl.create_default_context()  # unused, but slow to create for each client
    gc.freeze()  # keep the collector from pausing the clients to scan imported modules
    until = time.perf_counter() + SECONDS

    async def client() -> None:
        # Each client has its own pool: a shared pool scans all of its connections per request.
        is_open = False
        async with httpx.AsyncClient(timeout=60, verify=context) as http:
            while time.perf_counter() < until:
                start = time.perf_counter()
                reply = await http.post(
                    f"http://127.0.0.1:{port}/v1/score",
                    content=sent_body,
                    headers={"Content-Type": "application/json"},
                )
                reply.raise_for_status()
                if is_open:  # the first request opens the connection
                    taken.append(time.perf_counter() - start)
                is_open = True

    await asyncio.gather(*(client() for _ in range(clients)))
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    message = body()
    ports = {"rewards": free_port(), "echo": free_port()}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "echo.py"
        script.write_text(ECHO)
        os.environ.pop("REPIC_REWARD_TOKEN", None)
        serve = ["-m", "repic.cli", "reward", "serve", f"--port={ports['rewards']}"]
        serve += [f"--max-waiting={2 * CLIENTS}"]
        processes = [
            started(serve, ports["rewards"]),
            started([str(script), str(ports["echo"])], ports["echo"]),
        ]
        try:
            alone: dict[str, list[float]] = {name: [] for name in ports}
            together: dict[str, list[float]] = {name: [] for name in ports}
            for number in range(ROUNDS + 1):
                for name, port in ports.items():
                    one = asyncio.run(request_times(port, message, 1))
                    many = asyncio.run(request_times(port, message, CLIENTS))
                    if number:  # the first round warms up
                        alone[name].append(len(one) / sum(one))
                        together[name] += many
        finally:
            for process in processes:
                process.terminate()
                process.wait()
    ratios = [a / b for a, b in zip(alone["rewards"], alone["echo"], strict=True)]
    share = statistics.median(ratios)
    middle = statistics.median(together["rewards"])
    slow = statistics.quantiles(together["rewards"], n=100)[98]
    print(f"bytes of a body               {len(message):10,}")
    for name, rates in alone.items():
        print(f"{name + ' alone, requests/s':30}{statistics.median(rates):10.1f}")
    print(f"{'share of the echo':30}{share:10.2f}   ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"{f'{CLIENTS} clients: p50, p99, ms':30}{middle * 1e3:10.1f}{slow * 1e3:10.1f}")
    print(f"{'p99 / p50':30}{slow / middle:10.2f}")
    good = share >= SHARE and slow < SPREAD * middle
    print(f"targets >= {SHARE}, < {SPREAD}: {'ok' if good else 'MISSED'}")
    if options.json:
        print(json.dumps({"share": share, "p50": middle, "p99": slow}))
    return not good


if __name__ == "__main__":
    sys.exit(main())
