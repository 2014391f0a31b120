"""OWLv2 and Grounding DINO, transformers classes with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from repic.config import DetectorSettings, RuntimeSettings
from repic.errors import ConfigError, WeightsError
from repic.models import detectors as detect
from repic.models.detectors import grounded
from tests.random_models import grounding_dino_folder, open_clip_folder, owlv2_folder, pictures

RUNTIME = RuntimeSettings(device="cpu", batch_size=4)
WORDS = ("dog", "cat", "mug", "red")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("transformers")
    return {
        "owlv2": owlv2_folder(folder / "owl"),
        "grounding-dino": grounding_dino_folder(folder / "dino", WORDS),
    }


def settings(checkpoint: str, vocabulary: tuple[str, ...]) -> DetectorSettings:
    return DetectorSettings(
        kind="transformers",
        checkpoint=checkpoint,
        vocabulary=vocabulary,
        confidence=0,
        min_area_share=0,
        image_size=96,
    )


@pytest.mark.parametrize("family", ["owlv2", "grounding-dino"])
def test_the_vocabulary_decides_names_and_scores(folders: dict[str, str], family: str) -> None:
    words = (("dog", "cat"), ("red mug", "cat", "dog"))
    detectors = [detect.load(settings(folders[family], v), RUNTIME) for v in words]
    images = pictures(6)
    scores = []
    for detector, asked in zip(detectors, words, strict=True):
        results = detector.detect(images)
        assert any(results)
        assert {d.label for detections in results for d in detections} <= set(asked)
        assert results == [detector.detect([image])[0] for image in images]
        assert results == detector.detect(images[::-1])[::-1]
        scores.append([[d.confidence for d in detections] for detections in results])
    assert scores[0] != scores[1]
    assert len({detector.fingerprint for detector in detectors}) == 2


def test_owlv2_scores_are_those_of_its_own_forward(folders: dict[str, str]) -> None:
    model, processor = grounded._from_pretrained(folders["owlv2"])
    model.eval()
    pixels = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    texts = processor.tokenizer(
        [grounded.PROMPT.format(word) for word in WORDS],
        padding="max_length",
        max_length=32,
        return_tensors="pt",
    )
    repeated = {name: ids.repeat(2, 1) for name, ids in texts.items()}
    with torch.no_grad():
        expected = model(pixel_values=pixels, interpolate_pos_encoding=True, **repeated)
        scores, boxes = grounded._owl(model, processor.tokenizer, WORDS)(pixels, None)
    torch.testing.assert_close(scores, expected.logits.sigmoid())
    torch.testing.assert_close(boxes, expected.pred_boxes)


def test_a_word_of_grounding_dino_has_the_score_of_its_best_token(folders: dict[str, str]) -> None:
    model, processor = grounded._from_pretrained(folders["grounding-dino"])
    model.eval()
    pixels = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 96, 96, dtype=torch.bool)
    texts = processor.tokenizer("red mug. dog.", return_tensors="pt")
    with torch.no_grad():
        tokenwise = model(pixel_values=pixels, pixel_mask=mask.long(), **texts).logits.sigmoid()
        score = grounded._dino(model, processor.tokenizer, ("Red mug", "dog"))
        wordwise, _ = score(pixels, mask)
    # The text is [CLS] red mug . dog . [SEP]
    expected = torch.stack([tokenwise[0, :, 1:3].amax(-1), tokenwise[0, :, 4]], dim=-1)
    torch.testing.assert_close(wordwise[0], expected)


@pytest.mark.parametrize("family", ["owlv2", "grounding-dino"])
def test_bfloat16_runs(folders: dict[str, str], family: str) -> None:
    runtime = RuntimeSettings(device="cpu", batch_size=2, precision="bfloat16")
    results = detect.load(settings(folders[family], ("dog",)), runtime).detect(pictures(2))
    assert all(np.isfinite(d.confidence) for detections in results for d in detections)


def test_grounding_dino_refuses_what_it_cannot_read(folders: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="full stop"):
        detect.load(settings(folders["grounding-dino"], ("st. bernard",)), RUNTIME)
    with pytest.raises(ConfigError, match="fewer words"):
        detect.load(settings(folders["grounding-dino"], WORDS * 10), RUNTIME)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    folder = open_clip_folder(tmp_path / "clip").removeprefix("local-dir:")
    with pytest.raises((WeightsError, ConfigError), match="clip"):
        detect.load(settings(folder, ("dog",)), RUNTIME)
