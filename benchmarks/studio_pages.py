"""Speed of the studio: pages of many pairs, and the first page of a store.

    python benchmarks/studio_pages.py [--pairs 1000000] [--json]

A store of random pairs is published (no photo is read). A visitor follows pages of pairs with and
without filters, also from the middle and after decisions; times are of the whole reply, without
the network. Exact: the pages of a filter show each of its pairs once, in order.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import resource
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from fastapi.testclient import TestClient

from repic.config import Settings, SourceSettings
from repic.studio.app import create_app
from repic.studio.pages import pairs as page
from repic.studio.site import Studio
from repic.tables import TABLES
from storage.manifest import Origin
from storage.store import Store

PER_PHOTO = 2
FILTERS = (
    "review=any",
    "",
    "kind=negative",
    "kind=positive&split=test",
    "doubtful=yes",
    "band=hard&split=train&low=0.5",
    "identity=thing-17&review=any",
    "label=label-3&kind=negative",
)


def ids(random: np.random.Generator, count: int) -> list[str]:
    """Random ids of 32 hex digits, in order."""
    raw = random.bytes(16 * count).hex()
    return sorted(raw[32 * n : 32 * n + 32] for n in range(count))


def filled(name: str, count: int, columns: dict[str, object]) -> pa.Table:
    """A table of which some columns are given; the others are empty or null."""
    arrays = []
    for field in TABLES[name].schema:
        if field.name in columns:
            arrays.append(pa.array(columns[field.name], field.type))
        elif field.nullable:
            arrays.append(pa.nulls(count, field.type))
        else:
            empty = [] if pa.types.is_list(field.type) else ""
            value = empty if pa.types.is_string(field.type) or empty == [] else 0
            value = False if pa.types.is_boolean(field.type) else value
            arrays.append(pa.array([value] * count, field.type))
    return pa.table(arrays, schema=TABLES[name].schema)


def publish(store: Store, pairs: int) -> None:
    """A dataset of so many pairs, a tenth as many objects, and half as many photos as objects."""
    random = np.random.default_rng(0)
    objects = max(10, pairs // 10)
    photos = objects // PER_PHOTO
    image_ids, object_ids = ids(random, photos), ids(random, objects)
    uris = [f"file:///photos/{n // 50}/{n}.jpg" for n in range(photos)]
    near = {"image_id": image_ids, "uri": uris, "near_duplicate_group": image_ids}
    sizes = {"width": [640] * photos, "height": [480] * photos, "source": ["folder"] * photos}
    of = random.integers(0, photos, objects)
    edges = {"x1": [10.0] * objects, "y1": [10.0] * objects}
    edges |= {"x2": [200.0] * objects, "y2": [200.0] * objects}
    things = {
        "object_id": object_ids,
        "image_id": [image_ids[n] for n in of],
        "label": [f"label-{n % 40}" for n in range(objects)],
        "identity": [f"thing-{n % 5000}" for n in range(objects)],
        "identity_origin": ["folder"] * objects,
        **edges,
    }
    anchor, other = random.integers(0, objects, (2, pairs))
    kind = random.integers(0, 2, pairs)
    rows = {
        "pair_id": ids(random, pairs),
        "kind": np.array(["positive", "negative"])[kind],
        "origin": ["label"] * pairs,
        "band": np.array(["easy", "medium", "hard"])[random.integers(0, 3, pairs)],
        "anchor_id": np.array(object_ids)[anchor],
        "other_id": np.array(object_ids)[other],
        "similarity": np.round(random.random(pairs), 4),
        "percentile": random.random(pairs) * 100,
        "margin": random.random(pairs),
        "same_label": [True] * pairs,
        "split": np.array(["train", "validation", "test"])[random.integers(0, 3, pairs)],
        "doubtful": random.random(pairs) < 0.02,
    }
    tables = {
        "images": filled("images", photos, near | sizes),
        "objects": filled("objects", objects, things),
        "pairs": filled("pairs", pairs, rows),
        "quarantine": TABLES["quarantine"].empty(),
    }
    published = [
        store.publish(name, table, Origin(fingerprint=name), key=TABLES[name].key)
        for name, table in tables.items()
    ]
    settings = Settings(source=SourceSettings(path="/photos")).model_dump(mode="json")
    inputs = tuple(manifest.as_input() for manifest in published)
    doubtful = int(rows["doubtful"].sum())
    notes = {"pairs": {"doubtful": doubtful, "doubtful_in_either_order": doubtful}}
    origin = Origin(fingerprint="dataset", inputs=inputs, settings=settings, notes=notes)
    dataset = store.publish_dataset("dataset", origin)
    store.commit({manifest.name: manifest.version for manifest in (*published, dataset)})


class Took(NamedTuple):
    """Milliseconds of a page: as a visitor waits for it, and of processors."""

    wall: float
    cpu: float


def timed(visitor: TestClient, path: str) -> tuple[str, Took]:
    """The text of a page, and how long it took."""
    started, cpu = time.perf_counter(), time.process_time()
    reply = visitor.get(path)
    took = Took(1000 * (time.perf_counter() - started), 1000 * (time.process_time() - cpu))
    assert reply.status_code == 200, reply.text
    return reply.text, took


def browse(visitor: TestClient, pages: int) -> list[Took]:
    """Times of pages, by filter from the start and from a middle, with decisions between."""
    times = []
    for number, query in enumerate(FILTERS):
        for start in ("", "after=10300-8", "after=105000-8", "after=203000-8"):
            path = f"/pairs?{'&'.join(filter(None, (query, start)))}"
            for _ in range(pages):
                text, took = timed(visitor, path)
                times.append(took)
                following = re.findall(r'rel="next" href="([^"]+)"', text)
                if not following:
                    break
                path = html.unescape(following[0])
        if found := re.findall(r'data-pair="(\w+)"', text):
            decision = {"decision": "accept" if number % 2 else "reject"}
            visitor.post(f"/pairs/{found[0]}/decision", data=decision, follow_redirects=False)
    return times


def is_exact(visitor: TestClient, store: Store) -> bool:
    """Whether the pages of a filter show its pairs once each, the most doubtful first."""
    rows = [
        row
        for row in store.read("pairs@latest").to_pylist()
        if row["doubtful"] and row["band"] == "hard" and row["split"] == "test"
    ]
    sign = {"negative": -1, "positive": 1}
    rows.sort(key=lambda r: (round(sign[r["kind"]] * r["similarity"], 4), r["pair_id"]))
    every: dict[frozenset[str], str] = {}
    for row in rows:  # of two objects in both orders, the first
        every.setdefault(frozenset((row["anchor_id"], row["other_id"])), row["pair_id"])
    path, seen = "/pairs?review=any&doubtful=yes&band=hard&split=test", []
    while path:
        text = visitor.get(path).text
        seen += re.findall(r'data-pair="(\w+)"', text)
        following = re.findall(r'rel="next" href="([^"]+)"', text)
        path = html.unescape(following[0]) if following else ""
    return seen == list(every.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--pages", type=int, default=6, help="Pages from each start.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store", create=True)
        publish(store, options.pairs)
        store = Store.open(Path(folder) / "store")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        studio = Studio(store, allow_review=True, reviewer="Ann")
        visitor = TestClient(create_app(studio), base_url="http://localhost:8900")
        _, home = timed(visitor, "/")
        _, first = timed(visitor, "/pairs")
        times = browse(visitor, options.pages)
        exact = is_exact(visitor, store)
    figures = {
        "first page of the store, s": round(home.wall / 1000, 2),
        "of processors, s": round(home.cpu / 1000, 2),
        "first page of pairs after it, s": round(first.wall / 1000, 2),
        "first page of pairs, of processors, s": round(first.cpu / 1000, 2),
        "page of pairs, median, ms": round(float(np.median([t.wall for t in times])), 1),
        "page of pairs, p95, ms": round(float(np.percentile([t.wall for t in times], 95)), 1),
        "page of pairs, p95 of processors, ms": round(
            float(np.percentile([t.cpu for t in times], 95)), 1
        ),
        "pages": len(times),
        "pairs": options.pairs,
        "pairs of a page": page.SIZE,
        "peak before, MB": before // 1024,
        "peak after, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    result = {"exact": exact, "figures": figures}
    if options.json:
        print(json.dumps(result))
        return
    print("exact" if exact else "NOT EXACT")
    for name, value in figures.items():
        print(f"{name:36} {value}")


if __name__ == "__main__":
    main()
