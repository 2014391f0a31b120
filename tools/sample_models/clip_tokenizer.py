"""What the encoder reads: phrases about objects, and the few words that they are made of.

A vocabulary of the world's own words keeps the model small. Any other word is spelled: the text
tower has then letters to go by, which it never learned to read.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repic.sample.identities import (
    ACCESSORIES,
    CATEGORIES,
    COLOURS,
    PATTERNS,
    PLAIN,
    SECOND_COLOURS,
    Identity,
    with_article,
)

if TYPE_CHECKING:
    from open_clip.tokenizer import HFTokenizer

LENGTH = 20
"""Tokens of a text; the rest of a longer one is cut off."""
_PAD, _UNKNOWN, _START, _END = "<pad>", "<unknown>", "<start>", "<end>"
_PLAIN_WORDS = ("a", "an", "and", "of", "photo", "the", "with")
_MARKS = ".,:;!?'-"
VOCABULARY: tuple[str, ...] = (
    _PAD,
    _UNKNOWN,
    _START,
    *dict.fromkeys(
        (
            *_PLAIN_WORDS,
            PLAIN,
            *CATEGORIES,
            *COLOURS,
            *SECOND_COLOURS,
            *PATTERNS,
            *ACCESSORIES,
            *_MARKS,
            *string.ascii_lowercase,
            *string.digits,
        )
    ),
    *(f"##{c}" for c in string.ascii_lowercase + string.digits),
    _END,  # OpenCLIP takes a text's vector from its highest token
)
TEMPLATES = ("{a}", "a photo of {a}", "the {bare}")
_STATED_SHARE = 0.7
"""How often a phrase states its colour, pattern and accessory, each."""


def random_phrase(
    identity: Identity, shows_accessory: bool, rng: np.random.Generator
) -> tuple[str, tuple[int, int, int, int]]:
    """A true phrase about an object, and what it states: as `attributes_of`, ANY where nothing."""
    from tools.sample_models.crops import attributes_of

    whole = rng.random() < 0.5
    colour, pattern, accessory = (bool(whole or rng.random() < _STATED_SHARE) for _ in range(3))
    accessory = accessory and shows_accessory and identity.accessory is not None
    bare = identity.describe(colour=colour, pattern=pattern, accessory=accessory)
    phrase = TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(a=with_article(bare), bare=bare)
    places = attributes_of(identity, shows_accessory)
    said = (True, colour, pattern, accessory)
    stated = tuple(place if s else ANY for place, s in zip(places, said, strict=True))
    return phrase, (stated[0], stated[1], stated[2], stated[3])


ANY = -2
"""Of an attribute: nothing is said."""


def phrase_matches(attributes: np.ndarray, stated: np.ndarray) -> np.ndarray:
    """Whether crop i has all that phrase j states: bool (crops, phrases) from (n, 4) and (m, 4)."""
    return ((attributes[:, None] == stated[None]) | (stated[None] == ANY)).all(2)


def write_tokenizer(folder: Path) -> None:
    """The tokenizer's files, in the layout of transformers."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    codes = {word: i for i, word in enumerate(VOCABULARY)}
    core = Tokenizer(models.WordPiece(codes, unk_token=_UNKNOWN))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single=f"{_START} $A {_END}",
        special_tokens=[(_START, codes[_START]), (_END, codes[_END])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=_START,
        eos_token=_END,
        unk_token=_UNKNOWN,
        pad_token=_PAD,
        model_max_length=LENGTH,
    ).save_pretrained(folder)


def tokenizer() -> HFTokenizer:
    """The same tokenizer as OpenCLIP reads it from a model's folder."""
    import tempfile

    from open_clip.tokenizer import HFTokenizer

    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        made: Any = HFTokenizer(folder, context_length=LENGTH)
    return made
