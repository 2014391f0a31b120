"""YOLO, YOLO-World and YOLOE, ultralytics classes with random weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from repic.config import DetectorSettings, RuntimeSettings
from repic.errors import ConfigError, WeightsError
from repic.models import detectors as detect
from tests.random_models import open_clip_folder, pictures, yolo_file

RUNTIME = RuntimeSettings(device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("yolo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPIC_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def text(models: Path) -> str:
    return open_clip_folder(models / "text", dim=512)


def settings(kind: str, checkpoint: str, **values: object) -> DetectorSettings:
    return DetectorSettings(
        kind=kind, checkpoint=checkpoint, confidence=0, min_area_share=0, image_size=96, **values
    )


def everything(detector: detect.Detector) -> tuple[np.ndarray, ...]:
    """Raw candidates of three images."""
    pixels, mask = detector._stacked([detector.prepare(p) for p in pictures(3)])
    with detector._runtime.inference():
        per_picture = detector._forward(pixels, mask)
    return tuple(np.concatenate(parts) for parts in zip(*per_picture, strict=True))


@pytest.mark.parametrize(
    ("config", "end_to_end"),
    [("yolov8n.yaml", False), ("yolo11n.yaml", False), ("yolo26n.yaml", True)],
)
def test_yolo_finds_boxes_in_its_own_words(models: Path, config: str, end_to_end: bool) -> None:
    checkpoint = yolo_file(models, config, end_to_end)
    detector = detect.load(settings("yolo", checkpoint), RUNTIME)
    images = pictures(6)
    results = detector.detect(images)
    assert len(detector.vocabulary) == 80
    assert any(results)
    for image, detections in zip(images, results, strict=True):
        assert [d.confidence for d in detections] == sorted(
            (d.confidence for d in detections), reverse=True
        )
        assert all(d.box == d.box.clip(*image.size) for d in detections)
    assert results == [detector.detect([image])[0] for image in images]
    assert results == detector.detect(images[::-1])[::-1]


def test_raw_output_is_bit_identical_whatever_the_companions(models: Path) -> None:
    detector = detect.load(settings("yolo", yolo_file(models, "yolov8n.yaml")), RUNTIME)
    images = pictures(4)
    pixels, mask = detector._stacked([detector.prepare(p) for p in images])
    turned, turned_mask = detector._stacked([detector.prepare(p) for p in images[::-1]])
    with detector._runtime.inference():
        straight = detector._forward(pixels, mask)
        reverse = detector._forward(turned, turned_mask)[::-1]
    for one, other in zip(straight, reverse, strict=True):
        for column, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(column, same)


def test_yolo_keeps_to_the_words_asked_for(models: Path) -> None:
    checkpoint = yolo_file(models, "yolov8n.yaml")
    asked = detect.load(settings("yolo", checkpoint, vocabulary=("3", "7")), RUNTIME)
    assert {d.label for detections in asked.detect(pictures(4)) for d in detections} <= {"3", "7"}
    with pytest.raises(ConfigError, match="does not know zebra"):
        detect.load(settings("yolo", checkpoint, vocabulary=("zebra",)), RUNTIME)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("yolo-world", "yolov8n-world.yaml"),
        ("yolo-world", "yolov8n-worldv2.yaml"),
        ("yoloe", "yoloe-v8n.yaml"),
        ("yoloe", "yoloe-11n-seg.yaml"),
        ("yoloe", "yoloe-26n-seg.yaml"),
    ],
)
def test_the_vocabulary_decides_names_and_scores(
    models: Path, text: str, kind: str, config: str
) -> None:
    checkpoint = yolo_file(models, config)
    words = (("dog", "cat"), ("mug", "cat"), ("dog", "cat", "mug"))
    detectors = [
        detect.load(settings(kind, checkpoint, vocabulary=v, text_encoder=text), RUNTIME)
        for v in words
    ]
    outputs = [everything(detector) for detector in detectors]
    assert [detector.vocabulary for detector in detectors] == list(words)
    assert len({detector.fingerprint for detector in detectors}) == 3
    assert not np.array_equal(outputs[0][1], outputs[1][1])
    assert set(outputs[2][2].tolist()) <= {0, 1, 2}
    for detector, asked in zip(detectors, words, strict=True):
        labels = {d.label for detections in detector.detect(pictures(2)) for d in detections}
        assert labels <= set(asked)
    again = detect.load(settings(kind, checkpoint, vocabulary=words[0], text_encoder=text), RUNTIME)
    np.testing.assert_array_equal(everything(again)[1], outputs[0][1])


def test_world_scores_are_those_of_ultralytics_own_forward(models: Path, text: str) -> None:
    import torch
    from ultralytics.nn.tasks import load_checkpoint

    from repic.models.encoder import OpenClipEncoder
    from repic.models.open_clip_checkpoint import OpenClipCheckpoint

    checkpoint = yolo_file(models, "yolov8n-worldv2.yaml")
    detector = detect.load(
        settings("yolo-world", checkpoint, vocabulary=("dog", "cat"), text_encoder=text), RUNTIME
    )
    pixels, mask = detector._stacked([detector.prepare(p) for p in pictures(4)])
    features = OpenClipEncoder(OpenClipCheckpoint.parse(text), detector._runtime).encode_texts(
        ["dog", "cat"]
    )
    network, _ = load_checkpoint(checkpoint, device="cpu", fuse=True)
    network.model[-1].nc = 2
    with torch.inference_mode():
        expected = network.predict(pixels, txt_feats=torch.tensor(features)[None])[0][:, 4:]
    with detector._runtime.inference():
        scores = np.stack([candidates.scores for candidates in detector._forward(pixels, mask)])
    np.testing.assert_allclose(scores, expected.amax(dim=1).numpy(), rtol=1e-5)


def test_bfloat16_runs(models: Path, text: str) -> None:
    runtime = RuntimeSettings(device="cpu", batch_size=2, precision="bfloat16")
    for kind, config in (("yolo-world", "yolov8n-worldv2.yaml"), ("yoloe", "yoloe-v8n.yaml")):
        asked = settings(kind, yolo_file(models, config), vocabulary=("dog",), text_encoder=text)
        assert len(detect.load(asked, runtime).detect(pictures(2))) == 2


def test_wrong_checkpoints_are_refused(models: Path, text: str) -> None:
    world, pose = yolo_file(models, "yolov8n-world.yaml"), yolo_file(models, "yolov8n-pose.yaml")
    broken = models / "broken.pt"
    broken.write_bytes(b"this is no checkpoint")
    narrow = open_clip_folder(models / "narrow", dim=64)
    for asked, error, message in (
        (settings("yolo", world), ConfigError, "detector.kind=yolo-world"),
        (settings("yolo", pose), ConfigError, "axis-aligned boxes"),
        (settings("yolo", str(broken)), WeightsError, "broken.pt"),
        (
            settings("yolo-world", world, vocabulary=("dog",), text_encoder=narrow),
            ConfigError,
            "64 numbers",
        ),
        (settings("yolo", world, text_encoder=text), ConfigError, "text_encoder"),
        (settings("yolo", world).model_copy(update={"image_size": 100}), ConfigError, "32"),
    ):
        with pytest.raises(error, match=message):
            detect.load(asked, RUNTIME)


def test_a_file_is_found_by_its_name_in_the_cache(models: Path) -> None:
    path = Path(yolo_file(models, "yolov8n.yaml"))
    folder = models / "cache" / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.pt").write_bytes(path.read_bytes())
    by_name = detect.describe(settings("yolo", "mine.pt"), RUNTIME)
    assert by_name == detect.describe(settings("yolo", str(path)), RUNTIME)


@pytest.mark.slow
def test_no_network_no_telemetry_no_install(models: Path, text: str) -> None:
    checkpoint = yolo_file(models, "yolov8n-world.yaml")
    code = f"""
import sys
def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo") or "pip" in str(args) and "Popen" in event:
        raise AssertionError(event, args)
sys.addaudithook(refuse)
from repic.models import detectors as detect
from repic.config import DetectorSettings, RuntimeSettings
from tests.random_models import pictures
settings = DetectorSettings(kind="yolo-world", checkpoint={checkpoint!r},
    vocabulary=("dog",), text_encoder={text!r}, image_size=96)
detect.load(settings, RuntimeSettings(device="cpu")).detect(pictures(1))
from ultralytics.utils import SETTINGS
assert not SETTINGS["sync"]
assert "ultralytics.nn.text_model" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
