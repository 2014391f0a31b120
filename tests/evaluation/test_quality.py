"""Length, variety, copying, CLIPScore and the pairwise judge."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from repic import config
from repic.config import JudgeSettings
from repic.errors import CaptionError, ConfigError
from repic.evaluation.caption_quality import (
    judge_preference,
    mean_clip_score,
    self_bleu,
    text_quality,
)
from repic.evaluation.records import Record, reference_texts
from repic.models import encoder as embed
from tests.rewards.test_judge import Server, server  # noqa: F401

words = st.lists(st.sampled_from("abcde"), max_size=9)


def plain_bleu(words: list[str], others: list[list[str]]) -> float:
    """BLEU-4 of one caption by its definition (Papineni et al. 2002), with 0.1 for zero counts."""
    logs = 0.0
    for n in range(1, 5):
        grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        clipped = 0
        for gram, count in grams.items():
            most = max(
                sum(tuple(o[i : i + n]) == gram for i in range(len(o) - n + 1)) for o in others
            )
            clipped += min(count, most)
        logs += math.log(max(clipped, 0.1) / max(grams.total(), 1)) / 4
    closest = min((abs(len(o) - len(words)), len(o)) for o in others)[1]
    penalty = 1.0 if len(words) >= closest else math.exp(1 - closest / len(words))
    return penalty * math.exp(logs)


@given(st.lists(words, min_size=2, max_size=6))
def test_self_bleu_is_bleu_against_all_others(captions: list[list[str]]) -> None:
    scores = self_bleu(captions)
    for index, own in enumerate(captions):
        if own:
            others = captions[:index] + captions[index + 1 :]
            assert scores[index] == pytest.approx(plain_bleu(own, others))
        else:
            assert scores[index] is None


def test_quality_of_a_file() -> None:
    rows = [
        Record("a", ("<Ann>",), "a red mug on a wooden table", info="A red mug on a wooden shelf."),
        Record("b", ("<Ann>",), "a dog runs over the wide field today"),
    ]
    quality = text_quality(rows)
    assert quality["length"].value == 7.5
    assert quality["length"].low is not None
    assert (quality["copy_rate"].value, quality["copy_rate"].n) == (0.75, 4)
    assert quality["distinct_1"].value == pytest.approx(13 / 15)
    assert quality["distinct_2"].value == 1
    assert text_quality(rows[::-1]) == quality
    given_apart = text_quality([rows[1]], {"ann": "Over the wide field today, a dog."})
    assert given_apart["copy_rate"].value == pytest.approx(2 / 5)


def test_the_interval_of_distinct_words_is_that_of_the_jackknife() -> None:
    texts = ["a red mug", "a red car", "the dog runs", "a mug", "nobody", "a dog sits"]
    rows = [Record(str(n // 2), (), text) for n, text in enumerate(texts)]
    quality = text_quality(rows)["distinct_1"]

    def share(records: list[Record]) -> float:
        words = " ".join(record.caption for record in records).split()
        return len(set(words)) / len(words)

    assert (quality.value, quality.n) == (share(rows), 15)
    without = [share([row for row in rows if row.photo != photo]) for photo in "012"]
    mean = sum(without) / 3
    half = 1.96 * (2 / 3 * sum((one - mean) ** 2 for one in without)) ** 0.5
    assert quality.low == pytest.approx(share(rows) - half)
    assert quality.high == pytest.approx(min(1, share(rows) + half))
    assert text_quality(rows[:2])["distinct_1"].low is None


def test_captions_that_are_all_alike() -> None:
    rows = [Record(str(n), (), "one two three four five") for n in range(9)]
    quality = text_quality(rows)
    assert quality["self_bleu"].value == pytest.approx(1)
    assert quality["distinct_2"].value == pytest.approx(1 / 9)
    alone = text_quality(rows[:1])
    assert alone["self_bleu"].value is None
    assert text_quality([Record("a", (), "")])["distinct_1"].value is None


def test_references_of_a_concept_file(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.write_text(json.dumps({"concept_dict": {"<Ann B>": {"info": "A girl."}, "<C>": {}}}))
    assert reference_texts(path) == {"ann b": "A girl.", "c": ""}
    for content in ("[]", "{}", "x", '{"concept_dict": [1]}'):
        path.write_text(content)
        with pytest.raises(CaptionError, match="concept_dict"):
            reference_texts(path)


def test_clip_score_by_the_encoder_of_the_sample_profile(tmp_path: Path) -> None:
    settings = config.load("sample")
    encoder = embed.load(settings.encoder, settings.runtime)
    for n in range(3):
        Image.new("RGB", (64, 64), (80 * n, 99, 9)).save(tmp_path / f"{n} é#.png")
    rows = [Record(f"some/where/{n % 3} é#.png", (), f"a mug {n}") for n in range(5)]
    score = mean_clip_score(rows, tmp_path, encoder)
    pictures = [Image.open(tmp_path / f"{n % 3} é#.png") for n in range(5)]
    vectors = encoder.encode_images(pictures), encoder.encode_texts([r.caption for r in rows])
    cosines = np.sum(vectors[0] * vectors[1], axis=1)
    assert score.value == pytest.approx(float(2.5 * np.maximum(cosines, 0).mean()), abs=1e-5)
    assert score.n == 5
    with pytest.raises(CaptionError, match="has no photo"):
        mean_clip_score([Record("no.png", (), "")], tmp_path, encoder)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(CaptionError, match="cannot be read"):
        mean_clip_score([Record("bad.png", (), "")], tmp_path, encoder)


def test_an_encoder_that_reads_no_texts_says_what_does(tmp_path: Path) -> None:
    settings = config.load("photos", source={"path": str(tmp_path)})
    with pytest.raises(ConfigError, match="cannot read texts"):
        mean_clip_score(
            [Record("a", (), "x")], tmp_path, embed.load(settings.encoder, settings.runtime)
        )


def test_the_judge_prefers_in_both_orders_or_is_not_counted(server: Server) -> None:  # noqa: F811
    first = [Record(f"p{n}", (), f"short {n}") for n in range(4)]
    second = [Record(f"p{n}", (), f"a longer caption {n}") for n in range(5)]

    def longer(captions: dict[str, str]) -> str:
        return max(captions, key=lambda label: len(captions[label]))

    def biased_on_0(captions: dict[str, str]) -> str:
        is_zero = any(text.endswith("0") for text in captions.values())
        return next(iter(captions)) if is_zero else longer(captions)

    server.reply = longer
    score = judge_preference(first, second, server.settings())
    assert (score.value, score.low, score.high, score.n) == (1, 1, 1, 4)
    assert judge_preference(second, first, server.settings()).value == 0
    server.reply = biased_on_0
    assert judge_preference(first, second, server.settings()).n == 3
    server.reply = lambda captions: "I cannot say"
    with pytest.raises(CaptionError, match="no verdict"):
        judge_preference(first, second, server.settings())
    with pytest.raises(CaptionError, match="share no task"):
        judge_preference(first, [Record("q", (), "")], server.settings())
    with pytest.raises(CaptionError, match="no judge is configured"):
        judge_preference(first, second, JudgeSettings())
