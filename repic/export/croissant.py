"""Croissant metadata (MLCommons, version 1.0) of Parquet files: their hashes and their columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FILE = "croissant.json"
FIELDS = ("example_id", "objective", "kind", "split", "template_id", "answer", "caption")
"""The columns of text, which are described."""

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def write(job: ExportJob, files: Sequence[Path]) -> None:
    """Write `croissant.json`, with the SHA-256 of each file."""
    examples = job.source.examples
    docs = {column.name: column.doc or "" for column in examples.columns}
    value = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"repic-{examples.name}-{examples.version}",
        "description": f"{job.target.facts.keeps}. Content {examples.content}.",
        "version": f"{examples.version}.0.0",
        "datePublished": examples.created.date().isoformat(),
        "distribution": [_file(path, job.folder) for path in sorted(files)],
        "recordSet": [_records(path, docs) for path in sorted(files)],
    }
    text = json.dumps(value, indent=1, ensure_ascii=False)
    (job.folder / FILE).write_text(text + "\n", encoding="utf-8")


def _file(path: Path, folder: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.relative_to(folder).as_posix(),
        "encodingFormat": "application/x-parquet",
        "sha256": digest,
    }


def _records(path: Path, docs: dict[str, str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": path.stem,
        "name": path.stem,
        "field": [*_fields(path, docs)],
    }


def _fields(path: Path, docs: dict[str, str]) -> Iterator[dict[str, Any]]:
    for name in FIELDS:
        if name in docs:
            yield {
                "@type": "cr:Field",
                "@id": f"{path.stem}/{name}",
                "name": name,
                "description": docs[name],
                "dataType": "sc:Text",
                "source": {"fileObject": {"@id": path.name}, "extract": {"column": name}},
            }
