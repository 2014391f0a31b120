"""The two models that the package carries: whole, small, and good at what they are for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from repic import detect, embed
from repic.config import ConfigError, DetectorSettings, EncoderSettings, Runtime
from repic.sample import exam, models
from repic.sample.identities import CATEGORIES
from repic.weights import WeightsError, sha256

DETECTOR = DetectorSettings(kind="yolo", checkpoint=models.NAME, image_size=models.SIDE)
ENCODER = EncoderSettings(architecture=models.NAME)
RUNTIME = Runtime(device="cpu")


def test_they_are_small_and_name_no_place_of_any_machine() -> None:
    files = [models.detector_file(), *models.encoder_folder().iterdir()]
    assert sum(file.stat().st_size for file in files) < 8_000_000
    for place in {Path.home(), Path.cwd(), Path(tempfile.gettempdir())} - {Path("/")}:
        assert all(f"{place}/".encode() not in file.read_bytes() for file in files), place


def test_settings_name_them_and_describe_them_by_their_bytes() -> None:
    described = detect.describe(DETECTOR, RUNTIME)
    assert described["checkpoint"] == sha256(models.detector_file())
    described = embed.describe(ENCODER, RUNTIME)
    weights = models.encoder_folder() / "open_clip_model.safetensors"
    assert described["model"]["sha256"][weights.name] == sha256(weights)
    assert str(models.folder()) not in str(described)


def test_a_tag_belongs_to_an_architecture_of_openclip() -> None:
    with pytest.raises(ConfigError, match="weights of its own"):
        embed.describe(ENCODER.model_copy(update={"pretrained": "openai"}), RUNTIME)


def test_without_its_files_an_installation_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "folder", lambda: tmp_path)
    with pytest.raises(WeightsError, match=r"repic\.sample\.train yolo"):
        detect.describe(DETECTOR, RUNTIME)
    with pytest.raises(WeightsError, match=r"repic\.sample\.train clip"):
        embed.describe(ENCODER, RUNTIME)


def test_they_pass_a_short_exam() -> None:
    """The whole one is `benchmarks/sample_quality.py`."""
    unsure = DETECTOR.model_copy(update={"confidence": 0.001, "max_objects": 100})
    detector = detect.load(unsure, RUNTIME)
    assert detector.vocabulary == CATEGORIES
    taken = exam.photos(exam.gallery(), views=2)
    marks = exam.examine(taken, detector, embed.load(ENCODER, RUNTIME), 0.5)
    assert marks.map50 >= 0.85
    assert marks.nearest >= 0.85
    assert marks.caption >= 0.7
    assert marks.crop >= 0.7
