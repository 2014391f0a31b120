"""A user's script is checked with `mypy --strict`, against the types that we ship."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

RIGHT = """
import pyarrow as pa
from PIL import Image

import repic

store: repic.DataStore = repic.open("demo/store")
version: repic.Version = store["examples@latest"]
for row in version:
    names: list[str] = [reference.name for reference in row.references]
    shown: Image.Image = row.query.picture
    similarity: float | None = row.similarity
    total: float = repic.score(row.answer, row).total
dataset: repic.Outcome = repic.build(profile="sample", store="small")
record: dict[str, object] = dataset.as_json()
table: pa.Table = dataset["pairs"].to_arrow(["band"])
checkpoint = repic.train()
if checkpoint is not None:
    print(checkpoint.ref.upper(), checkpoint.files("folder").name)
print(len(version.to_datasets(["split"])), version.to_torch()[0], version.docs["split"].lower())
"""
WRONG = """
import repic

for row in repic.open()["examples@latest"]:
    print(row.anwser)
repic.score("yes", 3)
print(repic.train().ref)
"""


def check(script: str, folder: Path) -> str:
    """What mypy prints. Packages of others are not followed: this is about our types."""
    file = folder / "script.py"
    file.write_text(script, encoding="utf-8")
    (folder / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nignore_missing_imports = true\n"
        "[mypy-torch.*,datasets.*,duckdb.*,pandas.*,transformers.*,numpy.*,pyarrow.*]\n"
        "follow_imports = skip\n[mypy-repic.*,storage.*]\nignore_errors = true\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", folder / "mypy.ini", file],
        env={**os.environ, "MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_script_is_checked_strictly(tmp_path: Path) -> None:
    assert (ROOT / "repic" / "py.typed").exists()
    assert (ROOT / "storage" / "py.typed").exists()
    assert "Success" in check(RIGHT, tmp_path)
    found = check(WRONG, tmp_path)
    assert '"Example" has no attribute "anwser"; maybe "answer"?' in found
    assert 'Argument 2 to "score"' in found
    assert 'Item "None" of "Outcome | None" has no attribute "ref"' in found
