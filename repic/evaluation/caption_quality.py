"""Caption quality apart from names: length, variety, copying, CLIPScore, and a judge's preference.

- length: words per caption.
- distinct-n: distinct n-grams over all n-grams of the file (Li et al. 2016, arXiv 1510.03055). It
  falls as a file grows: compare files of one size.
- self-BLEU: BLEU-4 of a caption against all others, 1 if all are alike (Zhu et al. 2018,
  arXiv 1802.01886; zero counts become 0.1).
- copy rate: share of a caption's 4-grams that occur in the text of its references.
- CLIPScore: 2.5 * max(cos(photo, caption), 0) (Hessel et al. 2021, arXiv 2104.08718); 0 for an
  empty caption. Encoders read only about the first 77 tokens; scores of different encoders are not
  comparable.

Names and tags do not count as words. Large files are measured on a sample that does not depend on
the order of rows.
"""

from __future__ import annotations

import bisect
import hashlib
import heapq
import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from repic.captions.repetition import GRAM
from repic.captions.tokens import plain_words
from repic.config import JudgeSettings, Settings
from repic.errors import CaptionError
from repic.evaluation.intervals import Estimate, sum_by_photo
from repic.evaluation.records import Record, folded
from repic.models.devices import batched
from repic.pipeline.progress import Progress
from repic.rewards.judge import compare
from storage.hashing import fingerprint
from storage.store import Store

if TYPE_CHECKING:
    from PIL import Image

    from repic.models.encoder import Encoder, Vectors

SAMPLE = 10_000
"""Maximum number of captions that are measured."""

CLIP_WEIGHT = 2.5
CLIP_DIGITS = 4
"""Decimals of a stored CLIPScore, to which two runs on one machine agree."""

CLIP_PARTS = "clip_scores"
"""Name of the parts in a store that hold scores of an interrupted run."""

_LONGEST = 10_000
_ORDER, _EPSILON = 4, 0.1
_PHOTOS_PER_BATCH = 64
_CLIP_SCHEMA = pa.schema([("key", pa.string()), ("score", pa.float64())])
NGram = tuple[str, ...]


def text_quality(
    records: Iterable[Record], reference_texts: Mapping[str, str] | None = None
) -> dict[str, Estimate]:
    """Length, distinct-1, distinct-2, self-BLEU and copy rate.

    Args:
        reference_texts: Folded name -> text of its reference, for files that do not carry it.

    Returns:
        Estimates with intervals: of distinct-n by the jackknife, otherwise by the bootstrap.
    """
    sample = heapq.nsmallest(SAMPLE, records, key=_order)
    words = [plain_words(record.caption[:_LONGEST]) for record in sample]
    rows = []
    for record, own, bleu in zip(sample, words, self_bleu(words), strict=True):
        text = "\n".join([record.info, *_texts(record, reference_texts or {})])
        copied, grams = _copied(own, text)
        rows.append((record.photo, (len(own), bleu or 0, copied), (1, bleu is not None, grams)))
    names = ("length", "self_bleu", "copy_rate")
    means = sum_by_photo(rows, 3).estimates(("caption", "caption", f"{GRAM}-gram"))
    estimates = dict(zip(names, means, strict=True))
    photos = [record.photo for record in sample]
    for n in (1, 2):
        estimates[f"distinct_{n}"] = distinct(photos, [_ngrams(own, n) for own in words], n)
    return estimates


def distinct(photos: Sequence[str], grams: Sequence[Sequence[NGram]], n: int) -> Estimate:
    """distinct-n with an interval of 1.96 standard errors by the jackknife over photos.

    A bootstrap would lower it, since it draws captions twice (Efron and Tibshirani 1993, ch. 11).

    Args:
        photos: Of each caption.
        grams: N-grams of each caption.
    """
    by_photo: dict[str, Counter[NGram]] = defaultdict(Counter)
    for photo, own in zip(photos, grams, strict=True):
        by_photo[photo].update(own)
    photos_with = Counter(chain.from_iterable(by_photo.values()))
    total = sum(own.total() for own in by_photo.values())
    unit = "word" if n == 1 else f"{n}-gram"
    if not total:
        return Estimate(None, None, None, 0, unit)
    share = len(photos_with) / total
    others = [
        (len(photos_with) - sum(photos_with[gram] == 1 for gram in own)) / (total - own.total())
        for own in by_photo.values()
        if total > own.total()
    ]
    if len(others) < 2:
        return Estimate(share, None, None, total, unit)
    half = 1.96 * math.sqrt((len(others) - 1) * float(np.var(others)))
    return Estimate(share, max(0.0, share - half), min(1.0, share + half), total, unit)


def self_bleu(captions: Sequence[Sequence[str]]) -> list[float | None]:
    """BLEU of each caption against all others; None for one without words or without others.

    An n-gram is clipped at its count in that other caption which has it most often. The two largest
    counts of each n-gram give this for every caption, so the run time is linear.

    Args:
        captions: Words of each caption.
    """
    if len(captions) < 2:
        return [None] * len(captions)
    lengths = sorted(len(words) for words in captions)
    precisions = [[0.0] * _ORDER for _ in captions]
    for n in range(1, _ORDER + 1):
        counts = [Counter(_ngrams(words, n)) for words in captions]
        largest: dict[NGram, tuple[int, int]] = {}
        for counter in counts:
            for gram, count in counter.items():
                first, second = largest.get(gram, (0, 0))
                largest[gram] = (max(first, count), max(second, min(first, count)))
        for index, counter in enumerate(counts):
            clipped = 0
            for gram, count in counter.items():
                first, second = largest[gram]
                clipped += min(count, second if count == first else first)
            precisions[index][n - 1] = max(clipped, _EPSILON) / max(counter.total(), 1)
    return [
        math.exp(sum(map(math.log, values)) / _ORDER) * _brevity(len(words), lengths)
        if words
        else None
        for words, values in zip(captions, precisions, strict=True)
    ]


def _brevity(length: int, lengths: Sequence[int]) -> float:
    """BLEU's penalty for a caption shorter than the closest of the others."""
    index = bisect.bisect_left(lengths, length)
    others = [*lengths[max(0, index - 1) : index], *lengths[index + 1 : index + 2]]
    closest = min(others, key=lambda other: (abs(other - length), other))
    return 1.0 if length >= closest else math.exp(1 - closest / length)


def _ngrams(words: Sequence[str], n: int) -> list[NGram]:
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def _copied(words: Sequence[str], text: str) -> tuple[int, int]:
    """Number of the caption's `GRAM`-grams that the text has, and of all; (0, 0) without text."""
    text_grams = set(_ngrams(plain_words(text), GRAM))
    grams = _ngrams(words, GRAM) if text.strip() else []
    return sum(gram in text_grams for gram in grams), len(grams)


def _texts(record: Record, reference_texts: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys(map(folded, (*record.concepts, *record.given)))
    return [reference_texts[name] for name in names if name in reference_texts]


def _order(record: Record) -> bytes:
    return hashlib.blake2b(record.key, digest_size=16).digest()


def judge_preference(
    first: Iterable[Record], second: Iterable[Record], settings: JudgeSettings
) -> Estimate:
    """Share of caption pairs in which the judge prefers the second model's; a tie counts half.

    The judge of the rewards (`repic.rewards.judge`) sees each pair in both orders. `n` counts the
    pairs on which both verdicts agree; the others are left out.

    Raises:
        CaptionError: No judge is configured, the files share no task, or no verdict was consistent.
    """
    if not settings.url:
        raise CaptionError("no judge is configured; set rewards.judge.url or give --judge URL")
    waiting: dict[object, deque[Record]] = defaultdict(deque)
    for record in first:
        waiting[record.task].append(record)
    rows = []
    pairs = 0
    for record in second:
        if not waiting[record.task]:
            continue
        other = waiting[record.task].popleft()
        pairs += 1
        row = {"scene": record.scene or other.scene}
        verdict = compare(record.caption, other.caption, row, settings)
        if verdict is not None:
            rows.append((record.photo, (verdict,), (1.0,)))
    if not pairs:
        raise CaptionError("the two files share no task; judge captions of the same photos")
    if not rows:
        raise CaptionError(
            f"the judge at {settings.url} gave no verdict that agrees in both orders; check that "
            "it answers with only a label or `tie`"
        )
    [estimate] = sum_by_photo(rows, 1).estimates(("judged pair",))
    return estimate


def load_text_encoder(settings: Settings) -> Encoder | None:
    """The encoder for CLIPScore; None if it reads no texts, or if CLIPScore is switched off.

    Raises:
        WeightsError, ConfigError: As `repic.models.encoder.load`.
    """
    from repic.errors import WeightsError
    from repic.models import encoder

    if not (settings.evaluate.clip_score and encoder.reads_texts(settings.encoder)):
        return None
    try:
        return encoder.load(settings.encoder, settings.runtime)
    except WeightsError as error:
        raise WeightsError(f"{error}. To skip CLIPScore, set evaluate.clip_score=false") from error


def clip_scores(
    captions: pa.Table, encoder: Encoder, store: Store, progress: Progress
) -> dict[str, float]:
    """caption_id -> CLIPScore of the rows of a captions table.

    Each pair of photo and caption is scored once, photo by photo, and stored at once, so that an
    interrupted run resumes where it stopped.

    Raises:
        ImageRefused, OSError: A photo cannot be read.
    """
    from repic.images.cache import PictureCache

    rows = captions.select(["caption_id", "image_id", "images", "caption"]).to_pylist()
    keys = {row["caption_id"]: fingerprint([row["image_id"], row["caption"]]) for row in rows}
    recipe = fingerprint([CLIP_PARTS, encoder.fingerprint, CLIP_WEIGHT, CLIP_DIGITS])
    done: dict[str, float] = {}
    for part in store.parts(CLIP_PARTS, recipe):
        done |= {row["key"]: row["score"] for row in store.read_part(part).to_pylist()}
    missing: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        if keys[row["caption_id"]] not in done:
            missing[row["image_id"]][keys[row["caption_id"]]] = row
    total = len(set(keys.values()))
    progress.phase("CLIPScore", total)
    progress.advance(total - sum(map(len, missing.values())))
    cache, image_ids = PictureCache(1), sorted(missing)
    for batch in batched(image_ids, _PHOTOS_PER_BATCH):
        entries = [next(iter(missing[image_id].values()))["images"][-1] for image_id in batch]
        prepared = [encoder.prepare(cache.picture(entry)) for entry in entries]
        photos = encoder.encode_prepared(prepared)
        pairs = [(n, key) for n, image_id in enumerate(batch) for key in sorted(missing[image_id])]
        texts = [missing[batch[n]][key]["caption"] for n, key in pairs]
        scores = _clip_scores(texts, encoder.encode_texts(texts), photos[[n for n, _ in pairs]])
        new = {
            key: round(score, CLIP_DIGITS) for (_, key), score in zip(pairs, scores, strict=True)
        }
        table = pa.table({"key": list(new), "score": list(new.values())}, _CLIP_SCHEMA)
        store.write_part(CLIP_PARTS, table, recipe=recipe, covers=tuple(new))
        done |= new
        progress.advance(len(new))
    return {caption_id: done[key] for caption_id, key in keys.items()}


def _clip_scores(captions: Sequence[str], texts: Vectors, photos: Vectors) -> list[float]:
    """Scores of captions by their vectors and those of their photos, each of shape (n, dim)."""
    cosines = np.einsum("nd,nd->n", texts, photos)
    return [
        float(CLIP_WEIGHT * max(cosine, 0)) if caption.strip() else 0.0
        for caption, cosine in zip(captions, cosines, strict=True)
    ]


def mean_clip_score(records: Iterable[Record], folder: Path, encoder: Encoder) -> Estimate:
    """Mean CLIPScore of a caption file.

    Args:
        folder: Root of relative photo paths. A photo is also looked up by its file name alone.
        encoder: See `repic.models.encoder.load`; it must read texts.

    Raises:
        CaptionError: A photo is missing or cannot be read.
        ConfigError: The encoder reads no texts.
    """
    rows = []
    for batch in batched(records, _PHOTOS_PER_BATCH):
        captions = [record.caption for record in batch]
        texts = encoder.encode_texts(captions)
        paths = list(dict.fromkeys(record.photo for record in batch))
        photos = encoder.encode_images([_open(path, folder) for path in paths])
        scores = _clip_scores(captions, texts, photos[[paths.index(r.photo) for r in batch]])
        rows += [(r.photo, (score,), (1.0,)) for r, score in zip(batch, scores, strict=True)]
    [estimate] = sum_by_photo(rows, 1).estimates(("caption",))
    return estimate


def _open(photo: str, folder: Path) -> Image.Image:
    from repic.images.decode import ImageRefused, open_image
    from repic.images.uris import file_uri

    path = next((p for p in (folder / photo, folder / Path(photo).name) if p.is_file()), None)
    if path is None:
        raise CaptionError(
            f"{folder} has no photo {photo}; --images names the folder of the photos"
        )
    try:
        return open_image(file_uri(path))
    except ImageRefused as error:
        raise CaptionError(f"{path} cannot be read ({error}); repair it or leave it out") from None
