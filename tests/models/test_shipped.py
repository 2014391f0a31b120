"""The shipped detector and encoder: complete, small, and accurate on the generated world."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from repic.config import DetectorSettings, EncoderSettings, RuntimeSettings
from repic.errors import ConfigError, WeightsError
from repic.models import detectors, encoder, shipped
from repic.models.weights import sha256
from repic.sample.identities import CATEGORIES
from tools.sample_models import holdout

DETECTOR = DetectorSettings(kind="yolo", checkpoint=shipped.NAME, image_size=shipped.SIDE)
ENCODER = EncoderSettings(architecture=shipped.NAME)
RUNTIME = RuntimeSettings(device="cpu")


def test_they_are_small_and_name_no_place_of_any_machine() -> None:
    files = [shipped.detector_file(), *shipped.encoder_folder().iterdir()]
    assert sum(file.stat().st_size for file in files) < 8_000_000
    for folder in {Path.home(), Path.cwd(), Path(tempfile.gettempdir())} - {Path("/")}:
        assert all(f"{folder}/".encode() not in file.read_bytes() for file in files), folder


def test_settings_name_them_and_describe_them_by_their_bytes() -> None:
    described = detectors.describe(DETECTOR, RUNTIME)
    assert described["checkpoint"] == sha256(shipped.detector_file())
    described = encoder.describe(ENCODER, RUNTIME)
    weights = shipped.encoder_folder() / "open_clip_model.safetensors"
    assert described["model"]["sha256"][weights.name] == sha256(weights)
    assert str(shipped.folder()) not in str(described)


def test_a_tag_belongs_to_an_architecture_of_openclip() -> None:
    with pytest.raises(ConfigError, match="weights of its own"):
        encoder.describe(ENCODER.model_copy(update={"pretrained": "openai"}), RUNTIME)


def test_without_its_files_an_installation_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path)
    with pytest.raises(WeightsError, match=r"tools\.sample_models\.train yolo"):
        detectors.describe(DETECTOR, RUNTIME)
    with pytest.raises(WeightsError, match=r"tools\.sample_models\.train clip"):
        encoder.describe(ENCODER, RUNTIME)


def test_they_pass_a_short_exam() -> None:
    """`benchmarks/sample_quality.py` is the full evaluation."""
    unsure = DETECTOR.model_copy(update={"confidence": 0.001, "max_objects": 100})
    detector = detectors.load(unsure, RUNTIME)
    assert detector.vocabulary == CATEGORIES
    taken = holdout.photos(holdout.gallery(), views=2)
    marks = holdout.measure(taken, detector, encoder.load(ENCODER, RUNTIME), 0.5)
    assert marks.map50 >= 0.85
    assert marks.nearest >= 0.85
    assert marks.caption >= 0.7
    assert marks.crop >= 0.7
