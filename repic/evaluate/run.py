"""An evaluation from top to bottom: a model in, captions, scores, metrics and a report out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import repic
from repic import config
from repic.config import Settings
from repic.evaluate import clipscore, generate, results, score, suites
from repic.evaluate.questions import questions
from repic.evaluate.results import Evaluated
from repic.evaluate.retrieval import Crop, Gallery, curve, search
from repic.evaluate.suites import Suite
from repic.models.vlm import captioners
from repic.models.vlm.captioners import Captioner
from repic.pipeline.progress import NoProgress, Progress
from repic.tables import TABLES
from storage.hashing import content_hash, fingerprint
from storage.manifest import Manifest, Origin, Run
from storage.store import Store

if TYPE_CHECKING:
    from repic.models.encoder import Encoder

Found = dict[str, list[Crop]]


def run(
    model: str,
    asked: Settings,
    store: Store,
    progress: Progress | None = None,
    run: Run | None = None,
) -> Evaluated:
    """Evaluate a model on a suite and publish what came of it; `latest` moves.

    Call it again after an interruption and it goes on. The same evaluation again is not a new
    version.

    Args:
        model: See `repic.models.vlm.captioners.load`.

    Raises:
        CaptionError, ConfigError, StoreError, WeightsError: what a person can mend.
    """
    progress = progress or NoProgress()
    captioner = captioners.load(model, asked.evaluate, store)
    suite = suites.load(asked.evaluate)
    for remark in suite.remarks:
        progress.message(remark)
    encoder = clipscore.encoder_of(asked)  # before captions, which may take hours
    found, threshold, models = retrieved(suite, asked, progress, encoder)
    made = questions(suite, asked.evaluate, found, threshold or 0.0)
    with store.lease():
        table = generate.captions(made, captioner, store, asked.evaluate.batch_size, progress)
        judge = {"clip_score": encoder.fingerprint} if encoder else {}
        content = fingerprint([content_hash(table), models, threshold, suite.name])
        scoring = fingerprint([content, score.VERSION, judge])
        fits = _fits(table, scoring, encoder, store, progress)
        return publish(
            table,
            score.scores(table, fits),
            judge,
            (content, scoring),
            suite,
            asked,
            captioner,
            found,
            threshold,
            models,
            store,
            run or Run.here(),
        )


def retrieved(
    suite: Suite, asked: Settings, progress: Progress, encoder: Encoder | None = None
) -> tuple[Found, float | None, Any]:
    """Crops of each photo, the threshold, and who drew and encoded them.

    Nothing where no protocol searches. Raises as the loaders of detectors and encoders.

    Args:
        encoder: That of the settings, if it is loaded already.
    """
    from repic.models import detectors
    from repic.models import encoder as embed

    if not any(protocol.startswith("retrieval") for protocol in asked.evaluate.protocols):
        return {}, None, {}
    progress.phase("retrieval", len(suite.queries))
    detection = asked.detector
    if detection.kind in ("yolo-world", "yoloe", "transformers") and suite.categories:
        detection = detection.model_copy(update={"vocabulary": suite.categories})
    detector = detectors.load(detection, asked.runtime)
    encoder = encoder or embed.load(asked.encoder, asked.runtime)
    gallery = Gallery(suite, encoder)
    found = search(suite, detector, encoder, gallery, asked.encoder.margin)
    progress.advance(len(suite.queries))
    given = asked.evaluate.threshold
    threshold = gallery.threshold() if given is None else given
    return found, threshold, {"detector": detector.fingerprint, "encoder": encoder.fingerprint}


def _fits(
    captions: Any, scoring: str, encoder: Encoder | None, store: Store, progress: Progress
) -> Mapping[str, float | None] | None:
    """caption_id -> CLIPScore: as published before, else by the encoder, if there is one."""
    known = store.find("scores", scoring)
    if known:  # made on another machine, say, whose encoder differs in the last digit
        rows = store.read(str(known.ref)).to_pylist()
        return {row["caption_id"]: row["clip_score"] for row in rows}
    return clipscore.of_captions(captions, encoder, store, progress) if encoder else None


def publish(
    captions: Any,
    scored: Any,
    judge: dict[str, str],
    fingerprints: tuple[str, str],
    suite: Suite,
    asked: Settings,
    captioner: Captioner,
    found: Found,
    threshold: float | None,
    models: dict[str, str],
    store: Store,
    run: Run,
) -> Evaluated:
    """Versions of the tables, and the evaluation that binds them.

    Args:
        scored: The scores table, with CLIPScore by `judge`, if there is one.
        fingerprints: Of the captions, and of what they score.

    Raises:
        storage.errors.StoreError: they cannot be written.
    """
    content, scoring = fingerprints
    common: dict[str, Any] = {
        "settings": asked.record(config.EVALUATE),
        "models": {
            "captioner": {"name": captioner.name, "fingerprint": captioner.fingerprint},
            **models,
        },
        "code_version": repic.__version__,
        "run": run,
    }
    source = (captioner.source.as_input(),) if captioner.source else ()
    first = _table(store, "captions", captions, content, source, common)
    common["models"] = common["models"] | judge
    second = _table(store, "scores", scored, scoring, (first.as_input(),), common)
    numbers = score.metrics(captions, scored, threshold)
    bound = (first.as_input(), second.as_input())
    third = _table(store, "metrics", numbers, scoring, bound, common)
    summary = {
        "model": captioner.name,
        "suite": suite.name,
        "protocols": list(asked.evaluate.protocols),
        "photos": len({query.photo.image_id for query in suite.queries}),
        "concepts": len(suite.concepts),
        "remarks": list(suite.remarks),
        "threshold": threshold,
        "curve": [asdict(point) for point in curve(suite, found)] if found else [],
    }
    inputs = (*source, *(table.as_input() for table in (first, second, third)))
    existing = store.find(results.NAME, scoring)
    evaluation = existing or store.publish_files(
        results.NAME,
        {results.SUMMARY: json.dumps(summary, indent=1, ensure_ascii=False).encode()},
        Origin(fingerprint=scoring, inputs=inputs, **common),
        kind="report",
    )
    versions = {m.name: m.version for m in (first, second, third, evaluation)}
    store.commit(versions)
    return Evaluated(store, evaluation, is_new=existing is None)


def _table(
    store: Store,
    name: str,
    rows: Any,
    content: str,
    inputs: Sequence[Any],
    common: dict[str, Any],
) -> Manifest:
    table = TABLES[name]
    origin = Origin(fingerprint=content, inputs=tuple(inputs), **common)
    return store.publish(name, rows, origin, key=table.key, schema=table.schema)
