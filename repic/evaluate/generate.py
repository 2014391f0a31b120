"""Captions of questions: those of like length together, each kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from repic.evaluate.questions import Question
from repic.models.vlm.captioners import Captioner
from repic.pipeline.progress import Progress
from repic.tables import TABLES
from storage.hashing import fingerprint
from storage.store import Store

NAME = "captions"
_PART = pa.schema([("caption_id", pa.string()), ("caption", pa.string())])


def caption_id(question: Question, captioner: Captioner) -> str:
    """Hash of a question, the model, and how it generates."""
    return fingerprint([question.question_id, captioner.fingerprint])


def captions(
    asked: Sequence[Question],
    captioner: Captioner,
    store: Store,
    batch_size: int,
    progress: Progress,
) -> pa.Table:
    """The captions table of these questions; what was made before is not made again.

    A run that was killed loses the batch that was being made; with a server, the replies that were
    on their way.

    Raises:
        CaptionError: the model's server fails; what it did reply is kept.
        ImageRefused, OSError: a photo is gone.
    """
    ids = {question.question_id: caption_id(question, captioner) for question in asked}
    done: dict[str, str] = {}
    for part in store.parts(NAME, captioner.fingerprint):
        if not done.keys() >= set(part.covers):
            kept = store.read_part(part).to_pylist()
            done |= {row["caption_id"]: row["caption"] for row in kept}
    missing = {ids[q.question_id]: q for q in asked if ids[q.question_id] not in done}
    order = sorted(missing, key=lambda key: (*_length(missing[key]), key))
    progress.phase("captions", len(ids))
    progress.advance(len(ids) - len(missing))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        for reply in captioner.replies([missing[key].row for key in batch]):
            made = {batch[place]: said for place, said in reply.items()}
            rows = {"caption_id": list(made), "caption": list(made.values())}
            store.write_part(
                NAME, pa.table(rows, _PART), recipe=captioner.fingerprint, covers=tuple(made)
            )
            done |= made
            progress.advance(len(made))
    by_id = {q.question_id: q for q in asked}
    return TABLES[NAME].table(
        [_row(q, captioner, ids[key], done[ids[key]]) for key, q in sorted(by_id.items())]
    )


def _length(question: Question) -> tuple[int, int]:
    """Pictures, then characters: what a prompt's tokens grow with."""
    return len(question.shown), sum(len(block["text"]) for block in question.prompt)


def _row(question: Question, captioner: Captioner, key: str, caption: str) -> dict[str, object]:
    return {
        "caption_id": key,
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
                "nearest": [
                    {"name": near.name, "similarity": near.similarity} for near in crop.nearest
                ],
            }
            for crop in question.crops
        ],
        "scene": question.scene,
        "caption": caption,
    }
