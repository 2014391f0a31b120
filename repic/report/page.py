"""Everything gathered, laid out as HTML."""

from __future__ import annotations

import os
import uuid
from functools import cache
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from repic.report import facts
from repic.report.examples import examples
from repic.report.pairs import pairs
from repic.report.photos import photos
from repic.report.pictures import develop
from repic.report.versions import find
from storage.store import Store

FILE = "report.html"
TRAINING = "training.html"
"""The page inside a checkpoint."""
EVALUATION = "evaluation"
"""Artifacts whose page is made of their captions, scores and metrics."""


def write(store: Store, ref: str, out: Path, against: str | None = None) -> Path:
    """Write the report of a version, whole or not at all.

    Args:
        ref: `dataset@latest`, a table of a build such as `examples@v3`, a checkpoint, or an
            evaluation.
        out: The file; in a folder it is called `report.html`.
        against: An earlier evaluation; see `repic.report.evaluations.gather`.

    Returns:
        Where it is.

    Raises:
        storage.errors.StoreError: there is no such version, or it is not of a dataset.
        OSError: the file cannot be written.
    """
    page = _of_a_run(store, ref) or _of_an_evaluation(store, ref, against) or render(store, ref)
    path = out / FILE if out.is_dir() else out
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _of_a_run(store: Store, ref: str) -> str | None:
    """The page that a training run left in its checkpoint; None if the version is of a build."""
    files = store.manifest(ref).files
    page = next((file for file in files if file.name == TRAINING), None)
    return store.files.read(page.path).decode() if page else None


def _of_an_evaluation(store: Store, ref: str, against: str | None) -> str | None:
    """The page of an evaluation; None if the version is of a build."""
    if store.manifest(ref).name != EVALUATION:
        return None
    from repic.evaluate import metrics
    from repic.report import evaluations

    page = evaluations.gather(store, ref, against)
    return (
        _environment()
        .get_template("evaluation.html")
        .render(
            style=_style(),
            page=page,
            names=evaluations.SCORES,
            reasons=evaluations.REASONS,
            read=evaluations.READ,
            plain=metrics.COUNTS,
            pictures=develop(page.shots),
        )
    )


def _style() -> Markup:
    folder = resources.files("repic.report") / "templates"
    return Markup((folder / "style.css").read_text(encoding="utf-8"))


def render(store: Store, ref: str) -> str:
    """The report of a version as HTML below 5 MB, the same each time while the photos are the same.

    Nothing in it is loaded from elsewhere. A photo that is gone, or that another one has replaced,
    is shown as a frame with the reason.

    Raises:
        storage.errors.StoreError: there is no such version, or it is not of a dataset.
    """
    version = find(store, ref)
    shown, paired, made = photos(version), pairs(version), examples(version)
    pictures = develop([*shown.shots, *paired.shots, *made.shots])
    return (
        _environment()
        .get_template("page.html")
        .render(
            style=_style(),
            version=version,
            headline=facts.headline(version),
            files=facts.named_files(version),
            splits=facts.splits(version, made.splits),
            quarantine=facts.quarantine(version),
            notes=facts.notes(version),
            bound=facts.bound(version),
            leaves=facts.leaves(version),
            settings=facts.settings_json(version),
            photos=shown,
            pairs=paired,
            examples=made,
            pictures=pictures,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("repic.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": "{:,}".format,
        "of": _of,
        "size": _size,
        "words": _words,
    }
    return environment


def _of(count: int, noun: str) -> str:
    """`1 pair`, `2,000 pairs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _size(count: int) -> str:
    """Bytes for a person."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _words(code: str) -> str:
    """A reason code as words."""
    return code.replace("_", " ").replace("-", " ")
