"""Fingerprints of JSON values and content hashes of tables.

The content hash of a table is a sum over its rows, so it does not depend on their order, chunks or
shards, and the hash of a table is the sum of the hashes of its shards. Unlike an exclusive or, a
sum also counts duplicates.

Construction. All arithmetic is on unsigned 64-bit integers in two independent lanes, 128 bits
together; `mix` is the finaliser of splitmix64 (Steele, Lea, Flood 2014; constants of Stafford's
variant 13); `B(x)` is BLAKE2b-128 of x, its first eight bytes (little-endian) for lane 0.

- null                     B("null")
- boolean, integer         mix(two's complement in 64 bits ^ B("bool") or B("int"))
- date, time, timestamp    the same on the stored integer, with B(name of the Arrow type)
- float16, 32, 64          mix(bits as float64 ^ B("float")); one NaN, and -0.0 is 0.0
- string, binary           mix(B(bytes) ^ B("string") or B("binary"))
- decimal                  its decimal notation, as a string
- list, fixed-size list    mix(sum over i of h(item i) * w(i), + length * w(0) ^ B("list")),
                           w(i) = mix((i + 1) * 0x9E3779B97F4A7C15 ^ B("position")) | 1
- map                      as a list of key-value structs
- struct                   mix(sum over fields of mix(h(value) ^ B("column " + name)) ^ B("struct"))
- row                      as a struct of all columns, with B("row")
- table                    sum of its rows; written as lane 1, then lane 0, 32 hex digits

The hash does not depend on the width of integers and floats, dictionary encoding, or the order of
columns. It detects faults but does not resist constructed collisions; shards have SHA-256 for that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ID_DIGITS = 32
"""Hex digits of an id: 128 bits. A billion ids collide with a probability below 1e-20."""

EMPTY = "0" * ID_DIGITS
"""Content hash of an empty table."""

BLOCK_BYTES = 1 << 22
"""Rows are hashed in blocks of about this size: small enough to need little memory, and large
enough that a text shared by many rows is hashed only once for them."""

_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)

SAMPLE, MOST_DISTINCT, MOST_TEXT = 1 << 16, 0.9, 200
"""A column of texts, of fewer bytes than this on average, is hashed text by text and not block by
block if at most this share of its first rows is distinct, such as ids of photos in pairs."""

JOINED_BYTES = 1 << 30
"""Texts that are numbered together; Arrow cannot join more than twice as many."""

Hashes = npt.NDArray[np.uint64]
"""Shape (2, n): both lanes of n values."""


def fingerprint(value: Any) -> str:
    """Id of a JSON value: SHA-256 of its canonical form (sorted keys, no spaces), 32 hex digits.

    Raises:
        TypeError: `value` is not JSON.
        ValueError: `value` contains NaN or infinity, which have no canonical form.
    """
    text = _CANONICAL.encode(value)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGITS]


def fingerprints_of_pairs(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.Array:
    """`fingerprint` of the list of both texts, for each row, many times as fast."""
    quoted, sha256 = json.encoder.encode_basestring, hashlib.sha256
    texts = zip(one.to_pylist(), other.to_pylist(), strict=True)
    encoded = (f"[{quoted(a)},{quoted(b)}]".encode("utf-8", "surrogatepass") for a, b in texts)
    return pa.array((sha256(text).hexdigest()[:ID_DIGITS] for text in encoded), pa.string())


def content_hash(table: pa.Table) -> str:
    """Order-independent hash of a table's rows, 32 hex digits (construction: see the module).

    Raises:
        TypeError: a column is of a type that has no hash (interval, union).
    """
    return content_of_rows(row_hashes(table))


def content_of_rows(hashes: Hashes) -> str:
    """Content hash of the rows that have these hashes, shape (2, rows), 32 hex digits."""
    return _text(hashes.sum(axis=1, dtype=np.uint64))


def row_hashes(table: pa.Table) -> Hashes:
    """Hash of each row, shape (2, rows).

    Raises:
        TypeError: as `content_hash`.
    """
    rows = max(1, BLOCK_BYTES * max(1, table.num_rows) // max(1, table.nbytes))
    names, blocks = table.column_names, table.num_rows > rows
    columns = zip(names, table.columns, strict=True)
    repeated = [_repeated(*column) if blocks else None for column in columns]
    total, start = np.empty((2, table.num_rows), np.uint64), 0
    for batch in table.to_batches(max_chunksize=rows):
        stop = start + batch.num_rows
        block = np.zeros((2, batch.num_rows), np.uint64)
        for name, column, known in zip(names, batch.columns, repeated, strict=True):
            if known:
                hashes, codes = known
                block += hashes.take(codes[start:stop], axis=1)
            else:
                block += mix(_hash(column) ^ _seed(f"column {name}"))
        total[:, start:stop] = mix(block ^ _seed("row"))
        start = stop
    return total


def _repeated(
    name: str, column: pa.ChunkedArray
) -> tuple[Hashes, npt.NDArray[np.integer[Any]]] | None:
    """What each distinct text of a column adds to its rows, shape (2, texts), and which text each
    row has; None unless the first rows share texts, so that to number all texts saves time.
    """
    kind = column.type
    short = column.nbytes < MOST_TEXT * len(column)
    if not short or not (_is_string(kind) or _is_binary(kind)):
        return None
    sample = column.slice(0, SAMPLE)
    if pc.count_distinct(sample, mode="all").as_py() > MOST_DISTINCT * len(sample):
        return None
    tag = "string" if _is_string(kind) else "binary"
    hashes, codes, distinct = [], [], 0
    for array in _joined(column):
        encoded = array.dictionary_encode()
        hashes.append(np.concatenate([_digests(encoded.dictionary, tag), _seed("null")], axis=1))
        indices = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()
        codes.append(indices.astype(np.int64) + distinct if distinct else indices)
        distinct += len(encoded.dictionary) + 1
    every = np.concatenate(hashes, axis=1)
    return mix(every ^ _seed(f"column {name}")), np.concatenate(codes)


def _joined(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Neighboring chunks as one array, of at most `JOINED_BYTES` or a single chunk."""
    group: list[pa.Array] = []
    size = 0
    for chunk in column.chunks:
        if group and size + chunk.nbytes > JOINED_BYTES:
            yield pa.concat_arrays(group)
            group, size = [], 0
        group.append(chunk)
        size += chunk.nbytes
    if group:
        yield pa.concat_arrays(group)


def combine(contents: Iterable[str]) -> str:
    """Content hash of a table from those of its shards."""
    total = np.zeros(2, np.uint64)
    for content in contents:
        total += np.array([int(content[16:], 16), int(content[:16], 16)], np.uint64)
    return _text(total)


def _text(total: npt.NDArray[np.uint64]) -> str:
    return f"{int(total[1]):016x}{int(total[0]):016x}"


def mix(x: Hashes) -> Hashes:
    """`mix` of the construction above, in place; returns x.

    A bijection of 64 bits in which every input bit affects every output bit.
    """
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


@lru_cache(maxsize=4096)
def _seed(text: str) -> Hashes:
    """Shape (2, 1)."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.frombuffer(digest, "<u8").astype(np.uint64).reshape(2, 1)


@lru_cache(maxsize=32)
def _weights(size: int) -> Hashes:
    """Odd weights of the positions of a list, shape (2, size)."""
    steps = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return mix(steps ^ _seed("position")) | np.uint64(1)


@lru_cache(maxsize=1)
def _float16_hashes() -> Hashes:
    """Hash of each of the 65,536 float16 values: vectors are hashed by table look-up."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return _floats(every)


def _floats(values: npt.NDArray[Any]) -> Hashes:
    wide = values.astype(np.float64)
    wide[np.isnan(wide)] = np.nan
    wide += 0.0  # turns -0.0 into 0.0
    return mix(wide.view(np.uint64) ^ _seed("float"))


def _record(names: list[str], columns: list[pa.Array], rows: int, kind: str) -> Hashes:
    total = np.zeros((2, rows), np.uint64)
    for name, column in zip(names, columns, strict=True):
        total += mix(_hash(column) ^ _seed(f"column {name}"))
    return mix(total ^ _seed(kind))


def _hash(array: pa.Array) -> Hashes:
    """Hashes of an array's values, shape (2, len(array))."""
    if len(array) == 0:
        return np.zeros((2, 0), np.uint64)
    if array.null_count == len(array):
        return np.repeat(_seed("null"), len(array), axis=1)
    hashes = _hash_valid(array)
    if array.null_count:
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        hashes = np.where(valid, hashes, _seed("null"))
    return hashes


def _hash_valid(array: pa.Array) -> Hashes:
    """As `_hash`; the value for a null is undefined."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _hash(array.storage)
    if pa.types.is_dictionary(kind):
        return _hash(array.dictionary_decode())
    if pa.types.is_boolean(kind):
        return _integers(array.cast(pa.uint8()), "bool")
    if pa.types.is_integer(kind):
        return _integers(array, "int")
    if pa.types.is_float16(kind):
        return _float16_hashes()[:, _stored(array, np.uint16)]
    if pa.types.is_floating(kind):
        return _floats(_stored(array, np.float32 if kind.bit_width == 32 else np.float64))
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return _integers(array.view(pa.int32() if kind.bit_width == 32 else pa.int64()), str(kind))
    if pa.types.is_decimal(kind):
        return _bytes(array.cast(pa.string()), "string")
    if _is_string(kind) or pa.types.is_string_view(kind):
        return _bytes(array, "string")
    if _is_binary(kind) or pa.types.is_binary_view(kind):
        return _bytes(array, "binary")
    if pa.types.is_struct(kind):
        fields = [array.field(i) for i in range(kind.num_fields)]
        return _record([field.name for field in kind.fields], fields, len(array), "struct")
    if pa.types.is_fixed_size_list(kind):
        return _fixed_lists(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return _lists(array)
    raise TypeError(f"no content hash for columns of type {kind}; store them as another type")


def _stored(array: pa.Array, dtype: Any) -> npt.NDArray[Any]:
    """Values of an array as stored in memory, nulls included."""
    data = np.frombuffer(array.buffers()[1], dtype)
    return data[array.offset : array.offset + len(array)]


def _integers(array: pa.Array, tag: str) -> Hashes:
    values = _stored(array, array.type.to_pandas_dtype())
    return mix(values.astype(np.int64).view(np.uint64) ^ _seed(tag))


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _bytes(array: pa.Array, tag: str) -> Hashes:
    encoded = array.cast(pa.large_binary()).dictionary_encode()
    hashes = _digests(encoded.dictionary, tag)
    return hashes[:, encoded.indices.fill_null(0).to_numpy()]


def _digests(distinct: pa.Array, tag: str) -> Hashes:
    """`_bytes` of values without nulls, hashed one by one."""
    empty, digests = hashlib.blake2b(digest_size=16), []
    for value in distinct.cast(pa.large_binary()).to_pylist():
        digest = empty.copy()  # twice as fast as a new one
        digest.update(value)
        digests.append(digest.digest())
    lanes = np.frombuffer(b"".join(digests), "<u8").astype(np.uint64).reshape(-1, 2).T
    return mix(lanes ^ _seed(tag))


def _fixed_lists(array: pa.FixedSizeListArray) -> Hashes:
    size, rows = array.type.list_size, len(array)
    items = _hash(array.values.slice(array.offset * size, rows * size)).reshape(2, rows, size)
    sums = (items * _weights(size)[:, None, :]).sum(axis=2, dtype=np.uint64)
    return _close_list(sums, np.full(rows, size, np.uint64))


def _lists(array: pa.ListArray | pa.LargeListArray | pa.MapArray) -> Hashes:
    offsets = array.offsets.to_numpy().astype(np.int64)
    lengths = np.diff(offsets)
    first, items = offsets[0], offsets[-1] - offsets[0]
    position = np.arange(items) - np.repeat(offsets[:-1] - first, lengths)
    # Rounded up to a power of two, so that `_weights` caches few lengths.
    longest = 1 << int(lengths.max()).bit_length()
    weighted = _hash(array.values.slice(first, items)) * _weights(longest)[:, position]
    running = np.zeros((2, items + 1), np.uint64)
    np.cumsum(weighted, axis=1, out=running[:, 1:])
    # Differences of a running sum are exact modulo 2^64, and are 0 for an empty list.
    sums = running[:, offsets[1:] - first] - running[:, offsets[:-1] - first]
    return _close_list(sums, lengths.astype(np.uint64))


def _close_list(sums: Hashes, lengths: npt.NDArray[np.uint64]) -> Hashes:
    return mix((sums + lengths * _weights(1)) ^ _seed("list"))
