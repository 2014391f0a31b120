"""Small data sets in the published layouts of Yo'LLaVA and MC-LLaVA, made of generated photos.

`python -m tests.evaluation.layouts FOLDER` writes both; the sample model can answer about them.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from PIL import Image

from repic import config
from repic.evaluation.run import load_suite
from repic.evaluation.suites.base import ImageRegion, Query, Suite
from repic.images.coordinates import Box
from repic.images.decode import open_image
from repic.images.uris import file_path

COLOURS = ("red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink")


def sample() -> Suite:
    """The generated suite that the photos come from."""
    return load_suite(config.load("sample", evaluate={"photos": 8}).evaluate)


def write_yollava(folder: Path, suite: Suite, concepts: int = 4) -> Path:
    """`train/`, `test/` and `yollava-visual-qa.json`; each question is about a colour."""
    asked: dict[str, dict[str, object]] = {}
    chosen = [q for q in suite.queries if q.part == "1"]
    names = list(dict.fromkeys(q.concepts[0] for q in chosen))[:concepts]
    for name in names:
        key = name.lower().replace(" ", "-")
        _references(folder / "train" / key, suite, name)
        asked[key] = {}
        for n, query in enumerate(q for q in chosen if q.concepts == (name,)):
            copy_photo(query.photo, folder / "test" / key / f"{n}.png")
            options, answer = _options(query)
            asked[key][f"./yollava-data/test/{key}/{n}.png"] = {
                "question": "What is the main colour of <sks>?",
                "options": options,
                "correct_answer": answer,
            }
    (folder / "yollava-visual-qa.json").write_text(json.dumps(asked))
    return folder


def write_mc_llava(folder: Path, suite: Suite) -> Path:
    """One scenario of two concepts: single and multi photos, masks, positions and choices."""
    case = folder / "two_concept"
    pair = next(q for q in suite.queries if q.part == "2")
    names = [name.replace("_", " ").replace(" ", "") for name in pair.concepts]
    scenario = case / "multi" / "_".join(names)
    choices: dict[str, object] = {}
    for name, original in zip(names, pair.concepts, strict=True):
        _references(case / "concept" / "train" / name, suite, original, with_masks=True)
        tests = case / "concept" / "test" / name
        view = next(c for c in suite.concepts if c.name == original).views[-1]
        copy_photo(view, tests / "0.png")
        question = f"What is <{name}>? A. An object B. A person"
        (tests / "choice.json").write_text(
            json.dumps({f"/some/where/{name}/0.png": {"Human": question, "AI": "A"}})
        )
    shown = next(c for c in suite.concepts if c.name == pair.concepts[0]).views[0]
    for n, photo in enumerate((pair.photo, shown)):
        copy_photo(photo, scenario / f"{n}.png")
        text = f"Who is in the photo? A. <{names[0]}> B. Nobody"
        both = f"Are <{names[0]}> and <{names[1]}> alike? A. Yes B. No"
        choices[f"/some/where/{n}.png"] = [{"Human": text, "AI": "A"}, {"Human": both, "AI": "B"}]
    (scenario / "choice.json").write_text(json.dumps(choices))
    placed = {"0.png": dict.fromkeys(names, "left"), "1.png": {names[0]: "left", names[1]: None}}
    (scenario / "position.json").write_text(json.dumps(placed))
    return folder


def _references(folder: Path, suite: Suite, name: str, with_masks: bool = False) -> None:
    concept = next(c for c in suite.concepts if c.name == name)
    for n, view in enumerate(concept.views):
        copy_photo(view, folder / f"{n}.png")
        if with_masks:
            Image.new("L", (32, 32), 255).save(folder / f"{n}_mask.png")


def copy_photo(region: ImageRegion, target: Path) -> None:
    """Write the region of a photo as a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    full = (0.0, 0.0, float(region.width), float(region.height))
    if region.crop == full and target.suffix == Path(region.uri).suffix:
        shutil.copy(file_path(region.uri), target)
        return
    open_image(region.uri, None if region.crop == full else Box(*region.crop)).save(target)


def _options(query: Query) -> tuple[dict[str, str], str]:
    """The colour of the object and another one, the right one first in every other photo."""
    words = " ".join(query.things[0].phrases).split()
    colour = next(colour for colour in COLOURS if colour in words)
    other = COLOURS[(COLOURS.index(colour) + 1) % len(COLOURS)]
    first = len(words) % 2 == 0
    return {"A": colour if first else other, "B": other if first else colour}, "AB"[not first]


if __name__ == "__main__":
    root = Path(sys.argv[1])
    write_yollava(root / "yollava-data", sample())
    write_mc_llava(root / "mc-llava", sample())
