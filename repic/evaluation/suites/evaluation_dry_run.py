"""What an evaluation would ask, before it starts: photos, captions, model and retrieval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from repic.config import EvaluateSettings, Settings
from repic.errors import FIXABLE
from repic.evaluation.caption_facts import read_facts
from repic.evaluation.questions import read_requests
from repic.evaluation.reference_files import read_reference_captions
from repic.evaluation.run import load_suite
from repic.evaluation.suites.base import Suite
from repic.evaluation.suites.vqa_files import check_choices, choice_questions
from repic.models.vlm import captioners
from repic.pipeline import build_dry_run
from repic.pipeline.doctor import Finding
from storage.store import Store


def examine(model: str, settings: Settings, store: Store | None, profile: str) -> list[Finding]:
    """Check suite, model and retrieval; loads no weights and writes nothing.

    Args:
        model: As in `repic.evaluation.run.run`.
        store: Store of checkpoints; None if there is none yet.
        profile: The profile of the settings, for the remedy.
    """
    evaluate = settings.evaluate
    retrieves = any(protocol.startswith("retrieval") for protocol in evaluate.protocols)
    found = [*_suite(evaluate), *_files(evaluate), *_model(model, settings, store)]
    if retrieves and evaluate.task == "caption":
        found += build_dry_run.models(settings, profile)
    return found


def _suite(evaluate: EvaluateSettings) -> Iterator[Finding]:
    try:
        suite = _asked_suite(evaluate)
    except FIXABLE as error:
        remedy = "put the files there, or change --suite or --folder"
        yield Finding("error", "suite", str(error), remedy)
        return
    if suite is None:
        photos = f"{evaluate.photos} photos to generate per part"
        yield Finding("ok", "suite", f"{evaluate.suite}: {photos}")
        return
    asked = len(suite.queries)
    what = f"{evaluate.suite}: {asked} photos of {len(suite.concepts)} concepts"
    if evaluate.task == "caption":
        count = len(evaluate.protocols)
        what += f"; {', '.join(evaluate.protocols)}: at most {count * asked} captions"
    yield Finding("ok", "suite", what)
    for remark in suite.remarks:
        yield Finding("note", "suite", remark)


def _asked_suite(evaluate: EvaluateSettings) -> Suite | None:
    """The suite, with questions for the task; None if its photos are generated."""
    if evaluate.task == "vqa":
        check_choices(evaluate.suite)
    if evaluate.suite.startswith("sample"):
        return None
    suite = load_suite(evaluate)
    if evaluate.task == "vqa":
        choice_questions(suite, Path(evaluate.folder or "").expanduser())
    if evaluate.requests:
        read_requests(Path(evaluate.requests).expanduser(), suite.queries)
    return suite


def _files(evaluate: EvaluateSettings) -> Iterator[Finding]:
    read = {"facts": read_facts, "captions": read_reference_captions}
    for option, reader in read.items():
        if path := getattr(evaluate, option):
            try:
                reader(Path(path).expanduser())
            except FIXABLE as error:
                yield Finding("error", option, str(error), f"give another file to --{option}")


def _model(model: str, settings: Settings, store: Store | None) -> Iterator[Finding]:
    try:
        captioner = captioners.load(model, settings.evaluate, store)
    except FIXABLE as error:
        yield Finding("error", "model", str(error), "train it, download it, or give another")
        return
    is_real = not settings.evaluate.suite.startswith("sample")
    if is_real and (limits := captioners.limitation(captioner)):
        yield Finding("note", "model", captioners.advised(limits))
    else:
        yield Finding("ok", "model", captioner.name)
