"""Which weights are trained, and how they are kept: adapters, all weights, 4 bits, attention."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from repic import config
from repic.errors import ConfigError
from repic.images.identity import image_id_of
from repic.models.vlm import captioners, checkpoints, load
from repic.objectives.rows import examples_of, read
from repic.training.checks import preflight
from repic.training.run import train
from storage import integrity
from storage.store import Store
from tests.builds import Built
from tests.random_vlms import qwen2_5_vl_folder, smolvlm_folder
from tests.training.runs import small

Main = Callable[..., tuple[int, str, str]]
RATE = ("trainer.learning_rate=0.02", "trainer.max_steps=2")


def of_base(folder: str) -> dict[str, torch.Tensor]:
    return dict(load.load(load.reader(folder)).named_parameters())


@pytest.fixture(scope="module")
def fully(built: Built, tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a checkpoint of which all weights of the language model were trained."""
    store = built.copy(tmp_path_factory.mktemp("fully") / "store")
    assert train(small(tiny, "train.tune=full", *RATE), store) is not None
    return store


def test_full_tuning_changes_the_language_model_only(fully: Store, tiny: str) -> None:
    before = of_base(tiny)
    after = dict(checkpoints.open_checkpoint(fully, "checkpoint@v1").model.named_parameters())
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("language_model" in name or "lm_head" in name for name in changed)
    assert {name for name in before if "visual" in name}.isdisjoint(changed)
    assert integrity.verify(fully) == []


def test_a_fully_trained_model_is_exported_and_captions(
    fully: Store, repic_main: Main, tmp_path: Path
) -> None:
    where = ("--store", fully.location)
    code, out, err = repic_main("export", "checkpoint@v1", str(tmp_path / "all"), *where)
    assert code == 0, err
    assert "as a complete model" in out
    folder = tmp_path / "model"
    code, out, err = repic_main("export", "checkpoint@v1", str(folder), "--merged", *where)
    assert code == 0, err
    weights = dict(checkpoints.open_checkpoint(fully, "checkpoint@v1").model.named_parameters())
    assert all(torch.equal(weights[name], weight) for name, weight in of_base(str(folder)).items())
    rows = read(fully, examples_of(fully, "examples@latest"), "train").to_pylist()[:2]
    settings = config.EvaluateSettings(max_new_tokens=8)
    captions = [
        captioners.load(model, settings, fully).captions(rows)
        for model in ("checkpoint@v1", str(folder))
    ]
    assert captions[0] == captions[1]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grpo", "sft"])
def test_an_adapter_is_trained_on_a_language_model_in_4_bits(
    built: Built, tmp_path: Path, method: str
) -> None:
    model = qwen2_5_vl_folder(tmp_path / "vlm", width=64)
    store = built.copy(tmp_path / "store")
    outcome = train(small(model, "train.quantize=4bit", *RATE, method=method), store)
    assert outcome is not None
    opened = checkpoints.open_checkpoint(store, "checkpoint@v1")
    small_layers = {
        name for name, layer in opened.model.named_modules() if "4bit" in type(layer).__name__
    }
    assert small_layers
    assert all("language_model" in name for name in small_layers)
    if method == "sft":  # the reward of random weights may be the same for all answers
        gains = [w for name, w in opened.model.named_parameters() if ".lora_B." in name]
        assert all(bool(gain.any()) for gain in gains), "every layer has learned"
    merged = checkpoints.open_checkpoint(store, "checkpoint@v1", to_merge=True)
    assert not any("4bit" in type(layer).__name__ for layer in merged.model.modules())


def test_4_bits_are_refused_where_they_cannot_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="4 bits cannot hold"):
        config.load("photos", ["train.tune=full", "train.quantize=4bit"])
    monkeypatch.setattr(load, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'repic\[qlora\]'"):
        load.LoadOptions(four_bit=True).check()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_is_that_of_the_settings(tiny: str, attention: Any) -> None:
    model = load.load(load.reader(tiny), load.LoadOptions(attention=attention))
    assert model.config.text_config._attn_implementation == attention


def test_flash_attention_is_refused_before_any_slow_step(
    built: Built, tiny: str, tmp_path: Path
) -> None:
    if torch.cuda.is_available() and importlib.util.find_spec("flash_attn"):
        pytest.skip("needs a machine without flash-attn")
    store = built.copy(tmp_path / "store")
    with pytest.raises(ConfigError, match=r"train\.attention=flash needs a GPU"):
        train(small(tiny, "train.attention=flash"), store)


def photo_row(folder: Path, width: int, height: int) -> dict[str, Any]:
    """An OCT row with one large photo."""
    path = folder / "large.jpg"
    Image.new("RGB", (width, height), (90, 140, 200)).save(path, quality=20)
    picture = {
        "role": "query",
        "image_id": image_id_of(hashlib.sha256(path.read_bytes()).hexdigest(), None),
        "uri": path.as_uri(),
        "width": width,
        "height": height,
        "crop": [0.0, 0.0, float(width), float(height)],
    }
    text = {"type": "text", "text": "Is it a dog? Answer yes or no."}
    return {
        "example_id": "large",
        "objective": "oct",
        "kind": "positive",
        "box": None,
        "prompt": [{"type": "image", "text": ""}, text],
        "images": [picture],
        "answer": "yes",
        "references": [],
        "caption": None,
        "scene": [],
        "distinctive_words": [],
        "distractor_words": [],
    }


def test_a_photo_of_12_megapixels_fits_with_max_pixels(tiny: str, tmp_path: Path) -> None:
    row = photo_row(tmp_path, 4000, 3000)
    wide = load.reader(tiny, pixels=load.PixelLimits(max_pixels=16_000_000))
    [problem] = preflight.examine([row], wide, max_prompt_tokens=4096)
    assert problem.check == "budget"
    assert "lower train.max_pixels" in str(problem)
    tokens = int(problem.message.split()[3])
    assert 15_000 < tokens < 15_800
    narrow = load.reader(tiny, pixels=load.PixelLimits(max_pixels=1_003_520))
    assert preflight.examine([row], narrow, max_prompt_tokens=4096) == []


def test_limits_of_pixels_are_those_of_boxes_and_of_the_checkpoint(
    built: Built, tiny: str, tmp_path: Path
) -> None:
    store = built.copy(tmp_path / "store")
    assert train(small(tiny, "train.max_pixels=6272", "train.min_pixels=784", *RATE), store)
    reader = checkpoints.open_checkpoint(store, "checkpoint@v1").reader
    assert dict(reader.processor.image_processor.size) == {
        "shortest_edge": 784,
        "longest_edge": 6272,
    }
    across, down = reader.convention.grid(4000, 3000)
    assert across * down <= 6272


def test_limits_that_mean_nothing_are_refused(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="min_pixels=9000 is more than max_pixels=8000"):
        load.reader(tiny, pixels=load.PixelLimits(9000, 8000))
    other = smolvlm_folder(tmp_path / "smol")
    with pytest.raises(ConfigError, match="are for Qwen-VL models"):
        load.reader(other, "normalised", pixels=load.PixelLimits(min_pixels=784))
