"""A person's own photo and named references: one question, one caption."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from repic.config import Settings
from repic.errors import SuiteError
from repic.evaluate.local_suites import CONCEPTS, SUFFIXES, told
from repic.evaluate.questions import Question, questions
from repic.evaluate.run import retrieved
from repic.evaluate.suites import Concept, Query, Suite, one_of_each, view_of
from repic.models.vlm import captioners
from repic.pipeline.progress import NoProgress
from storage.store import Store

MOST = 4
"""References that are all shown; of more, those that are found in the photo."""


@dataclass(frozen=True)
class Answer:
    """A caption, and what it was asked with."""

    question: Question
    caption: str


def caption(
    photo: Path, references: Path, model: str, asked: Settings, store: Store | None = None
) -> Answer:
    """Caption a photo by a model that is shown the references.

    Args:
        references: A folder of `Ann.jpg`, or of `Ann/` with several photos; a `concepts.json` in
            the form of the released data sets may say more about each.

    Raises:
        SuiteError: the photo or the references are not there.
        CaptionError, ConfigError, WeightsError, StoreError: as `repic.evaluate.run.run`.
    """
    concepts = concepts_of(references)
    if not photo.is_file():
        raise SuiteError(f"there is no photo {photo}; check the path")
    names = tuple(concept.name for concept in concepts)
    retrieves = len(names) > MOST
    protocol = "retrieval" if retrieves else "skip-retrieval"
    settings = asked.model_copy(
        update={"evaluate": asked.evaluate.model_copy(update={"protocols": (protocol,)})}
    )
    captioner = captioners.load(model, settings.evaluate, store)
    query = Query("1", view_of(photo), names, (), names)
    suite = Suite("own", concepts, (query,))
    found, threshold, _ = retrieved(suite, settings, NoProgress())
    [question] = questions(suite, settings.evaluate, found, threshold or 0.0)
    [said] = captioner.captions([question.row])
    return Answer(question, said)


def concepts_of(folder: Path) -> tuple[Concept, ...]:
    """Named references of a folder.

    Raises:
        SuiteError: there are none, or two have one name.
    """
    form = "Ann.jpg, or Ann/ with photos of Ann, for each name"
    if not folder.is_dir():
        raise SuiteError(f"there is no folder {folder}; it is to hold {form}")
    known = told(folder / CONCEPTS)
    found = []
    for place in sorted(folder.iterdir()):
        own = sorted(place.iterdir()) if place.is_dir() else [place]
        photos = [path for path in own if path.suffix.lower() in SUFFIXES]
        if photos:
            name = place.name if place.is_dir() else place.stem
            entry = known.get(name, {})
            info, category = str(entry.get("info") or ""), str(entry.get("category") or "")
            found.append(Concept(name, info, category, tuple(map(view_of, photos))))
    if not found:
        raise SuiteError(f"{folder} has no references; it is to hold {form}")
    one_of_each(found)
    return tuple(found)
