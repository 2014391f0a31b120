"""Who must not use the server of `repic up`: web pages, other users of the machine, other names."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.local.access import Access
from tests.flows.up import Up, client_of

pytestmark = pytest.mark.slow

BROWSER = shutil.which("chromium")
WEBSOCKETS = [
    "/events/in",
    "/events/out",
    "/logs/out",
    "/task_runs/subscriptions/scheduled",
    "/work_pools/repic/workers/connect",
]
PAGE = """
<script>
async function attack(api, deployment, command) {
  const body = JSON.stringify({job_variables: {command: command}, state: {type: "SCHEDULED"}});
  const url = api + "/deployments/" + deployment + "/create_flow_run";
  const ways = [
    {mode: "no-cors", headers: {"Content-Type": "text/plain"}},
    {mode: "no-cors", credentials: "include"},
    {mode: "cors", headers: {"Content-Type": "application/json"}},
    {mode: "cors", headers: {"Content-Type": "application/json", "Prefect-Csrf-Token": "x",
                             "Prefect-Csrf-Client": "x", "Authorization": "Basic eDp4"}},
  ];
  const answers = [];
  for (const way of ways)
    answers.push(await fetch(url, {method: "POST", body: body, ...way})
      .then(r => r.type + " " + r.status, e => "failed"));
  answers.push(await fetch(api + "/csrf-token?client=x").then(r => "read", e => "failed"));
  for (const protocol of [[], ["prefect"]])
    answers.push(await new Promise(done => {
      const socket = new WebSocket(api.replace("http", "ws") + "/events/in", protocol);
      socket.onopen = () => done("open");
      socket.onerror = () => done("failed");
    }));
  return answers;
}
</script>
"""


def deployment_of(access: Access) -> str:
    with client_of(access) as client:
        return str(client.read_deployment_by_name("build-datasets/build-datasets").id)


def runs_of(access: Access) -> int:
    with client_of(access) as client:
        return len(client.read_flow_runs(limit=200))


def get(access: Access, path: str, auth: str | None = None, **headers: str) -> httpx.Response:
    name, _, password = (auth or "").partition(":")
    return httpx.get(
        access.url + path, auth=(name, password) if auth else None, headers=headers, timeout=30
    )


def test_without_the_string_nothing_is_answered(shared_up: Up) -> None:
    access = shared_up.access
    assert get(access, "/health").status_code == 200
    for path in ("/admin/version", "/admin/settings", "/csrf-token?client=x", "/docs"):
        assert get(access, path).status_code == 401, path
        assert get(access, path, "repic:guess").status_code == 401, path
    assert get(access, "/admin/version", access.auth).status_code == 200
    assert access.auth not in get(access, "/admin/settings", access.auth).text


def test_a_request_that_changes_something_needs_a_csrf_token_too(shared_up: Up) -> None:
    access = shared_up.access
    name, _, password = access.auth.partition(":")
    url = f"{access.url}/deployments/{deployment_of(access)}/create_flow_run"
    before = runs_of(access)
    assert httpx.post(url, json={}).status_code in (401, 403)
    assert httpx.post(url, json={}, auth=(name, password)).status_code == 403
    assert runs_of(access) == before


def test_other_hosts_and_origins_are_refused_even_with_the_string(shared_up: Up) -> None:
    access = shared_up.access
    for host in ("evil.example", f"evil.example:{access.port}", ""):
        assert get(access, "/admin/version", access.auth, host=host).status_code == 421, host
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{access.port + 1}"):
        assert get(access, "/admin/version", access.auth, origin=origin).status_code == 403
    for own in (f"http://127.0.0.1:{access.port}", f"http://localhost:{access.port}"):
        answer = get(access, "/admin/version", access.auth, origin=own)
        assert answer.headers["access-control-allow-origin"] == own


@pytest.mark.parametrize("path", WEBSOCKETS)
def test_websockets_need_the_string_and_our_origin(shared_up: Up, path: str) -> None:
    access = shared_up.access
    assert open_websocket(access, path, access.auth) == "auth_success"
    for token in (None, "", "repic:guess"):
        assert open_websocket(access, path, token) == "refused"
    assert open_websocket(access, path, None, says_prefect=False) == "refused"
    assert open_websocket(access, path, access.auth, origin="http://evil.example") == "refused"


def open_websocket(
    access: Access, path: str, token: str | None, says_prefect: bool = True, **options: Any
) -> str:
    import websockets

    async def first_answer() -> str:
        url = access.url.replace("http", "ws", 1) + path
        protocols = [websockets.Subprotocol("prefect")] if says_prefect else None
        try:
            async with websockets.connect(url, subprotocols=protocols, **options) as socket:
                await socket.send(json.dumps({"type": "auth", "token": token}))
                return str(json.loads(await asyncio.wait_for(socket.recv(), 30))["type"])
        except (websockets.InvalidStatus, websockets.ConnectionClosed):
            return "refused"

    return asyncio.run(first_answer())


@contextmanager
def foreign_page() -> Iterator[str]:
    """URL of a web site that attacks the server."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://site.example:{web.server_address[1]}/"
        web.shutdown()


@contextmanager
def browser_page() -> Iterator[Any]:
    """A page of Chromium, for which every name of `example` is this machine."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP *.example 127.0.0.1"],
        )
        yield browser.new_page()
        browser.close()


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_a_page_of_another_site_runs_no_command(shared_up: Up, tmp_path: Path) -> None:
    access, marker = shared_up.access, tmp_path / "the command ran"
    before = runs_of(access)
    with foreign_page() as url, browser_page() as page:
        page.goto(url)
        answers = page.evaluate(
            "([api, id, command]) => attack(api, id, command)",
            [access.url, deployment_of(access), f"touch '{marker}'"],
        )
        # A name of the attacker that resolves to this machine makes the server the page's own.
        rebound = page.goto(f"http://site.example:{access.port}/api/health")
    assert answers[:2] == ["opaque 0", "opaque 0"], "the page cannot read what it was answered"
    assert answers[2:] == ["failed"] * 5
    assert rebound.status == 421
    assert runs_of(access) == before
    assert not marker.exists()


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_person_signs_in_with_the_string(shared_up: Up, host: str) -> None:
    access = shared_up.access
    with browser_page() as page:
        page.goto(f"http://{host}:{access.port}/", wait_until="networkidle")
        assert "Deployments" not in page.inner_text("body")
        field = page.locator("input").first
        field.fill(access.auth)
        field.press("Enter")
        page.get_by_text("Deployments").first.wait_for(timeout=60_000)


def test_a_run_cannot_choose_its_command_environment_or_folder(
    shared_up: Up, tmp_path: Path
) -> None:
    marker = tmp_path / "the command ran"
    chosen = {
        "command": f"touch '{marker}'",
        "env": {"PYTHONPATH": str(tmp_path)},
        "working_dir": str(tmp_path),
    }
    (tmp_path / "sitecustomize.py").write_text(f"open({str(marker)!r}, 'w').close()")
    with client_of(shared_up.access) as client:
        template = client.read_work_pool("repic").base_job_template
        assert set(template["variables"]["properties"]) == {"name", "labels", "stream_output"}
        run = client.create_flow_run_from_deployment(
            client.read_deployment_by_name("build-datasets/build-datasets").id,
            parameters={"images": "nowhere"},
            job_variables=chosen,
        )
        shared_up.wait(lambda: client.read_flow_run(run.id).state.is_final(), 400)
        assert "SourceError" in client.read_flow_run(run.id).state.message
    assert not marker.exists()
