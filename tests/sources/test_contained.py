"""Names and tables of data sets that nobody trusts."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repic import config, sources
from repic.errors import SourceError
from repic.images import table_cells, uris
from repic.images.fetch import read_bytes
from repic.pipeline.scan import Scan, scan
from tests.images import hostile_servers as servers
from tests.odd_images import encode, picture

OUTSIDE = ("../secret.png", "/etc/../{folder}/secret.png", "file://{folder}/secret.png")
ODD = (
    *("ftp://127.0.0.1/a.png", "file:///proc/self/environ", "zip://a.png::{folder}/a.zip"),
    *("memory://a.png", "local://{folder}/secret.png"),
)
NOWHERE = (
    *("simplecache::http://127.0.0.1:1/a.png", "javascript:alert(1)", "data:image/png;base64,AA"),
    *("a" * 5_000, "nul\0name", "~/a.png"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "good.png").write_bytes(encode(picture(), "PNG"))
    (tmp_path / "secret.png").write_bytes(encode(picture((50, 50)), "PNG"))
    return folder


def _scan(**source: Any) -> Scan:
    chosen = {"kind": "hf", "identity": "none", **{k: str(v) for k, v in source.items()}}
    return scan(config.Settings.model_validate({"source": chosen}))


def _coco(root: Path, names: list[str]) -> Path:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    path = root / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return path


def _table(root: Path, names: list[Any]) -> Path:
    pq.write_table(pa.table({"image": names}), root / "train.parquet")
    return root


@pytest.mark.parametrize("kind", ["coco", "hf"])
def test_names_that_leave_the_data_set_are_quarantined(root: Path, kind: str) -> None:
    bad = [name.format(folder=root.parent) for name in (*OUTSIDE, *ODD)]
    names = [*bad, *NOWHERE, "good.png", "../photos/good.png", str(root / "good.png")]
    path = _coco(root, names) if kind == "coco" else _table(root, names)
    found = _scan(kind=kind, path=path)
    assert [Path(uris.file_path(p.photo.uri)).name for p in found.photos] == ["good.png"]
    reasons = {reject.uri: (reject.error, reject.message) for reject in found.rejects}
    secret = uris.file_uri(root.parent / "secret.png")
    assert reasons[secret][0] == "forbidden"
    assert "source.images" in reasons[secret][1]
    for name in ODD:
        assert reasons[name.format(folder=root.parent)][0] == "forbidden"
    assert {error for error, _ in reasons.values()} <= {"forbidden", "missing", "unreadable"}


def test_a_folder_that_the_user_names_is_the_root(root: Path) -> None:
    path = _table(root, ["secret.png", "photos/good.png", str(root.parent / "secret.png")])
    found = _scan(path=path, images=root.parent)
    assert len(found.photos) == 2
    assert not found.rejects


def test_a_picture_on_this_machine_is_not_fetched_for_a_data_set(root: Path) -> None:
    asked = []

    def answer(connection: Any, path: str) -> None:
        asked.append(path)
        servers.reply(encode(picture(), "PNG"))(connection, path)

    with servers.serving(answer) as url:
        found = _scan(path=_table(root, [f"{url}/a.png", "good.png"]))
        table = f"{url}/t.parquet#row=0&column=image"
        also = _scan(path=_table(root, [table, "good.png"]))
    assert [reject.error for reject in (*found.rejects, *also.rejects)] == ["forbidden"] * 2
    assert not asked


def test_links_are_followed(root: Path) -> None:
    (root / "link.png").symlink_to(root.parent / "secret.png")
    assert len(_scan(path=_table(root, ["link.png"])).photos) == 1


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, '{"images": [' + "9" * 10_000])
def test_json_that_is_nested_deeply_is_refused_in_a_sentence(root: Path, text: str) -> None:
    (root / "a.json").write_text(text)
    with pytest.raises(SourceError, match=r"a\.json is"):
        _scan(kind="coco", path=root / "a.json")
    (root / "metadata.jsonl").write_text(text)
    with pytest.raises(SourceError, match="has no split"):
        _scan(path=root)


def test_a_csv_with_a_giant_field_is_read_or_refused(root: Path) -> None:
    (root / "metadata.csv").write_text("file_name,text\ngood.png," + "x" * 5_000_000 + "\n")
    listed = _scan(path=root, caption_column="text")
    assert len(listed.photos) == 1


def test_metadata_that_leaves_the_folder_is_quarantined(root: Path) -> None:
    names = ["good.png", "../secret.png"]
    lines = [json.dumps({"file_name": name, "says": "x"}) for name in names]
    (root / "metadata.jsonl").write_text("\n".join(lines))
    try:
        found = _scan(path=root)
    except SourceError:
        return  # the library itself refuses the name
    assert "secret" not in str(found.photos)


def _bomb(path: Path, column: pa.Array, rows: int) -> Path:
    """A table that stores one value for all rows."""
    indices = pa.array([0] * rows, pa.int32())
    table = pa.table({"image": pa.DictionaryArray.from_arrays(indices, column)})
    pq.write_table(table, path, compression="zstd", row_group_size=rows, store_schema=False)
    return path


LIMITED = """
import resource, sys
from repic import config
from repic.pipeline.scan import scan
bound = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 3 * 2**30
resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
source = {"kind": "hf", "path": sys.argv[1], "identity": "none"}
found = scan(config.Settings.model_validate({"source": source}))
print(len(found.photos), sorted({reject.error for reject in found.rejects}))
"""


def _in_child(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr.splitlines()[-1] if done.returncode else done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_dictionary_of_one_value_does_not_fill_the_memory(tmp_path: Path) -> None:
    giant = bytes(20_000_000)
    path = _bomb(tmp_path / "train.parquet", pa.array([giant], pa.binary()), 20_000)
    assert path.stat().st_size < 10_000
    assert "too-large" in _in_child(path)
    path = _bomb(tmp_path / "train.parquet", pa.array([giant.decode()], pa.string()), 20_000)
    assert "bytes expand to more than" in _in_child(path)
    path = _bomb(tmp_path / "train.parquet", pa.array([b""], pa.binary()), 3_000_000)
    assert "claims 3,000,000 rows" in _in_child(path)


def test_a_long_text_of_a_table_counts_as_absent(root: Path) -> None:
    table = pa.table({"image": ["good.png"], "text": ["x" * 20_000]})
    pq.write_table(table, root / "train.parquet")
    (found,) = _scan(path=root, caption_column="text").photos
    assert found.photo.caption is None


def test_text_that_is_no_utf8_is_escaped(root: Path) -> None:
    broken = pa.array([b"caf\xe9", b"ok"], pa.binary()).view(pa.string())
    table = pa.table({"image": ["good.png", "gone.png"], "text": broken})
    pq.write_table(table, root / "train.parquet")
    (found,) = _scan(path=root, caption_column="text").photos
    assert found.photo.caption == "caf\\xe9"


_CELLS = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.sampled_from((*OUTSIDE, *ODD, *NOWHERE, "good.png", "https://localhost/x", "s3:///", "#")),
)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(_CELLS, _CELLS, st.one_of(st.none(), st.binary(max_size=30))), min_size=1),
    st.sampled_from(["path", "struct", "bytes"]),
    st.sampled_from([None, b"", b"[" * 5_000, b'{"info": 3}', b'{"info":{"features":{"who":[]}}}']),
)
def test_any_table_is_a_source(root: Path, rows: list, kind: str, metadata: bytes | None) -> None:
    paths, who, data = (list(column) for column in zip(*rows, strict=True))
    image: Any = {"path": paths, "bytes": data}.get(kind)
    if kind == "struct":
        image = [{"bytes": d, "path": p} for d, p in zip(data, paths, strict=True)]
        column = pa.array(image, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    else:
        column = pa.array(image, pa.string() if kind == "path" else pa.binary())
    table = pa.table({"image": column, "who": pa.array(who, pa.string())})
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, root / "train.parquet")
    chosen = {"kind": "hf", "path": str(root), "identity_column": "who", "caption_column": "who"}
    for photo in sources.photos(
        config.SourceSettings.model_validate(chosen), config.SplitSettings()
    ):
        if isinstance(photo, sources.base.RefusedPhoto) or photo.uri.startswith("s3"):
            continue
        with contextlib.suppress(ValueError):  # refused, or no URL
            read_bytes(photo.uri)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_damaged_table_is_refused_in_a_sentence(root: Path, suffix: str) -> None:
    path = root / f"train.{suffix}"
    for data in (b"", b"PAR1", bytes(500), b"PAR1" + b"\xff" * 100 + b"PAR1"):
        path.write_bytes(data)
        with pytest.raises(SourceError, match="cannot be read"):
            _scan(path=root)


def test_the_limit_of_open_files_is_no_fault_of_a_photo(root: Path) -> None:
    uri = uris.file_uri(root / "good.png")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            read_bytes(uri)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_threads_share_the_rows_that_one_has_read(root: Path) -> None:
    picture = (root / "good.png").read_bytes()
    pq.write_table(pa.table({"image": [picture] * 16}), root / "train.parquet")
    url = (root / "train.parquet").as_uri()
    before = table_cells._group.cache_info().misses
    with ThreadPoolExecutor(4) as pool:
        cells = list(pool.map(lambda row: table_cells.cell(url, row, "image"), range(16)))
    assert cells == [picture] * 16
    assert table_cells._group.cache_info().misses == before + 1
