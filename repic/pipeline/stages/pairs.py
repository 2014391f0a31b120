"""Stage `pairs`: positive and negative pairs of objects, identity groups and splits."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repic import mining
from repic.config import SPLITS, Settings
from repic.mining import BANDS, Analysis
from repic.mining.splits import split_photos
from repic.models.devices import ResolvedRuntime
from repic.pipeline import suspects
from repic.pipeline.stages import tracks
from repic.pipeline.stages.base import Inputs, Json, Output, TableStage
from repic.pipeline.stages.objects import ALONE
from repic.tables import TABLES
from storage.hashing import fingerprint


class PairStage(TableStage):
    """Mine positive and negative pairs; both objects of a pair are in the same split."""

    name = "pairs"
    version = 8
    reads = ("images", "objects", "embeddings", "reviews")
    writes = ("groups", "pairs")

    def recipe(self, settings: Settings) -> Json:
        mining = settings.mining.model_dump(mode="json", exclude={"near_duplicate_bits"})
        return {"mining": mining, "splits": settings.splits.model_dump(mode="json")}

    def run(self, inputs: Inputs) -> Output:
        objects, settings = _objects(inputs), inputs.settings.mining
        analysis = mining.analyze(
            _vectors(objects),
            _codes(objects["image_id"]),
            _codes(objects["near_duplicate_group"]),
            _codes(objects["identity"]),
            mining.Search(_device(inputs.settings), settings.exact_up_to),
        )
        groups = _groups(objects, analysis, inputs)
        keys = _keys(objects["object_id"])
        split = _codes(groups["split"], SPLITS)
        positives = mining.all_positives(analysis)
        positives = positives.take(
            (split[positives.anchor] >= 0) & (split[positives.anchor] == split[positives.other])
        )
        positives = mining.choose(positives, settings.positives_per_object, keys)
        negatives = mining.negatives(
            analysis,
            _codes(objects["label"]),
            split,
            keys,
            hard=settings.hard_per_object,
            medium=settings.medium_per_object,
            easy=settings.easy_per_object,
        )
        negatives = tracks.doubted(negatives, objects, inputs.tables["objects"])
        reviews = {
            row["subject_id"]: row["decision"]
            for row in inputs.tables["reviews"].to_pylist()
            if row["subject"] == "pair"
        }
        pairs = pa.concat_tables(
            _rows(kind, mined, objects, groups["split"], reviews)
            for kind, mined in (("positive", positives), ("negative", negatives))
        )
        pairs = TABLES["pairs"].check(pairs.sort_by("pair_id"))
        notes = _notes(groups, pairs, analysis)
        notes |= suspects.find(objects, inputs.tables["images"], analysis)
        return Output({"groups": groups, "pairs": pairs}, notes)


def _device(settings: Settings) -> str:
    """The GPU that the models use, where mining can use it as well, or the CPU."""
    device = ResolvedRuntime.of(settings.runtime).prepare()
    return str(device) if device.type == "cuda" else "cpu"


def _objects(inputs: Inputs) -> pa.Table:
    """Objects that have a vector, ordered by object_id, with the columns that mining needs."""
    objects = inputs.tables["objects"].select(
        ["object_id", "image_id", "label", "identity", "identity_origin"]
    )
    photos = inputs.tables["images"].select(["image_id", "near_duplicate_group"])
    vectors = inputs.tables["embeddings"].select(["object_id"])
    vectors = vectors.append_column("row", pa.array(np.arange(vectors.num_rows)))
    joined = objects.join(photos, "image_id").join(vectors, "object_id", join_type="inner")
    joined = joined.sort_by("object_id").combine_chunks()
    vector = inputs.tables["embeddings"]["vector"].take(joined["row"])
    return joined.append_column("vector", vector)


def _vectors(objects: pa.Table) -> np.ndarray:
    """float16 (n, d)."""
    column = objects["vector"].combine_chunks()
    width = column.type.list_size if pa.types.is_fixed_size_list(column.type) else 1
    return column.flatten().to_numpy(zero_copy_only=False).reshape(objects.num_rows, width)


def _codes(column: pa.ChunkedArray, names: tuple[str, ...] | None = None) -> np.ndarray:
    """Texts as indices into `names`, else in order of appearance: int64 (n,), -1 for null."""
    if names is not None:
        codes = pc.index_in(column, pa.array(names, pa.string()))
    else:
        codes = column.combine_chunks().dictionary_encode().indices
    return pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _keys(ids: pa.ChunkedArray) -> np.ndarray:
    """The first 64 bits of each id, uint64 (n,); ids are hashes."""
    return np.array([int(i[:16], 16) for i in ids.to_pylist()], dtype=np.uint64)


def _groups(objects: pa.Table, analysis: Analysis, inputs: Inputs) -> pa.Table:
    """The groups table: group name and split of each object.

    A group is named by its labelled identity, else by its first object. It determines the split of
    its photos if it is labelled, or if it contains photos that are not near-duplicates; but the
    source's word on the split of a photo goes first (`repic.mining.splits`). A thing that no other
    photo shows determines nothing: two of them in a photo would be of two splits, and lose it.
    """
    ids, photos = objects["object_id"].to_pylist(), objects["image_id"].to_pylist()
    identities = objects["identity"].to_pylist()
    origins = objects["identity_origin"].to_pylist()
    group = analysis.group.tolist()
    names = {root: ids[root] for root in group}
    names |= {root: name for root, name in zip(group, identities, strict=True) if name}
    reach = Counter(root for root, _ in set(zip(group, analysis.duplicate.tolist(), strict=True)))
    deciding = [
        (photos[i], names[root])
        for i, root in enumerate(group)
        if reach[root] > 1 or (identities[i] and origins[i] != ALONE)
    ]
    images = inputs.tables["images"]
    clusters = dict(
        zip(images["image_id"].to_pylist(), images["near_duplicate_group"].to_pylist(), strict=True)
    )
    given = dict(zip(images["image_id"].to_pylist(), images["split"].to_pylist(), strict=True))
    splits = split_photos(deciding, clusters, inputs.settings.splits, given)
    columns = {
        "object_id": ids,
        "image_id": photos,
        "group": [names[root] for root in group],
        "origin": ["label" if identity else "mined" for identity in identities],
        "split": [splits[photo] for photo in photos],
    }
    return TABLES["groups"].check(pa.table(columns, schema=TABLES["groups"].schema))


def _rows(
    kind: str,
    pairs: mining.ObjectPairs,
    objects: pa.Table,
    splits: pa.ChunkedArray,
    reviews: dict[str, str],
) -> pa.Table:
    """Rows of the pairs table."""
    anchor, other = objects.take(pairs.anchor), objects.take(pairs.other)
    ids = [
        fingerprint(both)
        for both in zip(
            anchor["object_id"].to_pylist(), other["object_id"].to_pylist(), strict=True
        )
    ]
    columns = {
        "pair_id": ids,
        "kind": [kind] * len(pairs),
        "origin": np.where(pairs.mined, "mined", "label").tolist(),
        "band": np.array(BANDS)[pairs.band].tolist(),
        "anchor_id": anchor["object_id"],
        "other_id": other["object_id"],
        "anchor_image_id": anchor["image_id"],
        "other_image_id": other["image_id"],
        "similarity": pairs.similarity,
        "percentile": pairs.percentile,
        "margin": pairs.margin,
        "same_label": pc.equal(anchor["label"], other["label"]),
        "split": splits.take(pairs.anchor),
        "doubtful": pairs.doubtful,
        "review": pa.array([reviews.get(pair) for pair in ids], pa.string()),
    }
    return TABLES["pairs"].check(pa.table(columns))


def _notes(groups: pa.Table, pairs: pa.Table, analysis: Analysis) -> dict[str, Json]:
    photos = dict(zip(groups["image_id"].to_pylist(), groups["split"].to_pylist(), strict=True))
    counts = pairs.group_by(["kind", "band"]).aggregate([([], "count_all")]).to_pylist()
    if (analysis.identity < 0).any() and analysis.mined.typical_size == 1:
        why = "the encoder does not tell objects apart: label identities, or choose another encoder"
    else:
        why = None
    return {
        "nothing_mined": why,
        "photos_by_split": dict(sorted(Counter(s or "mixed" for s in photos.values()).items())),
        "pairs": {f"{c['kind']} {c['band']}": c["count_all"] for c in counts},
        "doubtful": pc.sum(pairs["doubtful"]).as_py() or 0,
    }
