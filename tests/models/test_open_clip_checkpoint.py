"""OpenCLIP weights are loaded as the model that they were trained as."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip import pretrained as registry
from open_clip.transformer import QuickGELU

from repic.config import EncoderSettings, RuntimeSettings
from repic.errors import ConfigError, WeightsError
from repic.models import encoder
from repic.models.open_clip_checkpoint import OpenClipCheckpoint, create, model_arguments
from tests.random_models import open_clip_folder, pictures

TAGS = open_clip.list_pretrained()


def _quick_gelu(arguments: dict) -> bool:
    config = open_clip.get_model_config(arguments["model_name"])
    return bool(arguments["force_quick_gelu"] or config.get("quick_gelu"))


@pytest.mark.parametrize(("architecture", "tag"), TAGS, ids=[f"{a}:{t}" for a, t in TAGS])
def test_every_tag_gets_what_it_declares(architecture: str, tag: str) -> None:
    declared = open_clip.get_pretrained_cfg(architecture, tag)
    arguments = model_arguments(OpenClipCheckpoint(architecture, tag))
    if "quick_gelu" in declared:
        assert _quick_gelu(arguments) == declared["quick_gelu"]
    for name in ("mean", "std", "interpolation", "resize_mode"):
        assert arguments[f"image_{name}"] == declared[name]


@pytest.mark.parametrize("architecture", ["ViT-B-32", "RN50", "ViT-L-14-336", "ViT-H-14"])
def test_quick_gelu_reaches_every_block(architecture: str) -> None:
    """The argument changes the network itself; built without memory for its weights."""
    with torch.device("meta"):
        plain = open_clip.create_model(architecture, device="meta")
        quick = open_clip.create_model(architecture, device="meta", force_quick_gelu=True)
    count = sum(isinstance(module, QuickGELU) for module in quick.modules())
    assert count == sum(isinstance(module, torch.nn.GELU) for module in plain.modules()) > 0
    assert not any(isinstance(module, torch.nn.GELU) for module in quick.modules())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An architecture `tiny` whose tags `quick` and `plain` are the same weights in a file."""
    folder = tmp_path_factory.mktemp("tiny")
    open_clip_folder(folder / "clip")
    config = json.loads((folder / "clip" / "open_clip_config.json").read_text())["model_cfg"]
    (folder / "tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny.json")
    file = folder / "clip" / "open_clip_model.safetensors"
    declared = registry._pcfg(file=str(file))
    registry._PRETRAINED["tiny"] = {
        "plain": declared,
        "quick": {**declared, "quick_gelu": True},
        "squashed": {**declared, "mean": (0.5, 0.5, 0.5), "resize_mode": "squash"},
    }
    registry._PRETRAINED["tiny-alike"] = {"one": declared, "two": copy.deepcopy(declared)}
    (folder / "tiny-alike.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny-alike.json")
    return file


def _vectors(architecture: str, pretrained: str) -> np.ndarray:
    settings = EncoderSettings(architecture=architecture, pretrained=pretrained)
    return encoder.load(settings, RuntimeSettings(device="cpu", batch_size=4)).encode_images(
        pictures(4)
    )


def test_equal_weights_of_two_tags_give_different_vectors(tiny: Path) -> None:
    plain, quick, squashed = (_vectors("tiny", tag) for tag in ("plain", "quick", "squashed"))
    assert np.abs(plain - quick).max() > 1e-5
    assert np.abs(plain - squashed).max() > 1e-3


@pytest.mark.parametrize("tag", ["plain", "quick", "squashed"])
def test_a_file_of_a_tag_is_loaded_as_that_tag(tiny: Path, tag: str) -> None:
    np.testing.assert_array_equal(_vectors("tiny", f"{tag}:{tiny}"), _vectors("tiny", tag))


def test_a_file_needs_its_tag_only_where_tags_differ(tiny: Path) -> None:
    np.testing.assert_array_equal(_vectors("tiny-alike", str(tiny)), _vectors("tiny", "plain"))
    with pytest.raises(ConfigError, match=r"TAG:.*plain, quick, squashed"):
        _vectors("tiny", str(tiny))


def test_a_mismatch_that_open_clip_warns_of_is_an_error(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mismatched(**arguments: object) -> object:
        return original(**{**arguments, "force_quick_gelu": False})

    original = open_clip.create_model_from_pretrained
    monkeypatch.setattr(open_clip, "create_model_from_pretrained", mismatched)
    with pytest.raises(WeightsError, match="QuickGELU mismatch"):
        create(OpenClipCheckpoint("tiny", "quick"))


def test_a_folder_without_preprocessing_is_refused(tmp_path: Path) -> None:
    name = open_clip_folder(tmp_path / "clip")
    path = tmp_path / "clip" / "open_clip_config.json"
    config = json.loads(path.read_text())
    for text in ("{", json.dumps({"model_cfg": config["model_cfg"]}), "[" * 200_000):
        path.write_text(text)
        with pytest.raises(WeightsError, match=r"open_clip_config\.json"):
            create(OpenClipCheckpoint.parse(name))


def test_texts_are_cut_to_the_context_of_their_model() -> None:
    for architecture, length in (("ViT-B-32", 77), ("MobileCLIP-B", 77)):
        assert open_clip.get_tokenizer(architecture)(["a dog"]).shape == (1, length)
    assert open_clip.get_model_config("ViT-B-16-SigLIP")["text_cfg"]["context_length"] == 64


@pytest.mark.parametrize("text", ["ViT-B-32", ":openai", "ViT-B-32:", ""])
def test_a_text_encoder_names_architecture_and_tag(text: str) -> None:
    with pytest.raises(ConfigError, match="ARCHITECTURE:TAG"):
        OpenClipCheckpoint.parse(text)


def test_the_forms_of_a_name(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.touch()
    parse = OpenClipCheckpoint.parse
    assert parse("ViT-B-32:openai") == OpenClipCheckpoint("ViT-B-32", "openai")
    assert parse(f"ViT-B-32:openai:{file}") == OpenClipCheckpoint("ViT-B-32", "openai", str(file))
    assert parse(f"ViT-B-32:{file}") == OpenClipCheckpoint("ViT-B-32", None, str(file))
    assert parse("hf-hub:org/name") == OpenClipCheckpoint("hf-hub:org/name", None)
