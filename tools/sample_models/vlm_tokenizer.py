"""Tokenizer of the small vision-language model: each word of the sample data is one token.

Byte-level BPE, so any text can be encoded. Its merges are learned from the sentences of the
objectives, the phrases of the generated world and the names of `NameSettings.locales`, until each
of their words is one token. So is a number of up to three digits: a box is four tokens and
punctuation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from repic.config import NameSettings
from repic.objectives import ict, names, oct, vlt
from repic.sample import caption_templates
from repic.sample.backgrounds import HARD_PLACES, PLACES
from repic.sample.identities import (
    ACCESSORIES,
    CATEGORIES,
    COLOURS,
    HARD_CATEGORIES,
    PATTERNS,
    PLAIN,
    SECOND_COLOURS,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END, START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
IMAGE = "<|image_pad|>"
SPECIAL = (
    END,
    START,
    TURN_END,
    "<|vision_start|>",
    "<|vision_end|>",
    IMAGE,
    "<|video_pad|>",
)
NUMBERS = 1000
"""The numbers below this are single tokens."""
_PIECES = (
    r" ?bbox_2d"
    r"|\p{N}{1,3}"
    r"|[^\s\p{L}\p{N}]+ (?=\p{N})"  # ", " between two numbers
    r"| ?\p{L}+"
    r"| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)
_BOX = '{{"bbox_2d": [{0}, {0}, {0}, {0}]}}'


def tokenizer(chat_template: str) -> PreTrainedTokenizerFast:
    """Train the tokenizer, in about a second; the result depends only on `texts`."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=20_000,
        min_frequency=0,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=TURN_END,
        pad_token=END,
        additional_special_tokens=[s for s in SPECIAL if s not in (END, TURN_END)],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=chat_template,
    )


def texts() -> Iterator[str]:
    """Sentences and words whose words become single tokens."""
    yield from ("system\nYou are a helpful assistant.", "user\n", "assistant\n")
    name, phrase = "<>", "the red mug"
    yield oct.INTRODUCTION.format(name=name)
    yield oct.INSTRUCTION
    yield from ("yes", "no", "none", "<", ">", " <", "Name: <>, Info: A. An.")
    yield from (t.text.format(name=name) for t in oct.TEMPLATES)
    yield from (vlt.question(t, phrase) for t in vlt.TEMPLATES)
    yield from (t.text.replace("{box}", _BOX.format(1)) for t in ict.TEMPLATES)
    for sentence in (*ict.USE_NAME, *ict.NO_COPY):
        yield f" {sentence}"
    yield from (
        shape.format(things=" <>", place="", Place="") for shape in caption_templates.SHAPES
    )
    yield " <> is to the left of a an"
    for place in (*PLACES.values(), *HARD_PLACES.values()):
        yield f" {place}"
        yield place[0].upper() + place[1:]
    attribute_words = (
        *CATEGORIES,
        *HARD_CATEGORIES,
        *COLOURS,
        *SECOND_COLOURS,
        *PATTERNS,
        *ACCESSORIES,
    )
    for word in (*attribute_words, PLAIN):
        yield f" {word} {word}, {word}."
        yield word.capitalize()
    yield " with and the left right upper lower leftmost rightmost uppermost lowermost (a plain)"
    yield from ("The", "A", "An", " it", "<>. <>, <>? <>) <>")
    yield from (str(number) for number in range(NUMBERS))
    yield from (name for locale in NameSettings().locales for name in names.first_names(locale))
