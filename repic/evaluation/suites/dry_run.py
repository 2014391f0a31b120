"""What an evaluation would ask, before it starts: photos, captions, model and retrieval."""

from __future__ import annotations

from collections.abc import Iterator

from repic.config import Settings
from repic.errors import FIXABLE
from repic.evaluation.run import load_suite
from repic.models.vlm import captioners
from repic.pipeline import dry_run
from repic.pipeline.doctor import Finding
from storage.store import Store


def examine(model: str, settings: Settings, store: Store | None) -> list[Finding]:
    """Check suite, model and retrieval; loads no weights and writes nothing.

    Args:
        model: As in `repic.evaluation.run.run`.
        store: Store of checkpoints; None if there is none yet.
    """
    evaluate = settings.evaluate
    retrieves = any(protocol.startswith("retrieval") for protocol in evaluate.protocols)
    found = [*_suite(settings), *_model(model, settings, store)]
    if retrieves and evaluate.task == "caption":
        found += dry_run.models(settings)
    return found


def _suite(settings: Settings) -> Iterator[Finding]:
    evaluate = settings.evaluate
    if evaluate.suite.startswith("sample"):
        photos = f"{evaluate.photos} photos to generate per part"
        yield Finding("ok", "suite", f"{evaluate.suite}: {photos}")
        return
    try:
        suite = load_suite(evaluate)
    except FIXABLE as error:
        yield Finding("error", "suite", str(error), "put the files there, or change --folder")
        return
    asked = len(suite.queries)
    what = f"{evaluate.suite}: {asked} photos of {len(suite.concepts)} concepts"
    if evaluate.task == "caption":
        count = len(evaluate.protocols)
        what += f"; {', '.join(evaluate.protocols)}: at most {count * asked} captions"
    yield Finding("ok", "suite", what)
    for remark in suite.remarks:
        yield Finding("note", "suite", remark)


def _model(model: str, settings: Settings, store: Store | None) -> Iterator[Finding]:
    try:
        captioner = captioners.load(model, settings.evaluate, store)
    except FIXABLE as error:
        yield Finding("error", "model", str(error), "train it, download it, or give another")
        return
    if limits := captioners.limitation(captioner):
        yield Finding("note", "model", limits)
    else:
        yield Finding("ok", "model", captioner.name)
