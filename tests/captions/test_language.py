"""Which texts are captions in English prose."""

from __future__ import annotations

import random
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.captions import language
from repic.captions.language import VAGUE, language_score
from repic.captions.mentions import read_caption
from tests.shared_data import shared_folder

PROSE = (
    "<Ann> stands on a sunny rock.",
    "Ann hugs Bob.",
    "<Ann> and <Bob> cuddle together on day 19.",
    "A brown dog, Ann, sleeps on the old sofa while Bob watches the rain through a window.",
    "**Subject:** <Ann>, a toy robot with a black visor.\n**Ground:** dark pavement, chalk lines.",
    "A beige IKEA cushion next to <Ann>; the sign above reads ZUGSPITZBAHN.",
    "The kids' cozy, colorful pajamas hang on a line behind <Ann>.",
)
NO_PROSE = (
    "<Ann> qwe rty uio asd fgh jkl zxc vbn",
    "<Ann> baba bababate babadra babadrari babagli babako",
    "<Ann> a b c d e f g h i j k l",
    "<Ann> sofa. old the on sleeps dog brown a, rain the watches Bob while window a through",
    "<Ann> this really dog so sleeps very on really the so old very sofa really in so rain very",
    "<Ann> dog, sofa, window, rain, grass, tree, table, chair, lamp, carpet",
    "<Ann> sleeps on the sofa. " + "!" * 900,
    "<Ann> sleeps on the sofa. " + "|--- " * 200,
    "<Ann> sleeps on the sofa. " + "a" * 900,
)
VAGUE_TALK = (
    "<Ann>",
    "This is <Ann>.",
    "Photo by <Ann>.",
    "I cannot help with that, <Ann>.",
    "I'm sorry, but as a language model I cannot look at pictures, <Ann>.",
    "<Ann> can be seen clearly in this beautiful image, which has a warm and inviting mood.",
)
OTHER_LANGUAGES = (
    "Une photo de <Ann> qui dort sur le canapé avec un chat noir.",
    "<Ann> liegt auf dem Sofa und schläft neben einer Katze.",
    "<Ann> dorme sul divano con una gatta e un cane nel sole.",
    "<Ann>은 소파에서 자고 있다",
    "<Ann> κοιμάται στον καναπέ δίπλα στη γάτα",
)


def read(text: str) -> float | None:
    reading = read_caption(text, ["Ann", "Bob"])
    return language_score(reading.tokens, len(text), reading.words)


@pytest.mark.parametrize("text", PROSE)
def test_prose_scores_1(text: str) -> None:
    assert read(text) == 1


@pytest.mark.parametrize("text", NO_PROSE)
def test_nonsense_lists_and_padding_score_little(text: str) -> None:
    assert (read(text) or 0) <= 0.2


@pytest.mark.parametrize("text", VAGUE_TALK)
def test_what_is_true_of_every_photo_is_vague(text: str) -> None:
    assert read(text) == pytest.approx(VAGUE)


@pytest.mark.parametrize("text", OTHER_LANGUAGES)
def test_other_languages_are_not_checked(text: str) -> None:
    assert read(text) is None


@given(st.text(max_size=400))
def test_any_text_has_a_score_or_none(text: str) -> None:
    score = read(text)
    assert score is None or 0 <= score <= 1


def test_counts_of_pairs_are_those_of_the_file() -> None:
    text = (resources.files("symspellpy") / language._PAIR_COUNTS).read_text("utf-8-sig")
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines())
    assert min(map(int, counts.values())) == language.LEAST_PAIRS
    pairs = language._English(resources.files("symspellpy"))._pairs
    for pair in [*counts][::997]:
        assert pairs._count(f"{pair} ") == int(counts[pair])
    assert [pairs._count(start) for start in ("zebra qwe ", "zzz zzz ", "of th ")] == [0] * 3


def test_nonsense_with_a_few_foreign_words_is_checked() -> None:
    assert read("<Ann> qwe rty la uio asd fgh jkl zxc vbn mnb poi lkj") == 0


@pytest.mark.skipif(
    shared_folder("repic_captions") is None, reason="needs shared/data/repic_captions"
)
def test_captions_of_real_models_are_prose_and_shuffled_ones_are_not() -> None:
    from benchmarks.real_rewards import released_rows

    folder = shared_folder("repic_captions")
    assert folder is not None
    rng, prose, shuffled = random.Random(0), [], []
    for _, row, caption in released_rows(folder):
        text = caption.replace("</s>", "")
        names = [reference["name"] for reference in row["references"]]
        reading = read_caption(text, names)
        prose.append(language_score(reading.tokens, len(text), reading.words))
        if len(reading.tokens) >= 12:
            mixed = [token for token in reading.tokens if token[-1].isalnum()]
            rng.shuffle(mixed)
            shuffled.append(language_score(mixed, len(text), reading.words))
    assert sum(score == 1 for score in prose) >= 0.97 * len(prose)
    assert sum(score is not None and score <= 0.5 for score in shuffled) >= 0.8 * len(shuffled)
