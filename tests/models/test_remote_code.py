"""Python files beside a model or a data set are never run, whatever the user answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from repic.config import SourceSettings
from repic.errors import RepicError
from repic.models.detectors import grounded
from repic.models.vlm import load
from repic.sources import hf

CODE = """
from pathlib import Path
from transformers import PretrainedConfig, PreTrainedModel, ProcessorMixin
Path({marker!r}).touch()
class Config(PretrainedConfig):
    model_type = "evil"
class Model(PreTrainedModel):
    config_class = Config
class Processor(ProcessorMixin):
    pass
"""
CONFIG = {
    "model_type": "evil",
    "architectures": ["Model"],
    "auto_map": {
        "AutoConfig": "evil.Config",
        "AutoProcessor": "evil.Processor",
        "AutoModelForImageTextToText": "evil.Model",
        "AutoModelForZeroShotObjectDetection": "evil.Model",
    },
}


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that the code would write; every question is answered with yes."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    marker = tmp_path / "ran"
    yield marker
    assert not marker.exists()


def write_code(folder: Path, marker: Path) -> None:
    code = CODE.format(marker=str(marker))
    for name in ("evil.py", f"{folder.name}.py"):
        (folder / name).write_text(code, encoding="utf-8")


def test_the_code_of_a_model_is_not_run(tmp_path, marker):
    folder = tmp_path / "model"
    folder.mkdir()
    write_code(folder, marker)
    for name in ("config.json", "processor_config.json", "preprocessor_config.json"):
        (folder / name).write_text(json.dumps(CONFIG), encoding="utf-8")
    with pytest.raises(RepicError, match="cannot be opened"):
        load.reader(str(folder))
    with pytest.raises(RepicError):
        grounded._from_pretrained(str(folder))


def test_the_code_of_a_data_set_is_not_run(tmp_path, marker):
    folder = tmp_path / "photos"
    (folder / "train").mkdir(parents=True)
    write_code(folder, marker)
    Image.new("RGB", (32, 32)).save(folder / "train" / "a.png")
    settings = SourceSettings(kind="hf", path=str(folder), identity="none")
    assert [photo.uri.rpartition("/")[2] for photo in hf.photos(settings)] == ["a.png"]
