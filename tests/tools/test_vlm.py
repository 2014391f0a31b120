"""Training of the small vision-language model, compared with the classes of transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from repic.config import NameSettings, SplitSettings
from repic.images.model_families import qwen25_vl
from repic.mining.splits import split_of
from repic.objectives import names, objective_of
from repic.objectives.base import prompt_of
from repic.objectives.registry import OWN
from repic.sample.identities import RESERVED
from tools.sample_models import (
    train_vlm,
    training_data,
    vlm_holdout,
    vlm_language,
    vlm_model,
    vlm_photos,
    vlm_rows,
    vlm_tokenizer,
    vlm_vision,
)
from tools.sample_models.vlm_encoding import RowEncoder, VisionFeatures


@pytest.fixture(scope="module")
def processor():
    return vlm_model.processor()


@pytest.fixture(scope="module")
def photo_set(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vlm_photos, "PHOTOS", 48)
        patch.setattr(vlm_photos, "CAST", 12)
        yield vlm_photos.training_sets(tmp_path_factory.mktemp("photos"), 1)[0]


@pytest.fixture(scope="module")
def truth(photo_set):
    return vlm_vision.VisionLabels([photo_set])


def model_of(processor):
    return vlm_model.untrained(processor.tokenizer).eval()


def test_whom_it_learns_from_is_in_no_other_pool():
    trained = {i.name for i in vlm_photos.TRAINED}
    assert len(trained) > 2000
    assert not trained & {i.name for i in (*training_data.TUNING, *RESERVED, *vlm_photos.TUNED)}
    assert {split_of(name, SplitSettings()) for name in trained} == {"train"}


def test_tokenizer_writes_every_sentence_and_each_name_as_one_token(processor):
    tokenizer = processor.tokenizer
    sentences = [t.text for name in OWN for t in objective_of(name).templates]
    known = [name for locale in NameSettings().locales for name in names.first_names(locale)]
    for text in (*sentences, *known, *vlm_tokenizer.texts(), "Zoé-Łukasz 🦆\n\t1234"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert all(len(tokenizer(name)["input_ids"]) == 1 for name in known)
    assert len(tokenizer('{"bbox_2d": [0, 12, 168, 99]}')["input_ids"]) == 12


def test_checkpoint_is_read_by_the_auto_classes(processor, tmp_path):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = model_of(processor)
    vlm_model.save(model, processor, tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    read = AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is type(model)
    assert again.dtype == torch.float32
    assert type(read) is type(processor)
    assert read.tokenizer.padding_side == "left"
    assert read.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert (read.image_processor.size.shortest_edge, read.image_processor.size.longest_edge) == (
        vlm_model.MIN_PIXELS,
        vlm_model.MAX_PIXELS,
    )
    assert again.generation_config.eos_token_id == read.tokenizer.eos_token_id


@pytest.mark.parametrize("size", [(168, 168), (84, 56)])
def test_the_fast_tower_says_what_the_model_says(processor, size):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, size[1], size[0], 3), np.uint8)
    model = model_of(processor)
    real = processor.image_processor([Image.fromarray(p) for p in pixels], return_tensors="pt")
    with torch.no_grad():
        wanted = model.model.visual(real["pixel_values"], grid_thw=real["image_grid_thw"])
        _, tokens = vlm_model.features(
            model.model.visual,
            vlm_model.patches(torch.from_numpy(pixels)),
            size[1] // 28,
            size[0] // 28,
        )
    assert torch.allclose(wanted.pooler_output.view_as(tokens), tokens, atol=1e-5)


def test_lines_are_what_processor_and_model_make_of_a_row(processor, photo_set, truth):
    model = model_of(processor)
    features = VisionFeatures(model.model.visual, truth, jitter=False)
    convention = qwen25_vl(processor.image_processor)
    encoder = RowEncoder(processor.tokenizer, convention)
    rows = vlm_rows.rows(photo_set, 0, vlm_rows.TRAINING)
    assert {row["kind"] for row in rows} >= {"positive", "negative", "expression", "which", "mixed"}
    for kind in sorted({row["kind"] for row in rows}):
        row = next(row for row in rows if row["kind"] == kind)
        encoded = encoder.encode(row, features, [photo_set])
        chat = [{"role": "user", "content": prompt_of(row, convention)}]
        text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        batch = processor(
            text=[text], images=vlm_holdout.pictures(row, [photo_set]), return_tensors="pt"
        )
        assert encoded.ids[: encoded.answer].tolist() == batch["input_ids"][0].tolist()
        positions, _ = model.model.get_rope_index(
            batch["input_ids"], batch["mm_token_type_ids"], batch["image_grid_thw"]
        )
        assert (positions[:, 0].numpy() == encoded.positions[:, : encoded.answer]).all()
        assert encoded.ids[-1] == processor.tokenizer.eos_token_id


def test_fast_language_says_what_the_model_says(processor):
    language = model_of(processor).model.language_model
    embedded = torch.randn(2, 24, vlm_model.WIDTH)
    positions = torch.randint(0, 24, (3, 2, 24))
    with torch.no_grad():
        wanted = language(inputs_embeds=embedded, position_ids=positions, use_cache=False)
        _, _, last, *_ = vlm_language.states(language, embedded, positions)
    assert torch.allclose(wanted.last_hidden_state, last, atol=1e-5)


@pytest.mark.parametrize("steps", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_the_tower_learns_and_goes_on_where_it_was_stopped(
    processor, truth, tmp_path, monkeypatch, steps
):
    monkeypatch.setattr(vlm_vision, "PHOTOS", 4)
    monkeypatch.setattr(vlm_vision, "CROP_GRIDS", ((2, 2),))
    uninterrupted = vlm_vision.VisionTraining(model_of(processor), 30, compiled=False)
    reports = [uninterrupted.train_step(truth) for _ in range(steps)]
    if steps == 30:
        token = [report["token"] for report in reports]
        assert np.mean(token[-4:]) < np.mean(token[:4])
    first = vlm_vision.VisionTraining(model_of(processor), 30, compiled=False)
    for _ in range(2):
        first.train_step(truth)
    vlm_vision.save_state(first.state(), tmp_path / "state.pt")
    second = vlm_vision.VisionTraining(model_of(processor), 30, compiled=False)
    second.load(torch.load(tmp_path / "state.pt", weights_only=True))
    assert second.train_step(truth) == pytest.approx(reports[2], rel=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_language_learns_and_goes_on_where_it_was_stopped(
    processor, photo_set, truth, tmp_path, monkeypatch
):
    monkeypatch.setattr(vlm_language, "BATCH", {"oct": 2, "vlt": 2, "ict": 2, "which": 2})
    monkeypatch.setattr(vlm_language, "RATES", ((0, 0.5), (1000, 0.5)))
    monkeypatch.setattr(vlm_language, "LATE", 2)
    monkeypatch.setattr(vlm_language, "FROM", dict.fromkeys(vlm_language.FROM, 2))
    monkeypatch.setattr(vlm_language, "LATE_BATCH", vlm_language.BATCH)
    model = model_of(processor)
    features, _ = train_vlm.vision_features(model, truth, truth)
    assert features.features.square().mean().sqrt() == pytest.approx(0.5, rel=1e-3)
    encoder = RowEncoder(processor.tokenizer, qwen25_vl(processor.image_processor))
    rows_by_kind = train_vlm.encoded_rows(
        vlm_rows.rows(photo_set, 0, vlm_rows.TRAINING), encoder, features, [photo_set]
    )
    few = {kind: rows[:3] for kind, rows in rows_by_kind.items()}
    opening = [encoder.ids(tag)[0] for tag in ("<", " <")]
    names_somebody = [r for r in rows_by_kind["ict"] if np.isin(r.ids[r.answer :], opening).any()]
    few["ict"] = names_somebody[:3]
    uninterrupted = vlm_language.LanguageTraining(
        model_of(processor), encoder, 1000, compiled=False
    )
    reports = [uninterrupted.train_step(few, features) for _ in range(30)]
    for kind in few:
        assert reports[-1][f"{kind} answer"] < 0.7 * reports[0][f"{kind} answer"]
    first = vlm_language.LanguageTraining(model_of(processor), encoder, 1000, compiled=False)
    for _ in range(3):
        first.train_step(few, features)
    vlm_vision.save_state(first.state(), tmp_path / "state.pt")
    second = vlm_language.LanguageTraining(model_of(processor), encoder, 1000, compiled=False)
    second.load(torch.load(tmp_path / "state.pt", weights_only=True))
    assert second.train_step(few, features) == pytest.approx(reports[3], rel=1e-3)
    scores = vlm_language.quick_scores(uninterrupted, few, features)
    assert set(scores) == {"oct", "vlt", "ict", "which"}
    assert all(0 <= mark <= 1 for mark in scores.values())


def test_a_stopped_album_is_photographed_again(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(vlm_photos, "PHOTOS", 3)
    monkeypatch.setattr(vlm_photos, "CAST", 6)
    [once] = vlm_photos.training_sets(tmp_path, 1)
    (tmp_path / "000.json").unlink()
    [again] = vlm_photos.training_sets(tmp_path, 1)
    assert (once.pixels == again.pixels).all()
    assert once.photos == again.photos
    assert (once.owners.max((1, 2)) >= 0).all()
