"""Training of `sample-base`: general answers, of which none is wrong by its own convention."""

import pytest
import torch

from repic.images.model_families import qwen25_vl
from repic.mining.splits import split_of
from tools.sample_models import train_base, train_vlm, vlm_model, vlm_photos
from tools.sample_models.vlm_encoding import RowEncoder, VisionFeatures
from tools.sample_models.vlm_rows import photo_of, rows
from tools.sample_models.vlm_vision import BY_NAME, VisionLabels


@pytest.fixture(scope="module")
def photo_set(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vlm_photos, "PHOTOS", 64)
        patch.setattr(vlm_photos, "CAST", 16)
        yield vlm_photos.training_sets(tmp_path_factory.mktemp("photos"), 1)[0]


@pytest.fixture(scope="module")
def taught(photo_set):
    return train_base.general_rows([photo_set])


def test_most_captions_describe_instead_of_naming(photo_set, taught):
    captions = [r for r in taught if r["objective"] == "ict" and r["kind"] in ("single", "multi")]
    named = [r for r in captions if r["caption"] and "<" in r["caption"]]
    assert 0.25 < len(named) / len(captions) < 0.55
    general = next(r for r in captions if r not in named)
    _, photo = photo_of(general["images"][-1]["image_id"])
    assert general["caption"] == photo_set.photos[photo]["caption"]


def test_no_question_is_about_a_look_alike(photo_set, taught):
    def identity(row):
        p, i = divmod(int(row["references"][0]["object_id"], 16), 1 << 16)
        return BY_NAME[photo_set.photos[photo_of(f"{p:x}")[1]]["objects"][i]["identity"]]

    negatives = [r for r in taught if r["objective"] == "oct" and r["answer"] == "no"]
    assert negatives
    for row in negatives:
        assert row["band"] == "easy"
        assert identity(row)


def test_boxes_are_loose_and_stay_in_the_photo(photo_set, taught):
    exact = {r["example_id"]: r["box"] for r in rows(photo_set, 0, train_base.GENERAL) if r["box"]}
    boxes = [(r["box"], exact[r["example_id"]]) for r in taught if r["objective"] == "vlt"]
    assert boxes
    for (x1, y1, x2, y2), (a1, b1, a2, b2) in boxes:
        assert 0 <= x1 <= a1 < a2 <= x2 <= 168
        assert 0 <= y1 <= b1 < b2 <= y2 <= 168
    assert train_base.loose([40.0, 40.0, 60.0, 80.0]) == [38.0, 36.0, 62.0, 84.0]


def test_it_learns_from_training_identities_alone(taught, photo_set):
    shown = {o["identity"] for photo in photo_set.photos for o in photo["objects"]}
    assert {split_of(name, vlm_photos.SplitSettings()) for name in shown} == {"train"}
    assert {row["split"] for row in taught} == {"train"}


@pytest.mark.slow
def test_steps_lower_the_loss_and_repeat(photo_set, taught, monkeypatch):
    monkeypatch.setattr(train_base, "STEPS", 12)
    monkeypatch.setattr(train_base, "BATCH", dict.fromkeys(train_base.BATCH, 2))
    processor = vlm_model.processor()

    def final_loss(steps):
        torch.manual_seed(0)
        model = vlm_model.untrained(processor.tokenizer)
        features = VisionFeatures(model.model.visual, VisionLabels([photo_set]))
        encoder = RowEncoder(processor.tokenizer, qwen25_vl(processor.image_processor))
        few = train_vlm.encoded_rows(taught, encoder, features, [photo_set])
        few = {kind: encoded[:3] for kind, encoded in few.items()}
        monkeypatch.setattr(train_base, "STEPS", steps)
        train_base.fit(model.model.language_model, few, features)
        batch = train_base.vlm_language.Batch(few["ict"], model.model.language_model.padding_idx)
        return float(
            train_base.answer_loss(model.model.language_model, batch, features, 1.0).detach()
        )

    trained = final_loss(12)
    assert trained < 0.95 * final_loss(0)
    assert final_loss(12) == trained
