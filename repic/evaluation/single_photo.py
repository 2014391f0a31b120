"""A caption of the user's own photo with named references."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repic.config import Protocol, Settings
from repic.errors import ConfigError, SuiteError, WeightsError
from repic.evaluation.questions import Question, questions
from repic.evaluation.retrieval import cropped
from repic.evaluation.run import Retrieval, detector_for, retrieve
from repic.evaluation.suites.base import (
    Concept,
    ImageRegion,
    Query,
    Suite,
    concepts_by_name,
    local_photo,
)
from repic.evaluation.suites.folders import SUFFIXES
from repic.evaluation.suites.local import CONCEPTS, concept_entries
from repic.models.vlm import captioners
from repic.models.vlm.captioners import Captioner
from repic.pipeline.progress import NoProgress
from storage.store import Store

MOST = 4
"""Up to this many references are all shown; of more, only those retrieved for the photo."""


@dataclass(frozen=True)
class PhotoCaption:
    """A caption, and the question that it answers.

    Attributes:
        limitation: What to know about the model; None for most.
        retrieval: What was found in the photo, if it was searched.
        references: The references as the model sees them.
    """

    question: Question
    caption: str
    limitation: str | None = None
    retrieval: Retrieval | None = None
    references: tuple[Concept, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """What `repic caption --json` prints."""
        return {
            "caption": self.caption,
            "shown": [reference["name"] for reference in self.question.references],
            "crops": [asdict(crop) for crop in self.question.crops],
        }

    @property
    def plain(self) -> str:
        """The caption without the angle brackets around names."""
        return re.sub(r"<([^<>]+)>", r"\1", self.caption)


def caption(
    photo: Path,
    references: Path,
    model: str,
    settings: Settings,
    store: Store | None = None,
    whole_references: bool = False,
) -> PhotoCaption:
    """Caption a photo with a model that is shown the references.

    Args:
        references: A folder of `Ann.jpg`, or of `Ann/` with several photos. An optional
            `concepts.json` in the form of the released data sets adds text and category.
        model: See `repic.models.vlm.captioners.load`.
        store: Needed for a model that is a checkpoint.
        whole_references: See `caption_by`.

    Raises:
        SuiteError: The photo or the references are missing.
        CaptionError, ConfigError, WeightsError, StoreError: As `repic.evaluation.run.run`.
    """
    concepts = load_references(references)
    if not photo.is_file():
        raise SuiteError(f"there is no photo {photo}; check the path")
    protocol: Protocol = "retrieval" if len(concepts) > MOST else "skip-retrieval"
    captioner = captioners.load(model, settings.evaluate, store)
    return caption_by(
        captioner,
        local_photo(photo),
        concepts,
        settings,
        protocol,
        whole_references=whole_references,
    )


def caption_by(
    captioner: Captioner,
    photo: ImageRegion,
    concepts: tuple[Concept, ...],
    settings: Settings,
    protocol: Protocol,
    *,
    whole_references: bool = False,
    searches: bool = False,
) -> PhotoCaption:
    """Caption a photo with a captioner.

    Args:
        protocol: `skip-retrieval` shows all references, `retrieval` those found in the photo.
        whole_references: Use all of each reference. Otherwise its main object, as in a data set;
            all of it if the detector finds none.
        searches: Search the photo for the references whatever the protocol.

    Raises:
        CaptionError, ConfigError, WeightsError: As `repic.evaluation.run.run`.
    """
    names = tuple(concept.name for concept in concepts)
    detector = None
    if not whole_references:
        categories = {concept.category for concept in concepts if concept.category}
        try:
            detector = detector_for(sorted(categories), settings)
        except (ConfigError, WeightsError) as error:
            if searches or protocol == "retrieval":
                raise
            raise type(error)(
                f"{str(error).rstrip('.')}. Or show references as they are: --whole-references"
            ) from None
        concepts = cropped(concepts, detector)
    suite = Suite("own", concepts, (Query("1", photo, names, (), names),))
    searched = _with_protocol(settings, "retrieval" if searches else protocol)
    retrieval = retrieve(suite, searched, NoProgress(), detector=detector)
    asked = _with_protocol(settings, protocol).evaluate
    [question] = questions(suite, asked, retrieval.crops, retrieval.threshold or 0.0)
    [text] = captioner.captions([question.row])
    return PhotoCaption(question, text, captioners.limitation(captioner), retrieval, concepts)


def _with_protocol(settings: Settings, protocol: Protocol) -> Settings:
    evaluate = settings.evaluate.model_copy(update={"protocols": (protocol,)})
    return settings.model_copy(update={"evaluate": evaluate})


def load_references(folder: Path) -> tuple[Concept, ...]:
    """Named references of a folder.

    Raises:
        SuiteError: There are none, or two have the same name.
    """
    form = "Ann.jpg, or Ann/ with photos of Ann, for each name"
    if not folder.is_dir():
        raise SuiteError(f"there is no folder {folder}; it must hold {form}")
    entries = concept_entries(folder / CONCEPTS)
    concepts = []
    for path in sorted(folder.iterdir()):
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        photos = [file for file in files if file.suffix.lower() in SUFFIXES]
        if photos:
            name = path.name if path.is_dir() else path.stem
            entry = entries.get(name, {})
            info, category = str(entry.get("info") or ""), str(entry.get("category") or "")
            concepts.append(Concept(name, info, category, tuple(map(local_photo, photos))))
    if not concepts:
        raise SuiteError(f"{folder} has no references; it must hold {form}")
    return tuple(concepts_by_name(concepts).values())
