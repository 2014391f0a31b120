"""Small files of a store: what is written is read back, and anything else is one StoreError."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import documents, refs
from storage.errors import DamagedError, StoreError
from storage.files import Files
from storage.integrity import verify
from storage.lineage import closure, lineage
from storage.manifest import File, Input, Manifest, Origin, Run, Shard, describe_schema
from storage.refs import Ref, Snapshot
from storage.store import Store
from tests.storage.stores import SCHEMA, build, origin, rows

relaxed = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
contents = st.text("0123456789abcdef", min_size=32, max_size=32)
names = st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True).filter(
    lambda name: name not in {"artifacts", "lineage", "shards"}
)
counts = st.integers(0, 2**52)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | text
jsons = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
details = st.dictionaries(text, jsons, max_size=3)
versions = st.integers(1, 10**9)
times = st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC))
inside = st.lists(
    st.from_regex(r"[a-zA-Z0-9_é -]{1,6}", fullmatch=True), min_size=1, max_size=3
).map("/".join)


@st.composite
def shards(draw: st.DrawFn) -> Shard:
    sha = draw(hexes)
    folder = draw(st.sampled_from(["shards/images", "parts/images/b27c34a"]))
    path = f"{folder}/{sha}.parquet"
    return Shard(
        path=path, sha256=sha, bytes=draw(counts), rows=draw(counts), content=draw(contents)
    )


@st.composite
def files(draw: st.DrawFn) -> File:
    sha = draw(hexes)
    return File(name=draw(inside), path=f"files/{sha}.bin", sha256=sha, bytes=draw(counts))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    kind = draw(st.sampled_from(["table", "dataset", "checkpoint", "report"]))
    table = kind == "table"
    inputs = st.builds(Input, name=names, version=versions, fingerprint=text)
    listed = [] if table else draw(st.lists(files(), max_size=3))
    distinct = {file.name.split("/")[0]: file for file in listed}
    return Manifest(
        fingerprint=draw(text),
        inputs=tuple(draw(st.lists(inputs, max_size=3))),
        settings=draw(details),
        models=draw(details),
        sources=draw(details),
        notes=draw(details),
        run=draw(st.builds(Run, user=text, host=text)),
        name="images",
        version=draw(versions),
        kind=kind,
        content=draw(contents),
        rows=draw(counts),
        key=("id",) if table else (),
        shards=tuple(draw(st.lists(shards(), max_size=3))) if table else (),
        files=tuple(distinct.values()),
        created=draw(times),
        **(describe_schema(SCHEMA) if table else {}),
    )


ref_states = st.builds(
    Ref,
    latest=st.none() | versions,
    tags=st.dictionaries(st.sampled_from(["good", "production", "é.1-x"]), versions),
)
snapshots = st.builds(
    Snapshot,
    number=versions,
    why=text,
    refs=st.dictionaries(names, ref_states, max_size=3),
    created=times,
)


@relaxed
@given(manifests() | snapshots)
def test_a_document_is_read_back_as_it_was(memory: Store, document: Manifest | Snapshot) -> None:
    memory.files.replace("x.json", documents.encode(document))
    assert documents.read(memory.files, "x.json", type(document)) == document


@relaxed
@given(manifests() | snapshots, st.data())
def test_every_changed_byte_is_found(
    memory: Store, document: Manifest | Snapshot, data: st.DataObject
) -> None:
    encoded = bytearray(documents.encode(document))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= 1 << data.draw(st.integers(0, 7))
    memory.files.replace("x.json", bytes(encoded))
    with pytest.raises(StoreError, match=r"x\.json (is damaged|has format)"):
        documents.read(memory.files, "x.json", type(document))


def deep(depth: int) -> bytes:
    return b'{"settings": ' + b"[" * depth + b"]" * depth + b"}"


BAD = {
    "empty": b"",
    "an object": b"{}",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1e999",
    "binary": bytes(range(256)) * 9,
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "images"}'.encode("utf-16"),
    "a lone surrogate": b'{"name": "\\ud800"}',
    "deep": deep(200_000),
    "cut": b'{"format_version": 2, "name": "images", "ver',
    "a long number": b'{"version": ' + b"9" * 9000 + b"}",
    "NaN": b'{"models": {"a": NaN}}',
    "wrong types": b'{"format_version": "two", "name": [], "refs": 7, "version": {}}',
    "zeros": b"\0" * 4096,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("path", ["manifests/pairs/v000001.json", "refs/000001.json"])
def test_a_bad_small_file_is_one_error_with_its_name_and_a_remedy(
    store: Store, path: str, bad: bytes
) -> None:
    build(store, 1)
    store.files.replace(path, bad)
    store = Store.open(store.location)
    with pytest.raises(DamagedError, match=rf"{path} is damaged \(.*\): run `repic repair`"):
        store.manifest("pairs@latest")
    with pytest.raises(DamagedError):
        build(store, 2)
    assert path in {problem.path for problem in verify(store)}


def test_a_huge_file_is_not_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    build(store, 1)
    monkeypatch.setattr(documents, "MAX_BYTES", 1 << 20)
    store.files.replace("refs/000001.json", b" " * (1 << 20) + b"{}")
    with pytest.raises(DamagedError, match="it is larger than 1 MB"):
        store.current()


@pytest.mark.parametrize("path", ["manifests/images/v000002.json", "refs/000002.json"])
def test_a_folder_in_the_place_of_a_file_is_named_and_ends_every_command(
    store: Store, path: str
) -> None:
    build(store, 1)
    store.files.fs.mkdir(store.files.full(path))
    with pytest.raises(StoreError, match=r"is there, but is no file.* move it away"):
        build(store, 2, photos=11)


arbitrary = st.recursive(
    scalars | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@relaxed
@given(arbitrary | st.dictionaries(st.sampled_from([*Manifest.model_fields]), arbitrary))
def test_any_json_in_the_place_of_a_manifest_or_snapshot_is_a_store_error(
    memory: Store, value: object
) -> None:
    if not memory.versions("images"):
        build(memory, 1)
    manifest = json.loads(memory.files.read("manifests/pairs/v000001.json"))
    changed = {**manifest, **value} if isinstance(value, dict) else value
    memory.files.replace("manifests/images/v000009.json", json.dumps(changed).encode())
    memory.forget()
    with pytest.raises(StoreError):
        memory.manifest("images@v9")
    memory.files.replace("refs/000009.json", json.dumps(value).encode())
    with pytest.raises(StoreError):
        memory.current()
    assert {p.path for p in verify(memory)} >= {"manifests/images/v000009.json", "refs/000009.json"}
    memory.files.remove("manifests/images/v000009.json")
    memory.files.remove("refs/000009.json")


def test_numbers_come_from_the_names_of_files(store: Store) -> None:
    build(store, 1)
    manifest, snapshot = store.manifest("images@v1"), store.current()
    store.files.replace("manifests/images/v000007.json", documents.encode(manifest))
    with pytest.raises(DamagedError, match="it describes images@v1"):
        store.manifest("images@v7")
    store.files.replace("refs/000007.json", documents.encode(snapshot))
    with pytest.raises(DamagedError, match="it is snapshot 1"):
        store.current()


def test_stray_files_are_no_versions_and_verify_names_them(store: Store) -> None:
    build(store, 1)
    strays = {
        "manifests/stray.json",
        "manifests/images/v1.json",
        "manifests/images/v000000.json",
        "manifests/images/notes.txt",
        "manifests/Images/v000001.json",
        f"manifests/images/v{'9' * 60}.json",
        "refs/1.json",
        "refs/.000001.json.swp",
    }
    for path in strays:
        store.files.replace(path, b"{}")
    assert (store.names(), store.versions("images")) == (["dataset", "images", "pairs"], [1])
    assert {problem.path for problem in verify(store)} == strays
    build(store, 2)
    assert store.resolve("images@latest").version == 2


@pytest.mark.parametrize(
    "escape",
    [
        *("../x", "/etc/passwd", "a/../../x", "", ".", "a//b", "a/", "C:/x", "a\\b", "a\0b"),
        *("a\nb", "..", "./a", "x" * 300),
    ],
)
def test_no_path_of_a_manifest_leaves_its_folder(store: Store, escape: str) -> None:
    made = store.publish_files("policy", {"a.bin": b"1"}, origin("f"), kind="checkpoint")
    table = build(store, 1) and store.manifest("images@v1")
    for manifest, place, key in (
        (made, "files", "name"),
        (made, "files", "path"),
        (table, "shards", "path"),
    ):
        document = json.loads(manifest.model_dump_json())
        document[place][0][key] = escape
        document["format_version"] = 1
        path = f"manifests/{manifest.name}/v000001.json"
        store.files.replace(path, json.dumps(document).encode())
        with pytest.raises(DamagedError, match=rf"is damaged \({place}\.0"):
            Store.open(store.location).manifest(manifest.ref)
    with pytest.raises(StoreError, match="cannot have this name"):
        store.publish_files("policy", {escape: b""}, origin("g"), kind="report")


def test_a_file_has_one_place(store: Store) -> None:
    sha = "0" * 64
    for path in (f"files/{'1' * 64}", f"shards/images/{sha}.parquet", f"files/{sha}/x"):
        with pytest.raises(ValueError, match="is not the path of a file with this sha256"):
            File(name="a", path=path, sha256=sha, bytes=1)
    for path in (f"shards/{sha}.parquet", f"shards/a/b/{sha}.parquet", f"parts/a/{sha}.parquet"):
        with pytest.raises(ValueError, match="is not the path of a shard with this sha256"):
            Shard(path=path, sha256=sha, bytes=1, rows=1, content="0" * 32)
    with pytest.raises(StoreError, match="two files have one name"):
        store.publish_files("policy", {"a": b"", "a/b": b""}, origin("f"), kind="report")


def test_a_version_that_is_its_own_input_is_an_error(store: Store) -> None:
    build(store, 1)
    images, pairs = store.manifest("images@v1"), store.manifest("pairs@v1")
    cycle = images.model_copy(update={"inputs": (pairs.as_input(),)})
    store.files.replace("manifests/images/v000001.json", documents.encode(cycle))
    store = Store.open(store.location)
    for call in (lambda: lineage(store, "pairs"), lambda: verify(store, "pairs@v1")):
        with pytest.raises(StoreError, match="is its own input"):
            call()


def test_a_long_chain_of_inputs_is_walked(memory: Store) -> None:
    last = memory.publish_dataset("a", origin("0"))
    for number in range(1, 1200):
        manifest = Manifest(
            **dict(Origin(fingerprint=str(number), inputs=(last.as_input(),))),
            name="a",
            version=number + 1,
            kind="dataset",
            content="0" * 32,
            rows=0,
        )
        memory.files.create(f"manifests/a/v{number + 1:06d}.json", documents.encode(manifest))
        last = manifest
    assert [m.version for m in closure(memory, [last])] == list(range(1, 1201))


def test_a_ref_cannot_carry_a_bad_name_or_tag() -> None:
    for state in (
        {"refs": {"../x": {"latest": 1}}},
        {"refs": {"images": {"latest": 0}}},
        {"refs": {"images": {"tags": {"v3": 1}}}},
        {"refs": {"images": {"tags": {"../x": 1}}}},
    ):
        with pytest.raises(ValueError, match="validation error"):
            Snapshot.model_validate(state)
    assert refs.parse_tag("images@good").selector == "good"


def test_a_fingerprint_is_found_without_parsing_other_versions(store, monkeypatch) -> None:
    for number in range(1, 6):
        store.publish("images", rows(0, number), origin(f"f{number}"), key=["id"])
    read, parsed = documents.read, []

    def watched(files: Files, path: str, model: type[documents.Frozen]) -> documents.Frozen:
        parsed.append(path)
        return read(files, path, model)

    monkeypatch.setattr(documents, "read", watched)
    fresh = Store.open(store.location)
    assert fresh.find("images", "f6") is None
    found = fresh.find("images", "f3")
    assert found
    assert found.version == 3
    assert parsed == ["store.json", "manifests/images/v000003.json"]


def test_damage_of_another_version_stops_a_publication(store) -> None:
    build(store, 1)
    build(store, 2)
    path = "manifests/pairs/v000001.json"
    whole = store.files.read(path)
    copied = store.files.read("manifests/pairs/v000002.json")
    for broken in (whole.replace(b"pairs1", b"pairs9"), whole[:-9], b"", b"{}", copied):
        store.files.replace(path, broken)
        with pytest.raises(DamagedError, match=r"v000001\.json"):
            build(Store.open(store.location), 3)
    store.files.replace(path, whole)
    assert build(Store.open(store.location), 3) == {"images": 3, "pairs": 3, "dataset": 3}
