"""The shipped vision-language models: complete, small, and accurate on the generated world."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from repic.errors import WeightsError
from repic.images.model_families import convention_for
from repic.models import shipped
from repic.rewards.scoring import score
from tools.sample_models import vlm_holdout, vlm_model, vlm_photos, vlm_rows

MAX_BYTES = 15_000_000
NAMES = tuple(shipped.VLMS)


@pytest.fixture(scope="module", params=NAMES)
def checkpoint(request):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    os.environ["HF_HUB_OFFLINE"] = "1"
    folder = shipped.vlm_folder(request.param)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    return model, AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small_and_name_no_place_of_any_machine(name: str) -> None:
    files = list(shipped.vlm_folder(name).iterdir())
    assert sum(file.stat().st_size for file in files) <= MAX_BYTES
    for folder in {Path.home(), Path.cwd(), Path(tempfile.gettempdir())} - {Path("/")}:
        assert all(f"{folder}/".encode() not in file.read_bytes() for file in files), folder


def test_a_name_that_is_none_says_which_there_are(tmp_path, monkeypatch) -> None:
    with pytest.raises(WeightsError, match="one of: sample-base, sample-full"):
        shipped.vlm_folder("sample")
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path)
    with pytest.raises(WeightsError, match=r"tools\.sample_models\.train vlm-base"):
        shipped.vlm_folder("sample-base")


def test_they_are_what_the_builder_builds(checkpoint) -> None:
    model, processor = checkpoint
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert type(processor).__name__ == "Qwen2_5_VLProcessor"
    assert type(processor.image_processor).__name__ == "Qwen2VLImageProcessor"
    built = vlm_model.processor()
    assert processor.tokenizer.get_vocab() == built.tokenizer.get_vocab()
    assert processor.chat_template == built.chat_template
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in vlm_model.untrained(built.tokenizer).state_dict().items()
    }


def test_a_row_of_each_objective_gets_a_valid_answer(checkpoint, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(vlm_photos, "PHOTOS", 32)
    monkeypatch.setattr(vlm_photos, "CAST", 8)
    album = vlm_photos.tuning_photos(tmp_path)
    rows = {}
    for row in vlm_rows.rows(album, 0, vlm_rows.HOLDOUT, "validation"):
        rows.setdefault((row["objective"], row["kind"] == "which"), row)
    assert len(rows) == 4
    for answer in vlm_holdout.answers(*checkpoint, list(rows.values()), [album], temperature=0):
        assert vlm_holdout.is_valid(answer), answer


@pytest.mark.slow
def test_the_full_one_passes_a_short_exam(tmp_path) -> None:
    """`benchmarks/sample_vlm.py` is the full evaluation."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = shipped.vlm_folder("sample-full")
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    album = vlm_photos.tuning_photos(tmp_path)
    rows = vlm_holdout.holdout_rows([album], 32, "validation")
    marks = vlm_holdout.mean_scores(list(vlm_holdout.answers(model, processor, rows, [album], 0)))
    assert marks["valid"][0] >= 0.95
    assert marks["oct"][0] >= 0.75
    assert marks["vlt"][0] >= 0.5
    assert marks["ict names"][0] >= 0.6


def test_a_picture_of_another_size_is_read_and_a_box_scored(checkpoint) -> None:
    model, processor = checkpoint
    convention = convention_for(model.config, processor.image_processor)
    picture = Image.new("RGB", (640, 480), (80, 120, 60))
    content = [{"type": "image"}, {"type": "text", "text": "Where is the red mug?"}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    batch = processor(text=[text], images=[picture], return_tensors="pt")
    assert batch["image_grid_thw"].tolist() == [[1, 10, 12]]
    with torch.inference_mode():
        tokens = model.generate(**batch, max_new_tokens=40, do_sample=False)
    completion = processor.decode(
        tokens[0, batch["input_ids"].shape[1] :], skip_special_tokens=True
    )
    row = {
        "objective": "vlt",
        "box": [10.0, 10.0, 200.0, 200.0],
        "images": [{"width": 640, "height": 480}],
    }
    assert score(completion, row, "strict", convention).total >= 0
