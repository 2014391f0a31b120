"""Fetching published weights, with a local HTTP server in place of the hub and of ultralytics."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from repic import config
from repic.cli import app
from repic.errors import ConfigError, WeightsError
from repic.models import published
from tests.random_models import open_clip_folder, owlv2_folder, pictures, yolo_file

COMMIT = "0" * 40


class Hub(BaseHTTPRequestHandler):
    """`/ORG/NAME/resolve/REVISION/FILE` and the list of files as the hub serves them, and plain
    files below `/releases/`. A file named `cut.pt` ends early."""

    folder: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *args: object) -> None:
        return

    def _answer(self, body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            found = sorted(self.folder.joinpath(*parts[2:4]).iterdir())
            tree = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": COMMIT}
                for path in found
            ]
            siblings = [{"rfilename": path.name} for path in found]
            info = {"sha": COMMIT, "id": "/".join(parts[2:4]), "siblings": siblings}
            return self._send(json.dumps(tree if "tree" in parts else info).encode(), body)
        if "resolve" in parts:
            del parts[2:4]
        path = self.folder.joinpath(*parts)
        if not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self._send(path.read_bytes(), body, missing=100 * (path.name == "cut.pt"))

    def _send(self, data: bytes, body: bool, missing: int = 0) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) - missing])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server serves: a CLIP and an OWLv2 on the hub, a YOLO-World among releases."""
    folder = tmp_path_factory.mktemp("published")
    open_clip_folder(folder / "org" / "clip", dim=512)
    owlv2_folder(folder / "org" / "owl")
    (folder / "releases").mkdir()
    (folder / "releases" / "cut.pt").write_bytes(bytes(1000))
    yolo_file(folder / "releases", "yolov8s-worldv2.yaml")
    return folder


@pytest.fixture(scope="module")
def url(files: Path) -> Iterator[str]:
    """Address of the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Hub,), {"folder": files}))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def environment(url: str, tmp_path: Path) -> dict[str, str]:
    """Variables for a command whose hub is the server and whose caches are empty."""
    changed = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "REPIC_ULTRALYTICS_URL": f"{url}/releases",
        "REPIC_CACHE": str(tmp_path / "cache"),
    }
    return {**os.environ, **changed}


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "repic.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_fetched_models_build_without_a_network(
    environment: dict[str, str], files: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text(
        "detector: {kind: yolo-world, checkpoint: yolov8s-worldv2.pt, vocabulary: [dog, mug],\n"
        "  text_encoder: 'hf-hub:org/clip', confidence: 0, image_size: 64, max_objects: 2}\n"
        "encoder: {pretrained: 'hf-hub:org/clip'}\nruntime: {threads: 1}\n"
    )
    done = _run(environment, "models", "pull", str(profile), "--json")
    assert done.returncode == 0, done.stderr
    fetched = {Path(row["path"]).name: row for row in json.loads(done.stdout)}
    assert set(fetched) >= {"yolov8s-worldv2.pt", "open_clip_model.safetensors"}
    for path in (files / "releases/yolov8s-worldv2.pt", *(files / "org/clip").iterdir()):
        assert fetched[path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    listed = json.loads(_run(environment, "models", "list", str(profile), "--json").stdout)
    assert {row["state"] for row in listed} == {"here"}

    for number, picture in enumerate(pictures(4)):
        picture.save(tmp_path / f"{number}.png")
    offline = {**environment, "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    store = str(tmp_path / "store")
    asked = ("build", "--images", str(tmp_path), "--profile", str(profile), "--store", store)
    built = _run(offline, *asked, "--set", "quarantine.budget=1", "--json")
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["rows"]["objects"] > 0


@pytest.mark.slow
def test_a_transformers_detector_is_fetched_without_pickles(
    environment: dict[str, str], files: Path
) -> None:
    (files / "org" / "owl" / "pytorch_model.bin").write_bytes(b"a pickle")
    owl = ("--set", "detector.kind=transformers", "--set", "detector.checkpoint=org/owl")
    clip = ("--set", "encoder.architecture=sample", "--set", "encoder.pretrained=")
    done = _run(environment, "models", "pull", "clip", *owl, *clip, "--json")
    assert done.returncode == 0, done.stderr
    names = {Path(row["path"]).name for row in json.loads(done.stdout)}
    assert "model.safetensors" in names
    assert "pytorch_model.bin" not in names


@pytest.mark.parametrize("name", ["none.pt", "cut.pt"])
def test_what_cannot_be_fetched_leaves_no_file(
    name: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPIC_CACHE", str(tmp_path))
    monkeypatch.setenv("REPIC_ULTRALYTICS_URL", f"{url}/releases")
    settings = config.load("sample", ["detector.kind=yolo", f"detector.checkpoint={name}"])
    (model,) = published.models_of(settings)
    with pytest.raises(WeightsError, match=rf"{name}.*mirrors"):
        model.fetch(lambda *_: None)
    assert model.fetched() == ()
    assert list((tmp_path / "weights").iterdir()) == []


def test_an_address_of_a_mirror_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPIC_CACHE", str(tmp_path))
    monkeypatch.setenv("REPIC_ULTRALYTICS_URL", "http://[::1")
    settings = config.load("sample", ["detector.kind=yolo", "detector.checkpoint=none.pt"])
    (model,) = published.models_of(settings)
    with pytest.raises(WeightsError, match="REPIC_ULTRALYTICS_URL"):
        model.fetch(lambda *_: None)


def test_a_fetched_file_that_changed_is_not_here(
    url: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPIC_CACHE", str(tmp_path))
    monkeypatch.setenv("REPIC_ULTRALYTICS_URL", f"{url}/releases")
    settings = config.load("sample", ["detector.checkpoint=yolov8s-worldv2.pt"])
    (model,) = published.models_of(settings)
    (file,) = model.fetch(lambda *_: None)
    assert model.fetched() == (file,)
    Path(file.path).write_bytes(b"cut")
    assert model.fetched() == ()


def test_profiles_name_their_published_models() -> None:
    names = {
        profile: [model.name for model in published.models_of(config.load(profile))]
        for profile in config.profiles()
    }
    assert names["photos"] == names["sample"] == []
    assert names["clip"] == [
        "yolov8s-worldv2.pt",
        "ViT-B-32-quickgelu:openai",
        "ViT-B-32:datacomp_xl_s13b_b90k",
    ]


def test_a_path_is_not_fetched(tmp_path: Path) -> None:
    settings = config.load("sample", ["detector.checkpoint=../x.pt"])
    with pytest.raises(WeightsError, match="without a folder"):
        list(published.models_of(settings))


def test_pull_needs_a_profile_that_exists() -> None:
    result = CliRunner().invoke(app, ["models", "pull"])
    assert "repic models pull clip" in str(result.exception)
    result = CliRunner().invoke(app, ["models", "pull", "clop"])
    assert isinstance(result.exception, ConfigError)
    assert "did you mean clip" in str(result.exception)
