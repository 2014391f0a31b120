"""Small stores for tests."""

from __future__ import annotations

import pyarrow as pa

from storage.manifest import Origin
from storage.store import Store

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False, metadata={"doc": "Names the row."}),
        pa.field("value", pa.int32(), metadata={"doc": "It's a number."}),
        pa.field("box", pa.list_(pa.float32(), 4)),
        pa.field("tags", pa.list_(pa.struct([("name", pa.string()), ("score", pa.float32())]))),
        pa.field("vector", pa.list_(pa.float16(), 3)),
    ]
)


def rows(start: int, stop: int, value: int = 0) -> pa.Table:
    """Rows of every kind of column that matters, with nulls in them."""
    return pa.table(
        {
            "id": [f"{i:04d}" for i in range(start, stop)],
            "value": pa.array([i + value for i in range(start, stop)], pa.int32()),
            "box": pa.array([[i, 0, 1, 2] if i % 3 else None for i in range(start, stop)]).cast(
                SCHEMA.field("box").type
            ),
            "tags": pa.array(
                [[{"name": f"t{i}", "score": 0.5}] * (i % 3) for i in range(start, stop)],
                SCHEMA.field("tags").type,
            ),
            "vector": pa.array([[i, 1, 2] for i in range(start, stop)]).cast(
                SCHEMA.field("vector").type
            ),
        },
        schema=SCHEMA,
    )


def origin(fingerprint: str, **more: object) -> Origin:
    return Origin(fingerprint=fingerprint, **more)  # type: ignore[arg-type]


def build(store: Store, number: int, photos: int = 10) -> dict[str, int]:
    """A small dataset version out of two tables and a source, committed."""
    images = store.publish(
        "images",
        rows(0, photos),
        origin(f"images{number}", sources={"folder": {"uri": "file:///photos", "files": photos}}),
        key=["id"],
    )
    pairs = store.publish(
        "pairs",
        rows(0, photos, value=number),
        origin(f"pairs{number}", inputs=(images.as_input(),), models={"encoder": "e1"}),
        key=["id"],
    )
    bound = origin(f"dataset{number}", inputs=(images.as_input(), pairs.as_input()))
    dataset = store.publish_dataset("dataset", bound)
    versions = {m.name: m.version for m in (images, pairs, dataset)}
    store.commit(versions)
    return versions
