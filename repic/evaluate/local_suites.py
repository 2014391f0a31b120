"""Suites out of local folders, in the layout in which their authors publish them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from repic.errors import SuiteError
from repic.evaluate.records import bare
from repic.evaluate.suites import Concept, Query, Suite, View, view_of

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".avif", ".heic"})
CONCEPTS, CLASSES = "concepts.json", "prompts_and_classes.txt"
DATABASES, DATABASE = "database_tot", "database_mod.json"
LAYOUT = {
    "dreambooth": (
        "FOLDER/<concept>/*.jpg, as in google/dreambooth's `dataset` (prompts_and_classes.txt "
        "beside them gives the categories); the first photo of a concept is its reference; or "
        "FOLDER as for repic-2c, with database_dreambooth and dreambooth_query_templates.json"
    ),
    "myvlm": (
        "FOLDER/<concept>/*.jpg (`myvlm_data` of snap-research/MyVLM); the first photo of a "
        "concept is its reference; or FOLDER/query_tot/myvlm_query_templates.json and "
        "FOLDER/database_tot/database_myvlm/database_mod.json with the photos and pictures that "
        "they name (the `data` folder of oyt9306/RePIC)"
    ),
    "yollava": (
        "FOLDER/train/<concept>/*.png with the references and FOLDER/test/<concept>/*.png with "
        "the photos (`yollava-data` of thaoshibe/YoLLaVA); or "
        "FOLDER/query_tot/yollava_query_templates.json and "
        "FOLDER/database_tot/database_yollava/database_mod.json with the photos and pictures that "
        "they name (the `data` folder of oyt9306/RePIC)"
    ),
    "repic-2c": (
        "FOLDER/query-image-2-concepts/<A>_and_<B>/*.jpg and "
        "FOLDER/database_tot/database_2_concepts/database_mod.json with the pictures that it names "
        "(the `data` folder of oyt9306/RePIC, and the photos that its data/README.md links to)"
    ),
    "repic-4c": (
        "FOLDER/query_tot/4_concept_query_templates.json with the photos that it asks about, and "
        "FOLDER/database_tot/database_4_concepts/database_mod.json with the pictures that it names "
        "(the `data` folder of oyt9306/RePIC)"
    ),
}


def suite(name: str, folder: str | None) -> Suite:
    """A suite of local photos.

    Raises:
        SuiteError: something is missing; the message says what belongs where.
    """
    if folder is None:
        raise SuiteError(f"where are the photos of {name}? Give --folder FOLDER: {LAYOUT[name]}")
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise _missing(name, root, "there is no such folder")
    if (root / DATABASES / f"database_{name}" / DATABASE).is_file():
        return _released(name, root)
    match name:
        case "repic-2c":
            return _pairs(name, root)
        case "repic-4c":
            return _groups(name, root)
        case "yollava":
            return _singles(name, root / "train", root / "test")
        case _:
            return _singles(name, root, None)


def _missing(name: str, place: Path, what: str) -> SuiteError:
    return SuiteError(f"{place}: {what}. {name} wants {LAYOUT[name]}")


def _singles(name: str, references: Path, queries: Path | None) -> Suite:
    """One concept per photo: a folder per concept; without `queries`, all but the first photo."""
    known = told(references / CONCEPTS)
    categories = _categories(references / CLASSES)
    concepts, asked, lonely = [], [], []
    for place in _folders(name, references):
        own = _photos(place)
        photos = own[1:] if queries is None else _photos(queries / place.name)
        if not own or not photos:
            lonely.append(place.name)
            continue
        entry = known.get(place.name, {})
        category = str(entry.get("category") or categories.get(place.name) or "")
        info = str(entry.get("info") or (f"A {category}." if category else ""))
        shown = own[:1] if queries is None else own[:3]
        views = tuple(view_of(path) for path in shown)
        concepts.append(Concept(place.name, info, category, views))
        asked += [(place.name, path) for path in photos]
    if not asked:
        raise _missing(name, references, "no concept has a photo besides its reference")
    names = tuple(concept.name for concept in concepts)
    made = [Query("1", view_of(path), (concept,), (), names) for concept, path in asked]
    return Suite(name, tuple(concepts), tuple(made), _left_out(names, lonely, queries))


def _left_out(names: Sequence[str], lonely: Sequence[str], queries: Path | None) -> tuple[str, ...]:
    """What a reader must know of folders that are no part of a suite."""
    what = "have no photo besides their reference" if queries is None else "have no photos of both"
    places = [] if queries is None else [p.name for p in queries.iterdir() if p.is_dir()]
    left = sorted({*lonely, *places} - {*names})
    return (f"{len(left)} concepts {what} and are left out: {', '.join(left)}",) if left else ()


def _released(name: str, root: Path) -> Suite:
    """One concept per photo, as the authors ask: the database and the questions that they publish.

    They ask about all photos; a reference is a picture of its own in the database.
    """
    concepts = _database(name, root, f"database_{name}")
    names = tuple(concepts)
    file = root / "query_tot" / f"{name}_query_templates.json"
    asked = []
    for photo, subset in _asked_about(name, file, names):
        view = view_of(_photo(name, root, photo, file))
        asked.append(Query("1", view, subset[:1], (), names))
    known = {concept for query in asked for concept in query.concepts}
    left = [key for key in names if key not in known]
    remark = f"{len(left)} concepts of the database are in no photo: {', '.join(left)}"
    return Suite(name, tuple(concepts.values()), tuple(asked), (remark,) if left else ())


def _asked_about(
    name: str, file: Path, names: Iterable[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Photos of a file of questions, with whom each is asked about."""
    known = set(names)
    for photo, subsets in _templates(name, file).items():
        for subset in subsets:
            if unknown := [key for key in subset if key not in known]:
                raise SuiteError(f"{file} asks about {unknown[0]}, whom the database does not have")
            yield photo, subset


def _photo(name: str, root: Path, photo: str, file: Path) -> Path:
    path = _within(root, photo)
    if not path.is_file():
        raise _missing(name, path, f"the photo that {file.name} asks about is not there")
    return path


def _pairs(name: str, root: Path) -> Suite:
    concepts = _database(name, root, "database_2_concepts")
    names = tuple(concepts)
    asked = []
    for folder in _folders(name, root / "query-image-2-concepts"):
        pair = _split(folder.name, names)
        if pair is None:
            raise _missing(name, folder, "its name is not <A>_and_<B> of two known concepts")
        asked += [Query("2", view_of(path), pair, (), names) for path in _photos(folder)]
    if not asked:
        raise _missing(name, root / "query-image-2-concepts", "there are no photos")
    return Suite(name, tuple(concepts.values()), tuple(asked))


def _split(folder: str, names: Iterable[str]) -> tuple[str, ...] | None:
    known = {name.casefold(): name for name in names}
    start = folder.find("_and_")
    while start >= 0:
        pair = folder[:start], folder[start + len("_and_") :]
        if all(part.casefold() in known for part in pair):
            return tuple(known[part.casefold()] for part in pair)
        start = folder.find("_and_", start + 1)
    return None


def _groups(name: str, root: Path) -> Suite:
    """The subsets of four that the authors ask about, each about the photo of its group.

    Who is in the group is in the photo, whomever a question is about; a group is a folder of the
    database. All groups are one database, as in the released scripts.
    """
    concepts = _database(name, root, "database_4_concepts")
    names = tuple(concepts)
    groups = {key: concept.views[0].uri.rpartition("/")[0] for key, concept in concepts.items()}
    file = root / "query_tot" / "4_concept_query_templates.json"
    views: dict[str, View] = {}
    asked = []
    for photo, subset in _asked_about(name, file, names):
        if photo not in views:
            views[photo] = view_of(_photo(name, root, photo, file))
        here = {groups[key] for key in subset}
        others = tuple(k for k in names if groups[k] in here and k not in subset)
        asked.append(Query("4", views[photo], subset, (), names, others))
    return Suite(name, tuple(concepts.values()), tuple(asked))


def _templates(name: str, file: Path) -> dict[str, list[tuple[str, ...]]]:
    """Photo -> whom it is asked about, time after time; a bare name is one time."""
    if not file.is_file():
        raise _missing(name, file, "there is no such file")
    try:
        found = json.loads(file.read_bytes())
        return {
            photo: [
                (bare(subset),) if isinstance(subset, str) else tuple(map(bare, subset))
                for subset in subsets
            ]
            for photo, subsets in found.items()
        }
    except (ValueError, TypeError, AttributeError):
        form = '{"./data/query-image-4-concepts/x.jpg": [["<A>", "<B>", "<C>", "<D>"]]}'
        raise SuiteError(f"{file} is no file of questions; it is {form}") from None


def _database(name: str, root: Path, folder: str) -> dict[str, Concept]:
    """Concepts of a database of the authors."""
    file = root / DATABASES / folder / DATABASE
    concepts = {}
    for key, entry in told(file, name).items():
        path = _within(root, str(entry.get("image") or ""))
        if not path.is_file():
            raise _missing(name, path, f"the reference of {key} is not there")
        info, category = str(entry.get("info") or ""), str(entry.get("category") or "")
        concepts[key] = Concept(key, info, category, (view_of(path),))
    return concepts


def _within(root: Path, path: str) -> Path:
    """A path of the authors' files, which start at the folder above `data`, in a copy of `data`."""
    parts = PurePosixPath(path).parts
    return root.joinpath(*parts[1:] if parts[:1] == ("data",) else parts)


def told(file: Path, needed_by: str = "") -> Mapping[str, Mapping[str, Any]]:
    """Bare name -> entry of a `concept_dict`; nothing where the file is not needed."""
    if not file.is_file():
        if needed_by:
            raise _missing(needed_by, file, "there is no such file")
        return {}
    try:
        found = json.loads(file.read_bytes())["concept_dict"]
        return {bare(key): dict(entry) for key, entry in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        form = '{"concept_dict": {"<Ann>": {"info": "...", "category": "..."}}}'
        raise SuiteError(f"{file} is no file of concepts; it is {form}") from None


def _categories(file: Path) -> dict[str, str]:
    """Concept -> class of DreamBooth's own list, whose first lines are `name,class`."""
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [line.split(",") for line in lines if line.count(",") == 1 and " " not in line[:3]]
    return {name.strip(): kind.strip() for name, kind in pairs}


def _folders(name: str, place: Path) -> Sequence[Path]:
    found = sorted(p for p in place.iterdir() if p.is_dir()) if place.is_dir() else []
    if not found:
        raise _missing(name, place, "there are no folders of concepts")
    return found


def _photos(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    return sorted(p for p in place.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
