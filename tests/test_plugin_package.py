"""The package of docs/extending.md, installed beside ours: a fourth objective and a source."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import sysconfig
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.builds import Album, Built
from tests.rewards.server.test_serve import service

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "examples" / "howmany"
UV = (sys.executable, "-m", "uv")
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
MADE = {"package": "repic-howmany", "release": "0.1.0", "version": 1}

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Environment:
    """An environment with the package, over our dependencies and this clone."""

    folder: Path

    @property
    def program(self) -> tuple[str, ...]:
        return (str(self.folder / "environment" / "bin" / "python"), "-m", "repic.cli")

    def repic(self, *arguments: str | Path, code: int = 0) -> str:
        """Output of a command of `repic`."""
        done = subprocess.run(
            [*self.program, *map(str, arguments)],
            cwd=self.folder,
            env=CLEAN,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout + done.stderr * bool(code)

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self.repic(*arguments, "--json"))

    def sql(self, query: str) -> Any:
        return json.loads(self.repic("sql", query, "--format", "json"))

    def install(self, *arguments: str | Path) -> None:
        pip = (*UV, "pip", "install", "--quiet", "--no-deps", "--python", self.program[0])
        subprocess.run([*pip, *arguments], cwd=self.folder, env=CLEAN, check=True)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("plugin")
    build = (*UV, "build", "--wheel", "--quiet", "--out-dir", folder, PACKAGE)
    subprocess.run(build, cwd=folder, env=CLEAN, check=True)
    (wheel,) = folder.glob("*.whl")
    venv = (sys.executable, "-m", "venv", "--without-pip", folder / "environment")
    subprocess.run(venv, env=CLEAN, check=True)
    (packages,) = (folder / "environment").glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    made = Environment(folder)
    made.install(wheel)
    return made


@pytest.fixture(scope="module")
def listed(environment: Environment, built: Built) -> Path:
    """A CSV file of the boxes of the shared album."""
    album = built.album.copy(environment.folder / "album")
    path = album.folder / "boxes.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(("photo", "x1", "y1", "x2", "y2", "label", "identity"))
        writer.writerows(
            (f"photos/{entry['file']}", *thing["box"], thing["label"], thing["identity"])
            for entry in album.entries
            for thing in entry["objects"]
        )
    return path


def arguments(listed: Path, album: Album) -> list[str]:
    changes = (
        *("source.boxes.delimiter=;", "source.objectives=[oct, vlt, ict, howmany]"),
        *("examples.howmany.per_photo=3", f"encoder.pretrained={album.encoder}"),
    )
    chosen = ("--profile", "photos", "--source", f"boxes:{listed}")
    return ["build", *chosen, *(f"--set={change}" for change in changes)]


@pytest.fixture(scope="module")
def rows(environment: Environment, listed: Path, built: Built) -> list[dict[str, Any]]:
    """The rows of a build."""
    environment.repic(*arguments(listed, built.album))
    query = "select * from examples where objective = 'howmany' order by example_id"
    found: list[dict[str, Any]] = environment.sql(query)
    return found


def test_it_is_installed_and_listed(environment: Environment) -> None:
    found = environment.json("doctor", "plugins")
    assert {(p["group"], p["name"], p["problem"]) for p in found} == {
        ("objectives", "howmany", None),
        ("sources", "boxes", None),
    }
    assert "| `boxes` | a CSV file" in environment.repic("sources", "--markdown")
    settings = environment.repic("build", "--show-settings")
    assert "examples.howmany.most = 5" in settings
    assert "source.boxes.delimiter = ," in settings


def test_a_dry_run_and_errors_know_it(environment: Environment, listed: Path, built: Built) -> None:
    asked = arguments(listed, built.album)
    assert "for oct, vlt, ict, howmany" in " ".join(environment.repic(*asked, "--dry-run").split())
    said = environment.repic(*asked, "--set=examples.howmany.mots=3", code=2)
    assert "did you mean examples.howmany.most?" in said
    said = environment.repic(*asked[:-1], "--set=source.objectives=[howmny]", code=2)
    assert "there is no such objective; did you mean howmany?" in said


def test_the_build_has_rows_and_says_what_made_them(
    environment: Environment, rows: list[dict[str, Any]], built: Built
) -> None:
    assert len(rows) > 20
    of_photo = Counter(row["image_id"] for row in rows)
    assert max(of_photo.values()) == 3
    objects = environment.sql("select image_id, label, count(*) n from objects group by all")
    numbers = {(o["image_id"], o["label"]): o["n"] for o in objects}
    labels = environment.sql("select object_id, label from objects")
    label_of = {o["object_id"]: o["label"] for o in labels}
    for row in rows:
        (reference,) = row["references"]
        shown = label_of[reference["object_id"]]
        assert row["answer"] == str(numbers.get((row["image_id"], shown), 0))
        assert f"<{reference['name']}>" in row["prompt"][-1]["text"]
    manifest = environment.json("show", "examples@latest")
    assert manifest["settings"]["recipe"]["plugins"]["howmany"]["plugin"] == MADE


def test_a_second_build_publishes_nothing(
    environment: Environment, rows: list[dict[str, Any]], listed: Path, built: Built
) -> None:
    again = environment.json(*arguments(listed, built.album))
    assert again["dataset"].endswith("@v1")


def test_its_rows_are_scored_and_attacked(
    environment: Environment, rows: list[dict[str, Any]]
) -> None:
    lines = [
        {**row, "completion": text}
        for row in rows[:4]
        for text in (row["answer"], f"There are {row['answer']}.", "a few", "77")
    ]
    path = environment.folder / "answers.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    scored = environment.json("reward", "score", path)
    assert [one["total"] for one in scored] == [1.0, 1.0, 0.0, 0.0] * 4
    assert scored[0]["parsed"] == int(rows[0]["answer"])
    attacked = environment.json("reward", "attack", "--store", "repic-store")
    families = {f["family"]: f for f in attacked["families"] if f["task"] == "howmany"}
    assert families["several"]["tried"] > 0
    assert attacked["failures"] == []


def test_it_is_checked_trained_on_reported_and_exported(
    environment: Environment, rows: list[dict[str, Any]]
) -> None:
    found = environment.json("doctor", "dataset")
    blind = [earned for earned in found["blind"] if earned["objective"] == "howmany"]
    assert {earned["split"] for earned in blind} >= {"train"}
    ids = {row["example_id"] for row in rows}
    assert [problem for problem in found["problems"] if problem["example_id"] in ids] == []
    shares = "train.shares={oct: 0, vlt: 0, ict: 0, howmany: 1}"
    changes = ("trainer.max_steps=2", shares, "train.measure.per_objective=4")
    with service(program=environment.program, PYTHONPATH="") as (url, _):
        run = environment.json(
            *("train", "--profile", "sample", "--reward-url", url),
            *(f"--set={change}" for change in changes),
        )
    assert run["notes"]["steps"] == 2
    assert "howmany" in {change["objective"] for change in run["changes"]}
    answers = environment.sql("select distinct objective, reason from rollouts order by all")
    assert {answer["objective"] for answer in answers} == {"howmany"}
    assert {answer["reason"] for answer in answers} <= {"right", "wrong", "malformed"}
    for ref in ("dataset@latest", run["checkpoint"]):
        environment.repic("report", ref, "--out", "report.html")
        page = (environment.folder / "report.html").read_text()
        assert "howmany" in page
    environment.repic("export", "dataset@latest", "out", "--to", "trl", "--objective", "howmany")
    record = json.loads((environment.folder / "out" / "export.json").read_text())
    assert sum(n for of in record["rows"].values() for n in of.values()) == len(rows)


def test_without_the_package_its_rows_are_named(
    environment: Environment, rows: list[dict[str, Any]]
) -> None:
    without = [sys.executable, "-m", "repic.cli", "reward", "score", "answers.jsonl"]
    path = environment.folder / "answers.jsonl"
    path.write_text(json.dumps({**rows[0], "completion": "1"}))
    done = subprocess.run(
        without,
        cwd=environment.folder,
        env={**CLEAN, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "if it is of a plug-in, install its package" in " ".join(done.stderr.split())
