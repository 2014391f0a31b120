"""A model's short answers about a suite, published as a version of the `answers` table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from repic.config import Settings
from repic.errors import SuiteError
from repic.evaluation import run as captioning
from repic.evaluation.answers import asking, scores
from repic.evaluation.answers.asking import ShortQuestion
from repic.evaluation.answers.choices import choice, options_for, yes_or_no
from repic.evaluation.intervals import Estimate
from repic.evaluation.suites.base import Suite
from repic.evaluation.suites.vqa_files import choice_questions
from repic.models.vlm import captioners
from repic.pipeline.progress import NoProgress, Progress
from repic.tables import TABLES
from storage.errors import StoreError
from storage.hashing import content_hash, fingerprint
from storage.manifest import Manifest, Run
from storage.store import Store

NAME = "answers"
Row = dict[str, Any]


@dataclass(frozen=True)
class AnswerResult:
    """A published version of answers.

    Attributes:
        is_new: False if the same answers had been published before.
    """

    store: Store
    manifest: Manifest
    is_new: bool = False

    @property
    def ref(self) -> str:
        """Such as `answers@v3`."""
        return str(self.manifest.ref)

    @cached_property
    def rows(self) -> list[Row]:
        """Rows of the table."""
        return self.store.read(self.ref).to_pylist()

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Part -> score -> estimate; see `repic.evaluation.answers.scores`."""
        return scores.estimates(self.rows)

    def as_json(self) -> dict[str, Any]:
        """What `repic evaluate run --json` prints for a task of short answers."""
        return {
            "answers": self.ref,
            **{key: getattr(self, key) for key in ("model", "suite", "task")},
            "scores": [
                {"part": part} | {name: score.as_json() for name, score in named.items()}
                for part, named in self.estimates.items()
            ],
            "is_new": self.is_new,
        }

    @property
    def model(self) -> str:
        """The model's name, as it was given."""
        return str(self.rows[0]["model"])

    @property
    def suite(self) -> str:
        """Name of the suite."""
        return str(self.rows[0]["suite"])

    @property
    def task(self) -> str:
        """recognition or vqa."""
        return str(self.rows[0]["task"])


def load(store: Store, ref: str) -> AnswerResult:
    """A published version.

    Raises:
        StoreError: it does not exist, or is not one of answers.
    """
    manifest = store.manifest(ref)
    if manifest.name != NAME:
        raise StoreError(f"{manifest.ref} has no short answers: give answers@v..., see `repic log`")
    return AnswerResult(store, manifest)


def run(
    model: str,
    settings: Settings,
    store: Store,
    progress: Progress | None = None,
    run: Run | None = None,
) -> AnswerResult:
    """Ask a model the questions of `evaluate.task` and publish its answers.

    An interrupted run resumes when called again. Repeating one adds no version.

    Args:
        model: See `repic.models.vlm.captioners.load`.

    Raises:
        CaptionError, ConfigError, StoreError, SuiteError, WeightsError: errors the user can fix.
    """
    progress = progress or NoProgress()
    captioner = captioners.load(model, settings.evaluate, store)
    suite, asked = questions(settings)
    captioning.tell(suite, captioner, settings.evaluate, progress)
    with store.lease():
        prompts, size = [one.question for one in asked], settings.evaluate.batch_size
        captions = captioning.generate_captions(prompts, captioner, store, size, progress)
        captions = captioning.bare_captions(captions, settings.rewards.strip)
        by_id = {row["question_id"]: row for row in captions.to_pylist()}
        rows = {
            one.question.question_id: _row(one, by_id[one.question.question_id]) for one in asked
        }
        table = TABLES[NAME].table([rows[key] for key in sorted(rows)])
        publisher = captioning.Publisher(
            store, settings, captioner, captioning.Retrieval(), run or Run.here()
        )
        content = fingerprint([NAME, content_hash(table)])
        existing = store.find(NAME, content)
        manifest = existing or publisher.table(NAME, table, content)
        store.commit({NAME: manifest.version})
        return AnswerResult(store, manifest, is_new=existing is None)


def questions(settings: Settings) -> tuple[Suite, list[ShortQuestion]]:
    """The suite of the settings and the questions about it.

    Raises:
        SuiteError: files are missing, or the suite has no such questions.
    """
    evaluate = settings.evaluate
    suite = captioning.load_suite(evaluate)
    if evaluate.task == "recognition":
        asked = asking.recognition(suite, evaluate)
    else:
        root = Path(evaluate.folder or "").expanduser()
        asked = asking.vqa(suite, evaluate, choice_questions(suite, root))
    if not asked:
        raise SuiteError(f"the suite {suite.name} has no questions for {evaluate.task}")
    return suite, asked


def _row(asked: ShortQuestion, caption: Row) -> Row:
    read = _read(caption["caption"], asked)
    return {
        **{key: caption[key] for key in ("question_id", "model", "suite", "part", "layout")},
        **{key: caption[key] for key in ("image_id", "prompt", "images")},
        "answer_id": caption["caption_id"],
        "task": caption["protocol"],
        "concepts": [reference["name"] for reference in caption["references"]],
        "options": list(asked.options),
        "expected": asked.answer,
        "answer": caption["caption"],
        "read": read,
        "correct": read == asked.answer,
    }


def _read(answer: str, asked: ShortQuestion) -> str | None:
    if asked.answer in ("yes", "no"):
        said = yes_or_no(answer)
        return None if said is None else "yes" if said else "no"
    text = asked.question.prompt[-1]["text"]
    index = choice(answer, asked.options or options_for(text, asked.answer))
    return None if index is None else chr(ord("A") + index)
