"""Rewards of honest and dishonest answers where little is known: real photos, real models.

    python benchmarks/real_rewards.py          # exit status 1 if a target is missed

Three inputs, each left out if it is not there: a build of real photos (`--store`, or of the
folder `data/dreambooth`, kept in the cache folder); the captions that the authors of RePIC
released (`data/repic_captions`); and a suite of answers with the reward that each may earn
(`cases/rewards.jsonl`, with its rows in `rows.json`). They are looked for in `--shared`, by
default a folder `shared` beside the clone. A form of answer fails if it does so on more than half
of its rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repic.config import cache_folder
from repic.objectives.base import Row
from repic.objectives.caption_reward import asks_for_detail
from repic.rewards.attacks.suite import LOST, task_of
from repic.rewards.scoring import score

ATTACKS = {
    "right names over nonsense": (
        "{present} qwe rty uio asd fgh jkl zxc vbn mnb poi lkj hgf",
        "{present} rock the of sunny stands a behind is tree and on small water the with grey",
    ),
    "right names in a refusal": (
        "I cannot help with that, {present}.",
        "Sorry {present}, as a language model I am not able to describe pictures like this one.",
    ),
    "right names in a credit": (
        "Photo by {present}.",
        "Copyright {present}, all rights reserved, published with kind permission of the owner.",
    ),
}
SHORT = ("{present} stands on a sunny rock.", "{present} lies in the grass below a tree.")
FILLER = (
    "{all} stands in the middle of a calm scene, lit softly from one side, while the background "
    "stays simple and nothing else moves.",
    "This picture shows {all} in a nice and quiet place, and everything can be seen clearly.",
    "{all} can be seen here, and the overall mood of this beautiful image is warm and inviting.",
)
FIRST_KINDS = (
    "name not of an object",
    "nothing known: any text",
    "very long",
    "word list",
    "things said to be absent",
    "half true",
    "attributes swapped",
    "names swapped",
    "absent name slipped in",
    "vlt denied, doubted or mislabelled box",
)
"""Kinds of attacks that a policy finds by sampling; they have a stricter target."""

REAL_MODELS = {
    "zero-shot": "captioning-skip-retrieval-zero_shot.json",
    "SFT": "captioning-skip-retrieval-qwen_sft.json",
    "RePIC": "captioning-skip-retrieval-ours.json",
    "RAP-LLaVA": "caption-rap-llava-with-skip-retreival_RAP-llava-reproduce.json",
    "RAP-LLaVA, SFT": "caption-rap-llava-skip-retreival_RAP-llava-sft-2k.json",
}


@dataclass(frozen=True)
class Line:
    """A line of the table. `target` is the highest value allowed, or the lowest if `at_least`."""

    name: str
    value: float
    target: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def is_met(self) -> bool:
        if self.target is None:
            return True
        if self.at_least:
            return self.value >= self.target
        return self.value <= self.target

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        goal = "" if self.target is None else f"{sign} {self.target:g}"
        verdict = "" if self.is_met else "MISSED"
        return f"{self.name:58}{self.value:8.3f}  {goal:8}{verdict:8}{self.note}".rstrip()


def text_for(form: str, row: Row) -> str:
    """A form of answer with the tags of the present or of all names of a row."""
    names = {"all": [r["name"] for r in row["references"]]}
    names["present"] = [r["name"] for r in row["references"] if r["present"]]
    tags = {key: " and ".join(f"<{name}>" for name in value) for key, value in names.items()}
    return form.format(**tags)


def on_photos(rows: Sequence[Row]) -> Iterator[Line]:
    """What a build of real photos pays for answers that do not look, and for a short true one."""
    captions = [row for row in rows if task_of(row) == "ict"]
    present = [row for row in captions if any(r["present"] for r in row["references"])]
    single = [row for row in present if row["kind"] == "single"]
    for name, forms in ATTACKS.items():
        worst, totals = _worst(forms, present)
        full = sum(total >= 0.95 for total in totals)
        yield Line(name, worst, 0.2, note=f"0.95 or more in {full} of {len(totals)} rows")
    brief = [row for row in single if not asks_for_detail(row)]
    shortest = min(_mean(form, brief) for form in SHORT)
    note = f"{len(brief)} rows that ask for no detail"
    yield Line("short true caption", shortest, 0.9, at_least=True, note=note)
    lowest = min(_mean(form, single) for form in SHORT)
    yield Line("short true caption, all requests", lowest, note=f"{len(single)} rows")
    worst, totals = _worst(FILLER, captions)
    yield Line("everybody named over filler", worst, 0.35, note=f"{len(captions)} rows")


def _worst(forms: Sequence[str], rows: Sequence[Row]) -> tuple[float, list[float]]:
    """The highest mean of a form, and the rewards of that form."""
    totals = [[score(text_for(form, row), row).total for row in rows] for form in forms]
    best = max(totals, key=statistics.fmean)
    return statistics.fmean(best), best


def _mean(form: str, rows: Sequence[Row]) -> float:
    return statistics.fmean(score(text_for(form, row), row).total for row in rows)


def released_rows(folder: Path) -> Iterator[tuple[str, Row, str]]:
    """Model, row and caption, for each released caption; both references are present."""
    concepts = json.loads((folder / "concepts_2.json").read_text(encoding="utf-8"))
    about = concepts["concept_dict"]
    for model, file in REAL_MODELS.items():
        for _, tags, caption, request in json.loads((folder / file).read_text(encoding="utf-8")):
            names = {tag.strip("<>"): about[tag]["info"] for tag in tags}
            texts = [f"Name: <{name}>, Info: {info}" for name, info in names.items()]
            prompt = [{"type": "text", "text": text} for text in (*texts, request)]
            references = [
                {"name": name, "info": info, "present": True} for name, info in names.items()
            ]
            row = {"objective": "ict", "kind": "multi", "caption": None, "answer": ""}
            yield model, {**row, "prompt": prompt, "references": references}, caption


def on_released(folder: Path) -> Iterator[Line]:
    """Right captions of real models that are called thin, and the mean reward of right ones."""
    rewards = defaultdict(list)
    for model, row, caption in released_rows(folder):
        reward = score(caption.replace("</s>", ""), row)
        if reward.components["names"] == 1:
            rewards[model].append(reward)
    for model, right in rewards.items():
        thin = [reward for reward in right if reward.components["content"] < 1]
        target = 0 if model in ("zero-shot", "SFT") else None
        note = f"{len(thin)} of {len(right)}"
        yield Line(
            f"right captions called thin, {model}", len(thin) / len(right), target, note=note
        )
        mean = statistics.fmean(reward.total for reward in right)
        yield Line(f"mean reward of right captions, {model}", mean)


def on_cases(folder: Path, lists: bool) -> Iterator[Line]:
    """Share of the forms of the suite that fail, in all and by kind."""
    rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    with (folder / "rewards.jsonl").open(encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines]
    failed: dict[str, dict[tuple[str, str], list[Mapping[str, Any]]]] = {
        "attack": defaultdict(list),
        "honest": defaultdict(list),
    }
    for case in cases:
        total = score(case["completion"], rows[case["example_id"]]).total
        excess = total - case["expected"]
        is_bad = excess > LOST if case["set"] == "attack" else excess < -LOST
        entry = {**case, "total": total, "is_bad": is_bad}
        failed[case["set"]][case["kind"], case["form"]].append(entry)
    yield from _shares("attack", "attacks that earn too much", failed["attack"], 0.25, 0.15)
    yield from _shares("honest", "honest forms that lose", failed["honest"], 0.12, None)
    if lists:
        _print_failures(failed)


def _shares(
    name: str,
    title: str,
    forms: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]],
    target: float,
    target_of_first: float | None,
) -> Iterator[Line]:
    kinds: dict[str, list[bool]] = defaultdict(list)
    for (kind, _), entries in forms.items():
        kinds[kind].append(statistics.fmean(entry["is_bad"] for entry in entries) > 0.5)
    every = [bad for outcomes in kinds.values() for bad in outcomes]
    yield Line(title, statistics.fmean(every), target, note=f"{sum(every)} of {len(every)} forms")
    if target_of_first is not None:
        first = [bad for kind in FIRST_KINDS for bad in kinds[kind]]
        note = f"{sum(first)} of {len(first)} forms"
        yield Line(
            f"{title}, of the first kinds", statistics.fmean(first), target_of_first, note=note
        )
    for kind, bad in sorted(kinds.items(), key=lambda item: -sum(item[1])):
        share = f"{sum(bad)} of {len(bad)}"
        yield Line(f"  {name}: {kind}", statistics.fmean(bad), note=share)


def _print_failures(failed: Mapping[str, Mapping[tuple[str, str], Any]]) -> None:
    for which, forms in failed.items():
        for (kind, _), entries in forms.items():
            for entry in entries:
                if entry["is_bad"]:
                    text = " ".join(entry["completion"].split())[:160]
                    print(f"{which}: {kind}: {entry['total']:.2f}: {text}")


def photo_rows(photos: Path, store: Path | None) -> list[Row]:
    """Examples of a finished build, or of a build of the photos in the cache folder."""
    from repic import config
    from repic.pipeline.execution import build
    from repic.pipeline.scan import scan
    from storage.store import Store

    if store is not None:
        return Store.open(str(store)).read("examples@latest").to_pylist()
    settings = config.load("photos", source={"path": str(photos)})
    opened = Store.open(str(cache_folder() / "real_rewards"), create=True)
    outcome = build(settings, opened, scan(settings))
    return opened.read(str(outcome.tables["examples"].ref)).to_pylist()


def shared_folder() -> Path:
    """The folder `shared` beside the clone, which need not exist."""
    parents = Path(__file__).resolve().parents
    folders = (parent / "shared" for parent in parents)
    return next((folder for folder in folders if folder.is_dir()), parents[1] / "shared")


def parts(options: argparse.Namespace) -> Iterator[tuple[str, Path, Callable[[], Iterator[Line]]]]:
    """The three parts: title, what it needs, and the lines that it gives."""
    shared = options.shared or shared_folder()
    photos, captions = shared / "data" / "dreambooth", shared / "data" / "repic_captions"
    yield (
        "Real photos, only names known",
        options.store or photos,
        lambda: on_photos(photo_rows(photos, options.store)),
    )
    yield "Released captions", captions, lambda: on_released(captions)
    cases = shared / "cases"
    yield "Suite of answers", cases / "rewards.jsonl", lambda: on_cases(cases, options.failures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, help="folder with data and cases")
    parser.add_argument("--store", type=Path, help="finished build of real photos")
    parser.add_argument("--only", type=int, choices=(1, 2, 3), help="one part of the table")
    parser.add_argument("--failures", action="store_true", help="print each case that fails")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    lines: list[Line] = []
    for number, (title, needs, measure) in enumerate(parts(options), start=1):
        if options.only not in (None, number):
            continue
        print(title if needs.exists() else f"{title}: left out, because {needs} is not there.")
        for line in measure() if needs.exists() else ():
            print(line)
            lines.append(line)
    if options.json:
        print(json.dumps({line.name.strip(): round(line.value, 4) for line in lines}))
    sys.exit(0 if all(line.is_met for line in lines) else 1)


if __name__ == "__main__":
    main()
