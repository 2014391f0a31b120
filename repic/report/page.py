"""Render the sections of a report as HTML."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from repic.report import provenance
from repic.report.dataset import find
from repic.report.examples import examples_section
from repic.report.pairs import pairs_section
from repic.report.photos import photos_section
from repic.report.pictures import thumbnails
from repic.web.templates import page_templates
from storage.atomic import replacing
from storage.store import Store

FILE = "report.html"
TRAINING = "training.html"
"""File inside a checkpoint: the page of its training run."""
_ALONE = (
    '<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'\">\n"
)
"""Goes before a page that somebody else may have written: it loads, runs and sends nothing."""
EVALUATION = "evaluation"
"""Name of the artifacts that have an evaluation page."""


def write(store: Store, ref: str, out: Path, against: str | None = None) -> Path:
    """Write the report of a version atomically.

    Args:
        ref: `dataset@latest`, a table of a build such as `examples@v3`, a checkpoint, or an
            evaluation.
        out: The file, or a folder in which it is called `report.html`.
        against: An earlier evaluation; see `repic.report.evaluation_page.gather`.

    Returns:
        Path of the file.

    Raises:
        storage.errors.StoreError: there is no such version, or it has no report.
        OSError: the file cannot be written.

    >>> report.write(store, "dataset@latest", Path("report.html"))  # doctest: +SKIP
    """
    page = _training(store, ref) or _evaluation(store, ref, against) or render(store, ref)
    path = out / FILE if out.is_dir() else out
    with replacing(path) as file:
        file.write(page.encode())
    return path


def _training(store: Store, ref: str) -> str | None:
    """The page inside a checkpoint, which may run nothing; None for another kind of version."""
    manifest = store.manifest(ref)
    if TRAINING not in {file.name for file in manifest.files}:
        return None
    return _ALONE + store.read_file(manifest.ref, TRAINING).decode("utf-8", "replace")


def _evaluation(store: Store, ref: str, against: str | None) -> str | None:
    """The page of an evaluation; None for another kind of version."""
    if store.manifest(ref).name != EVALUATION:
        return None
    from repic.evaluation import caption_facts, metrics, reference_scores
    from repic.report import evaluation_page

    page = evaluation_page.gather(store, ref, against)
    return (
        _environment()
        .get_template("evaluation.html")
        .render(
            style=_style(),
            page=page,
            names=evaluation_page.SCORES,
            reasons=evaluation_page.REASONS,
            quality_names=evaluation_page.QUALITY,
            fact_names=caption_facts.COLUMNS,
            reference_names=reference_scores.COLUMNS,
            plain=metrics.COUNTS,
            thumbnails=thumbnails(page.pictures),
        )
    )


def _style() -> Markup:
    folder = resources.files("repic.report") / "templates"
    return Markup((folder / "style.css").read_text(encoding="utf-8"))


def render(store: Store, ref: str) -> str:
    """The report of a dataset version as HTML; the same photos give the same page.

    The page is smaller than 5 MB and loads nothing. A photo that is missing or has changed is
    shown as a frame with the reason.

    Raises:
        storage.errors.StoreError: there is no such version, or it is not of a dataset.
    """
    version = find(store, ref)
    photos, pairs, examples = (
        photos_section(version),
        pairs_section(version),
        examples_section(version),
    )
    return (
        _environment()
        .get_template("page.html")
        .render(
            style=_style(),
            version=version,
            headline=provenance.headline(version),
            files=provenance.named_files(version),
            splits=provenance.splits(version, examples.splits),
            quarantine=provenance.quarantine_section(version),
            notes=provenance.notes(version),
            tables=provenance.bound_tables(version),
            origins=provenance.sources_and_models(version),
            settings=provenance.settings_json(version),
            photos=photos,
            pairs=pairs,
            examples=examples,
            thumbnails=thumbnails([*photos.pictures, *pairs.pictures, *examples.pictures]),
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = page_templates("repic.report")
    environment.filters |= {"size": _size, "words": _words}
    return environment


def _size(count: int) -> str:
    """Bytes in a readable unit: `1.2 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _words(code: str) -> str:
    """A reason code as words."""
    return code.replace("_", " ").replace("-", " ")
