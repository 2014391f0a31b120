"""Requirements of benchmarks: what is printed of each, and that publishing is exact."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def ran(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "run.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_each_requirement_names_a_script_and_its_arguments() -> None:
    entries = yaml.safe_load((BENCHMARKS / "requirements.yaml").read_text(encoding="utf-8"))
    for entry in entries:
        script = BENCHMARKS / entry["script"]
        code = script.read_text(encoding="utf-8")
        for form in ("reduced", "full"):
            words = entry.get(form, "--json").split()
            assert "--json" in words, script
            assert all(f'"{word}"' in code for word in words if word.startswith("--")), script


@pytest.mark.parametrize(
    ("prints", "status", "lines"),
    [
        ('{"same": true, "a": {"b": 2}, "c": 4}', 0, ["exact", "pass", "MISS", "NOT MEASURED"]),
        ('{\n"same": false, "a": {"b": 9}, "c": 1}', 1, ["NOT EXACT", "MISS", "pass"]),
        ("no figures", 1, ["FAILED        one.py: exit status 3, broken"]),
    ],
)
def test_a_miss_is_printed_and_only_what_is_not_exact_fails(
    tmp_path: Path, prints: str, status: int, lines: list[str]
) -> None:
    (tmp_path / "one.py").write_text(
        f"import sys\nprint('{{text')\nprint({prints!r})\nprint('broken', file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    entries = [
        {
            "script": "one.py",
            "reduced": "--json",
            "exact": {"same": True},
            "figures": [
                {"what": "b", "figure": ["a", "b"], "most": 2},
                {"what": "c of b", "figure": ["c"], "over": ["a", "b"], "most": 1},
                {"what": "d", "figure": ["d"], "least": 1},
            ],
        },
        {"script": "gone.py", "reduced": "--json", "figures": []},
    ]
    (tmp_path / "list.yaml").write_text(yaml.safe_dump(entries))
    done = ran("--requirements", tmp_path / "list.yaml")
    assert done.returncode == status, done.stderr
    machine, progress, *printed = done.stdout.splitlines()
    assert "cores" in machine
    assert progress == "[1/2] one.py --json"
    assert [line.startswith(start) for line, start in zip(printed, lines, strict=False)] == [
        True
    ] * len(lines)
    assert "left out      gone.py: no such script" in done.stdout
    summary = done.stdout.partition("together")
    assert "one.py" in summary[0].partition("script  ")[2]
    assert all((line in summary[2]) == (line not in ("exact", "pass")) for line in lines)


def test_peers_that_do_not_install_leave_a_script_out(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "import sys\nprint('run pip', file=sys.stderr)\nsys.exit(77)\n"
    )
    entries = [{"script": "one.py", "reduced": "--json", "exact": {"a": 1}, "figures": []}]
    (tmp_path / "list.yaml").write_text(yaml.safe_dump(entries))
    done = ran("--requirements", tmp_path / "list.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("left out      one.py: run pip") == 2


def test_an_unknown_name_is_answered_with_those_that_there_are() -> None:
    done = ran("publishing")
    assert done.returncode == 2
    assert "no benchmark publishing: there are grouping, " in done.stderr


def test_what_is_published_is_exact(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "publish.py"), f"--folder={tmp_path}"]
    command += ["--rows=20000", "--versions=20", "--times=1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "exact: yes" in done.stdout, done.stderr
