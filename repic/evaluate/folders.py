"""Suites out of local folders, in the layout in which their authors publish them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from repic.evaluate.records import bare
from repic.evaluate.suites import Concept, Query, Suite, SuiteError, view_of

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".avif", ".heic"})
CONCEPTS, CLASSES = "concepts.json", "prompts_and_classes.txt"
LAYOUT = {
    "dreambooth": (
        "FOLDER/<concept>/*.jpg, as in google/dreambooth's `dataset` (prompts_and_classes.txt "
        "beside them gives the categories); the first photo of a concept is its reference"
    ),
    "myvlm": (
        "FOLDER/<concept>/*.jpg (`myvlm_data` of snap-research/MyVLM); the first photo of a "
        "concept is its reference"
    ),
    "yollava": (
        "FOLDER/train/<concept>/*.png with the references and FOLDER/test/<concept>/*.png with "
        "the photos (`yollava-data` of thaoshibe/YoLLaVA)"
    ),
    "repic-2c": (
        "FOLDER/query-image-2-concepts/<A>_and_<B>/*.jpg and "
        "FOLDER/database_tot/database_2_concepts/ with database.json and <A>.jpg (the `data` "
        "folder of oyt9306/RePIC, and the photos that its data/README.md links to)"
    ),
    "repic-4c": (
        "FOLDER/query-image-4-concepts/group photo_<group>.jpg and "
        "FOLDER/database_tot/database_4_concepts/<group>/ with <A>.jpg and db/*.json (the `data` "
        "folder of oyt9306/RePIC)"
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
    concepts, asked = [], []
    for place in _folders(name, references):
        own = _photos(place)
        photos = own[1:] if queries is None else _photos(queries / place.name)
        if not own or not photos:
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
    return Suite(name, tuple(concepts), tuple(made))


def _pairs(name: str, root: Path) -> Suite:
    place = root / "database_tot" / "database_2_concepts"
    concepts = _database(name, place / "database.json", place)
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
    """Every subset of four of a group, each about the group's one photo."""
    concepts: dict[str, Concept] = {}
    asked = []
    for place in _folders(name, root / "database_tot" / "database_4_concepts"):
        subsets = sorted((place / "db").glob("*.json"))
        photos = [p for p in _photos(root / "query-image-4-concepts") if _is_of(p, place.name)]
        if not subsets or not photos:
            what = "db/*.json" if not subsets else f"query-image-4-concepts/*{place.name}*.jpg"
            raise _missing(name, place, f"there is no {what}")
        for file in subsets:
            found = _database(name, file, place)
            concepts |= {key: concept for key, concept in found.items() if key not in concepts}
            names = tuple(found)
            asked += [Query("4", view_of(path), names, (), names) for path in photos]
    return Suite(name, tuple(concepts.values()), tuple(asked))


def _is_of(photo: Path, group: str) -> bool:
    return photo.stem.casefold().rpartition("_")[2] == group.casefold()


def _database(name: str, file: Path, photos: Path) -> dict[str, Concept]:
    """Concepts of a database file; of its paths only the file's name counts."""
    concepts = {}
    for key, entry in told(file, name).items():
        path = photos / Path(str(entry.get("image") or f"{key}.jpg")).name
        if not path.is_file():
            raise _missing(name, path, "the reference is not there")
        info, category = str(entry.get("info") or ""), str(entry.get("category") or "")
        concepts[key] = Concept(key, info, category, (view_of(path),))
    return concepts


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
