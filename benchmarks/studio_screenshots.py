"""Screenshots of every page of the studio, light and dark.

    python benchmarks/studio_screenshots.py [--store STORE] [--out FOLDER] [--for-docs]

Takes a store with a build, a training and an evaluation, or makes a small one of generated photos
(minutes). Writes `studio-PAGE-light.png` and `-dark.png`; `--for-docs` writes to `docs/` only
what the docs show. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image

import repic
from benchmarks.screenshots import SCHEMES, new_page, take
from repic.sample import photo_files
from repic.sample.composition import PhotoPlan
from repic.sample.identities import RESERVED
from repic.sample.world import World
from repic.studio.app import create_app
from repic.studio.pages import PAGES
from repic.studio.site import Studio
from repic.web.listening import listen
from storage.store import Store

WIDTH, HEIGHT = 1200, 980
IN_DOCS = {"pairs": "light", "playground": "light", "example": "dark"}
"""Page -> color scheme."""

NAMES = ("Andrea", "Rex")
PATIENCE = 300_000
"""Milliseconds."""


def small_store(folder: Path) -> Store:
    """A build of generated photos, a short training, and an evaluation of its checkpoint."""
    location = str(folder / "store")
    few = ["source.count=120", "source.identities=24", "examples.names.locales=[en_US, fr_FR]"]
    repic.build(profile="sample", overrides=few, store=location)
    quick = ["trainer.max_steps=4", "train.prompts_per_step=4", "train.measure.per_objective=4"]
    repic.train(overrides=quick, store=location)
    repic.evaluate("checkpoint@latest", overrides=["evaluate.photos=8"], store=location)
    return Store.open(location)


@contextmanager
def served(store: Store) -> Iterator[str]:
    """Address of a studio that may decide."""
    with listen("127.0.0.1", 0, "REPIC_STUDIO_TOKEN") as listening:
        app = create_app(Studio(store, allow_review=True, reviewer="Ann"))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(60)


def pages_of(store: Store) -> dict[str, str]:
    """Name -> address of every kind of page that the store has."""

    def first(table: str, column: str) -> str:
        return str(store.read(f"{table}@latest", [column])[column][0].as_py())

    found = {page.NAME.lower(): page.PATH for page in PAGES}
    found["photo"] = f"/photos/{first('images', 'image_id')}"
    found["pair"] = f"/pairs/{first('pairs', 'pair_id')}"
    found["example"] = f"/examples/{first('examples', 'example_id')}"
    found["lineage"] = f"/versions/dataset/{store.resolve('dataset@latest').version}"
    if store.versions("checkpoint"):
        found["example"] = f"/examples/{first('rollouts', 'example_id')}"
        found["run"] = f"/training/{store.versions('checkpoint')[-1]}"
        found["checkpoint"] = f"/versions/checkpoint/{store.versions('checkpoint')[-1]}"
    if numbers := store.versions("evaluation"):
        found["report"] = f"/evaluation/{numbers[-1]}"
        found["captions"] = f"/evaluation/{numbers[-1]}/captions"
    return found


def try_photo(page: Any, url: str, folder: Path) -> None:
    """Let the shipped model caption a generated photo with two references."""
    cast = RESERVED[::97][:2]
    plans = [PhotoPlan((one,), "sand", n, "own") for n, one in enumerate(cast)]
    plans.append(PhotoPlan(tuple(cast), "grass", 99, "own"))
    entries = photo_files.read(photo_files.write(World(seed=77), plans, folder))
    files = [folder / "photos" / entry["file"] for entry in entries]
    page.goto(f"{url}/playground")
    page.select_option("[name=model]", "sample-full")
    page.set_input_files("[name=photo]", files[-1])
    for number, (name, entry) in enumerate(zip(NAMES, entries, strict=False)):
        reference = folder / f"{name}.png"
        box = tuple(map(int, entry["objects"][0]["box"]))
        with Image.open(files[number]) as picture:
            picture.crop(box).save(reference)
        page.fill(f"[name=name{number}]", name)
        page.set_input_files(f"[name=reference{number}]", reference)
    page.click(".upload button", no_wait_after=True)
    page.wait_for_selector("#result", timeout=PATIENCE)


def take_all(store: Store, out: Path, wanted: Mapping[str, str]) -> None:
    """Each page in each color scheme, or only those that are wanted."""
    with (
        served(store) as url,
        new_page(WIDTH, HEIGHT) as page,
        tempfile.TemporaryDirectory() as folder,
    ):
        page.set_default_timeout(PATIENCE)
        for name, path in pages_of(store).items():
            if wanted and name not in wanted:
                continue
            if name == "playground":
                try_photo(page, url, Path(folder))
            else:
                page.goto(url + path)
            take(page, out, f"studio-{name}", (wanted[name],) if wanted else SCHEMES)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", help="a store with a build, a training and an evaluation")
    parser.add_argument("--out", type=Path, default=Path("screenshots"), help="output folder")
    parser.add_argument("--for-docs", action="store_true", help="only those of the docs, there")
    options = parser.parse_args()
    out = Path("docs") if options.for_docs else options.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(options.store) if options.store else small_store(Path(folder))
        take_all(store, out, IN_DOCS if options.for_docs else {})
    return 0


if __name__ == "__main__":
    sys.exit(main())
