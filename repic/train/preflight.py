"""Preflight: every row is tried before an hour of training is spent on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from repic.captions.facts import fact_words
from repic.errors import PreflightError
from repic.images.cache import PictureCache
from repic.images.coordinates import Box, Convention
from repic.images.fetch import ImageRefused
from repic.models.vlm.load import Reader
from repic.objectives.base import Mode, Row, messages
from repic.objectives.identify import KIND as WHICH
from repic.objectives.identify import NONE
from repic.rewards import gold
from repic.rewards.scoring import score

SHOWN = 5
"""Problems that an error message lists; `repic doctor dataset` lists all."""
READERS = 4
LEAST_IOU = 0.5
"""What the box as the model writes it must keep of the true one: less is a row without answer."""

REMEDIES = {
    "picture": "put the photo back, or build again without it",
    "tokens": "the processor and the model do not fit together: take both from one folder",
    "budget": "raise train.max_prompt_tokens, or lower the processor's max_pixels",
    "processor": "the model cannot take this picture: build without it",
    "gold": "report it as a fault of the rewards, or leave the row out",
    "tokenizer": "the model cannot write the true answer: draw names of other locales",
    "corrupted": "the reward cannot tell right from wrong here: leave the row out",
}


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row. `check` is a stable code."""

    example_id: str
    check: str
    message: str

    @property
    def remedy(self) -> str:
        return REMEDIES[self.check]

    def __str__(self) -> str:
        return f"{self.example_id} ({self.check}): {self.message}; {self.remedy}"


def examine(
    rows: Sequence[Row],
    reader: Reader,
    max_prompt_tokens: int,
    mode: Mode = "strict",
    tick: Callable[[int], None] = lambda done: None,
) -> list[Problem]:
    """Everything that is wrong with these rows for this model; empty if they can be trained on.

    The weights are not needed: how many features a picture has follows from its grid.
    """
    cache = PictureCache()

    def of_row(row: Row) -> list[Problem]:
        found = [*_rewards(row, reader, mode)]
        found += _prompt(row, reader, cache, max_prompt_tokens)
        tick(1)
        return found

    with ThreadPoolExecutor(READERS) as pool:
        return [problem for found in pool.map(of_row, rows) for problem in found]


def refuse(problems: Sequence[Problem], of: int) -> None:
    """Raises: PreflightError if there is a problem."""
    if not problems:
        return
    wrong = len({problem.example_id for problem in problems})
    lines = "\n".join(f"  {problem}" for problem in problems[:SHOWN])
    more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    raise PreflightError(
        f"{wrong} of {of} rows cannot be trained on (`repic doctor dataset` lists all):\n"
        f"{lines}{more}"
    )


def _prompt(row: Row, reader: Reader, cache: PictureCache, budget: int) -> Iterator[Problem]:
    key = row["example_id"]
    try:
        pictures = [cache.picture(picture) for picture in row["images"]]
    except (ImageRefused, OSError) as error:
        yield Problem(key, "picture", str(error))
        return
    waiting = iter(pictures)
    [turn] = messages(row, reader.convention)
    blocks = [
        {**block, "image": next(waiting)} if block["type"] == "image" else block
        for block in turn["content"]
    ]
    try:
        made = reader.processor.apply_chat_template(
            [{**turn, "content": blocks}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
        )
    except Exception as error:  # processors raise whatever their arithmetic does
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        yield Problem(key, "processor", said)
        return
    ids = _flat(made["input_ids"])
    tokens = ids.count(reader.config.image_token_id)
    features = features_of(made, reader, len(pictures))
    if tokens != features:
        yield Problem(key, "tokens", f"{tokens} image tokens for {features} image features")
    if len(ids) > budget:
        yield Problem(key, "budget", f"the prompt has {len(ids)} tokens, more than {budget}")


def _flat(ids: Any) -> list[int]:
    ids = ids.tolist() if hasattr(ids, "tolist") else ids
    return list(ids[0]) if ids and isinstance(ids[0], list) else list(ids)


def features_of(made: Any, reader: Reader, pictures: int) -> int:
    """Vectors that the vision tower gives for the pictures of a prompt.

    Qwen: patches over those merged into one (`spatial_merge_size` squared). SmolVLM: tiles times
    `image_seq_len`, which is (side / patch / scale) squared.
    """
    grid = made.get("image_grid_thw")
    if grid is not None:
        merge = reader.config.vision_config.spatial_merge_size
        rows = grid.tolist() if hasattr(grid, "tolist") else grid
        return sum(t * h * w // merge**2 for t, h, w in rows)
    vision = reader.config.vision_config
    scale = getattr(reader.config, "scale_factor", 1)
    per_tile = (vision.image_size // vision.patch_size // scale) ** 2
    shape = tuple(getattr(made["pixel_values"], "shape", ()))
    return (shape[-4] if len(shape) >= 4 else pictures) * per_tile


def _rewards(row: Row, reader: Reader, mode: Mode) -> Iterator[Problem]:
    key, convention = row["example_id"], reader.convention
    try:
        gold = gold_answer(row, convention, mode)
        best = score(gold, row, mode, convention)
        worst = score(corrupted_answer(row, convention), row, mode, convention)
        written = score(_written(gold, reader.processor.tokenizer), row, mode, convention)
    except Exception as error:  # a fault of a row, whatever it is, is told and not raised
        yield Problem(key, "gold", f"{type(error).__name__}: {error}")
        return
    is_box = row["objective"] == "vlt"
    if best.total < (LEAST_IOU if is_box else 1 - 1e-6):
        yield Problem(key, "gold", f"{gold!r} scores {best.total:.3f} ({best.reason})")
    if written.total < best.total:
        yield Problem(key, "tokenizer", f"{gold!r} in tokens and back scores {written.total:.3f}")
    if worst.total >= best.total:
        yield Problem(
            key, "corrupted", f"a wrong answer scores {worst.total:.3f}, the true {best.total:.3f}"
        )


def _written(answer: str, tokenizer: Any) -> str:
    """An answer as the model would give it: through its tokens."""
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return str(tokenizer.decode(ids, skip_special_tokens=True))


def gold_answer(row: Row, convention: Convention, mode: Mode = "strict") -> str:
    """The answer that earns the most: the true one, or a canonical sentence with the right names.

    Of a caption row without a known caption, one that says enough in words of its own.
    """
    known = gold.gold_answer(row, convention)
    # The released rewards want 100 characters of every answer about names.
    if known is not None and (mode == "strict" or row["objective"] != "ict"):
        return known
    present = [f"<{name}>" for name in gold.reference_names(row, present=True)]
    who = " and ".join(present) or "nobody that was shown before"
    words = " ".join(fact_words(row)[0])
    scene = words or "near soft morning light, wide open ground, distant trees, calm colours"
    return (
        f"This picture shows {who}, seen clearly, with {scene}, and quiet surroundings that leave "
        "much room for every detail."
    )


def corrupted_answer(row: Row, convention: Convention) -> str:
    """A wrong answer of the right form."""
    if row["objective"] == "oct":
        return "no" if row["answer"] == "yes" else "yes"
    if row["objective"] == "vlt":
        return _elsewhere(row, convention)
    absent = gold.reference_names(row, present=False)
    if row["kind"] == WHICH:
        others = [f"<{r['name']}>" for r in row["references"] if f"<{r['name']}>" != row["answer"]]
        return NONE if row["answer"] != NONE else others[0]
    wrong = f"<{absent[0]}>" if absent else "Somebody"
    return f"{wrong} is here."


def _elsewhere(row: Row, convention: Convention) -> str:
    """The corner of the picture that the true box overlaps least."""
    query = row["images"][-1]
    width, height, true = query["width"], query["height"], Box.of(row["box"])
    half = (width / 2, height / 2)
    corners = [Box(x, y, x + half[0], y + half[1]) for x in (0.0, half[0]) for y in (0.0, half[1])]
    return convention.render(min(corners, key=true.iou), width, height)
