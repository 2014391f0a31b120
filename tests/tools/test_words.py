"""Training phrases of the encoder, and its tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from repic.sample.identities import CATEGORIES, IDENTITIES, Identity
from tools.sample_models import clip_tokenizer
from tools.sample_models.crops import HIDDEN, attributes_of

MUG = Identity("mug", "red", "stripes", "white", "bow")


def test_a_phrase_is_true_of_its_object_and_of_those_that_share_what_it_states() -> None:
    rng = np.random.default_rng(0)
    others = np.array([attributes_of(one, True) for one in IDENTITIES])
    for _ in range(50):
        phrase, stated = clip_tokenizer.random_phrase(MUG, True, rng)
        assert clip_tokenizer.phrase_matches(
            np.array([attributes_of(MUG, True)]), np.array([stated])
        ).all()
        true = clip_tokenizer.phrase_matches(others, np.array([stated]))[:, 0]
        for one in [IDENTITIES[i] for i in np.flatnonzero(true)[:20]]:
            assert one.category == "mug"
            assert ("red" in phrase) <= (one.colour == "red")
            assert ("stripes" in phrase) <= (one.pattern == "stripes")
            assert ("bow" in phrase) <= (one.accessory == "bow")


def test_a_hidden_accessory_is_never_stated_and_fits_no_phrase_that_states_it() -> None:
    rng = np.random.default_rng(0)
    assert all("bow" not in clip_tokenizer.random_phrase(MUG, False, rng)[0] for _ in range(50))
    hidden = np.array([attributes_of(MUG, False)])
    assert hidden[0, -1] == HIDDEN
    assert not clip_tokenizer.phrase_matches(hidden, np.array([attributes_of(MUG, True)])).any()


def test_phrases_are_read_word_by_word_and_end_with_the_highest_token() -> None:
    tokenize = clip_tokenizer.tokenizer()
    tokens = tokenize([f"a photo of {MUG.phrase}", "a mug"])
    assert tokens.shape == (2, clip_tokenizer.LENGTH)
    assert tokens.max() == len(clip_tokenizer.VOCABULARY) - 1
    spelled = [clip_tokenizer.VOCABULARY[i] for i in tokens[1].tolist() if i]
    assert spelled == ["<start>", "a", "mug", "<end>"]
    longest = max((one.phrase for one in IDENTITIES), key=lambda phrase: len(phrase.split()))
    assert int((tokenize([f"a photo of a {longest}"]) > 0).sum()) < clip_tokenizer.LENGTH


@pytest.mark.parametrize("text", ["Teapot!", "zebra 7", "", "long " * 40, "猫"])
def test_any_text_can_be_read(text: str) -> None:
    tokens = clip_tokenizer.tokenizer()([text])
    assert tokens.shape == (1, clip_tokenizer.LENGTH)
    assert tokens.max() == len(clip_tokenizer.VOCABULARY) - 1


def test_files_of_the_tokenizer_name_no_place(tmp_path: Path) -> None:
    clip_tokenizer.write_tokenizer(tmp_path)
    for file in tmp_path.iterdir():
        assert str(tmp_path) not in file.read_text(encoding="utf-8")


def test_vocabulary_has_no_word_twice_and_every_category() -> None:
    assert len(set(clip_tokenizer.VOCABULARY)) == len(clip_tokenizer.VOCABULARY)
    assert set(CATEGORIES) <= set(clip_tokenizer.VOCABULARY)
