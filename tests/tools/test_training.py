"""Small runs of the training scripts: resuming, and the files that they write."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from repic.config import DetectorSettings, EncoderSettings, RuntimeSettings
from repic.models import detectors
from repic.models import encoder as embed
from repic.models.detectors.yolo import quiet_ultralytics
from repic.sample.identities import CATEGORIES
from tools.sample_models import train_clip, train_yolo, training_data

RUNTIME = RuntimeSettings(device="cpu", threads=1, batch_size=4)


@pytest.fixture(autouse=True)
def restore_threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def miniature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_clip, "FAMILIES", 4)
    monkeypatch.setattr(train_clip, "PHOTOS", 90)
    monkeypatch.setattr(train_clip, "PASSES", 1)
    monkeypatch.setattr(train_yolo, "PHOTOS_PER_ROUND", 12)
    monkeypatch.setattr(train_yolo, "TUNING_PHOTOS", 4)


@pytest.mark.slow
@pytest.mark.usefixtures("miniature")
def test_an_encoder_that_was_interrupted_comes_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted, interrupted = tmp_path / "uninterrupted", tmp_path / "interrupted"
    for folder in (uninterrupted, interrupted):
        folder.mkdir()
    finished = train_clip.train(uninterrupted, threads=1, rounds=2)

    train_round, stops = train_clip.EncoderTraining.train_round, iter([False, True])

    def train_or_stop(training: train_clip.EncoderTraining) -> dict[str, float]:
        if next(stops, False):
            raise KeyboardInterrupt
        return train_round(training)

    monkeypatch.setattr(train_clip.EncoderTraining, "train_round", train_or_stop)
    with pytest.raises(KeyboardInterrupt):
        train_clip.train(interrupted, threads=1, rounds=2)
    resumed = train_clip.train(interrupted, threads=1, rounds=2)
    for file in finished.iterdir():
        assert _sha256(file) == _sha256(resumed / file.name), file.name

    encoder = embed.load(EncoderSettings(pretrained=f"local-dir:{finished}"), RUNTIME)
    assert encoder.encode_images([next(training_data.tuning_photos(1)).image]).shape == (1, 128)
    assert encoder.encode_texts(["a red mug"]).shape == (1, 128)


@pytest.mark.slow
@pytest.mark.usefixtures("miniature")
def test_a_detector_can_be_used_and_carries_no_place(tmp_path: Path) -> None:
    finished = train_yolo.train(tmp_path, threads=1, epochs=1, rounds=1)
    assert str(tmp_path).encode() not in finished.read_bytes()
    detector = detectors.load(
        DetectorSettings(kind="yolo", checkpoint=str(finished), image_size=160), RUNTIME
    )
    assert detector.vocabulary == CATEGORIES


def test_a_finished_detector_is_exported_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet_ultralytics()
    from ultralytics import YOLO
    from ultralytics.nn.tasks import DetectionModel

    def train(*arguments: object, **options: object) -> None:
        raise AssertionError("another training")

    monkeypatch.setattr(train_yolo, "PHOTOS_PER_ROUND", 1)
    monkeypatch.setattr(train_yolo, "TUNING_PHOTOS", 1)
    monkeypatch.setattr(YOLO, "train", train)
    state = tmp_path / "run" / "weights" / "last.pt"
    state.parent.mkdir(parents=True)
    network = DetectionModel(str(train_yolo._architecture(tmp_path)), verbose=False)
    torch.save({"model": network, "epoch": -1, "train_args": {}}, state)
    finished = train_yolo.train(tmp_path, threads=1, rounds=1)
    assert finished.read_bytes() == train_yolo._export(state)
    torch.save({"model": network, "epoch": 3, "train_args": {}}, state)
    with pytest.raises(AssertionError, match="another training"):
        train_yolo.train(tmp_path, threads=1, rounds=1)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
