"""Training: runs, their curves and answers, also while they run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repic.studio.curves import panels
from repic.studio.pages.training import figures
from repic.tables import TABLES
from storage import jobs
from storage.manifest import Origin
from storage.store import Store
from tests.studio import training_runs
from tests.studio.conftest import ATTACK, client
from tests.studio.test_frame import check_escaped
from tests.studio.training_runs import LIVE, rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def test_figures_of_answers() -> None:
    told = [
        row | {"step": 1, "group": n // 2, "sample": n % 2} for n, row in enumerate(rows(1, ""))
    ]
    for row in told:
        row["components"] = sorted(row["components"].items())
    assert figures(TABLES["rollouts"].table(told)) == {
        "rewards/oct": 0.5,
        "rewards/vlt": 1.0,
        "reward": pytest.approx(2 / 3),
        "completions/mean_length": 10.5,
        "frac_reward_zero_std": 1.0,
        "unscored": 0.25,
    }
    assert figures(TABLES["rollouts"].empty()) == {}


def test_curves_stay_in_the_chart() -> None:
    logs = [{"step": 1, "kl": 0.5}, {"step": 3, "kl": float("nan")}, {"step": 5, "kl": 2.5, "x": 1}]
    (panel,) = panels(logs)
    assert panel.lines[0].points == "0.00,96.00 100.00,4.00"
    assert (panel.first, panel.last, panel.low, panel.high) == (1, 5, 0.5, 2.5)
    (single,) = panels(logs[:1])
    assert single.lines[0].points == "0.00,50.00 100,50.00"
    assert panels([]) == []


def test_a_finished_run(store: Store) -> None:
    training_runs.publish(store)
    visitor = client(store)
    text = visitor.get("/training").text
    assert "checkpoint@v1" in text
    assert '<td class="num">0.125</td><td class="num">0.625</td>' in text
    text = visitor.get("/training/1").text
    for title in ("reward", "KL to the start", "entropy", "length of an answer"):
        assert f"<b>{title}" in text
    assert "groups without difference" in text
    assert '<span class="chip line-a" title="unscored">0.25</span>' in text
    assert '<td class="num better">+0.500</td>' in text
    assert 'href="/training/1/steps/5"' in text


def test_answers_of_a_step_beside_those_of_the_start(store: Store) -> None:
    training_runs.publish(store)
    visitor = client(store)
    text = visitor.get("/training/1/steps/1").text
    assert text.count("No earlier step has answers") == 2
    text = visitor.get("/training/1/steps/5").text
    assert "answer 5.0.1" in text
    assert "answer 1.0.1" in text
    assert "another example" not in text
    assert "<b>no score</b>" in text
    text = visitor.get("/training/1/steps/9").text
    assert "another example of oct" in text
    assert "answer 1.0.0" in text
    assert 'rel="prev" href="/training/1/steps/5"' in text
    assert visitor.get("/training/1/steps/2").status_code == 404


def test_a_run_is_followed_to_its_end(store: Store) -> None:
    answers = training_runs.start(store)
    visitor = client(store)
    assert f'href="/training/unfinished/{LIVE}"' in visitor.get("/training").text
    path = f"/training/unfinished/{LIVE}"
    text = visitor.get(path).text
    assert f'hx-get="{path}" hx-select="#live" hx-trigger="every 5s"' in text
    assert f'href="{path}/steps/5"' in text
    assert "step 7" not in text
    answers.add(7, rows(7, "answer"), 2)
    text = visitor.get(path).text
    assert f'href="{path}/steps/7"' in text
    assert 'title="completions/mean_length">70.5<' in text
    assert "KL to the start" not in text  # only the trainer knows it
    folder = Path(store.files.full(jobs.folder(LIVE))) / "trainer" / "checkpoint-5"
    folder.mkdir(parents=True)
    state = {"log_history": [{"step": 5, "loss": 0.5, "kl": 0.125}, {"train_runtime": 1}]}
    (folder / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
    assert '<span class="chip line-a" title="kl">0.125</span>' in visitor.get(path).text
    (folder / "trainer_state.json").write_text('{"log_', encoding="utf-8")
    assert visitor.get(path).status_code == 200
    assert "answer 7.1.1" in visitor.get(f"{path}/steps/7").text
    jobs.end(store.files, LIVE)
    assert visitor.get(path).status_code == 404
    origin = Origin(fingerprint=LIVE)
    store.publish_files("checkpoint", {"log.json": b"[]"}, origin, kind="checkpoint")
    assert visitor.get(path).url.path == "/training/1"
    polled = visitor.get(path, headers={"hx-request": "true"})
    assert polled.headers["hx-redirect"] == "/training/1"


@pytest.mark.parametrize(
    ("log", "notes"),
    [
        (b"", {}),
        (b"[1]", {}),
        (b"[]", {"changes": [{"objective": "oct"}]}),
        (b"[]", {"changes": 3}),
        (
            b'[{"step": 1, "loss": 2}]',
            {
                "changes": [
                    dict.fromkeys(("objective", "how", "n", "before", "after", "low", "high"), "x")
                ]
            },
        ),
    ],
)
def test_a_broken_checkpoint_hides_no_other(store: Store, log: bytes, notes: dict) -> None:
    training_runs.publish(store)
    training_runs.put(store, {"log.json": log}, notes)
    visitor = client(store)
    text = visitor.get("/training").text
    assert "checkpoint@v2" in text
    assert ">0.625<" in text
    assert ('class="chip warn">broken' in text) is bool(notes)
    reply = visitor.get("/training/2")
    assert reply.status_code == 409
    assert "cannot be shown" in reply.text


def test_texts_of_runs_are_escaped(store: Store) -> None:
    training_runs.publish(store, ATTACK)
    training_runs.start(store, ATTACK)
    visitor = client(store)
    live = f"/training/unfinished/{LIVE}"
    for path in ("/training", "/training/1", "/training/1/steps/9", live, f"{live}/steps/5"):
        reply = visitor.get(path)
        assert reply.status_code == 200, reply.text
        check_escaped(reply.text)
        assert "alert(1)" in reply.text
