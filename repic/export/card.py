"""The card of an export: what is in it, from what it was made, and how it is used."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from repic import config
from repic.captions.noun_phrases import head_noun
from repic.export.job import ExportJob
from repic.export.target import SPLITS
from repic.pipeline.stages.faces import FACE, PERSONS
from repic.rewards.server.protocol import ConventionMessage

UNKNOWN = "not stated by the source"
_PEOPLE = PERSONS | {
    *(FACE, "people", "men", "women", "boys", "girls", "children", "babies"),
    *("adult", "kid", "toddler", "teenager", "lady", "gentleman", "bride", "groom", "bridegroom"),
    *("mother", "father", "mom", "mum", "dad", "parent", "grandmother", "grandfather"),
    *("sister", "brother", "daughter", "son", "wife", "husband", "friend", "family"),
    *("pedestrian", "ballplayer", "diver"),
}
"""Nouns for people and their faces, of detectors and owners."""
_LICENCES = {
    "cc0-1.0": "cc0-1.0",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by-2.0": "cc-by-2.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
    "mit": "mit",
    "apache-2.0": "apache-2.0",
}
"""Licences that the Hub knows, by the plain name."""


def is_person(label: str) -> bool:
    """Whether a label is that of a person or a face: `human face`, `girl with a red hat`."""
    return head_noun(label) in _PEOPLE


@dataclass
class Subjects:
    """Who and what an export shows.

    Attributes:
        photos: Number of photos.
        names: Number of names in prompts; they are drawn by the build.
        identities: Number of identities, labelled or mined, of the objects that prompts name.
        people: Those of them with an object that the source, the detector or prompts call a person
            or a face.
        licences: Number of photos by licence.
    """

    photos: int = 0
    names: int = 0
    identities: int = 0
    people: int = 0
    licences: Counter[str] = field(default_factory=Counter)


def subjects(job: ExportJob) -> Subjects:
    """Who and what the rows that a job has written show; read from the tables in batches."""
    counts, found = job.counts, Subjects(len(job.counts.photos), len(job.counts.names))
    tables = job.source.tables
    if "images" in tables:
        for row in job.source.rows("images", ["image_id", "licence"]):
            if row["image_id"] in counts.photos:
                found.licences[row["licence"] or UNKNOWN] += 1
    else:
        found.licences[UNKNOWN] = found.photos
    identity = _identities(job)
    people = {identity[key] for key, label in _labels(job) if is_person(label)}
    found.identities, found.people = len({*identity.values()}), len(people)
    return found


def _identities(job: ExportJob) -> dict[str, str]:
    """Identity of each object that the job has written: labelled, or the mined group, or itself."""
    found = {object_id: object_id for object_id in job.counts.objects}
    for table, column in (("objects", "identity"), ("groups", "group")):
        if table in job.source.tables:
            for row in job.source.rows(table, ["object_id", column]):
                if row["object_id"] in found and row[column]:
                    found[row["object_id"]] = row[column]
    return found


def _labels(job: ExportJob) -> Iterator[tuple[str, str]]:
    """What the source, the detector and prompts call each object that the job has written."""
    for table in ("objects", "labels"):
        if table in job.source.tables:
            for row in job.source.rows(table, ["object_id", "label"]):
                if row["object_id"] in job.counts.objects and row["label"]:
                    yield row["object_id"], row["label"]


def record(job: ExportJob, shown: Subjects) -> dict[str, Any]:
    """What `export.json` says: the version, its content, the settings and the counts."""
    examples, options = job.source.examples, job.options
    return {
        "target": job.target.name,
        "version": str(job.source.manifest.ref),
        "examples": str(examples.ref),
        "content": examples.content,
        "fingerprint": examples.fingerprint,
        "repic": config.version(),
        "convention": convention_json(job),
        "pictures": job.pictures.mode,
        "keep_exif": options.keep_exif,
        "uris": options.uris,
        "rows": _nested(job.counts.rows),
        "left_out": dict(job.counts.left_out.most_common()),
        "left_out_rows": job.counts.named,
        "photos": shown.photos,
        "names": shown.names,
        "identities": shown.identities,
        "people": shown.people,
        "licences": dict(shown.licences.most_common()),
    }


def convention_json(job: ExportJob) -> dict[str, Any]:
    """How boxes are written, as a reward worker takes it."""
    return ConventionMessage.of(job.options.convention).model_dump(exclude_none=True)


def _nested(rows: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (split, kind), number in sorted(rows.items()):
        if number:
            nested.setdefault(split, {})[kind] = number
    return nested


def card(job: ExportJob, facts: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    """The text of `README.md`.

    Args:
        facts: As `record`.
        head: Metadata of the target for the head.
    """
    licences = facts["licences"]
    known = [_LICENCES.get(name.lower().replace(" ", "-")) for name in licences]
    values = {
        "license": known[0] if len(known) == 1 and known[0] else "other",
        "task_categories": ["image-text-to-text"],
        "tags": ["repic", "personalization"],
        "pretty_name": f"{facts['version']} as {job.target.name}",
        **head,
    }
    top = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return f"---\n{top}---\n\n" + "\n".join(_body(job, facts)) + "\n"


def _body(job: ExportJob, facts: Mapping[str, Any]) -> Iterator[str]:
    target = job.target.facts
    yield f"# {facts['version']} as {job.target.name}\n"
    yield f"{target.program}. Written by repic {facts['repic']} from `{facts['version']}`:"
    yield f"content `{facts['content']}` of `{facts['examples']}`, fingerprint"
    yield f"`{facts['fingerprint']}`.\n"
    yield f"    {target.use}\n"
    kinds = sorted({kind for row in facts["rows"].values() for kind in row})
    yield f"| split | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}"
    for split in (*SPLITS, *sorted(set(facts["rows"]) - {*SPLITS})):
        if split in facts["rows"]:
            yield f"| {split} | {' | '.join(str(facts['rows'][split].get(k, 0)) for k in kinds)} |"
    for reason, number in facts["left_out"].items():
        yield f"\nLeft out: {number} rows, {reason}."
    yield f"\nPictures: {_pictures(job)}"
    yield f"Boxes in prompts and answers: `{json.dumps(facts['convention'])}`.\n"
    yield f"It shows {facts['photos']} photos. Prompts use {facts['names']} names, which the build"
    yield f"drew; the objects that they name are of {facts['identities']} identities, of"
    yield f"which {facts['people']} are people. Ask the people in photos before you share them.\n"
    yield "| licence of the photos | photos |\n|---|---|"
    for licence, number in facts["licences"].items():
        yield f"| {cell(licence)} | {number} |"
    yield f"\nKept: {target.keeps}. Not in it: {target.loses}."


def cell(text: str) -> str:
    """A text of a source as a cell of a Markdown table: one line, without links and HTML."""
    return re.sub(r"[\\`|<>&\[\]]", lambda sign: f"&#{ord(sign[0])};", " ".join(text.split()))


def _pictures(job: ExportJob) -> str:
    how = {
        "embed": "inside of the rows",
        "copy": "files in `images/`, by relative paths: the folder can be moved",
        "reference": "whole photos by their absolute paths, others as files in `images/`",
    }[job.pictures.mode]
    kept = "with EXIF of whole photos" if job.options.keep_exif else "without EXIF and GPS"
    return f"{how}; exactly what a model is trained on (cropped, upright), {kept}."
