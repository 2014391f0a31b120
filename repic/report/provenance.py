"""The sections on provenance: who made the version, from what, and what was refused."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from repic.report.dataset import DatasetVersion
from repic.report.pictures import PagePicture
from storage.manifest import Manifest

MAX_REASONS = 20
"""Reasons of the quarantine listed."""
MAX_INPUTS = 12
"""Inputs listed per reason."""
MAX_FACTS = 60
MAX_VALUE = 200
"""Characters of a value on one line."""
MAX_SETTINGS = 20_000
"""Characters of all settings."""

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _BoundTable:
    """A table of the version: its manifest and the names of its inputs."""

    manifest: Manifest
    made_from: tuple[str, ...]


@dataclass(frozen=True)
class _RefusalGroup:
    """Inputs that one stage refused for one reason; `listed` are (name, URI, message)."""

    stage: str
    error: str
    count: int
    listed: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class QuarantineSection:
    """Contents of the section on inputs that could not be used."""

    count: int
    photos: int
    reasons: tuple[_RefusalGroup, ...]
    other_reasons: int


@dataclass(frozen=True)
class _SplitCounts:
    """Size of one split; the empty name means photos in no split."""

    name: str
    photos: int
    objects: int
    groups: int


def headline(version: DatasetVersion) -> Facts:
    """The facts that distinguish one version from another."""
    manifest = version.dataset
    rows = [
        ("Fingerprint", manifest.fingerprint),
        ("Content", manifest.content),
        ("Made", f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC"),
        ("By", f"{manifest.run.user} on {manifest.run.host}"),
        ("Flow run", manifest.run.flow_run or ""),
        ("Code", f"repic {manifest.code_version}" if manifest.code_version else ""),
        *_main_settings(manifest.settings, manifest.notes.get("images", {}).get("sources", {})),
    ]
    return tuple((name, value) for name, value in rows if value)


def _main_settings(
    settings: Mapping[str, Any], counts: Mapping[str, Mapping[str, int]]
) -> Iterator[tuple[str, str]]:
    sources = settings.get("sources") or [settings.get("source") or {}]
    section, encoder = settings.get("detector", {}), settings.get("encoder", {})
    for source in sources:
        of = f" {source.get('name')}" if len(sources) > 1 else ""
        identity = source.get("identity") or ""
        detector = source.get("detector") or section
        found = counts.get(source.get("name") or "")
        photos = f"{found['usable']} of {found['found']} photos" if found else ""
        yield f"Source{of}", _joined(source.get("kind"), source.get("path"), photos)
        yield f"Identities{of}", identity if identity in ("", "none") else f"by {identity}"
        if detector.get("kind") == "annotation":
            yield f"Detector{of}", "none: the source's own boxes"
        else:
            yield f"Detector{of}", _joined(detector.get("kind"), detector.get("checkpoint"))
    view = encoder.get("view")
    model = _joined(encoder.get("architecture"), encoder.get("pretrained"))
    yield "Encoder", f"{model}, of the {view}" if model and view else model


def _joined(*parts: Any) -> str:
    return " · ".join(str(part) for part in parts if part)[:MAX_VALUE]


def named_files(version: DatasetVersion) -> int | None:
    """Number of photos that the source lists, readable or not; None if it is unknown."""
    return version.dataset.notes.get("images", {}).get("files")


def notes(version: DatasetVersion) -> Facts:
    """Other notes of the stages; other sections show those on examples and the number of files."""
    others = {
        name: {k: v for k, v in note.items() if (name, k) != ("images", "files")}
        for name, note in version.dataset.notes.items()
        if name != "examples"
    }
    # Tables that one stage writes together have the same notes.
    distinct = {json.dumps(note, sort_keys=True): name for name, note in others.items()}
    return tuple(_flat({name: others[name] for name in distinct.values()}))[:MAX_FACTS]


def settings_json(version: DatasetVersion) -> str:
    """All settings of the build as indented JSON."""
    text = json.dumps(version.dataset.settings, indent=2, ensure_ascii=False)
    return text if len(text) <= MAX_SETTINGS else f"{text[:MAX_SETTINGS]}\n…"


def bound_tables(version: DatasetVersion) -> tuple[_BoundTable, ...]:
    """Tables of the version in the order in which they were made."""
    return tuple(_BoundTable(table, tuple(_origins(table))) for table in version.tables.values())


def _origins(table: Manifest) -> Iterator[str]:
    yield from (str(bound.ref) for bound in table.inputs)
    yield from (f"source {name}" for name in sorted(table.sources))
    yield from (f"model {name}" for name in sorted(table.models))


def sources_and_models(version: DatasetVersion) -> tuple[tuple[str, Facts], ...]:
    """Sources and models behind the tables: a title and facts about each."""
    titled: dict[str, Facts] = {}
    for table in version.tables.values():
        for kind, named in (("Source", table.sources), ("Model", table.models)):
            for name, detail in sorted(named.items()):
                facts = detail if isinstance(detail, dict) else {"fingerprint": detail}
                titled.setdefault(f"{kind} {name}", tuple(_flat(facts))[:MAX_FACTS])
    return tuple(sorted(titled.items()))


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
        more = "…" if len(item) > 20 or len(text) > MAX_VALUE else ""
        return f"{len(item)} ({text[:MAX_VALUE]}{more})" if len(item) > 1 else text[:MAX_VALUE]
    if isinstance(item, float):
        return f"{item:.6g}"
    return (item if isinstance(item, str) else json.dumps(item))[:MAX_VALUE]


def quarantine_section(version: DatasetVersion) -> QuarantineSection:
    """Refused inputs by stage and reason, most frequent first."""
    table = version.read("quarantine", ["uri", "stage", "error", "message"])
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for row in table.sort_by([("uri", "ascending"), ("stage", "ascending")]).to_pylist():
        groups[row["stage"], row["error"]].append(row)
    ranked = sorted(groups.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return QuarantineSection(
        table.num_rows,
        pc.count_distinct(table["uri"]).as_py(),
        tuple(
            _RefusalGroup(
                stage,
                error,
                len(rows),
                tuple(
                    (PagePicture("", r["uri"]).name, r["uri"], r["message"])
                    for r in rows[:MAX_INPUTS]
                ),
            )
            for (stage, error), rows in ranked[:MAX_REASONS]
        ),
        max(0, len(ranked) - MAX_REASONS),
    )


def splits(version: DatasetVersion, names: tuple[str, ...]) -> tuple[_SplitCounts, ...]:
    """Photos, objects and identity groups of each split; those in no split come last."""
    table = version.read("groups", ["image_id", "group", "split"])
    column = table["split"].fill_null("")
    counts = [_split(name, table.filter(pc.equal(column, name))) for name in (*names, "")]
    return tuple(split for split in counts if split.name or split.objects)


def _split(name: str, rows: pa.Table) -> _SplitCounts:
    photos, groups = (pc.count_distinct(rows[c]).as_py() for c in ("image_id", "group"))
    return _SplitCounts(name, photos, rows.num_rows, groups)
