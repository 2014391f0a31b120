"""What a build would read, before it starts: sources that are listed, models that are here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from repic import sources
from repic.config import Settings, SourceSettings
from repic.config.sources import kind_of, unread_by
from repic.errors import RepicError
from repic.models.published import models_of
from repic.objectives import names
from repic.pipeline.doctor import Finding
from repic.pipeline.scan import hashed_file, trust_root
from repic.sources import SourcePhoto

TRIED = 3
"""Photos of each source that are read."""


def examine(settings: Settings, profile: str) -> list[Finding]:
    """List every source, read a few photos of each, and look for the models; writes nothing.

    Generated photos are not written.

    Args:
        profile: The profile of the settings, for the remedy.
    """
    trust_root(settings)
    of_sources = chain.from_iterable(_source(source, settings) for source in settings.sources)
    return [*of_sources, *models(settings, profile), *_recipe(settings)]


def _source(source: SourceSettings, settings: Settings) -> Iterator[Finding]:
    subject = f"source {source.name}"
    try:
        generates = kind_of(source.kind).generates
    except RepicError as error:
        yield Finding("error", subject, str(error))
        return
    if generates:
        number = "" if "count" in unread_by(source.kind) else f"{source.count} "
        yield Finding("ok", subject, f"{number}photos to generate")
        return
    try:
        source.require_path()
        photos = list(sources.photos(source, settings.splits))
    except RepicError as error:
        yield Finding("error", subject, str(error), "`repic sources` says what each kind reads")
        return
    use = f"{settings.detector_of(source).kind} boxes, for {', '.join(source.objectives)}"
    yield Finding("ok", subject, f"{_counts(photos)}; {use}")
    step = max(1, len(photos) // TRIED)
    for photo in photos[: step * TRIED : step]:
        _, refused = hashed_file(photo, source)
        if refused:
            remedy = f"put the photos there, or say where they are (sources.{source.name}.images)"
            yield Finding("error", subject, f"{refused.error}: {refused.message}", remedy)
            return


def _counts(photos: list[SourcePhoto]) -> str:
    """`120 photos, 118 with boxes, 40 with expressions`."""
    having = {
        "boxes": sum(bool(photo.annotations) for photo in photos),
        "expressions": sum(any(a.expressions for a in photo.annotations) for photo in photos),
        "an identity": sum(bool(photo.identities) for photo in photos),
        "a caption": sum(bool(photo.caption) for photo in photos),
        "a split": sum(bool(photo.split) for photo in photos),
    }
    listed = (f"{count} with {what}" for what, count in having.items() if count)
    return ", ".join([f"{len(photos)} photos", *listed])


def models(settings: Settings, profile: str) -> Iterator[Finding]:
    """The published weights of detectors and encoder: whether they are here."""
    detectors = [settings.detector_of(source) for source in settings.sources]
    needed = {
        model.name: model
        for detector in detectors
        for model in models_of(settings.model_copy(update={"detector": detector}))
    }
    absent = []
    for name, model in needed.items():
        if files := model.fetched():
            yield Finding("ok", "model", f"{name}, {sum(f.bytes for f in files) / 1e9:.1f} GB")
        else:
            absent.append(name)
    if absent:
        remedy = f"`repic models pull {profile}` fetches them; a build fetches no YOLO file itself"
        yield Finding("note", "models", f"not fetched by repic: {', '.join(absent)}", remedy)
    if not needed:
        yield Finding("ok", "model", "those that ship with repic, or your own files")


def _recipe(settings: Settings) -> Iterator[Finding]:
    recipe = settings.examples
    try:
        names.check(recipe.names.locales)
    except RepicError as error:
        yield Finding("error", "names", str(error))
    wanted = f"{recipe.total} rows of train" if recipe.total else "all rows that can be made"
    if recipe.shares:
        share_sum = sum(recipe.shares.values())
        shares = (f"{name} {share / share_sum:.0%}" for name, share in recipe.shares.items())
        wanted += f": {', '.join(shares)}"
    yield Finding("ok", "recipe", wanted)
