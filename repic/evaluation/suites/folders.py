"""What the loaders of local suites share: expected layouts, folders, photos, joined names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from repic.errors import SuiteError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".avif", ".heic"})
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
        "they name (the `data` folder of oyt9306/RePIC); for vqa, FOLDER/yollava-visual-qa.json"
    ),
    "mc-llava": (
        "FOLDER/<case>/concept/train/<concept>/*.png with the references, "
        "FOLDER/<case>/concept/test/<concept>/*.png and FOLDER/<case>/multi/<A>_<B>/*.png with "
        "the photos, and choice.json beside the photos for vqa; <case> is two_concept or "
        "three_concept (the data set of arctanxarc/MC-LLaVA)"
    ),
    "repic-2c": (
        "FOLDER/query-image-2-concepts/<A>_and_<B>/*.jpg and "
        "FOLDER/database_tot/database_2_concepts/database_mod.json with the pictures that it names "
        "(the `data` folder of oyt9306/RePIC, and the photos that its data/README.md links to)"
    ),
    "repic-4c": (
        "FOLDER/query_tot/4_concept_query_templates.json with the photos that it names, and "
        "FOLDER/database_tot/database_4_concepts/database_mod.json with the pictures that it names "
        "(the `data` folder of oyt9306/RePIC)"
    ),
}
VIEWS = 3
"""Most references of a concept that retrieval searches; the first one is shown."""


def root_of(name: str, folder: str | None) -> Path:
    """The folder of a suite.

    Raises:
        SuiteError: none is given, or it does not exist.
    """
    if folder is None:
        raise SuiteError(f"the suite {name} needs --folder FOLDER: {LAYOUT[name]}")
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise missing(name, root, "there is no such folder")
    return root


def missing(name: str, path: Path, problem: str) -> SuiteError:
    """An error that gives the layout of the suite."""
    return SuiteError(f"{path}: {problem}. {name} needs {LAYOUT[name]}")


def folders_in(name: str, parent: Path) -> Sequence[Path]:
    """Folders of concepts, sorted.

    Raises:
        SuiteError: there are none.
    """
    found = sorted(p for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
    if not found:
        raise missing(name, parent, "there are no folders of concepts")
    return found


def photos_in(folder: Path) -> list[Path]:
    """Photos of a folder, sorted."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def left_out_remark(names: Sequence[str]) -> str:
    """What a reader of the results must know about concepts that cannot be asked about."""
    return f"left out for lack of a reference or of a photo to caption: {', '.join(names)}"


def split_names(
    joined: str, names: Iterable[str], separator: str, count: int | None = None
) -> tuple[str, ...] | None:
    """The known names that a separator joins; a name may contain the separator.

    Args:
        count: How many names there must be; None: any number.
    """
    by_key = {name.casefold(): name for name in names}
    parts = joined.casefold().split(separator)

    def split(start: int, left: int | None) -> tuple[str, ...] | None:
        if start == len(parts):
            return () if not left else None
        for end in range(start + 1, len(parts) + 1):
            name = by_key.get(separator.join(parts[start:end]))
            if name and left != 0:
                rest = split(end, None if left is None else left - 1)
                if rest is not None:
                    return (name, *rest)
        return None

    return split(0, count)


def read_json(file: Path, form: str) -> Any:
    """The content of a file.

    Raises:
        SuiteError: it is not JSON; `form` says what it should be.
    """
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise SuiteError(f"{file} is not JSON; {form}") from None
