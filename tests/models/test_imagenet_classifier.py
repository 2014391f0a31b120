"""The ImageNet encoder and the detector of main objects, with the real weights."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from repic.config import DetectorSettings, EncoderSettings, RuntimeSettings
from repic.errors import ConfigError
from repic.images.coordinates import Box
from repic.models import detectors, imagenet_classifier
from repic.models import encoder as embed
from tests.random_models import pictures
from tests.shared_data import shared_folder

RUNTIME = RuntimeSettings(device="cpu", batch_size=4)
DREAMBOOTH = shared_folder("dreambooth")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("REPIC_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def encoder(cache: Path) -> embed.OpenClipEncoder:
    return embed.load(EncoderSettings(), RUNTIME)


@pytest.fixture(scope="module")
def detector(cache: Path) -> detectors.Detector:
    return detectors.load(DetectorSettings(confidence=0), RUNTIME)


def ball(size: tuple[int, int], box: Box) -> Image.Image:
    """An orange ball on a green background."""
    image = Image.new("RGB", size, (90, 140, 70))
    ImageDraw.Draw(image).ellipse(box.as_list(), (230, 120, 30), outline=(40, 20, 10), width=4)
    return image


def test_the_encoder_gives_what_the_classifier_decides_by(encoder: embed.OpenClipEncoder) -> None:
    image = pictures(1)[0]
    pixels = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), dtype=np.float32)
    model = imagenet_classifier.classifier()
    with torch.inference_mode():
        features = model.forward_features(torch.tensor(pixels / 127.5 - 1).permute(2, 0, 1)[None])
        expected = model.forward_head(features, pre_logits=True)[0].numpy()
    assert encoder.dim == len(expected) == 1280
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(encoder.encode_images([image])[0], expected, atol=1e-5)


def test_a_vector_depends_on_its_own_photo_bit_for_bit(encoder: embed.OpenClipEncoder) -> None:
    images = pictures(6)
    together = encoder.encode_images(images)
    alone = np.concatenate([encoder.encode_images([image]) for image in images])
    np.testing.assert_array_equal(together, alone)


def test_texts_are_refused_with_the_way_out(encoder: embed.OpenClipEncoder) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.architecture=ViT-B-32"):
        encoder.encode_texts(["a dog"])


def test_the_fingerprint_is_that_of_the_description(encoder: embed.OpenClipEncoder) -> None:
    from storage.hashing import fingerprint

    assert encoder.fingerprint == fingerprint(embed.describe(EncoderSettings(), RUNTIME))


def test_the_folder_is_made_once_by_whoever_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPIC_CACHE", str(tmp_path))
    with ThreadPoolExecutor(3) as pool:
        folders = set(pool.map(lambda _: imagenet_classifier.model_folder(), range(3)))
    assert os.listdir(tmp_path) == [folder.name for folder in folders]
    config = json.loads((imagenet_classifier.model_folder() / "open_clip_config.json").read_text())
    assert config["preprocess_cfg"]["resize_mode"] == "squash"


def test_folding_norms_changes_nothing_but_speed() -> None:
    plain, folded = imagenet_classifier.classifier(), imagenet_classifier.classifier()
    imagenet_classifier.fold_norms(folded)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    batch = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(folded(batch), plain(batch), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("at", [(150, 220), (300, 300)])
def test_the_box_is_around_the_one_thing(detector: detectors.Detector, at: tuple[int, int]) -> None:
    truth = Box(at[0] - 90, at[1] - 90, at[0] + 90, at[1] + 90)
    [[detection]] = detector.detect([ball((448, 448), truth)])
    assert detection.box.iou(truth) > 0.9
    assert detection.label in detector.vocabulary


@pytest.mark.parametrize("size", [(900, 90), (90, 900), (1, 1)])
def test_any_shape_of_photo_has_a_box(detector: detectors.Detector, size: tuple[int, int]) -> None:
    [[detection]] = detector.detect([Image.new("RGB", size, (90, 140, 70))])
    assert detection.box == detection.box.clip(*size)


@pytest.fixture(scope="module")
def found(detector: detectors.Detector) -> list[list[detectors.Detection]]:
    """What is found in photos of which a batch holds all but one."""
    return detector.detect(pictures(RUNTIME.batch_size + 1))


@pytest.mark.slow
def test_one_rounded_box_inside_each_photo(found: list[list[detectors.Detection]]) -> None:
    for image, [detection] in zip(pictures(len(found)), found, strict=True):
        assert detection.box == detection.box.clip(*image.size) == detection.box.round(2)
        assert 0 < detection.confidence == round(detection.confidence, 4) <= 1


@pytest.mark.slow
def test_a_box_depends_on_its_own_photo_bit_for_bit(
    detector: detectors.Detector, found: list[list[detectors.Detection]]
) -> None:
    images = pictures(len(found))
    assert found == [detector.detect([image])[0] for image in images]
    assert found[::-1] == detector.detect(images[::-1])


@pytest.mark.slow
def test_limits_are_kept() -> None:
    images = [ball((400, 400), Box(100, 100, 250, 250))]
    for limit in ({"confidence": 1.0}, {"confidence": 0, "min_area_share": 0.99}):
        assert detectors.load(DetectorSettings(**limit), RUNTIME).detect(images) == [[]]


@pytest.mark.slow
@pytest.mark.skipif(DREAMBOOTH is None, reason="needs the DreamBooth photos in ../shared")
def test_nearest_neighbour_finds_the_subject(encoder: embed.OpenClipEncoder) -> None:
    assert DREAMBOOTH is not None
    files = sorted(DREAMBOOTH.glob("*/*.jpg"))
    subjects = np.array([file.parent.name for file in files])
    vectors = encoder.encode_images([Image.open(file).convert("RGB") for file in files])
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    assert len(files) == 158
    assert (subjects[similarity.argmax(axis=1)] == subjects).mean() >= 0.937
