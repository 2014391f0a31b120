"""One evaluation: captions of a suite by a model, then scores, metrics and a published version.

Order: suite, retrieval, questions, captions, CLIPScore, scores, metrics.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from repic import config
from repic.config import EvaluateSettings, Settings
from repic.evaluation import caption_facts, caption_quality, results, score
from repic.evaluation.questions import Question, questions, read_requests
from repic.evaluation.records import folded
from repic.evaluation.reference_files import read_reference_captions
from repic.evaluation.results import EvaluationResult
from repic.evaluation.retrieval import DetectedCrop, Gallery, search, threshold_curve
from repic.evaluation.suites import local, sample
from repic.evaluation.suites.base import Suite
from repic.models.devices import batched
from repic.models.vlm import captioners
from repic.models.vlm.captioners import Captioner
from repic.pipeline import failures
from repic.pipeline.progress import NoProgress, Progress
from repic.rewards.wrappers import Wrapper, bare_answer
from repic.tables import TABLES
from storage.hashing import content_hash, fingerprint
from storage.manifest import Input, Manifest, Origin, Run
from storage.store import Store

if TYPE_CHECKING:
    from repic.models.detectors import Detector
    from repic.models.encoder import Encoder

CAPTIONS = "captions"
_PART = pa.schema([("caption_id", pa.string()), ("caption", pa.string())])


@dataclass(frozen=True)
class Retrieval:
    """Result of retrieval; empty if no protocol retrieves.

    Attributes:
        crops: image_id -> crops.
        threshold: Lowest cosine at which a crop matches a reference.
        models: Fingerprints of the detector and the encoder.
    """

    crops: dict[str, list[DetectedCrop]] = field(default_factory=dict)
    threshold: float | None = None
    models: dict[str, str] = field(default_factory=dict)


def run(
    model: str,
    settings: Settings,
    store: Store,
    progress: Progress | None = None,
    run: Run | None = None,
) -> EvaluationResult:
    """Evaluate a model on a suite, publish the result and move `latest` to it.

    An interrupted evaluation resumes when called again. Repeating an evaluation adds no version.

    Args:
        model: See `repic.models.vlm.captioners.load`.
        run: Recorded in the manifests; by default this process.

    Raises:
        CaptionError, ConfigError, StoreError, SuiteError, WeightsError: Errors the user can fix.

    Example:
        >>> run("checkpoint@latest", config.load("sample"), store).score("f1", "mixed")
        Estimate(value=0.669, low=0.641, high=0.697, n=216, unit='caption')
    """
    progress = progress or NoProgress()
    captioner = captioners.load(model, settings.evaluate, store)
    suite = load_suite(settings.evaluate)
    tell(suite, captioner, settings.evaluate, progress)
    asked = settings.evaluate.requests
    requests = read_requests(Path(asked).expanduser(), suite.queries) if asked else None
    # A missing encoder must fail before captions, which may take hours.
    encoder = caption_quality.load_text_encoder(settings)
    retrieval = retrieve(suite, settings, progress, encoder)
    suite_questions = questions(
        suite, settings.evaluate, retrieval.crops, retrieval.threshold or 0.0, requests
    )
    known = _known(suite, settings.evaluate, retrieval.threshold)
    run = run or Run.here()
    with failures.recorded(store, run, "evaluate"), store.lease():
        captions = generate_captions(
            suite_questions, captioner, store, settings.evaluate.batch_size, progress
        )
        captions = bare_captions(captions, settings.rewards.strip)
        clip_model = {"clip_score": encoder.fingerprint} if encoder else {}
        captions_print = fingerprint(
            [content_hash(captions), retrieval.models, retrieval.threshold, suite.name]
        )
        scores_print = fingerprint([captions_print, score.VERSION, clip_model, known.fingerprint])
        clip_scores = _clip_scores(captions, scores_print, encoder, store, progress)
        scores = score.scores_table(captions, clip_scores)
        metrics = score.metrics_table(captions, scores, known)
        publisher = Publisher(store, settings, captioner, retrieval, run)
        captions_version = publisher.table(CAPTIONS, captions, captions_print)
        publisher.models |= clip_model
        scores_version = publisher.table("scores", scores, scores_print, captions_version)
        metrics_version = publisher.table(
            "metrics", metrics, scores_print, captions_version, scores_version
        )
        tables = (captions_version, scores_version, metrics_version)
        result = publisher.evaluation(suite, scores_print, tables)
        failures.clear(store, "evaluate")
        return result


def tell(suite: Suite, captioner: Captioner, settings: EvaluateSettings, to: Progress) -> None:
    """Say what to know about the suite, and about a model that knows generated photos only."""
    is_real = not settings.suite.startswith("sample")
    limits = captioners.limitation(captioner) if is_real else None
    for remark in (*suite.remarks, *([captioners.advised(limits)] if limits else ())):
        to.message(remark)


def _known(suite: Suite, settings: EvaluateSettings, threshold: float | None) -> score.Known:
    """Facts of the settings' file or of the suite, and reference captions, if there are any.

    Raises:
        CaptionError: A file cannot be read, or a photo has no reference caption.
    """
    if settings.facts:
        facts = caption_facts.read_facts(Path(settings.facts).expanduser())
    else:
        facts = {folded(c.name): caption_facts.facts_of_info(c.info) for c in suite.concepts}
    references = None
    if settings.captions:
        given = read_reference_captions(Path(settings.captions).expanduser())
        references = {q.photo.image_id: given[unquote(q.photo.uri)] for q in suite.queries}
    return score.Known(threshold, facts, references)


def bare_captions(captions: pa.Table, strip: Collection[Wrapper]) -> pa.Table:
    """The captions table, without the wrappers that are no part of a caption."""
    if not strip:
        return captions
    at = captions.schema.get_field_index("caption")
    bare = [bare_answer(text, strip) for text in captions["caption"].to_pylist()]
    return captions.set_column(at, captions.schema.field(at), pa.array(bare, pa.string()))


def load_suite(settings: EvaluateSettings) -> Suite:
    """The suite that the settings name; generated photos are written on first use.

    Raises:
        SuiteError: Its photos are missing.
    """
    if settings.suite.startswith("sample"):
        return sample.suite(settings.suite, settings.photos, settings.seed)
    return local.suite(settings.suite, settings.folder)


def retrieve(
    suite: Suite,
    settings: Settings,
    progress: Progress,
    encoder: Encoder | None = None,
    detector: Detector | None = None,
) -> Retrieval:
    """Detect and match crops of all photos, if a protocol of the settings retrieves.

    Args:
        encoder: The encoder of the settings, if it is loaded already; `detector` likewise.

    Raises:
        ConfigError, WeightsError: As `repic.models.detectors.load` and `repic.models.encoder.load`.
    """
    from repic.models import encoder as encoders

    if not any(protocol.startswith("retrieval") for protocol in settings.evaluate.protocols):
        return Retrieval()
    progress.phase("retrieval", len(suite.queries))
    detector = detector or detector_for(suite.categories, settings)
    encoder = encoder or encoders.load(settings.encoder, settings.runtime)
    gallery = Gallery(suite, encoder)
    crops = search(
        suite, detector, encoder, gallery, settings.encoder.margin, settings.evaluate.no_box
    )
    progress.advance(len(suite.queries))
    threshold = settings.evaluate.threshold
    if threshold is None:
        threshold = gallery.threshold()
    models = {"detector": detector.fingerprint, "encoder": encoder.fingerprint}
    return Retrieval(crops, threshold, models)


def detector_for(categories: Sequence[str], settings: Settings) -> Detector:
    """The detector of the settings, which looks for these classes if it can look for any.

    Raises:
        ConfigError, WeightsError: As `repic.models.detectors.load`.
    """
    from repic.models import detectors

    detection = settings.detector
    if categories and detectors.has_open_vocabulary(detection):
        detection = detection.model_copy(update={"vocabulary": tuple(categories)})
    return detectors.load(detection, settings.runtime)


def generate_captions(
    suite_questions: Sequence[Question],
    captioner: Captioner,
    store: Store,
    batch_size: int,
    progress: Progress,
) -> pa.Table:
    """The captions table of the questions; captions already in the store are reused.

    Questions of similar length are batched together. Each reply is stored at once: an interrupted
    run loses the batch in progress, with a server only the replies in flight.

    Raises:
        CaptionError: The server fails; its earlier replies are kept.
        ImageRefused, OSError: A photo cannot be read.
    """
    ids = {question.question_id: _caption_id(question, captioner) for question in suite_questions}
    done: dict[str, str] = {}
    for part in store.parts(CAPTIONS, captioner.fingerprint):
        if not done.keys() >= set(part.covers):
            rows = store.read_part(part).to_pylist()
            done |= {row["caption_id"]: row["caption"] for row in rows}
    missing = {ids[q.question_id]: q for q in suite_questions if ids[q.question_id] not in done}
    order = sorted(missing, key=lambda caption_id: (*_length(missing[caption_id]), caption_id))
    progress.phase("captions", len(ids))
    progress.advance(len(ids) - len(missing))
    for batch in batched(order, batch_size):
        for reply in captioner.replies([missing[caption_id].row for caption_id in batch]):
            new = {batch[index]: caption for index, caption in reply.items()}
            table = pa.table({"caption_id": list(new), "caption": list(new.values())}, _PART)
            store.write_part(CAPTIONS, table, recipe=captioner.fingerprint, covers=tuple(new))
            done |= new
            progress.advance(len(new))
    by_id = {question.question_id: question for question in suite_questions}
    return TABLES[CAPTIONS].table(
        [
            _caption_row(question, captioner, ids[question_id], done[ids[question_id]])
            for question_id, question in sorted(by_id.items())
        ]
    )


def _caption_id(question: Question, captioner: Captioner) -> str:
    """Hash of a question, the model, and how it generates."""
    return fingerprint([question.question_id, captioner.fingerprint])


def _length(question: Question) -> tuple[int, int]:
    """Pictures and characters, which determine the number of tokens of a prompt."""
    return len(question.shown), sum(len(block["text"]) for block in question.prompt)


def _caption_row(
    question: Question, captioner: Captioner, caption_id: str, caption: str
) -> dict[str, object]:
    return {
        "caption_id": caption_id,
        "question_id": question.question_id,
        "model": captioner.name,
        "suite": question.suite,
        "part": question.part,
        "protocol": question.protocol,
        "layout": question.layout,
        "image_id": question.photo.image_id,
        "concepts": list(question.concepts),
        "prompt": list(question.prompt),
        "images": question.pictures,
        "references": question.references,
        "crops": [
            {
                "box": list(crop.box),
                "label": crop.label,
                "confidence": crop.confidence,
                "nearest": [asdict(match) for match in crop.nearest],
            }
            for crop in question.crops
        ],
        "scene": question.scene,
        "caption": caption,
    }


def _clip_scores(
    captions: pa.Table, scores_print: str, encoder: Encoder | None, store: Store, progress: Progress
) -> Mapping[str, float | None] | None:
    """caption_id -> CLIPScore: from a published version, else computed; None without encoder."""
    published = store.find("scores", scores_print)
    if published:  # another machine's encoder may differ in the last digit
        rows = store.read(str(published.ref)).to_pylist()
        return {row["caption_id"]: row["clip_score"] for row in rows}
    return caption_quality.clip_scores(captions, encoder, store, progress) if encoder else None


class Publisher:
    """Publishes the tables of one evaluation, and the version that binds them."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        captioner: Captioner,
        retrieval: Retrieval,
        run: Run,
    ) -> None:
        self._store, self._settings, self._captioner = store, settings, captioner
        self._retrieval, self._run = retrieval, run
        self._source = (captioner.source.as_input(),) if captioner.source else ()
        self.models: dict[str, Any] = {
            "captioner": {"name": captioner.name, "fingerprint": captioner.fingerprint},
            **retrieval.models,
        }

    def table(self, name: str, rows: pa.Table, content: str, *inputs: Manifest) -> Manifest:
        """A version of a table; captions have the model's checkpoint as input, if it is one."""
        sources = tuple(manifest.as_input() for manifest in inputs) or self._source
        table, origin = TABLES[name], self._origin(content, sources)
        return self._store.publish(name, rows, origin, key=table.key, schema=table.schema)

    def evaluation(
        self, suite: Suite, scores_print: str, tables: Sequence[Manifest]
    ) -> EvaluationResult:
        """The evaluation of these tables, as `latest`."""
        crops = self._retrieval.crops
        summary = {
            "model": self._captioner.name,
            "suite": suite.name,
            "protocols": list(self._settings.evaluate.protocols),
            "photos": len({query.photo.image_id for query in suite.queries}),
            "concepts": len(suite.concepts),
            "remarks": list(suite.remarks),
            "threshold": self._retrieval.threshold,
            "curve": [asdict(point) for point in threshold_curve(suite, crops)] if crops else [],
        }
        inputs = (*self._source, *(table.as_input() for table in tables))
        existing = self._store.find(results.NAME, scores_print)
        evaluation = existing or self._store.publish_files(
            results.NAME,
            {results.SUMMARY: json.dumps(summary, indent=1, ensure_ascii=False).encode()},
            self._origin(scores_print, inputs),
            kind="report",
        )
        self._store.commit({m.name: m.version for m in (*tables, evaluation)})
        return EvaluationResult(self._store, evaluation, is_new=existing is None)

    def _origin(self, content: str, inputs: tuple[Input, ...]) -> Origin:
        return Origin(
            fingerprint=content,
            inputs=inputs,
            settings=self._settings.record(config.EVALUATE),
            models=dict(self.models),
            code_version=config.version(),
            run=self._run,
        )
