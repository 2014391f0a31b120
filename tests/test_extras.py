"""Each extra of the package: what it is for, and the sentence of a command that lacks it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.random_vlms import smolvlm_folder

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
INCLUDED = {"clip": {"open_clip_torch"}, "studio": {"fastapi", "uvicorn", "jinja2"}}
"""Extras that bring nothing, and the dependencies of every installation that they stand for."""

WITHOUT = """
import json, sys

(smolvlm,) = sys.argv[1:]
for module in ("pillow_heif", "s3fs", "gcsfs", "prefect_dask", "distributed", "prefect_ray", "ray",
               "bitsandbytes", "av", "num2words"):
    sys.modules[module] = None

from flows.runners import Choice
from repic.images import fetch, formats, video_frames
from repic.models.vlm import load
from repic.sources import folder as folders
from storage.store import Store

attempts = {
    "heic": [lambda: formats.load_decoder("HEIF")],
    "s3": [
        lambda: Store.open("s3://bucket/store"),
        lambda: folders._open("s3://bucket/photos"),
        lambda: fetch.read_bytes("s3://bucket/photo.jpg"),
    ],
    "gcs": [lambda: Store.open("gs://bucket/store"), lambda: folders._open("gs://bucket/photos")],
    "dask": [lambda: Choice("dask").check()],
    "ray": [lambda: Choice("ray").check()],
    "qlora": [lambda: load.LoadOptions(four_bit=True).check()],
    "video": [video_frames.needed],
    "smolvlm": [lambda: load.reader(smolvlm)],
}
said = {}
for extra, calls in attempts.items():
    for call in calls:
        try:
            call()
            message = "nothing"
        except Exception as error:
            message = str(error)
        said.setdefault(extra, []).append(message)
print(json.dumps(said))
"""


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", text)[0] for text in requirements}  # type: ignore[index]


@pytest.mark.slow
def test_each_missing_extra_is_named(tmp_path: Path) -> None:
    model = smolvlm_folder(tmp_path / "model")
    command = [sys.executable, "-c", WITHOUT, model]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said.keys() == EXTRAS.keys() - INCLUDED.keys()
    for extra, messages in said.items():
        for message in messages:
            assert f"pip install 'repic[{extra}]'" in message


@pytest.mark.parametrize("extra", INCLUDED)
def test_an_extra_that_brings_nothing_is_part_of_every_installation(extra: str) -> None:
    assert EXTRAS[extra] == []
    assert INCLUDED[extra] <= names(PROJECT["dependencies"])
