"""Groups of objects of a version, and how a decision on a group is one on each of its objects.

A group has no lasting name: that of a mined one is the id of an object. So merging, splitting and
naming groups says of each object who or what it is, in rows of `reviews` about identities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from repic.errors import SchemaError
from repic.pipeline.reviews import agreed
from repic.pipeline.stages.reviewed import subject_id
from repic.studio.decisions import ByReviewer, Change
from repic.studio.versions import VersionTables

LETTERS = 8
"""Digits of an object's id in the name of a group that nobody named."""


@dataclass(frozen=True)
class Group:
    """A group of a version.

    Attributes:
        name: An identity, or the id of an object if the group was mined.
        origin: label or mined.
        size: Number of its objects.
        rows: Their places in `VersionTables.groups`.
    """

    name: str
    origin: str
    size: int
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Named:
    """What is decided of the objects of a group.

    Attributes:
        names: Identity that the next build will give -> objects.
        pending: Objects that have another identity in the version.
        disputed: Objects on which reviewers differ, which stay as they are.
        own: Objects that who looks has decided on.
        said: Reviewers with decisions.
    """

    names: Mapping[str, int]
    pending: int
    disputed: int
    own: int
    said: Sequence[str]


def groups_of(version: VersionTables, origin: str = "", least: int = 1) -> list[Group]:
    """Groups with at least `least` objects, the largest first; `origin` empty: of both."""
    table = version.groups
    names = table["group"].combine_chunks().dictionary_encode()
    codes = names.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=len(names.dictionary))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    is_label = pc.equal(table["origin"], "label").to_numpy(zero_copy_only=False)
    labelled = np.zeros(len(sizes), dtype=bool)
    labelled[codes[is_label]] = True
    texts = names.dictionary.to_pylist()
    kept = [
        Group(texts[c], found, int(sizes[c]), order[starts[c] : starts[c + 1]])
        for c in np.flatnonzero(sizes >= least).tolist()
        if (found := "label" if labelled[c] else "mined") == (origin or found)
    ]
    return sorted(kept, key=lambda group: (-group.size, group.name))


def members(version: VersionTables, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Rows of `VersionTables.objects` of places in `VersionTables.groups`, with their split."""
    table = version.groups.take(pa.array(rows))
    at = pc.index_in(table["object_id"], version.objects["object_id"].combine_chunks())
    things = version.objects_at(pc.fill_null(at, -1).to_numpy())
    splits = table["split"].to_pylist()
    return [
        {**thing, "split": split}
        for thing, split in zip(things, splits, strict=True)
        if thing is not None
    ]


def decided_on(
    things: Iterable[Mapping[str, Any]], decided: Mapping[str, ByReviewer], who: str
) -> Named:
    """What is decided of some objects."""
    names: Counter[str] = Counter()
    pending = disputed = own = 0
    said: set[str] = set()
    for thing in things if decided else ():
        rows = decided.get(subject_id(thing), {})
        own += who in rows
        said |= rows.keys()
        together = agreed(rows.values())
        if together is not None:
            names[together["identity"]] += 1
            pending += together["identity"] != thing["identity"]
        disputed += together is None and any(r["decision"] != "unsure" for r in rows.values())
    return Named(dict(names.most_common()), pending, disputed, own, sorted(said))


def naming(
    things: Sequence[Mapping[str, Any]], name: str, who: str, decided: Mapping[str, ByReviewer]
) -> list[Change]:
    """The decisions by which objects get an identity, but for those that have it without.

    Raises:
        SchemaError: the name is empty.
    """
    name = " ".join(name.split())
    if not name:
        raise SchemaError("A group needs a name.")
    by_id = {subject_id(thing): thing for thing in things}
    return [
        _change(id_, name, who)
        for id_, thing in by_id.items()
        if (decided.get(id_) or thing["identity"] != name)
        and decided.get(id_, {}).get(who, {}).get("identity") != name
    ]


def withdrawing(
    things: Sequence[Mapping[str, Any]], who: str, decided: Mapping[str, ByReviewer]
) -> list[Change]:
    """The decisions by which a reviewer takes back what they said of objects."""
    ids = {subject_id(thing) for thing in things}
    return [_change(id_, None, who) for id_ in sorted(ids) if who in decided.get(id_, {})]


def name_for(
    groups: Sequence[Group], things: Sequence[Mapping[str, Any]], decided: Mapping[str, ByReviewer]
) -> str:
    """The name of groups that are merged: of the decision, or of the largest that has one."""
    names = decided_on(things, decided, "").names
    if names:
        return next(iter(names))
    labels = [group.name for group in groups if group.origin == "label"]
    return labels[0] if labels else unnamed(things)


def unnamed(things: Sequence[Mapping[str, Any]], among: Collection[str] = ()) -> str:
    """A name for objects that nobody named, which is not `among` others."""
    ids = sorted(thing["object_id"] for thing in things)
    names = (f"group-{id_[:LETTERS]}" for id_ in ids)
    return next((name for name in names if name not in among), f"group-{ids[0]}")


def _change(id_: str, name: str | None, who: str) -> Change:
    return {
        "subject": "identity",
        "subject_id": id_,
        "decision": "accept" if name else "",
        "reviewer": who,
        "note": None,
        "box": None,
        "label": None,
        "identity": name,
    }
