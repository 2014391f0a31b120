"""The data set of MC-LLaVA (arXiv 2411.11706): scenarios of two to four concepts.

A photo shows one concept (`concept/test/<name>`) or several of one scenario (`multi/<A>_<B>`), and
the database of a photo is its scenario. `position.json` beside photos of several says who is in
which, where it exists; otherwise all are in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from repic.errors import SuiteError
from repic.evaluation.suites.base import Concept, Query, Suite, local_photo
from repic.evaluation.suites.folders import (
    VIEWS,
    folders_in,
    left_out_remark,
    missing,
    photos_in,
    read_json,
    split_names,
)

NAME = "mc-llava"
POSITIONS = "position.json"
_POSITIONS_FORM = 'it is {"0.png": {"Ann": "left", "Bob": null}}'


def cases(root: Path) -> list[Path]:
    """Folders of the cases: `two_concept`, `three_concept`, or `root` itself.

    Raises:
        SuiteError: there are none.
    """
    candidates = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    found = [path for path in candidates if (path / "concept" / "test").is_dir()]
    if not found:
        raise missing(NAME, root, "no folder in it has concept/test")
    return found


def suite(root: Path) -> Suite:
    """All scenarios as one suite; the part is the number of concepts in the photo.

    Raises:
        SuiteError: a folder is missing, or names no known concepts.
    """
    concepts: dict[str, Concept] = {}
    queries: list[Query] = []
    remarks: list[str] = []
    for case in cases(root):
        names = [folder.name for folder in folders_in(NAME, case / "concept" / "test")]
        scenarios = scenarios_of(case, names)
        among = {name: members for _, members in scenarios for name in members}
        left_out = []
        for name in names:
            views = _references(case, name)
            photos = photos_in(case / "concept" / "test" / name)
            if not views or not photos:
                left_out.append(name)
                continue
            if name in concepts:
                raise SuiteError(f"{case}: {name} is in two cases; rename one of them")
            concepts[name] = Concept(name, "", "", tuple(map(local_photo, views[:VIEWS])))
            queries += [
                Query("1", local_photo(photo), (name,), (), among.get(name, (name,)))
                for photo in photos
            ]
        queries += _several(scenarios, {*names} - {*left_out})
        if left_out:
            remarks.append(left_out_remark(left_out))
    if not queries:
        raise missing(NAME, root, "there are no photos")
    known = [_known(query, concepts) for query in queries]
    return Suite(NAME, tuple(concepts.values()), tuple(known), tuple(remarks))


def _known(query: Query, concepts: Mapping[str, Concept]) -> Query:
    among = tuple(name for name in query.among if name in concepts)
    return Query(query.part, query.photo, query.concepts, (), among)


def scenarios_of(case: Path, names: Iterable[str]) -> list[tuple[Path, tuple[str, ...]]]:
    """Folders of photos of several concepts, each with its concepts.

    Raises:
        SuiteError: the name of a folder joins no known concepts.
    """
    known = list(names)
    found = []
    for folder in sorted(p for p in (case / "multi").glob("*") if p.is_dir()):
        members = split_names(folder.name, known, "_")
        if members is None:
            raise missing(NAME, folder, "its name is not <A>_<B> of known concepts")
        found.append((folder, members))
    return found


def _references(case: Path, name: str) -> list[Path]:
    """Photos for training, without the masks beside them."""
    photos = photos_in(case / "concept" / "train" / name)
    return [photo for photo in photos if not photo.stem.endswith("_mask")]


def _several(scenarios: Iterable[tuple[Path, tuple[str, ...]]], known: set[str]) -> Iterator[Query]:
    for folder, members in scenarios:
        if not known.issuperset(members):
            continue
        positions = _positions(folder / POSITIONS)
        for photo in photos_in(folder):
            placed = positions.get(photo.name, dict.fromkeys(members, ""))
            present = tuple(name for name in members if placed.get(name) is not None)
            if present:
                yield Query(str(len(present)), local_photo(photo), present, (), members)


def _positions(file: Path) -> dict[str, Mapping[str, Any]]:
    """File name of a photo -> concept -> where it is, None if it is not in the photo.

    Raises:
        SuiteError: the file has another form.
    """
    if not file.is_file():
        return {}
    content = read_json(file, _POSITIONS_FORM)
    try:
        return {PurePosixPath(key).name: dict(value) for key, value in content.items()}
    except (TypeError, ValueError, AttributeError):
        raise SuiteError(f"{file} is not a file of positions; {_POSITIONS_FORM}") from None
