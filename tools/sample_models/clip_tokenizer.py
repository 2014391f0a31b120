"""Tokenizer of the encoder, and the phrases that it is trained on.

A vocabulary of only the words of the generated world keeps the model small. Other words are
split into letters, which the text tower is not trained on.
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
"""Maximum tokens of a text; longer texts are truncated."""
_PAD, _UNKNOWN, _START, _END = "<pad>", "<unknown>", "<start>", "<end>"
_PLAIN_WORDS = ("a", "an", "and", "of", "photo", "the", "with")
_PUNCTUATION = ".,:;!?'-"
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
            *_PUNCTUATION,
            *string.ascii_lowercase,
            *string.digits,
        )
    ),
    *(f"##{c}" for c in string.ascii_lowercase + string.digits),
    _END,  # OpenCLIP pools the text at its highest token id
)
TEMPLATES = ("{a}", "a photo of {a}", "the {bare}")
_STATED_SHARE = 0.7
"""Probability that a phrase states colour, pattern and accessory, each."""


def random_phrase(
    identity: Identity, shows_accessory: bool, rng: np.random.Generator
) -> tuple[str, tuple[int, int, int, int]]:
    """A random true phrase, and its attributes as in `attributes_of`, `ANY` if not stated."""
    from tools.sample_models.crops import attributes_of

    complete = rng.random() < 0.5
    colour, pattern, accessory = (bool(complete or rng.random() < _STATED_SHARE) for _ in range(3))
    accessory = accessory and shows_accessory and identity.accessory is not None
    bare = identity.describe(colour=colour, pattern=pattern, accessory=accessory)
    phrase = TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(a=with_article(bare), bare=bare)
    indexes = attributes_of(identity, shows_accessory)
    mentioned = (True, colour, pattern, accessory)
    stated = tuple(
        index if is_stated else ANY for index, is_stated in zip(indexes, mentioned, strict=True)
    )
    return phrase, (stated[0], stated[1], stated[2], stated[3])


ANY = -2
"""Label of an attribute that a phrase does not state."""


def phrase_matches(attributes: np.ndarray, stated: np.ndarray) -> np.ndarray:
    """Whether crop i matches phrase j: bool (crops, phrases) from (n, 4) and (m, 4)."""
    return ((attributes[:, None] == stated[None]) | (stated[None] == ANY)).all(2)


def write_tokenizer(folder: Path) -> None:
    """Write the files of the tokenizer, in the layout of transformers."""
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
    """The tokenizer, loaded by OpenCLIP from a model folder."""
    import tempfile

    from open_clip.tokenizer import HFTokenizer

    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        loaded: Any = HFTokenizer(folder, context_length=LENGTH)
    return loaded
