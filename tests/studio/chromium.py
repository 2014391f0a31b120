"""A real Chromium before a studio: what its tests share."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from repic.studio.app import create_app
from repic.studio.site import Studio
from repic.web.listening import listen
from storage.store import Store

BROWSER = shutil.which("chromium")
PATIENCE = 120_000
"""Milliseconds that a busy machine may take; waits end as soon as the condition holds."""

SCREENS = [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)]

MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine"),
]


@contextmanager
def served(store: Store, allow_review: bool = True) -> Iterator[str]:
    """URL of a studio over a store."""
    with listen("127.0.0.1", 0, "REPIC_STUDIO_TOKEN") as listening:
        app = create_app(Studio(store, allow_review=allow_review, reviewer="Ann"))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)


@contextmanager
def visit(chromium: Any, **options: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page of a new visitor, and what it writes to the console."""
    context = chromium.new_context(**options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    console: list[str] = []
    page.on("console", lambda message: console.append(message.text))
    page.on("pageerror", lambda error: console.append(str(error)))
    yield page, console
    context.close()


def check_access(axe: Any, page: Any, path: str) -> None:
    """axe-core finds nothing serious."""
    found = axe.Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert serious == [], (path, [(v["id"], v["nodes"][0]["html"]) for v in serious])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_until(page: Any, script: str, arg: Any = None) -> None:
    """Wait for a condition of a page; its policy forbids the `eval` of Playwright itself."""
    from playwright.sync_api import Error

    def holds() -> bool:
        try:
            return bool(page.evaluate(script, arg))
        except Error as error:
            if "context was destroyed" in str(error):  # the page gives way to the next one
                return False
            raise

    until(holds)
