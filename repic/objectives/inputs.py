"""What the rows of each photo are made from, found for all photos together.

What depends on many photos is decided here, on columns: which pairs can be used, what is certainly
absent from which photo, the questions of OCT, the crops of VLT and the words that tell a photo from
others. A photo gets its own part of that, with its objects and those that pairs link to it, and a
key that is a hash of exactly this. So its rows are written without any other photo, and need not be
written again while the key stays the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from repic.config import SPLITS, ExampleSettings, SourceSettings
from repic.objectives import oct, same_photo, source_use, vlt
from repic.objectives.corpus import TEXT, Corpus, Flags, Ints, Lists
from repic.objectives.fact_words import FactWords, PhotoWords
from repic.objectives.neighborhood import read_alone
from storage.hashing import row_hashes

AT_ONCE = 2048
"""Photos that are looked at together."""

OBJECTS_AT_ONCE = 1 << 16
"""Objects whose content is hashed together."""

Hashes = NDArray[np.uint64]
"""Shape (2, n), see `storage.hashing`."""

Listed = tuple[Ints, Ints]
"""Lists of several photos: the place of the photo of each value, ascending, and the value."""


@dataclass(frozen=True)
class _Around:
    """What is around some photos."""

    photos: Ints
    own: Listed
    partners: Listed
    pairs: Listed
    absent: Flags
    """Whether the end of each pair in another photo is certainly absent."""
    oct: Listed
    vlt: Listed
    references: Listed
    words: tuple[list[list[str]], list[list[str]]]


@dataclass(frozen=True)
class ExampleInputs:
    """The inputs of the rows of all photos that are in a split.

    Attributes:
        corpus: Of all photos.
        queries: These photos, in the order of their ids.
        refused: Objective -> number of candidates that are not used, by reason.
        candidates: Objective -> number of candidates from which its rows are made.
        has_photos: Objective -> whether any photo is used for it.
    """

    corpus: Corpus
    queries: Ints
    refused: Mapping[str, Counter[str]]
    candidates: Mapping[str, int]
    has_photos: Mapping[str, bool]
    _oct: oct.OctQuestions
    _vlt: vlt.VltQuestions
    _words: FactWords
    _has_negatives: bool
    _of_photo: Mapping[str, Lists]
    """Pairs, questions of OCT and of VLT, and references of ICT, of each photo."""

    @classmethod
    def of(
        cls, corpus: Corpus, settings: ExampleSettings, sources: Sequence[SourceSettings] = ()
    ) -> ExampleInputs:
        """Decide what all photos decide together.

        Args:
            settings: How pairs become examples.
            sources: Which objectives the photos of each source are used for.
        """
        of = {
            name: source_use.corpus_for(name, corpus, sources)
            for name in source_use.objectives(sources)
        }
        refused = {name: Counter[str]() for name in of}
        for counts in refused.values():
            counts.update({f"pair_{reason}": n for reason, n in corpus.refused.items()})
        own = same_photo.references(of["oct"], settings, refused["oct"])
        of_oct = oct.choose(of["oct"], own, settings, refused["oct"])
        words, targets, are_labels = _read_texts(of["ict"], of["vlt"], settings, refused["vlt"])
        of_vlt = vlt.choose(of["vlt"], targets, are_labels, settings, refused["vlt"])
        own = np.sort(same_photo.references(of["ict"], settings, refused["ict"]))
        photos = corpus.photos.num_rows
        ends = corpus.photo[np.concatenate([corpus.anchor, corpus.other])]
        return cls(
            corpus=corpus,
            queries=np.flatnonzero(corpus.split >= 0),
            refused=refused,
            candidates={"oct": int(of_oct.present.sum()), "vlt": len(targets)},
            has_photos={name: bool((one.split >= 0).any()) for name, one in of.items()},
            _oct=of_oct,
            _vlt=of_vlt,
            _words=words.chooser(of["ict"]),
            _has_negatives=bool((~of["ict"].positive).any()),
            _of_photo={
                "pairs": Lists.by(ends, photos, np.tile(np.arange(len(corpus.anchor)), 2)),
                "oct": Lists.by(corpus.photo[of_oct.target], photos),
                "vlt": Lists.by(corpus.photo[of_vlt.target], photos),
                "references": Lists.by(corpus.photo[own], photos, own),
            },
        )

    @cached_property
    def keys(self) -> pa.Table:
        """`key` and `image_id` of each of the `queries`."""
        ids = self.corpus.photos["image_id"].take(pa.array(self.queries))
        hashes: list[str] = []
        for start in range(0, len(self.queries), AT_ONCE):
            lanes = row_hashes(self._content(self._around(self.queries[start : start + AT_ONCE])))
            hashes += [f"{high:016x}{low:016x}" for low, high in lanes.T.tolist()]
        keys = pc.binary_join_element_wise(ids.combine_chunks(), pa.array(hashes, TEXT), "-")
        return pa.table({"key": keys, "image_id": ids})

    def take(self, rows: Ints) -> pa.Table:
        """All that the rows of some of the `queries` are made from.

        `repic.objectives.neighborhood` reads the columns.
        """
        around, count = self._around(self.queries[rows]), len(rows)
        columns = {
            **_columns(_alone(self.corpus, around.photos)),
            "partners": _lists(around.partners, _objects(self.corpus, around.partners[1]), count),
            "pairs": _lists(around.pairs, self._pairs(around), count),
            "questions": _lists(around.oct, self._questions(around.oct[1]), count),
            "references": _lists(around.references, self._ids(around.references[1]), count),
            "targets": _lists(around.vlt, self._targets(around.vlt[1]), count),
        }
        return pa.table({**columns, **self._plain(around)})

    def _around(self, photos: Ints) -> _Around:
        corpus, of = self.corpus, self._of_photo
        pairs = _distinct(*of["pairs"].of(photos), len(corpus.anchor))
        asked = of["oct"].of(photos)
        anchor, other = corpus.anchor[pairs[1]], corpus.other[pairs[1]]
        row = np.concatenate([pairs[0], pairs[0], asked[0]])
        linked = np.concatenate([anchor, other, self._oct.shown[asked[1]]])
        outside = corpus.photo[linked] != photos[row]
        is_anchor_outside = corpus.photo[anchor] != photos[pairs[0]]
        anchor_absent, other_absent = corpus.absences[:, pairs[1]]
        words = list(self._words.choose(photos))
        return _Around(
            photos,
            corpus.objects_of.of(photos),
            _distinct(row[outside], linked[outside], len(corpus.photo)),
            pairs,
            np.where(is_anchor_outside, anchor_absent, other_absent),
            asked,
            of["vlt"].of(photos),
            of["references"].of(photos),
            ([distinctive for distinctive, _ in words], [distractors for _, distractors in words]),
        )

    def _content(self, around: _Around) -> pa.Table:
        """What `take` gives, with hashes in place of rows that many photos share.

        Groups are told by the first of a photo's objects that is in them, so that a group may get
        other members elsewhere.
        """
        count = len(around.photos)
        photo, objects, pairs = self._hashes
        row, listed = map(np.concatenate, zip(around.own, around.partners, strict=True))
        order = np.argsort(row, kind="stable")
        row, groups = row[order], _first_of_group(row[order], self.corpus.group[listed[order]])
        columns = {
            **_lanes("photo", photo[:, around.photos]),
            "groups": _lists((row, groups), pa.array(groups), count),
            "absent": _lists(around.pairs, pa.array(around.absent), count),
            "oct": _lists(around.oct, self._questions(around.oct[1]), count),
            "vlt": _lists(around.vlt, self._targets(around.vlt[1]), count),
            "references": _lists(around.references, self._ids(around.references[1]), count),
        }
        for name, hashes, (row, values) in (
            ("own", objects, around.own),
            ("partners", objects, around.partners),
            ("pairs", pairs, around.pairs),
        ):
            for lane, column in _lanes(name, hashes[:, values]).items():
                columns[lane] = _lists((row, values), column, count)
        return pa.table({**columns, **self._plain(around)})

    @cached_property
    def _hashes(self) -> tuple[Hashes, Hashes, Hashes]:
        """Hashes of all photos, of all objects but for their groups, and of all pairs."""
        corpus = self.corpus
        pairs = {
            "pair": corpus.pair_keys.view(np.int64),
            "anchor": corpus.object_keys.view(np.int64)[corpus.anchor],
            "other": corpus.object_keys.view(np.int64)[corpus.other],
            "positive": corpus.positive,
            "band": corpus.pairs["band"],
            "similarity": corpus.pairs["similarity"],
        }
        count = len(corpus.photo)
        blocks = [np.zeros((2, 0), np.uint64)]
        for start in range(0, count, OBJECTS_AT_ONCE):
            rows = np.arange(start, min(start + OBJECTS_AT_ONCE, count))
            blocks.append(row_hashes(_objects(corpus, rows).drop_columns("group")))
        objects = np.concatenate(blocks, axis=1)
        return row_hashes(corpus.photos), objects, row_hashes(pa.table(pairs))

    def _pairs(self, around: _Around) -> pa.Table:
        corpus, rows = self.corpus, around.pairs[1]
        kinds = pa.array(["negative", "positive"], TEXT)
        return pa.table(
            {
                **_columns(_take(corpus.pairs, rows)),
                "kind": kinds.take(pa.array(corpus.positive[rows].astype(np.int64))),
                "anchor_id": self._ids(corpus.anchor[rows]),
                "other_id": self._ids(corpus.other[rows]),
                "absent": pa.array(around.absent),
            }
        )

    def _plain(self, around: _Around) -> dict[str, Any]:
        splits = pa.array(SPLITS, TEXT).take(pa.array(self.corpus.split[around.photos]))
        return {
            "split": splits,
            "distinctive": pa.array(around.words[0], pa.list_(TEXT)),
            "distractors": pa.array(around.words[1], pa.list_(TEXT)),
            "has_negatives": pa.array([self._has_negatives] * len(around.photos)),
        }

    def _ids(self, objects: Ints) -> pa.Array:
        return _take(self.corpus.objects, objects)["object_id"].combine_chunks()

    def _questions(self, rows: Ints) -> pa.Table:
        asked = self._oct
        pair = pa.array(asked.pair[rows], mask=asked.pair[rows] < 0)
        origin = pa.array(["two_photos", "same_photo"], TEXT)
        return pa.table(
            {
                "shown": self._ids(asked.shown[rows]),
                "target": self._ids(asked.target[rows]),
                "present": pa.array(asked.present[rows]),
                "origin": origin.take(pa.array(asked.same_photo[rows].astype(np.int64))),
                "pair_id": self.corpus.pairs["pair_id"].take(pair),
            }
        )

    def _targets(self, rows: Ints) -> pa.Table:
        crops = pa.FixedSizeListArray.from_arrays(pa.array(self._vlt.crop[rows].ravel()), 4)
        whole = pa.array(np.isnan(self._vlt.crop[rows, 0]))
        return pa.table(
            {
                "object_id": self._ids(self._vlt.target[rows]),
                "crop": pc.if_else(whole, pa.scalar(None, crops.type), crops),
            }
        )


def _read_texts(
    ict: Corpus, of_vlt: Corpus, settings: ExampleSettings, refused: Counter[str]
) -> tuple[PhotoWords, Ints, Flags]:
    """The words of all photos, the objects that VLT can ask for, and whether by their label."""
    words, targets, are_labels = PhotoWords(), [], []
    for start in range(0, len(ict.split), AT_ONCE):
        photos = np.arange(start, min(start + AT_ONCE, len(ict.split)))
        for photo, near in zip(photos, read_alone(_alone(ict, photos)), strict=True):
            is_used = ict.split[photo] >= 0
            words.add(near.words if is_used else (), is_used and near.is_described)
            if of_vlt.split[photo] < 0:
                continue
            own = ict.objects_of.of(np.array([photo]))[1]
            for obj, is_label in vlt.candidates(near, settings, refused):
                targets.append(own[near.own.index(obj)])
                are_labels.append(is_label)
    return words, np.array(targets, np.int64), np.array(are_labels, bool)


def _objects(corpus: Corpus, rows: Ints) -> pa.Table:
    """The structs of some objects that `repic.objectives.neighborhood` reads."""
    photos = corpus.photos.select(["uri", "width", "height", "source"])
    sides = zip(("x1", "y1", "x2", "y2"), corpus.boxes[rows].T, strict=True)
    return pa.table(
        {
            **_columns(_take(corpus.objects, rows)),
            **{side: pa.array(values) for side, values in sides},
            "group": pa.array(corpus.group[rows]),
            **_columns(_take(photos, corpus.photo[rows])),
        }
    )


def _alone(corpus: Corpus, photos: Ints) -> pa.Table:
    """Photos with their own objects."""
    own = corpus.objects_of.of(photos)
    columns = _columns(_take(corpus.photos, photos))
    return pa.table({**columns, "objects": _lists(own, _objects(corpus, own[1]), len(photos))})


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _take(table: pa.Table, rows: Ints) -> pa.Table:
    return table.take(pa.array(rows))


def _lists(listed: Listed, values: pa.Table | pa.Array, count: int) -> pa.ListArray:
    """One list for each of `count` photos."""
    if isinstance(values, pa.Table):
        values = values.to_struct_array().combine_chunks()
    starts = np.searchsorted(listed[0], np.arange(count + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(starts), values)


def _lanes(name: str, hashes: Hashes) -> dict[str, pa.Array]:
    return {f"{name}_{i}": pa.array(lane.view(np.int64)) for i, lane in enumerate(hashes)}


def _distinct(row: Ints, value: Ints, count: int) -> Listed:
    """Lists with each value once, ascending."""
    row, value = np.divmod(np.unique(row * count + value), max(1, count))
    return row, value


def _first_of_group(row: Ints, group: Ints) -> Ints:
    """Place in its list of the first value of the same group; rows ascend."""
    both = row * (group.max(initial=0) + 1) + group
    _, first, inverse = np.unique(both, return_index=True, return_inverse=True)
    return first[inverse] - np.searchsorted(row, row)
