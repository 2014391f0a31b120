"""Files of a data set, by configuration and split.

Supported, in this order: a file of rows (`.jsonl`, `.json`, `.csv`, `.tsv`); a configuration, where
the data set has several; a folder or file of Parquet, or the output of `save_to_disk`; tars (see
`repic.sources.webdataset`); and folders of the formats in `FORMATS` that `datasets` recognizes,
such as an `imagefolder` (splits and class labels from folders, more columns from `metadata.csv` or
`metadata.jsonl`).

`datasets` lists the files of a configuration as the data set's own README declares them. No code of
a data set runs, and its README names no files outside of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from repic.errors import SourceError
from repic.images import uris
from repic.images.refusal import SYSTEM_ERRORS
from repic.sources import contained, hub, parquet, plain_yaml, shards, webdataset

ROW_FILES = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "csv"}
"""Suffixes of files of rows, and the format that `datasets` reads them with."""
FORMATS = frozenset({"imagefolder", "json", "csv"})
"""Formats that are read row by row; `datasets` knows others that run code or are pickles."""
CARDS = ("README.md", ".huggingface.yaml")
"""Files in which a data set declares its configurations, in YAML."""
MAX_CARD = 4 << 20
"""Most bytes of such a file."""


@dataclass(frozen=True)
class Found:
    """Tables of a split, or tars of samples, or else rows: a streamed data set of `datasets`."""

    tables: tuple[parquet.TableFile, ...] = ()
    tars: tuple[shards.SourceFile, ...] = ()
    rows: Any = None


def find(path: str, config: str | None, split: str) -> Found:
    """The files of one configuration and split of a data set at a local path or URL.

    Raises:
        SourceError: it does not exist, or has another form.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix in ROW_FILES:
        return Found(rows=_row_file(path, suffix))
    if _declares_configurations(path):
        return _of_datasets(path, config, split)
    if config and os.path.isdir(below := os.path.join(os.path.expanduser(path), config)):
        return find(below, None, split)
    if config:
        return _of_datasets(path, config, split)
    if tables := parquet.table_files(path, split):
        return Found(tables=tuple(tables))
    if tars := shards.find(path, split, webdataset.TARS):
        return Found(tars=tuple(tars))
    return _of_datasets(path, config, split)


def unreadable(path: str, split: str, error: Exception) -> SourceError:
    """The error for a data set that `datasets` cannot read."""
    cause = " ".join(str(error).split())[:500] or type(error).__name__
    return SourceError(
        f"{path} has no split {split!r} of Parquet, Arrow or image files "
        f"({cause}); see source.path and source.split"
    )


def _declares_configurations(path: str) -> bool:
    """Whether the README of a data set declares which files belong to which configuration."""
    return "\nconfigs:" in f"\n{_card(path, CARDS[0])}"


def _check_cards(path: str) -> None:
    """Raises: SourceError: a card, which `datasets` reads next, stands for too many values."""
    for name in CARDS:
        try:
            plain_yaml.loads(_card(path, name))
        except plain_yaml.TooManyValuesError as error:
            raise SourceError(f"{name} of {path} is not read: {error}") from error
        except (yaml.YAMLError, RecursionError, ValueError):
            continue  # `datasets` says what is wrong


def _card(path: str, name: str) -> str:
    """The YAML of a card; empty if there is none.

    Raises:
        SourceError: the card has more than `MAX_CARD` bytes.
    """
    import fsspec
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    files, folder = fsspec.url_to_fs(uris.fsspec_path(uris.to_uri(path)))
    try:
        with files.open(f"{folder.rstrip('/')}/{name}", "rb") as file:
            data = file.read(MAX_CARD + 1)
    except OSError:
        return ""
    if len(data) > MAX_CARD:
        raise SourceError(f"{name} of {path} has more than {MAX_CARD >> 20} MB; shorten it")
    text = data.decode(errors="replace")
    if name != CARDS[0]:
        return text
    front = REGEX_YAML_BLOCK.search(text)
    return front.group(2) if front else ""


def _row_file(path: str, suffix: str) -> Any:
    import datasets

    options = {"sep": "\t"} if suffix == ".tsv" else {}
    if not uris.is_url(path):
        path = os.path.expanduser(path)
        if not os.path.isfile(path):
            raise SourceError(f"there is no file {path}; give an existing one (source.path)")
    with _readable(path, "train"):
        return datasets.load_dataset(
            ROW_FILES[suffix], data_files=path, split="train", streaming=True, **options
        )


def _unmistakable(path: str) -> str:
    """A path that `datasets` takes neither for a format, as a folder `csv`, nor for a script.

    It refuses a folder `mugs` that holds a script `mugs.py`, which nothing here would run.
    """
    if uris.is_url(path):
        return path
    path = os.path.abspath(os.path.expanduser(path))
    return os.path.join(path, os.curdir) if os.path.isdir(path) else path


def _of_datasets(path: str, config: str | None, split: str) -> Found:
    """What `datasets` finds in a folder, or on the hub."""
    import datasets

    name, commit = hub.name_and_commit(path) or (_unmistakable(path), None)
    with _readable(path, split):
        _check_cards(path)
        try:
            builder = datasets.load_dataset_builder(name, name=config, revision=commit)
        except ValueError as error:
            if "Config" in str(error):
                raise SourceError(_which_configuration(path, config, str(error))) from error
            raise
        listed = builder.config.data_files or {}
        form = type(builder).__module__.rpartition(".")[2]
        chosen = [str(file) for file in listed.get(split) or ()]
        if not chosen:
            splits = ", ".join(sorted(map(str, listed))) or "none"
            raise SourceError(
                f"{path} has no split {split!r}; set source.split to one of: {splits}"
            )
        root = uris.to_uri(path)
        for file in chosen:
            _check_inside(file, root)
        if form in ("parquet", "arrow"):
            return Found(tables=tuple(parquet.table(file) for file in sorted(chosen)))
        if form == "webdataset":
            return Found(tars=tuple(shards.shard(file) for file in sorted(chosen)))
        if form not in FORMATS:
            raise SourceError(
                f"{path} is of the format {form}, which is not read; export it to Parquet "
                "with `to_parquet` of `datasets`"
            )
        return Found(rows=builder.as_streaming_dataset(split=split))


def _which_configuration(path: str, config: str | None, message: str) -> str:
    names = message.partition("[")[2].partition("]")[0].replace("'", "") or "default"
    what = f"has no configuration {config!r}" if config else "has several configurations"
    return f"{path} {what}; set source.config to one of: {names}"


def _check_inside(file: str, root: str) -> None:
    """Raises: SourceError: the README of a data set names a file outside of it."""
    if not contained.is_below(uris.to_uri(file), root):
        raise SourceError(
            f"the README of {root} names {file[:200]}, a file outside of the data set; "
            "remove it from there"
        )


@contextmanager
def _readable(path: str, split: str) -> Iterator[None]:
    """Turn what `datasets` raises for a data set of another form into a `SourceError`."""
    try:
        yield
    except (SourceError, MemoryError):
        raise
    except Exception as error:  # the library raises many classes
        if isinstance(error, OSError) and error.errno in SYSTEM_ERRORS:
            raise
        raise unreadable(path, split, error) from error
