"""Questions with short answers about the photos of a suite, and their prompts.

The references of the concepts that a question is about come first, then the photo and the question.

- `recognition`: is a concept in a photo? For every concept in the photo, and for concepts of its
  database that are not; for photos of several concepts also whether all of them are there. Parts as
  in MC-LLaVA: `single` (photos of one concept), `multi` (one of several), `together` (all of
  several).
- `vqa`: multiple-choice questions of a suite, with the same parts.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from repic.config import EvaluateSettings, Layout
from repic.evaluation.questions import PAPER_SYSTEM, Question
from repic.evaluation.suites.base import Concept, ImageRegion, Suite, concepts_by_name
from repic.evaluation.suites.vqa_files import ChoiceQuestion
from repic.objectives import oct
from repic.objectives.base import SeededRandom, image_block, seed_of, system_block, text_block

Task = Literal["recognition", "vqa"]
LETTER = "Answer with the letter of the right option alone."


@dataclass(frozen=True)
class ShortQuestion:
    """A question with a short answer.

    Attributes:
        question: Its prompt and pictures; the protocol is the task.
        options: Texts of A, B, ...; empty for yes or no, or if only the text lists them.
        answer: `yes`, `no`, or the right letter.
    """

    question: Question
    options: tuple[str, ...]
    answer: str


def recognition(suite: Suite, settings: EvaluateSettings) -> list[ShortQuestion]:
    """Questions whether concepts are in photos.

    Args:
        settings: `negatives` says how many absent concepts are asked about per photo.
    """
    concepts = concepts_by_name(suite.concepts)
    asked = []
    for number, query in enumerate(suite.queries):
        rng = SeededRandom(
            seed_of(settings.seed, "recognition", query.photo.image_id, number, *query.concepts)
        )
        part = "single" if len(query.concepts) == 1 else "multi"
        in_photo = {*query.concepts, *query.others}
        absent = [name for name in query.among if name not in in_photo]
        if settings.negatives:
            absent = sorted(rng.shuffled(absent)[: settings.negatives])
        rows: list[tuple[str, tuple[str, ...], bool]]
        rows = [(part, (name,), True) for name in query.concepts]
        rows += [("together", query.concepts, True)] if len(query.concepts) > 1 else []
        rows += [(part, (name,), False) for name in absent]
        for kind, names, is_present in rows:
            text = f"{_presence(names, rng)} {oct.INSTRUCTION}"
            shown = tuple(concepts[name] for name in names)
            present = names if is_present else ()
            question = _question(
                suite, kind, "recognition", settings.layout, query.photo, present, shown, text
            )
            asked.append(ShortQuestion(question, (), "yes" if is_present else "no"))
    return asked


def _presence(names: Sequence[str], rng: SeededRandom) -> str:
    """Whether concepts are in the photo, as in training; for several, in one form."""
    tags = [f"<{name}>" for name in names]
    if len(tags) == 1:
        return rng.pick(oct.TEMPLATES).text.format(name=tags[0])
    return f"Are {', '.join(tags[:-1])} and {tags[-1]} all in this picture?"


def vqa(
    suite: Suite, settings: EvaluateSettings, choices: Iterable[ChoiceQuestion]
) -> list[ShortQuestion]:
    """Multiple-choice questions with the references of the concepts that they are about."""
    concepts = concepts_by_name(suite.concepts)
    several = {q.photo.image_id for q in suite.queries if len(q.concepts) > 1}
    return [_vqa(suite, settings.layout, concepts, several, choice) for choice in choices]


def _vqa(
    suite: Suite,
    layout: Layout,
    concepts: Mapping[str, Concept],
    several: set[str],
    asked: ChoiceQuestion,
) -> ShortQuestion:
    is_single = asked.photo.image_id not in several
    part = "single" if is_single else "multi" if len(asked.names) == 1 else "together"
    letters = zip(string.ascii_uppercase, asked.options, strict=False)
    text = "\n".join([asked.text, *(f"{letter}. {text}" for letter, text in letters), LETTER])
    shown = tuple(concepts[name] for name in asked.names)
    question = _question(suite, part, "vqa", layout, asked.photo, asked.names, shown, text)
    return ShortQuestion(question, asked.options, asked.answer)


def _question(
    suite: Suite,
    part: str,
    task: Task,
    layout: Layout,
    photo: ImageRegion,
    present: tuple[str, ...],
    shown: tuple[Concept, ...],
    text: str,
) -> Question:
    prompt = tuple(_prompt(shown, layout, text))
    return Question(suite.name, part, task, layout, photo, present, shown, (), prompt, ())


def _prompt(shown: Sequence[Concept], layout: Layout, text: str) -> Iterator[dict[str, str]]:
    """Blocks of the prompt; the last image is the photo."""
    if layout == "paper":
        yield system_block(PAPER_SYSTEM)
    for number, concept in enumerate(shown, start=1):
        yield image_block()
        if layout == "paper":
            info = f", Info: {concept.info}" if concept.info else ""
            yield text_block(f"{number}. Name: <{concept.name}>{info}")
        else:
            yield text_block(oct.INTRODUCTION.format(name=f"<{concept.name}>"))
    yield image_block()
    yield text_block(text)
