"""Multiple-choice questions about photos, in the files that Yo'LLaVA and MC-LLaVA publish.

Yo'LLaVA, `yollava-visual-qa.json`, with or without the level of the concept:

    {"bo": {"./yollava-data/test/bo/0.png": {"question": "What colour is <sks>?",
            "options": {"A": "Brown", "B": "Grey"}, "correct_answer": "A"}}}

MC-LLaVA, `choice.json` beside the photos; a photo of several concepts has a list of questions:

    {"/some/where/0.png": {"Human": "What is <Ann> holding? A. A cup B. A book", "AI": "A"}}
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from repic.errors import SuiteError
from repic.evaluation.suites import mc_llava
from repic.evaluation.suites.base import ImageRegion, Suite, local_photo
from repic.evaluation.suites.folders import LAYOUT, read_json

YOLLAVA_FILE, MC_LLAVA_FILE = "yollava-visual-qa.json", "choice.json"
_YOLLAVA_FORM = (
    'it is {"./yollava-data/test/bo/0.png": {"question": "...", "options": {"A": "...", "B": '
    '"..."}, "correct_answer": "A"}}'
)
_MC_LLAVA_FORM = 'it is {"0.png": {"Human": "... A. ... B. ...", "AI": "A"}}'
_TAG = re.compile(r"<([^<>\n]+)>")
_ANSWER = re.compile(r"\W{0,9}([A-Z])\b")


@dataclass(frozen=True)
class ChoiceQuestion:
    """A question about a photo with its right letter.

    Attributes:
        names: The concepts that it is about.
        text: What is asked; it lists the options itself if `options` is empty.
        options: Texts of A, B, ...
        answer: The right letter.
    """

    photo: ImageRegion
    names: tuple[str, ...]
    text: str
    options: tuple[str, ...]
    answer: str


def choice_questions(suite: Suite, root: Path) -> list[ChoiceQuestion]:
    """The multiple-choice questions of a suite, in the order of its files.

    Raises:
        SuiteError: it has none; or a file, a photo or a concept is missing.
    """
    check_choices(suite.name)
    if suite.name == "yollava":
        return list(_yollava(suite, root))
    found = list(_mc_llava(suite, root))
    if found:
        return found
    raise SuiteError(f"{root}: no {MC_LLAVA_FILE} beside the photos. {LAYOUT[suite.name]}")


def check_choices(suite: str) -> None:
    """Refuse a suite that has no multiple-choice questions.

    Raises:
        SuiteError: it has none.
    """
    if suite not in ("yollava", mc_llava.NAME):
        raise SuiteError(
            f"the suite {suite} has no multiple-choice questions: evaluate vqa on yollava or "
            "mc-llava, or recognition on this one"
        )


def _yollava(suite: Suite, root: Path) -> Iterator[ChoiceQuestion]:
    file = next((f for f in (root / YOLLAVA_FILE, root.parent / YOLLAVA_FILE) if f.is_file()), None)
    if file is None:
        raise SuiteError(
            f"{root / YOLLAVA_FILE}: there is no such file; it is in `yollava-data` of the "
            "authors' repository"
        )
    names = {concept.name.casefold(): concept.name for concept in suite.concepts}
    try:
        for path, entry in _entries(read_json(file, _YOLLAVA_FORM)):
            photo = _yollava_photo(root, path, file)
            name = names.get(photo.parent.name.casefold())
            if name is None:
                raise SuiteError(
                    f"{file} asks about {photo.parent.name}, a concept without references"
                )
            options = {str(k).upper(): str(v) for k, v in entry["options"].items()}
            letters = string.ascii_uppercase[: len(options)]
            answer = str(entry["correct_answer"]).upper()
            texts = tuple(options[letter] for letter in letters)
            if answer not in options:
                raise KeyError(answer)
            text = entry["question"].replace("<sks>", f"<{name}>")
            yield ChoiceQuestion(local_photo(photo), (name,), text, texts, answer)
    except (KeyError, TypeError, AttributeError):
        raise SuiteError(f"{file} is not a file of questions; {_YOLLAVA_FORM}") from None


def _entries(content: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Paths and questions, whether or not they are grouped by concept."""
    for key, value in content.items():
        if "question" in value:
            yield key, value
        else:
            yield from value.items()


def _yollava_photo(root: Path, path: str, file: Path) -> Path:
    """A photo by its path in the authors' repository: `yollava-data/test/<concept>/<file>`."""
    parts = PurePosixPath(path).parts
    own = (root / Path(*parts[-3:]), root / "test" / Path(*parts[-2:]), root / Path(*parts[-2:]))
    released = root / "yollava-data" / Path(*parts[-2:])  # as `data` of oyt9306/RePIC has them
    found = next((photo for photo in (*own, released) if photo.is_file()), None)
    if found is None:
        raise SuiteError(f"{own[0]}: the photo that {file.name} asks about is missing")
    return found


def _mc_llava(suite: Suite, root: Path) -> Iterator[ChoiceQuestion]:
    known = {concept.name for concept in suite.concepts}
    for case in mc_llava.cases(root):
        tests = case / "concept" / "test"
        names = sorted(path.name for path in tests.iterdir() if path.is_dir())
        folders = [(tests / name, (name,)) for name in names]
        for folder, members in [*folders, *mc_llava.scenarios_of(case, names)]:
            file = folder / MC_LLAVA_FILE
            if file.is_file() and known.issuperset(members):
                yield from _of_folder(file, members)


def _of_folder(file: Path, members: Sequence[str]) -> Iterator[ChoiceQuestion]:
    content = read_json(file, _MC_LLAVA_FORM)
    try:
        for path, entries in content.items():
            photo = file.parent / PurePosixPath(path.replace("\\", "/")).name
            if not photo.is_file():
                raise SuiteError(f"{photo}: the photo that {file} asks about is missing")
            region = local_photo(photo)
            for entry in entries if isinstance(entries, list) else [entries]:
                text, letter = str(entry["Human"]), _ANSWER.match(str(entry["AI"]))
                if letter is None:
                    raise KeyError("AI")
                tags = {tag.casefold() for tag in _TAG.findall(text)}
                asked = tuple(name for name in members if name.casefold() in tags)
                yield ChoiceQuestion(region, asked or tuple(members), text, (), letter[1])
    except (KeyError, TypeError, AttributeError):
        raise SuiteError(f"{file} is not a file of questions; {_MC_LLAVA_FORM}") from None
