"""Studios over a built store, and over one whose every text is an attack."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from repic import config
from repic.config import Settings
from repic.studio.app import create_app
from repic.studio.site import Studio
from storage.store import Store
from tests.builds import Built, build
from tests.report import builds
from tests.studio.chromium import BROWSER

HERE = "http://localhost:8900"
SCRIPT = "<script>alert(1)</script>"
ATTACK = f"\"'>{SCRIPT}<img src=x onerror=alert(2)>{{{{7*7}}}}"

Open = Callable[..., TestClient]


def client(store: Store, **options: object) -> TestClient:
    """A browser, as it were, of a studio over a store."""
    studio = Studio(store, reviewer="Ann", **options)  # type: ignore[arg-type]
    return TestClient(create_app(studio), base_url=HERE)


@pytest.fixture
def store(built: Built, tmp_path: Path) -> Store:
    return built.copy(tmp_path / "store")


@pytest.fixture
def browser(store: Store) -> TestClient:
    """May decide, as Ann."""
    return client(store, allow_review=True)


@pytest.fixture
def hostile(tmp_path: Path) -> Store:
    """Scripts in file names, identities, labels, captions, names, reviewers and reasons."""
    from repic.pipeline import reviews
    from tests.objectives.tables import pair_row

    content = builds.rows(tmp_path / "photos" / "<script>x<b>")
    for image in content.images:
        image |= {"caption": ATTACK, "label": ATTACK, "source": ATTACK, "licence": ATTACK}
        image["identity"] = ATTACK
    for thing in content.objects:
        thing |= {name: f"{ATTACK} {thing[name]}" for name in ("identity", "label")}
        thing["expressions"] = [ATTACK]
    first, second = content.objects[0], content.objects[6]
    content.pairs.append(
        pair_row(first, second, "negative", doubtful=True) | {"pair_id": "f" * 32, "split": "train"}
    )
    content.quarantine.append(
        {
            "uri": f"file:///photos/{ATTACK}.jpg",
            "image_id": None,
            "stage": "images",
            "error": ATTACK,
            "message": ATTACK,
        }
    )
    store = Store.open(tmp_path / "hostile", create=True)
    builds.publish(store, content, notes={"pairs": {"nothing_mined": ATTACK}})
    pair = content.pairs[0]["pair_id"]
    reviews.record(
        store,
        [
            {
                "subject": "pair",
                "subject_id": pair,
                "decision": "accept",
                "reviewer": ATTACK,
                "note": ATTACK,
            }
        ],
    )
    return store


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield opened
        opened.close()


@dataclass(frozen=True)
class Mined:
    """A build without labels, in whose store groups were mined."""

    settings: Settings
    location: Path

    def copy(self, location: Path) -> Store:
        shutil.copytree(self.location, location)
        return Store.open(location)


@pytest.fixture(scope="session")
def mined(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Mined:
    changes = ("source.identity=none", "detector.kind=annotation", "runtime.threads=1")
    settings = config.load("photos", changes, source=built.album.source)
    location = tmp_path_factory.mktemp("mined") / "store"
    build(settings, Store.open(location, create=True))
    return Mined(settings, location)
