"""One function per command; each returns what the command prints as `--json` (`as_json()`)."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from repic import config
from repic.api.store import DEFAULT_STORE, expanded, opened
from repic.api.version import Version
from repic.config import Settings
from repic.errors import ConfigError

if TYPE_CHECKING:
    from repic.api.rows import Example
    from repic.evaluation.single_photo import PhotoCaption
    from repic.objectives.base import Mode, Reward
    from repic.rewards.wrappers import Wrapper
    from storage.manifest import Manifest
    from storage.store import Store


class CommandResult(Protocol):
    """What a command found out."""

    def as_json(self) -> dict[str, Any]:
        """What the command prints as `--json`."""


class Outcome(Version):
    """The version that a command published, or found unchanged, and what the command says of it."""

    def __init__(self, store: Store, manifest: Manifest, result: CommandResult) -> None:
        super().__init__(store, manifest)
        self._result = result

    def as_json(self) -> dict[str, Any]:
        """What the command prints as `--json`."""
        return self._result.as_json()


def build(
    images: str | os.PathLike[str] | None = None,
    *,
    sources: Sequence[str] = (),
    profile: str | None = None,
    overrides: Sequence[str] = (),
    settings: Settings | None = None,
    allow_shrink: bool = False,
    store: str | os.PathLike[str] = DEFAULT_STORE,
) -> Outcome:
    """Build one dataset version, computing only what is missing; as `repic build`.

    Args:
        images: Folder or URL of photos.
        sources: Instead of `images`: `KIND:PATH` each, such as `coco:instances.json`.
        profile: Profile name or YAML file; by default `photos` with images or sources, else
            `sample`.
        overrides: Changes such as `examples.ict.max_references=3`.
        settings: Instead of the four above.
        allow_shrink: Publish even if most photos or rows of the last version, or an objective,
            are lost.
        store: Folder or URL; created if it does not exist.

    Returns:
        The dataset version, new or unchanged.

    Examples:
        >>> small = ["source.count=12", "source.identities=4"]
        >>> dataset = repic.build(profile="sample", overrides=small, store="small")
        >>> dataset
        <dataset dataset@v1, ... rows>
        >>> dataset.as_json()["rows"]["images"]
        12

    Raises:
        repic.errors.RepicError, storage.errors.StoreError: errors that the user can fix.
    """
    from repic.pipeline.execution import build as run
    from repic.pipeline.execution import open_and_scan
    from repic.pipeline.scan import scan

    if settings is None:
        folder = os.fspath(images) if images is not None else None
        values = config.chosen_sources(folder, sources)
        default = "photos" if folder or sources else "sample"
        chosen = config.load(profile or default, overrides, scope=config.BUILD, **values)
    elif images is not None or sources or profile is not None or overrides:
        raise ConfigError("give settings, or images, sources, profile and overrides; not both")
    else:
        chosen = settings
    into, kept, scanned = open_and_scan(expanded(store), chosen, scan)
    result = run(kept, into, scanned, allow_shrink=allow_shrink)
    return Outcome(into, result.dataset, result)


def train(
    dataset: str = "examples@latest",
    *,
    profile: str = "sample",
    overrides: Sequence[str] = (),
    settings: Settings | None = None,
    store: str | os.PathLike[str] = DEFAULT_STORE,
) -> Outcome | None:
    """Train on a dataset version and publish a checkpoint; as `repic train`.

    The same call resumes an interrupted run.

    Returns:
        The checkpoint version; None in a process of `accelerate launch` that is not the main one.

    Raises:
        repic.errors.RepicError, storage.errors.StoreError: errors that the user can fix.
    """
    from repic.training.run import train as run

    settings = settings or config.load(profile, overrides, scope=config.TRAIN)
    into = opened(store, create=False)
    result = run(settings, into, dataset)
    return None if result is None else Outcome(into, result.checkpoint, result)


def evaluate(
    model: str,
    *,
    profile: str = "sample",
    overrides: Sequence[str] = (),
    settings: Settings | None = None,
    store: str | os.PathLike[str] = DEFAULT_STORE,
) -> Outcome:
    """Caption a suite with a model and publish captions and metrics; as `repic evaluate run`.

    With `evaluate.task=recognition` or `vqa`, ask for short answers and publish these.

    Args:
        model: `checkpoint@v1`, `sample-base`, a folder or a hub name.

    Returns:
        The evaluation version: `evaluate(...)["metrics"].to_arrow()`; or that of the answers.

    Raises:
        repic.errors.RepicError, storage.errors.StoreError: errors that the user can fix.
    """
    from repic.evaluation import run
    from repic.evaluation.answers import run as short_answers

    settings = settings or config.load(profile, overrides, scope=config.EVALUATE)
    into = opened(store, create=True)
    if settings.evaluate.task == "caption":
        result = run.run(model, settings, into)
        return Outcome(into, result.manifest, result)
    answers = short_answers.run(model, settings, into)
    return Outcome(into, answers.manifest, answers)


def score(
    completion: str,
    row: Mapping[str, Any] | Example,
    *,
    mode: Mode = "strict",
    convention: str = "qwen3-vl",
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    strip: Collection[Wrapper] = (),
) -> Reward:
    """The reward of a completion, from 0 to 1, with its components and the reason.

    Args:
        row: A row of the examples table, typed or as a dictionary.
        mode: `strict`, or `paper` for the rewards that the paper released.
        convention: How the model writes boxes: qwen3-vl, qwen2.5-vl, qwen2-vl, internvl or
            normalised.
        min_pixels: qwen2.5-vl: least pixels (area) of a photo as its processor resizes it.
        max_pixels: qwen2.5-vl: most pixels, likewise.
        strip: Wrappers that are no part of the answer.

    Raises:
        repic.errors.RowError: the row cannot be scored.
        repic.errors.ConfigError: there is no such convention, or its limits are missing.

    Examples:
        >>> rows = repic.open("demo/store")["examples@latest"]
        >>> row = next(row for row in rows if row.objective == "oct")
        >>> repic.score(row.answer, row).total
        1.0
        >>> repic.score("perhaps", row).as_json()
        {'total': 0.0, 'components': {...}, 'reason': 'malformed', 'parsed': None}
    """
    from repic.api.rows import Example
    from repic.images.coordinates import CONVENTIONS, RESIZED, ConventionError, named_convention
    from repic.rewards.scoring import check_row
    from repic.rewards.scoring import score as reward_of

    if convention not in (known := [*CONVENTIONS, RESIZED]):
        raise ConfigError(
            f"there is no convention {convention!r}{config.nearest(convention, known)}"
        )
    try:
        units = named_convention(convention, min_pixels, max_pixels)
    except ConventionError as error:
        raise ConfigError(str(error)) from None
    columns = row.row if isinstance(row, Example) else row
    check_row(columns)
    return reward_of(completion, columns, mode, units, strip=strip)


def caption(
    photo: str | os.PathLike[str],
    references: str | os.PathLike[str],
    model: str = "sample-full",
    *,
    profile: str = "sample",
    overrides: Sequence[str] = (),
    store: str | os.PathLike[str] | None = None,
    whole_references: bool = False,
) -> PhotoCaption:
    """Caption a photo with the names of references; as `repic caption`.

    Args:
        references: Folder of `Ann.jpg`, or of `Ann/` with several photos, for each name.
        model: `checkpoint@v1` (then `store` is required), a folder or a hub name.
        whole_references: use references as they are, instead of their main object.

    Raises:
        repic.errors.RepicError, storage.errors.StoreError: errors that the user can fix.
    """
    from repic.evaluation.single_photo import caption as run

    settings = config.load(profile, overrides, scope=config.EVALUATE)
    checkpoints = opened(store, create=False) if store is not None else None
    return run(Path(photo), Path(references), model, settings, checkpoints, whole_references)
