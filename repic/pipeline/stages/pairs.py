"""Stage `pairs`: positive and negative pairs of objects, identity groups and splits."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repic import mining
from repic.config import SPLITS, Settings
from repic.mining import BANDS, Analysis, ObjectPairs, heap
from repic.mining.splits import split_photos
from repic.models.devices import ResolvedRuntime
from repic.objectives.corpus import first_bits
from repic.pipeline import suspects
from repic.pipeline.kept_neighbors import KeptNeighbors
from repic.pipeline.reviews import DISPUTED, either_order, settled
from repic.pipeline.stages import tracks
from repic.pipeline.stages.base import Inputs, Json, Output, TableStage
from repic.pipeline.stages.objects import ALONE
from repic.tables import TABLES
from storage.hashing import fingerprints_of_pairs

BLOCK = 1 << 17
"""Pairs that are put together at once."""


class PairStage(TableStage):
    """Mine positive and negative pairs; both objects of a pair are in the same split."""

    name = "pairs"
    version = 9
    reads = ("images", "objects", "embeddings", "reviews")
    columns: ClassVar = {
        "images": ("image_id", "near_duplicate_group", "source", "split"),
        "objects": ("object_id", "image_id", "label", "identity", "identity_origin", "nouns"),
        "embeddings": ("object_id", "vector"),
    }
    writes = ("groups", "pairs")

    def recipe(self, settings: Settings) -> Json:
        mining = settings.mining.model_dump(mode="json", exclude={"near_duplicate_bits"})
        return {"mining": mining, "splits": settings.splits.model_dump(mode="json")}

    def run(self, inputs: Inputs) -> Output:
        objects, analysis = _analyzed(inputs)
        groups = _groups(objects, analysis, inputs)
        notes: dict[str, Json] = {"nothing_mined": _why_nothing(analysis)}
        notes |= suspects.find(objects, inputs.tables["images"], analysis)
        positives, negatives = _mined(objects, analysis, groups, inputs)
        del analysis  # the largest of all, and no longer needed
        heap.give_back()
        reviews = settled(inputs.tables["reviews"], "pair")
        pairs = _rows(positives, negatives, objects, groups["split"], reviews)
        return Output({"groups": groups, "pairs": pairs}, notes | _counts(groups, pairs))


def _analyzed(inputs: Inputs) -> tuple[pa.Table, Analysis]:
    """The objects, and the analysis of their vectors."""
    objects, vectors = _objects(inputs)
    search, grid = _search(inputs, objects, vectors), mining.on_grid(_unpacked(vectors))
    del vectors
    analysis = mining.analyze_grid(
        grid,
        _codes(objects["image_id"]),
        _codes(objects["near_duplicate_group"]),
        _codes(objects["identity"]),
        search,
    )
    return objects, analysis


def _mined(
    objects: pa.Table, analysis: Analysis, groups: pa.Table, inputs: Inputs
) -> tuple[ObjectPairs, ObjectPairs]:
    """Positive and negative pairs whose objects are in the same split."""
    settings, keys = inputs.settings.mining, first_bits(objects["object_id"])
    split = _codes(groups["split"], SPLITS)
    negatives = mining.negatives(
        analysis,
        _codes(objects["label"]),
        split,
        keys,
        hard=settings.hard_per_object,
        medium=settings.medium_per_object,
        easy=settings.easy_per_object,
    )
    positives = mining.all_positives(analysis)
    positives = positives.take(
        (split[positives.anchor] >= 0) & (split[positives.anchor] == split[positives.other])
    )
    positives = mining.choose(positives, settings.positives_per_object, keys)
    return positives, tracks.doubted(negatives, objects, inputs.tables["objects"])


def _search(inputs: Inputs, objects: pa.Table, vectors: pa.Array) -> mining.Search:
    settings, memory = inputs.settings, None
    if inputs.store and len(vectors) <= settings.mining.exact_up_to:
        memory = KeptNeighbors.of(inputs.store, objects, vectors)
    return mining.Search(_device(settings), settings.mining.exact_up_to, memory)


def _device(settings: Settings) -> str:
    """The GPU that the models use, where mining can use it as well, or the CPU."""
    device = ResolvedRuntime.of(settings.runtime).prepare()
    return str(device) if device.type == "cuda" else "cpu"


def _objects(inputs: Inputs) -> tuple[pa.Table, pa.Array]:
    """Objects that have a vector, ordered by object_id, as mining needs them, and their vectors."""
    objects = inputs.tables["objects"].select(
        ["object_id", "image_id", "label", "identity", "identity_origin"]
    )
    photos = inputs.tables["images"].select(["image_id", "near_duplicate_group"])
    embeddings = inputs.take("embeddings")
    rows = embeddings.select(["object_id"])
    rows = rows.append_column("row", pa.array(np.arange(rows.num_rows)))
    joined = objects.join(photos, "image_id").join(rows, "object_id", join_type="inner")
    joined = joined.sort_by("object_id").combine_chunks()
    vector = embeddings["vector"].take(joined["row"]).combine_chunks()
    return joined.drop_columns("row"), vector


def _unpacked(vectors: pa.Array) -> np.ndarray:
    """float16 (n, d)."""
    width = vectors.type.list_size if pa.types.is_fixed_size_list(vectors.type) else 1
    return vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), width)


def _codes(column: pa.ChunkedArray, names: tuple[str, ...] | None = None) -> np.ndarray:
    """Texts as indices into `names`, else in order of appearance: int64 (n,), -1 for null."""
    if names is not None:
        codes = pc.index_in(column, pa.array(names, pa.string()))
    else:
        codes = column.combine_chunks().dictionary_encode().indices
    return pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int64)


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
    positives: ObjectPairs,
    negatives: ObjectPairs,
    objects: pa.Table,
    splits: pa.ChunkedArray,
    reviews: pa.Table,
) -> pa.Table:
    """The pairs table, put together in the order of its ids, so that no copy of it is sorted."""
    pairs, object_id = mining.joined([positives, negatives]), objects["object_id"]
    starts = range(0, max(1, len(pairs)), BLOCK)
    ends = (pairs.take(slice(start, start + BLOCK)) for start in starts)
    ids = pa.concat_arrays(
        fingerprints_of_pairs(object_id.take(some.anchor), object_id.take(some.other))
        for some in ends
    )
    order = pc.sort_indices(ids).to_numpy()
    described = objects.select(["object_id", "image_id", "label"])
    blocks = []
    for start in starts:
        rows = order[start : start + BLOCK]
        kinds = pa.array(["negative", "positive"]).take((rows < len(positives)).astype(np.int8))
        blocks.append(_block(ids.take(rows), kinds, pairs.take(rows), described, splits, reviews))
    return TABLES["pairs"].check(pa.concat_tables(blocks))


def _block(
    ids: pa.Array,
    kinds: pa.Array,
    pairs: ObjectPairs,
    objects: pa.Table,
    splits: pa.ChunkedArray,
    reviews: pa.Table,
) -> pa.Table:
    anchor, other = objects.take(pairs.anchor), objects.take(pairs.other)
    columns = {
        "pair_id": ids,
        "kind": kinds,
        "origin": pa.array(["label", "mined"]).take(pairs.mined.astype(np.int8)),
        "band": pa.array(BANDS).take(pairs.band),
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
        "review": _review(ids, anchor["object_id"], other["object_id"], reviews),
    }
    return TABLES["pairs"].check(pa.table(columns))


def _review(
    ids: pa.Array, anchor: pa.ChunkedArray, other: pa.ChunkedArray, reviews: pa.Table
) -> pa.ChunkedArray:
    """What reviewers say of each pair, or of the same two objects in the other order."""
    if not reviews.num_rows:
        return reviews["decision"].take(pa.nulls(len(ids), pa.int32()))
    own, mirrored = (
        reviews["decision"].take(pc.index_in(of, reviews["subject_id"]))
        for of in (ids, fingerprints_of_pairs(other, anchor))
    )
    either = pc.coalesce(own, mirrored)
    return pc.if_else(pc.fill_null(pc.equal(own, mirrored), True), either, DISPUTED)


def _why_nothing(analysis: Analysis) -> str | None:
    """Why no group was mined; None if any was, or all is labelled."""
    # Beside a labelled thing, the other things of its photo are no reason to ask for labels.
    labelled = np.isin(analysis.photo, analysis.photo[analysis.identity >= 0])
    if labelled.all() or analysis.mined.typical_size > 1:
        return None
    return "the encoder does not tell objects apart; label identities, or choose another encoder"


def _counts(groups: pa.Table, pairs: pa.Table) -> dict[str, Json]:
    photos = dict(zip(groups["image_id"].to_pylist(), groups["split"].to_pylist(), strict=True))
    counts = pairs.group_by(["kind", "band"]).aggregate([([], "count_all")]).to_pylist()
    return {
        "photos_by_split": dict(sorted(Counter(s or "mixed" for s in photos.values()).items())),
        "pairs": {f"{c['kind']} {c['band']}": c["count_all"] for c in counts},
        "doubtful": pc.sum(pairs["doubtful"]).as_py() or 0,
        "doubtful_in_either_order": len(either_order(pairs.filter(pairs["doubtful"]))),
    }
