"""Suites of local folders, in the layouts in which their authors publish them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from repic.errors import SuiteError
from repic.evaluation.records import bare
from repic.evaluation.suites import mc_llava
from repic.evaluation.suites.base import Concept, ImageRegion, Query, Suite, local_photo
from repic.evaluation.suites.folders import (
    VIEWS,
    folders_in,
    left_out_remark,
    missing,
    photos_in,
    root_of,
    split_names,
)

CONCEPTS, CLASSES = "concepts.json", "prompts_and_classes.txt"
DATABASES, DATABASE = "database_tot", "database_mod.json"


def suite(name: str, folder: str | None) -> Suite:
    """A suite of local photos.

    Args:
        name: A key of `LAYOUT`.

    Raises:
        SuiteError: A file is missing or has another form; the message gives the expected layout.
    """
    root = root_of(name, folder)
    if (root / DATABASES / f"database_{name}" / DATABASE).is_file():
        return _released(name, root)
    match name:
        case "repic-2c":
            return _pairs(name, root)
        case "repic-4c":
            return _groups(name, root)
        case "yollava":
            return _singles(name, root / "train", root / "test")
        case "mc-llava":
            return mc_llava.suite(root)
        case _:
            return _singles(name, root, None)


def _singles(name: str, references: Path, queries: Path | None) -> Suite:
    """One concept per photo, one folder per concept.

    Args:
        queries: Folder of the photos to caption; None: all photos but the first of each concept.
    """
    entries = concept_entries(references / CONCEPTS)
    categories = _categories(references / CLASSES)
    concepts, questions, incomplete = [], [], []
    for folder in folders_in(name, references):
        own = photos_in(folder)
        photos = own[1:] if queries is None else photos_in(queries / folder.name)
        if not own or not photos:
            incomplete.append(folder.name)
            continue
        entry = entries.get(folder.name, {})
        category = str(entry.get("category") or categories.get(folder.name) or "")
        info = str(entry.get("info") or (f"A {category}." if category else ""))
        views = tuple(local_photo(path) for path in own[: 1 if queries is None else VIEWS])
        concepts.append(Concept(folder.name, info, category, views))
        questions += [(folder.name, path) for path in photos]
    if not questions:
        raise missing(name, references, "no concept has a photo besides its reference")
    names = tuple(concept.name for concept in concepts)
    query_list = [
        Query("1", local_photo(path), (concept,), (), names) for concept, path in questions
    ]
    remarks = _left_out(names, incomplete, queries)
    return Suite(name, tuple(concepts), tuple(query_list), remarks)


def _left_out(
    names: Sequence[str], incomplete: Sequence[str], queries: Path | None
) -> tuple[str, ...]:
    """A remark about folders that are left out of the suite, if there are any."""
    folders = [] if queries is None else [p.name for p in queries.iterdir() if p.is_dir()]
    omitted = sorted({*incomplete, *folders} - {*names})
    return (left_out_remark(omitted),) if omitted else ()


def _released(name: str, root: Path) -> Suite:
    """One concept per photo: the authors' published database and questions.

    The questions cover all photos, since the references are separate pictures.
    """
    concepts = _database(name, root, f"database_{name}")
    names = tuple(concepts)
    file = root / "query_tot" / f"{name}_query_templates.json"
    queries = []
    for photo, subset in _questions(name, file, names):
        region = local_photo(_photo(name, root, photo, file))
        queries.append(Query("1", region, subset[:1], (), names))
    used = {concept for query in queries for concept in query.concepts}
    unused = [key for key in names if key not in used]
    remark = f"{len(unused)} concepts of the database are in no photo: {', '.join(unused)}"
    return Suite(name, tuple(concepts.values()), tuple(queries), (remark,) if unused else ())


def _questions(
    name: str, file: Path, names: Iterable[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Photos of a question file, each with the concepts of one question."""
    database = set(names)
    for photo, subsets in _templates(name, file).items():
        for subset in subsets:
            if unknown := [key for key in subset if key not in database]:
                raise SuiteError(
                    f"{file} asks about {unknown[0]}, who is not in the database; add the entry or "
                    "remove the question"
                )
            yield photo, subset


def _photo(name: str, root: Path, photo: str, file: Path) -> Path:
    path = _within(name, root, photo)
    if not path.is_file():
        raise missing(name, path, f"the photo that {file.name} asks about is missing")
    return path


def _pairs(name: str, root: Path) -> Suite:
    """Two concepts per photo, named by its folder."""
    concepts = _database(name, root, "database_2_concepts")
    names = tuple(concepts)
    queries = []
    for folder in folders_in(name, root / "query-image-2-concepts"):
        pair = split_names(folder.name, names, "_and_", 2)
        if pair is None:
            raise missing(name, folder, "its name is not <A>_and_<B> of two known concepts")
        queries += [Query("2", local_photo(path), pair, (), names) for path in photos_in(folder)]
    if not queries:
        raise missing(name, root / "query-image-2-concepts", "there are no photos")
    return Suite(name, tuple(concepts.values()), tuple(queries))


def _groups(name: str, root: Path) -> Suite:
    """Four concepts per question, each about the photo of its group.

    A group is a folder of the database, and all its concepts are in its photo, whichever four a
    question is about. All groups form one database, as in the released scripts.
    """
    concepts = _database(name, root, "database_4_concepts")
    names = tuple(concepts)
    groups = {key: concept.views[0].uri.rpartition("/")[0] for key, concept in concepts.items()}
    file = root / "query_tot" / "4_concept_query_templates.json"
    photos: dict[str, ImageRegion] = {}
    queries = []
    for photo, subset in _questions(name, file, names):
        if photo not in photos:
            photos[photo] = local_photo(_photo(name, root, photo, file))
        present = {groups[key] for key in subset}
        others = tuple(k for k in names if groups[k] in present and k not in subset)
        queries.append(Query("4", photos[photo], subset, (), names, others))
    return Suite(name, tuple(concepts.values()), tuple(queries))


def _templates(name: str, file: Path) -> dict[str, list[tuple[str, ...]]]:
    """Photo -> concepts of each question about it; a bare name is a question about one."""
    if not file.is_file():
        raise missing(name, file, "there is no such file")
    try:
        return {
            photo: [
                (bare(subset),) if isinstance(subset, str) else tuple(map(bare, subset))
                for subset in subsets
            ]
            for photo, subsets in json.loads(file.read_bytes()).items()
        }
    except (ValueError, TypeError, AttributeError):
        form = '{"./data/query-image-4-concepts/x.jpg": [["<A>", "<B>", "<C>", "<D>"]]}'
        raise SuiteError(f"{file} is not a question file; it is {form}") from None


def _database(name: str, root: Path, folder: str) -> dict[str, Concept]:
    """Concepts of a published database."""
    file = root / DATABASES / folder / DATABASE
    if not file.is_file():
        raise missing(name, file, "there is no such file")
    concepts = {}
    for key, entry in concept_entries(file).items():
        path = _within(name, root, str(entry.get("image") or ""))
        if not path.is_file():
            raise missing(name, path, f"the reference of {key} is missing")
        info, category = str(entry.get("info") or ""), str(entry.get("category") or "")
        concepts[key] = Concept(key, info, category, (local_photo(path),))
    return concepts


def _within(name: str, root: Path, path: str) -> Path:
    """A path from the authors' files in a copy of `data`; theirs start in the folder above.

    Raises:
        SuiteError: it leads out of the copy.
    """
    parts = PurePosixPath(path).parts
    found = root.joinpath(*parts[1:] if parts[:1] == ("data",) else parts)
    if not Path(os.path.abspath(found)).is_relative_to(os.path.abspath(root)):
        raise missing(name, found, "it lies outside of the data set")
    return found


def concept_entries(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """Bare name -> entry of a file's `concept_dict`; empty if there is no such file.

    Raises:
        SuiteError: The file has another form.
    """
    if not file.is_file():
        return {}
    try:
        entries = json.loads(file.read_bytes())["concept_dict"]
        return {bare(key): dict(entry) for key, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        form = '{"concept_dict": {"<Ann>": {"info": "...", "category": "..."}}}'
        raise SuiteError(f"{file} is not a concept file; it is {form}") from None


def _categories(file: Path) -> dict[str, str]:
    """Concept -> class from DreamBooth's list, whose first lines are `name,class`."""
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [line.split(",") for line in lines if line.count(",") == 1 and " " not in line[:3]]
    return {name.strip(): category.strip() for name, category in pairs}
