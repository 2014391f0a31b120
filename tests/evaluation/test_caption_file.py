"""Caption files: encodings, forms, and defects of many kinds."""

from __future__ import annotations

import codecs
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from repic.cli import app
from repic.cli.common import explain
from repic.errors import CaptionError
from repic.evaluation import records
from repic.evaluation.records import CaptionFile, Record
from tests.timing import cpu_of_children, is_quick, is_within

ROWS: list[list[Any]] = [
    ["a.jpg", ["<Ann>"], "<Ann> in a café.", "Caption it."],
    ["b.jpg", ["<Bob>"], "A dog.", "Caption it."],
]
TEXT = json.dumps(ROWS, ensure_ascii=False)
OBJECTS = [{"photo": r[0], "concepts": r[1], "caption": r[2]} for r in ROWS]
LINES = "\n".join(json.dumps(row) for row in ROWS)
GOOD = {
    "indented": json.dumps(ROWS, indent=4).encode(),
    "utf-8": TEXT.encode(),
    "utf-8 with a mark": codecs.BOM_UTF8 + TEXT.encode(),
    "utf-16": TEXT.encode("utf-16"),
    "utf-16 without a mark": TEXT.encode("utf-16-le"),
    "utf-32": TEXT.encode("utf-32"),
    "objects": json.dumps(OBJECTS).encode(),
    "lines of rows": LINES.encode(),
    "lines of objects": "\r\n".join(json.dumps(row) for row in OBJECTS).encode(),
    "one concept as text": TEXT.replace('["<Ann>"]', '"<Ann>"').encode(),
    "spaces around": f"\n\t {TEXT} \n".encode(),
    "NaN in an unread field": TEXT.replace('"Caption it."', "NaN").encode(),
    "empty caption": TEXT.replace("A dog.", "").encode(),
    "a duplicate key": b'[{"photo":"x","photo":"a.jpg","concepts":["<Ann>"],"caption":"Ann"}]',
}


def rows(*changed: Any) -> bytes:
    """Two rows, the second one with another value at an index."""
    row = [*ROWS[1]]
    row[changed[0]] = changed[1]
    return json.dumps([ROWS[0], row]).encode()


BAD = {
    "missing field": (json.dumps([ROWS[0], ROWS[1][:2]]).encode(), "row 2 has 2 of the 3 fields"),
    "missing key": (json.dumps([OBJECTS[0], {"photo": "b"}]).encode(), "row 2 has no concepts and"),
    "null caption": (rows(2, None), "row 2 its caption is null"),
    "nested caption": (rows(2, ["A dog."]), "row 2 its caption is a list"),
    "caption object": (rows(2, {"text": "A dog."}), "row 2 its caption is an object"),
    "NaN caption": (rows(2, float("nan")), "row 2 its caption is not a number"),
    "number caption": (rows(2, 3), "row 2 its caption is a number"),
    "null photo": (rows(0, None), "row 2 its photo is null"),
    "null concepts": (rows(1, None), "row 2 its concepts are null"),
    "nested concepts": (rows(1, [["<Bob>"]]), "row 2 one of its concepts is a list"),
    "empty name": (rows(1, ["<>"]), "row 2 one of its concepts is text"),
    "null row": (b'[["a", ["<Ann>"], "Ann"], null]', "row 2 is null"),
    "latin-1": (TEXT.encode("latin-1"), "is not UTF-8"),
    "half of utf-16": (TEXT.encode("utf-16")[:-1], "is not UTF-16"),
    "binary": (bytes(range(1, 256)) * 9, "is not"),
    "nothing": (b"", "is empty"),
    "only spaces": (b" \n", "is empty"),
    "empty list": (b"[]", "holds no captions"),
    "not JSON": (b"Ann, a dog", "is not JSON at row 1"),
    "a page": (b"<!doctype html>", "is not JSON at row 1"),
    "single quotes": (b"[['a', ['<Ann>'], 'Ann']]", "is not JSON at row 1"),
    "cut off": (TEXT.encode()[:-30], "is not JSON at row 2: the file is cut off"),
    "cut after a row": (TEXT.encode()[:-1], "the file is cut off"),
    "no comma": (TEXT.replace("], [", "] [").encode(), "a comma is missing"),
    "a comma too much": ((TEXT[:-1] + ",]").encode(), "is not JSON at row 3"),
    "something after": ((TEXT + "x").encode(), "something follows"),
    "an object": (b'{"concept_dict": {}}', "is one object (keys: concept_dict)"),
    "an empty object": (b"{}", "is an empty object; a caption file is"),
    "text": (b'"Ann"', "neither a list nor rows"),
    "a number": (b"3", "neither a list nor rows"),
    "null": (b"null", "neither a list nor rows"),
    "a list of numbers": (b"[1, 2, 3]", "row 1 its photo is a number"),
    "deep": (b"[" * 100_000, "row 1"),
    "a huge number": (b'[["a", ["<Ann>"], ' + b"9" * 5_000 + b"]]", "row 1"),
    "a bad scene": (
        b'[{"photo": "a", "concepts": [], "caption": "", "scene": [{"box": [0, 0, NaN, 1]}]}]',
        "an object of its scene",
    ),
    "bad references": (
        b'[{"photo": "a", "concepts": [], "caption": "", "references": [{"info": "x"}]}]',
        "the name of a reference is null",
    ),
}


def run(path: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["evaluate", "captions", str(path), *arguments])


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("metric", ["paper", "strict"])
def test_forms_and_encodings_that_score(tmp_path: Path, name: str, metric: str) -> None:
    path = tmp_path / "captions"
    path.write_bytes(GOOD[name])
    result = run(path, "--metric", metric, "--json")
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)
    assert scores["recall"] == (1.0 if name == "a duplicate key" else 0.5)
    assert next(iter(CaptionFile(path))).photo == "a.jpg"


@pytest.mark.parametrize("name", BAD)
def test_defects_are_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "captions.json"
    content, words = BAD[name]
    path.write_bytes(content)
    result = run(path, "--metric", "paper")
    assert isinstance(result.exception, CaptionError), result.exception
    sentence = explain(result.exception)
    assert sentence
    assert words in sentence
    assert "\n" not in sentence
    assert len(sentence) < 700
    assert any(word in sentence for word in ("; ", "a caption file is"))


def test_exit_code_2_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_bytes(BAD["latin-1"][0])
    done = subprocess.run(
        [sys.executable, "-m", "repic.cli", "evaluate", "captions", str(path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("repic: ")
    assert "iconv" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "no.json", "there is no file"), (tmp_path, "is a folder")):
        result = run(path)
        assert words in str(result.exception)
        assert isinstance(result.exception, CaptionError)


def test_duplicates_count_and_are_said(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_text(json.dumps([*ROWS, ROWS[0]]))
    result = run(path, "--json", "--metric", "paper")
    assert json.loads(result.stdout)["recall"] == pytest.approx(2 / 3)
    assert "1 rows repeat an earlier one" in result.stderr


def test_a_row_without_end_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_ROW", 1 << 21)
    path = tmp_path / "captions.json"
    for start in ('[["a", ["<Ann>"], "', "[[[", '{"caption": "'):
        path.write_text(start + "x" * 10_000_000)
        with pytest.raises(CaptionError, match=r"no end within|not JSON"):
            list(CaptionFile(path))
    path.write_text(json.dumps([["a", ["<Ann>"], "x" * 5_000_000]]))
    with pytest.raises(CaptionError, match=r"no end within|longer than"):
        list(CaptionFile(path))


def test_a_name_of_many_marks_takes_linear_time() -> None:
    name = "a" + "\u0301\u0323" * 50_000
    assert is_within(0.5, lambda: records.folded(name))
    assert records.folded("<Jose\u0301  O\u2019Neil>") == "jos\u00e9 o'neil"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads its peak memory from /proc")
def test_200_mb_in_bounded_time_and_memory(tmp_path: Path) -> None:
    """The paper's metric of a 200 MB file, in a process of less than 300 MB."""
    path = tmp_path / "captions.json"
    row = json.dumps([["photo", ["<Ann>", "<Bob>"], "<Ann> and Bob. " + "word " * 8_000, ""]])[1:-1]
    with path.open("w") as file:
        file.write("[" + row)
        for n in range(200_000_000 // len(row)):
            file.write("," + row.replace("photo", f"photo {n}"))
        file.write("]")
    assert path.stat().st_size > 190_000_000
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from repic.evaluation.metrics import measure\n"
        "from repic.evaluation.records import CaptionFile\n"
        "print(measure(CaptionFile(Path(sys.argv[1])), 'paper').scores['f1'].value)\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(int(status.partition('VmHWM:')[2].split()[0]) // 1024)\n"
    )
    runs: list[subprocess.CompletedProcess[str]] = []
    command = [sys.executable, "-c", code, str(path)]
    taken = cpu_of_children(
        lambda: runs.append(subprocess.run(command, capture_output=True, text=True))
    )
    [done] = runs
    assert done.returncode == 0, done.stderr
    value, peak = done.stdout.split()
    assert float(value) == 1.0
    assert int(peak) < 300
    assert is_quick(120, taken)
    path.unlink()


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=9),
            st.lists(st.text("ab<> .é", min_size=1, max_size=5), max_size=3),
            st.text(max_size=30),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    st.booleans(),
    st.integers(1, 40),
)
def test_what_is_written_is_read_in_pieces_of_any_size(
    tmp_path_factory: pytest.TempPathFactory,
    data: list[tuple[str, list[str], str]],
    encoding: str,
    as_lines: bool,
    piece: int,
) -> None:
    data = [(p, [c for c in names if c.strip("<> ")], caption) for p, names, caption in data]
    dumped = [json.dumps(row, ensure_ascii=True) for row in data]
    text = "\n".join(dumped) if as_lines else f"[{' , '.join(dumped)}]"
    path = tmp_path_factory.mktemp("captions") / "file.json"
    path.write_bytes(text.encode(encoding))
    chunk_size = records._CHUNK
    try:
        records._CHUNK = 8 + piece
        found = list(CaptionFile(path))
    finally:
        records._CHUNK = chunk_size
    assert found == [Record(p, tuple(names), caption) for p, names, caption in data]
    assert list(CaptionFile(path)) == found
