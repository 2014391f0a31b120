"""What manifests say: who made the version, from what, with which models, and what was refused."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from repic.report.pictures import Shot
from repic.report.versions import Version
from storage.manifest import Manifest

REASONS = 20
URIS = 12
"""Most reasons of the quarantine, and most inputs listed of each."""
NOTES = 60
LONGEST = 200
"""Characters of a value, where one line has to do."""
SETTINGS = 20_000
"""Characters of all settings."""

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Bound:
    """A table of the version: its manifest and what it was made from, as text."""

    manifest: Manifest
    made_from: tuple[str, ...]


@dataclass(frozen=True)
class Refusals:
    """Inputs that one stage refused for one reason; `listed` are (name, uri, message)."""

    stage: str
    error: str
    count: int
    listed: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Quarantine:
    """All inputs that could not be used."""

    count: int
    photos: int
    reasons: tuple[Refusals, ...]
    other_reasons: int


@dataclass(frozen=True)
class Split:
    """What is in one split; an empty name stands for photos that are in none."""

    name: str
    photos: int
    objects: int
    groups: int


def headline(version: Version) -> Facts:
    """The few facts that tell one version from another."""
    made = version.dataset
    rows = [
        ("Fingerprint", made.fingerprint),
        ("Content", made.content),
        ("Made", f"{made.created:%Y-%m-%d %H:%M:%S} UTC"),
        ("By", f"{made.run.user} on {made.run.host}"),
        ("Flow run", made.run.flow_run or ""),
        ("Code", f"repic {made.code_version}" if made.code_version else ""),
        *_chosen(made.settings),
    ]
    return tuple((name, value) for name, value in rows if value)


def _chosen(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    source, detector = settings.get("source", {}), settings.get("detector", {})
    encoder = settings.get("encoder", {})
    yield "Source", _words(source.get("kind"), source.get("path"))
    identity = source.get("identity")
    yield "Identities", f"by {identity}" if identity and identity != "none" else (identity or "")
    if detector.get("kind") == "annotation":
        yield "Detector", "none: the source's own boxes"
    else:
        yield "Detector", _words(detector.get("kind"), detector.get("checkpoint"))
    seen = encoder.get("view")
    model = _words(encoder.get("architecture"), encoder.get("pretrained"))
    yield "Encoder", f"{model}, of the {seen}" if model and seen else model


def _words(*parts: Any) -> str:
    return " · ".join(str(part) for part in parts if part)[:LONGEST]


def named_files(version: Version) -> int | None:
    """Photos that the source named, unreadable ones included; None if nothing says."""
    return version.dataset.notes.get("images", {}).get("files")


def notes(version: Version) -> Facts:
    """Whatever else the stages noted; examples and the number of files have places of their own."""
    known = {
        name: {k: v for k, v in note.items() if (name, k) != ("images", "files")}
        for name, note in version.dataset.notes.items()
        if name != "examples"
    }
    # Tables that one stage makes together carry the same notes.
    named = {json.dumps(note, sort_keys=True): name for name, note in known.items()}
    return tuple(_flat({name: known[name] for name in named.values()}))[:NOTES]


def settings_json(version: Version) -> str:
    """All settings of the build as a person reads them."""
    text = json.dumps(version.dataset.settings, indent=2, ensure_ascii=False)
    return text if len(text) <= SETTINGS else f"{text[:SETTINGS]}\n…"


def bound(version: Version) -> tuple[Bound, ...]:
    """Tables of the version in the order in which they were made."""
    return tuple(Bound(table, tuple(_origins(table))) for table in version.tables.values())


def _origins(table: Manifest) -> Iterator[str]:
    yield from (str(bound.ref) for bound in table.inputs)
    yield from (f"source {name}" for name in sorted(table.sources))
    yield from (f"model {name}" for name in sorted(table.models))


def leaves(version: Version) -> tuple[tuple[str, Facts], ...]:
    """Sources and models behind the tables: a title, and what is known of each."""
    found: dict[str, Facts] = {}
    for table in version.tables.values():
        for kind, named in (("Source", table.sources), ("Model", table.models)):
            for name, detail in sorted(named.items()):
                facts = detail if isinstance(detail, dict) else {"fingerprint": detail}
                found.setdefault(f"{kind} {name}", tuple(_flat(facts))[:NOTES])
    return tuple(sorted(found.items()))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested JSON as dotted keys and short values."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        elif item not in (None, "", [], ()):
            yield f"{prefix}{key}", _short(item)


def _short(item: Any) -> str:
    if isinstance(item, list | tuple):
        text = ", ".join(x if isinstance(x, str) else json.dumps(x) for x in item[:20])
        more = "…" if len(item) > 20 or len(text) > LONGEST else ""
        return f"{len(item)} ({text[:LONGEST]}{more})" if len(item) > 1 else text[:LONGEST]
    if isinstance(item, float):
        return f"{item:.6g}"
    return (item if isinstance(item, str) else json.dumps(item))[:LONGEST]


def quarantine(version: Version) -> Quarantine:
    """Refused inputs by stage and reason, the most frequent first."""
    table = version.read("quarantine", ["uri", "stage", "error", "message"])
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for row in table.sort_by([("uri", "ascending"), ("stage", "ascending")]).to_pylist():
        groups[row["stage"], row["error"]].append(row)
    ranked = sorted(groups.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return Quarantine(
        table.num_rows,
        pc.count_distinct(table["uri"]).as_py(),
        tuple(
            Refusals(
                stage,
                error,
                len(rows),
                tuple((Shot("", r["uri"]).name, r["uri"], r["message"]) for r in rows[:URIS]),
            )
            for (stage, error), rows in ranked[:REASONS]
        ),
        max(0, len(ranked) - REASONS),
    )


def splits(version: Version, names: tuple[str, ...]) -> tuple[Split, ...]:
    """Photos, objects and identity groups of each split; what is in no split comes last."""
    table = version.read("groups", ["image_id", "group", "split"])
    of = table["split"].fill_null("")
    found = [_split(name, table.filter(pc.equal(of, name))) for name in (*names, "")]
    return tuple(split for split in found if split.name or split.objects)


def _split(name: str, rows: pa.Table) -> Split:
    photos, groups = (pc.count_distinct(rows[c]).as_py() for c in ("image_id", "group"))
    return Split(name, photos, rows.num_rows, groups)
