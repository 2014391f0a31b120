"""Preflight: checks every row for a model before training starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from repic.errors import PreflightError
from repic.images.cache import PictureCache
from repic.images.coordinates import Convention
from repic.images.fetch import ImageRefused
from repic.models.vlm.load import Reader
from repic.objectives import objective_of
from repic.objectives.base import Mode, Row, messages
from repic.rewards.scoring import score

SHOWN = 5
"""Problems that an error message lists; `repic doctor dataset` lists all."""
READERS = 4
REMEDIES = {
    "picture": "put the photo back as it was, or build again",
    "tokens": "the processor and the model do not fit together: take both from one folder",
    "budget": "lower train.max_pixels (Qwen-VL), or raise train.max_prompt_tokens",
    "processor": "the model cannot take this picture: build without it",
    "gold": "report it as a fault of the rewards, or leave the row out",
    "tokenizer": "the model cannot write the true answer: draw names of other locales",
    "corrupted": "the reward cannot tell right from wrong here: leave the row out",
}


@dataclass(frozen=True)
class RowProblem:
    """A reason why a row cannot be trained on; `check` is a stable code."""

    example_id: str
    check: str
    message: str

    @property
    def remedy(self) -> str:
        """What the user can do about it."""
        return REMEDIES[self.check]

    def __str__(self) -> str:
        return f"{self.example_id} ({self.check}): {self.message}; {self.remedy}"


def examine(
    rows: Sequence[Row],
    reader: Reader,
    max_prompt_tokens: int,
    mode: Mode = "strict",
    tick: Callable[[int], None] = lambda done: None,
) -> list[RowProblem]:
    """All problems of these rows for this model; empty if they can be trained on.

    Needs no weights: the number of features of a picture follows from its grid.
    """
    cache = PictureCache(identified=True)

    def of_row(row: Row) -> list[RowProblem]:
        problems = [*_check_rewards(row, reader, mode)]
        problems += _check_prompt(row, reader, cache, max_prompt_tokens)
        tick(1)
        return problems

    with ThreadPoolExecutor(READERS) as pool:
        return [problem for problems in pool.map(of_row, rows) for problem in problems]


def refuse(problems: Sequence[RowProblem], total: int) -> None:
    """Raise if there is a problem.

    Args:
        total: Number of rows that were examined.

    Raises:
        PreflightError: with the first problems and their remedies.
    """
    if not problems:
        return
    wrong = len({problem.example_id for problem in problems})
    lines = "\n".join(f"  {problem}" for problem in problems[:SHOWN])
    more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    raise PreflightError(
        f"{wrong} of {total} rows cannot be trained on (`repic doctor dataset` lists all):\n"
        f"{lines}{more}"
    )


def _check_prompt(
    row: Row, reader: Reader, cache: PictureCache, budget: int
) -> Iterator[RowProblem]:
    key = row["example_id"]
    try:
        pictures = [cache.picture(picture) for picture in row["images"]]
    except (ImageRefused, OSError) as error:
        yield RowProblem(key, "picture", str(error))
        return
    remaining = iter(pictures)
    *system, turn = messages(row, reader.convention)
    blocks = [
        {**block, "image": next(remaining)} if block["type"] == "image" else block
        for block in turn["content"]
    ]
    try:
        inputs = reader.processor.apply_chat_template(
            [*system, {**turn, "content": blocks}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
        )
    except Exception as error:  # processors raise errors of every kind
        message = str(error).strip() or type(error).__name__
        yield RowProblem(key, "processor", message.splitlines()[0])
        return
    ids = _flat(inputs["input_ids"])
    tokens = ids.count(reader.config.image_token_id)
    features = _image_features(inputs, reader, len(pictures))
    if tokens != features:
        yield RowProblem(key, "tokens", f"{tokens} image tokens for {features} image features")
    if len(ids) > budget:
        yield RowProblem(key, "budget", f"the prompt has {len(ids)} tokens, more than {budget}")


def _flat(ids: Any) -> list[int]:
    ids = ids.tolist() if hasattr(ids, "tolist") else ids
    return list(ids[0]) if ids and isinstance(ids[0], list) else list(ids)


def _image_features(inputs: Any, reader: Reader, pictures: int) -> int:
    """Number of vectors that the vision tower gives for the pictures of a prompt.

    Qwen: patches / `spatial_merge_size`^2. SmolVLM: tiles * `image_seq_len`, which is
    (image_size / patch_size / scale_factor)^2.
    """
    grid = inputs.get("image_grid_thw")
    if grid is not None:
        merge = reader.config.vision_config.spatial_merge_size
        rows = grid.tolist() if hasattr(grid, "tolist") else grid
        return sum(t * h * w // merge**2 for t, h, w in rows)
    vision = reader.config.vision_config
    scale = getattr(reader.config, "scale_factor", 1)
    per_tile = (vision.image_size // vision.patch_size // scale) ** 2
    shape = tuple(getattr(inputs["pixel_values"], "shape", ()))
    return (shape[-4] if len(shape) >= 4 else pictures) * per_tile


def _check_rewards(row: Row, reader: Reader, mode: Mode) -> Iterator[RowProblem]:
    key, convention = row["example_id"], reader.convention
    try:
        gold = best_answer(row, convention, mode)
        best = score(gold, row, mode, convention)
        worst = score(corrupted_answer(row, convention), row, mode, convention)
        written = score(_written(gold, reader.processor.tokenizer), row, mode, convention)
    except Exception as error:  # report any fault of a row
        yield RowProblem(key, "gold", f"{type(error).__name__}: {error}")
        return
    if best.reason == "undefined":  # the released rewards give all answers 0
        return
    if best.total < objective_of(row["objective"]).least:
        yield RowProblem(key, "gold", f"{gold!r} scores {best.total:.3f} ({best.reason})")
    if written.total < best.total:
        yield RowProblem(
            key, "tokenizer", f"{gold!r} in tokens and back scores {written.total:.3f}"
        )
    if worst.total >= best.total:
        yield RowProblem(
            key, "corrupted", f"a wrong answer scores {worst.total:.3f}, the true {best.total:.3f}"
        )


def _written(answer: str, tokenizer: Any) -> str:
    """An answer encoded to tokens and decoded, as the model would give it."""
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return str(tokenizer.decode(ids, skip_special_tokens=True))


def best_answer(row: Row, convention: Convention, mode: Mode = "strict") -> str:
    """The best answer to a row: the true one, or one that earns as much where none is known."""
    return objective_of(row["objective"]).best(row, convention, mode)


def corrupted_answer(row: Row, convention: Convention) -> str:
    """A wrong answer in the right format."""
    return objective_of(row["objective"]).wrong(row, convention)
