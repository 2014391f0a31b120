"""OpenCLIP embeddings: shape, independence of the batch, fingerprints, refused settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from repic.config import EncoderSettings, RuntimeSettings
from repic.errors import ConfigError, WeightsError
from repic.models import encoder as embed
from tests.random_models import open_clip_folder, pictures

RUNTIME = RuntimeSettings(device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return open_clip_folder(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="module")
def encoder(folder: str) -> embed.OpenClipEncoder:
    return embed.load(EncoderSettings(pretrained=folder), RUNTIME)


def test_vectors_are_float32_of_unit_length(encoder: embed.OpenClipEncoder) -> None:
    for vectors in (encoder.encode_images(pictures(6)), encoder.encode_texts(["a dog", "a mug"])):
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == encoder.dim == 32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_nothing_gives_no_rows(encoder: embed.OpenClipEncoder) -> None:
    assert encoder.encode_images([]).shape == (0, 32)
    assert encoder.encode_texts([]).shape == (0, 32)


def test_a_vector_depends_on_its_own_input_bit_for_bit(encoder: embed.OpenClipEncoder) -> None:
    images, texts = pictures(7), [f"a photo of {n} dogs" for n in range(7)]
    for items, encode in ((images, encoder.encode_images), (texts, encoder.encode_texts)):
        together = encode(items)
        alone = np.concatenate([encode([item]) for item in items])
        np.testing.assert_array_equal(together, alone)
        np.testing.assert_array_equal(together, encode(items[::-1])[::-1])


def test_different_inputs_have_different_vectors(encoder: embed.OpenClipEncoder) -> None:
    assert len(np.unique(encoder.encode_images(pictures(5)), axis=0)) == 5
    assert len(np.unique(encoder.encode_texts(["dog", "cat", "mug"]), axis=0)) == 3


def test_bfloat16_changes_vectors_a_little(folder: str, encoder: embed.OpenClipEncoder) -> None:
    runtime = RuntimeSettings(device="cpu", batch_size=4, precision="bfloat16")
    lower = embed.load(EncoderSettings(pretrained=folder), runtime)
    similarity = (lower.encode_images(pictures(4)) * encoder.encode_images(pictures(4))).sum(1)
    assert lower.fingerprint != encoder.fingerprint
    assert (similarity > 0.99).all()
    assert (similarity < 1).any()


def test_fingerprint_follows_weights_and_not_their_place(tmp_path: Path) -> None:
    def described(name: str, seed: int) -> dict:
        settings = EncoderSettings(pretrained=open_clip_folder(tmp_path / name, seed=seed))
        return embed.describe(settings, RUNTIME)

    assert described("here", 0) == described("there", 0)
    assert described("here", 0) != described("other", 1)


@pytest.mark.parametrize(
    "change", [{"threads": 1}, {"batch_size": 8}, {"precision": "bfloat16"}], ids=str
)
def test_fingerprint_follows_the_runtime(change: dict) -> None:
    settings = EncoderSettings(architecture="ViT-B-32", pretrained="openai")
    changed = RUNTIME.model_copy(update=change)
    assert embed.describe(settings, RUNTIME) != embed.describe(settings, changed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "ViT-B-32"}, "encoder.pretrained is empty"),
        ({"architecture": "photos", "pretrained": "openai"}, "encoder.architecture"),
    ],
)
def test_settings_without_weights_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        embed.load(EncoderSettings(**settings), RUNTIME)


@pytest.mark.parametrize(
    "settings",
    [
        {"pretrained": "local-dir:/nowhere"},
        {"architecture": "ViT-B-32", "pretrained": "no-such-tag"},
        {"architecture": "no-such-model", "pretrained": "openai"},
    ],
    ids=str,
)
def test_missing_weights_are_named(settings: dict) -> None:
    with pytest.raises(WeightsError, match=r"nowhere|no-such"):
        embed.load(EncoderSettings(**settings), RUNTIME)


def test_describing_imports_no_torch() -> None:
    code = (
        "import sys; from repic.models import detectors as detect, encoder as embed\n"
        "from repic.config import DetectorSettings, EncoderSettings, RuntimeSettings\n"
        "embed.describe(EncoderSettings(), RuntimeSettings())\n"
        "detect.describe(DetectorSettings(), RuntimeSettings())\n"
        "heavy = {'torch', 'open_clip', 'timm', 'ultralytics', 'transformers', 'cv2'}\n"
        "sys.exit(str(heavy & sys.modules.keys() or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
