"""Data sets on a hub: branches, commits, and reading in place, on a small hub of this machine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from repic.errors import SourceError
from repic.sources import hub
from tests.sources.hub_server import Hub, serving

OLD, NEW = "a" * 40, "b" * 40

SCRIPT = """
import json, sys
from repic import config
from repic.errors import SourceError
from repic.images.decode import open_image
from repic.sources import photos, provenance
for chosen in json.loads(sys.argv[1]):
    settings = config.SourceSettings.model_validate({"kind": "hf", **chosen})
    try:
        listed = list(photos(settings, config.SplitSettings()))
        found = provenance(settings, [p.uri for p in listed])
        print(json.dumps([[open_image(p.uri).width for p in listed], found, listed[0].uri]))
    except SourceError as error:
        print(json.dumps(str(error)))
"""


def _png(width: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, 20), "red").save(file, "PNG")
    return file.getvalue()


def _tar(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _parquet(*widths: int) -> bytes:
    cells = [{"bytes": _png(width), "path": None} for width in widths]
    out = io.BytesIO()
    pq.write_table(pa.table({"image": cells}), out)
    return out.getvalue()


def _read(endpoint: str, home: Path, *chosen: dict[str, str]) -> list:
    kept = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    environment = {**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(chosen)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_branch_becomes_the_commit_that_is_recorded(tmp_path: Path) -> None:
    old = {"data/train-0.parquet": _parquet(21), "README.md": b"# one\n"}
    new = {"data/train-0.parquet": _parquet(22, 23), "data/test-0.parquet": _parquet(24)}
    remote = f"{hub.REMOTE}some/set"
    with serving(Hub({OLD: old, NEW: new}, NEW)) as endpoint:
        newest, pinned, in_place, in_place_pinned, gone = _read(
            endpoint,
            tmp_path,
            {"path": "some/set"},
            {"path": "some/set", "revision": OLD},
            {"path": remote, "revision": "main", "split": "test"},
            {"path": f"{remote}@{OLD}"},
            {"path": "some/set", "revision": "c" * 40},
        )
    assert newest[:2] == [[22, 23], {"commit": NEW}]
    assert pinned[:2] == [[21], {"commit": OLD}]
    assert in_place[:2] == [[24], {"commit": NEW}]
    assert in_place[2].startswith(f"{remote}@{NEW}/data/test-0.parquet#row=0")
    assert in_place_pinned[:2] == [[21], {"commit": OLD}]
    assert "'cccc" in gone
    assert "cannot be downloaded" in gone


@pytest.mark.slow
def test_a_configuration_on_a_hub_is_read_in_place_without_the_others(tmp_path: Path) -> None:
    readme = b"---\nconfigs:\n"
    for name in ("a", "b"):
        readme += f"- config_name: {name}\n  data_files: {name}/*.parquet\n".encode()
    files = {"README.md": readme + b"---\n"}
    files |= {"a/0.parquet": _parquet(21), "b/0.parquet": _parquet(22)}
    server = Hub({NEW: files}, "main")
    server.main = NEW
    with serving(server) as endpoint:
        path = f"{hub.REMOTE}some/set"
        chosen, missing = _read(endpoint, tmp_path, {"path": path, "config": "b"}, {"path": path})
    assert chosen[:2] == [[22], {"commit": NEW}]
    assert "b/0.parquet" in server.served
    assert "a/0.parquet" not in server.served
    assert missing.endswith("has several configurations; set source.config to one of: a, b")


@pytest.mark.slow
def test_tars_and_image_folders_on_a_hub_are_read_in_place(tmp_path: Path) -> None:
    tars = {"train-0.tar": _tar(a_png=_png(21), a_txt=b"red", b_png=_png(22))}
    folder = {"train/a.png": _png(23), "train/b.png": _png(24)}
    with serving(Hub({OLD: tars, NEW: folder}, NEW)) as endpoint:
        path = f"{hub.REMOTE}some/set"
        shards, files, downloaded = _read(
            endpoint,
            tmp_path,
            {"path": path, "revision": OLD},
            {"path": path},
            {"path": "some/set"},
        )
    assert shards[:2] == [[21, 22], {"commit": OLD}]
    assert files[:2] == [[23, 24], {"commit": NEW}]
    assert f"give source.path={path} to read it in place" in downloaded


def test_a_revision_belongs_to_the_hub_only(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is not on the hub.*remove source\.revision"):
        hub.located(str(tmp_path), "main")


def test_the_commit_is_read_from_addresses() -> None:
    cached = f"file:///h/hub/datasets--a--b/snapshots/{OLD}/data/train.parquet#row=1&column=image"
    assert hub.commit_of(cached) == OLD
    assert hub.commit_of(f"hf://datasets/a/b@{NEW}/x.png") == NEW
    assert hub.commit_of(f"file:///photos/{NEW}.jpg") is None
