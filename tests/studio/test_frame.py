"""What all pages share: the guard, headers, escaping, pictures by id, errors as sentences."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from repic.studio.app import create_app
from repic.studio.pages import PAGES
from repic.studio.site import Studio, address, reviewer_name
from storage.store import Store
from tests.builds import Built
from tests.studio.conftest import HERE, SCRIPT, client

PATHS = [page.PATH for page in PAGES]


@pytest.mark.parametrize("path", [*PATHS, "/nope", "/static/studio.css", "/static/../app.py"])
def test_every_reply_has_the_headers(browser: TestClient, path: str) -> None:
    headers = browser.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PATHS)
def test_every_page_of_a_build(browser: TestClient, path: str) -> None:
    reply = browser.get(path)
    assert reply.status_code == 200
    assert 'aria-current="page"' in reply.text
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
def test_every_page_of_an_empty_store(tmp_path: Path, path: str) -> None:
    reply = client(Store.open(tmp_path / "store", create=True)).get(path)
    assert reply.status_code in (200, 404)
    assert "run a build" in reply.text or "repic build" in reply.text


class Tags(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "script":
            self.scripts.append(values.get("src") or "")
        self.attributes |= values.keys()

    def handle_data(self, data: str) -> None:
        self.text += data


def check_escaped(text: str) -> None:
    """A page has only our scripts, and no attribute that runs or styles anything."""
    tags = Tags(text)
    assert SCRIPT not in text
    assert all(src.startswith("/static/") for src in tags.scripts)
    assert not {a for a in tags.attributes if a.startswith("on") or a == "style"}
    assert "49" not in re.findall(r"&gt;(\d\d)", text)  # templates of users are not run


def links(text: str) -> set[str]:
    found = {part.replace("&amp;", "&") for part in re.findall(r'href="(/[^"]*)"', text)}
    return {path for path in found if not path.startswith("/static/")}


def test_texts_of_users_are_escaped_on_every_page(hostile: Store) -> None:
    """All pages that can be reached by links, and not only the first ones."""
    visitor = client(hostile, allow_review=True)
    waiting, seen = {*PATHS, "/pairs?review=decided"}, set()
    while waiting and len(seen) < 80:
        path = min(waiting)
        waiting.remove(path)
        seen.add(path)
        reply = visitor.get(path)
        assert reply.status_code == 200, (path, reply.text)
        check_escaped(reply.text)
        kinds = {re.sub(r"[0-9a-f]{32}", "ID", p.partition("?")[0]) for p in seen}
        waiting |= {
            link
            for link in links(reply.text) - seen
            if re.sub(r"[0-9a-f]{32}", "ID", link.partition("?")[0]) not in kinds
            or link.startswith("/pairs?")
        }
    shown = Tags(visitor.get("/pairs?review=any").text).text
    assert SCRIPT in shown  # it was there to be escaped


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "null"}, 403),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_other_sites_are_refused(
    browser: TestClient, path: str, headers: dict[str, str], status: int
) -> None:
    assert browser.get(path, headers=headers).status_code == status


def test_other_sites_cannot_decide(store: Store, browser: TestClient) -> None:
    pair = store.read("pairs@latest")["pair_id"][0].as_py()
    path = f"/pairs/{pair}/decision"
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        reply = browser.post(path, data={"decision": "accept"}, headers=headers)
        assert reply.status_code == 403
    assert store.versions("reviews") == []


def test_off_loopback_a_token_is_needed(built: Built) -> None:
    app = create_app(Studio(built.store), token="secret", hosts=None)
    visitor = TestClient(app, base_url="http://photos.example")
    refused = visitor.get("/")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic realm=")
    assert visitor.get("/", auth=("Ann", "wrong")).status_code == 401
    assert visitor.get("/", auth=("Ann", "secret")).status_code == 200
    assert visitor.get("/healthz").status_code == 200
    with pytest.raises(ValueError, match="must name its hosts"):
        TestClient(create_app(Studio(built.store), hosts=None)).get("/")


def test_pictures_come_by_id_only(browser: TestClient, store: Store) -> None:
    photo = store.read("images@latest").to_pylist()[0]
    thing = store.read("objects@latest").to_pylist()[0]
    for path in (f"/pictures/{photo['image_id']}/256.jpg", f"/crops/{thing['object_id']}/96.jpg"):
        reply = browser.get(path)
        assert reply.headers["content-type"] == "image/jpeg"
        assert reply.content.startswith(b"\xff\xd8")
        assert "immutable" in reply.headers["cache-control"]
    for path in (
        "/pictures/nobody/256.jpg",
        "/pictures/..%2f..%2fetc%2fpasswd/256.jpg",
        f"/pictures/{photo['image_id']}/257.jpg",
        "/crops/nobody/96.jpg",
        "/pictures/%00/256.jpg",
        f"/pictures/{photo['image_id']}/256.jpg?v=99",
        f"/pictures/{photo['image_id']}/256.jpg?v=x",
    ):
        assert browser.get(path).status_code == 404, path


def test_a_photo_that_changed_or_is_gone_is_a_frame_with_the_reason(hostile: Store) -> None:
    first, second, third = hostile.read("images@latest").to_pylist()[:3]
    from repic.images.uris import file_path

    Path(file_path(first["uri"])).unlink()
    Path(file_path(second["uri"])).write_bytes(Path(file_path(third["uri"])).read_bytes())
    visitor = client(hostile)
    for row, reason in ((first, "missing"), (second, "changed")):
        reply = visitor.get(f"/pictures/{row['image_id']}/256.jpg")
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "image/svg+xml"
        assert reason in reply.text
        assert reply.headers["cache-control"] == "no-store"
        assert "<script" not in reply.text


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/nope", 404, "There is no such page."),
        ("/pairs/nope", 404, "has no pair nope"),
        ("/pairs?v=7", 404, "There is no dataset@v7"),
        ("/pairs?v=seven", 404, "A version is a number"),
        ("/pairs?kind=odd", 422, "wrong value: kind"),
        ("/pairs?low=wide", 422, "wrong value: low"),
        ("/pairs/x/decision", 405, "not possible"),
    ],
)
def test_errors_are_sentences(browser: TestClient, path: str, status: int, sentence: str) -> None:
    reply = browser.get(path)
    assert reply.status_code == status
    assert sentence in reply.text


def test_the_vendored_file_has_its_licence(browser: TestClient) -> None:
    text = browser.get("/").text
    (script,) = re.findall(r'src="(/static/htmx[^"]*)"', text)
    assert browser.get(script).headers["content-type"].startswith("text/javascript")
    assert "Zero-Clause BSD" in browser.get("/static/htmx-LICENSE.txt").text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)


def test_who_looks_is_a_name_in_a_cookie(browser: TestClient) -> None:
    reply = browser.post("/reviewer", data={"name": " Zoë \n Li ", "back": "//evil.example"})
    assert reply.url == f"{HERE}/"
    assert 'value="Zoë Li"' in browser.get("/pairs").text
    cookie = browser.post("/reviewer", data={"name": "A"}, follow_redirects=False).headers
    assert "HttpOnly" in cookie["set-cookie"]
    assert "SameSite=strict" in cookie["set-cookie"]
    assert reviewer_name("\x00 ") == ""
    assert len(reviewer_name("x" * 500)) == 80


def test_an_address_leaves_out_what_is_empty() -> None:
    assert address("/pairs", {"v": "3", "kind": ""}, after="a b") == "/pairs?v=3&after=a+b"
    assert address("/pairs", {"v": "3"}, v="") == "/pairs"


def test_each_page_has_a_key_of_its_own(browser: TestClient) -> None:
    text = browser.get("/").text
    keys = re.findall(r'data-go="(\w)"', text)
    assert len(keys) == len(PAGES)
    assert len(set(keys)) == len(PAGES)
    named = re.findall(r"<kbd>(\w)</kbd> ([A-Z]\w+)", text)
    assert [(key, page.NAME) for key, page in zip(keys, PAGES, strict=True)] == named
    assert all(key in name.lower() for key, name in named)
