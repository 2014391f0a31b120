"""Whole evaluations: a model behind a real server, and one of this machine; asked in SQL."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from repic import catalog
from repic.evaluate import captioners, settings
from repic.evaluate.captioners import ServerError
from repic.evaluate.results import compare, load
from repic.evaluate.run import run
from repic.profiles import ConfigError
from storage.errors import StoreError
from storage.store import Store
from tests.evaluate.servers import everybody, nobody, serving
from tests.random_vlms import qwen2_5_vl_folder

ASKED = {"photos": 8, "protocols": ("skip-retrieval", "wrong"), "backend": "server"}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def test_a_server_that_names_everybody(store: Store) -> None:
    with serving(everybody) as server:
        found = run("pal", settings.load("sample", url=server.url, **ASKED), store)
        count = len(server.asked)
        again = run("pal", settings.load("sample", url=server.url, **ASKED), store)
        assert len(server.asked) == count  # nothing is asked twice
    assert count == 48
    assert (found.is_new, again.is_new, again.ref) == (True, False, found.ref)
    assert found.score("f1", "skip-retrieval").value == 1
    assert found.score("f1", "wrong").value == 0
    false = found.score("false_mention", "wrong")
    assert (false.value, false.n) == (1, 24)
    assert found.score("f1", "skip-retrieval", "4", "paper").value == 1
    assert {row["reason"] for row in found.rows("scores")} == {"right", "absent_named"}
    assert found.parts == ("1", "2", "4")
    assert load(store, "evaluation@latest").ref == found.ref


def test_numbers_are_traced_to_pixels_in_sql(store: Store, tmp_path: Path) -> None:
    with serving(everybody) as server:
        found = run("pal", settings.load("sample", url=server.url, **ASKED), store)
    path = catalog.refresh(store, tmp_path / "catalog.duckdb")
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        [(value, mean)] = connection.execute(
            "select any_value(m.value), avg(s.precision) from metrics m join scores s "
            "using (protocol) where m.part = 'all' and m.score = 'precision' "
            "and m.metric = 'strict' and protocol = 'skip-retrieval'"
        ).fetchall()
        assert value == pytest.approx(mean)
        uri, caption = connection.execute(
            "select c.images[-1].uri, c.caption from captions c join scores using (caption_id) "
            "where reason = 'absent_named' limit 1"
        ).fetchone()
    assert Path(uri.removeprefix("file://")).is_file()
    assert "are here" in caption
    assert found.table("captions") == "captions@v1"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nowhere/v1", "is evaluate.url an address as http://host:8000/v1"),
        ("http://127.0.0.1:1/a b", "is evaluate.url an address"),
        (None, "its content is None"),
    ],
)
def test_a_server_that_gives_no_caption(store: Store, url: str | None, said: str) -> None:
    with serving(lambda *_: None) as server:  # type: ignore[arg-type, return-value]
        asked = settings.load("sample", url=url or server.url, **ASKED)
        with pytest.raises(ServerError, match=said):
            run("pal", asked, store)


def test_a_broken_server_keeps_what_it_wrote(store: Store) -> None:
    with serving(everybody) as server:
        calls = itertools.count()
        good = server.reply
        server.reply = lambda *a: good(*a) if next(calls) < 20 else 1 / 0  # type: ignore[func-returns-value]
        asked = settings.load("sample", ["evaluate.batch_size=8"], url=server.url, **ASKED)
        with pytest.raises(ServerError, match="finished captions are kept"):
            run("pal", asked, store)
        server.reply = good
        before = len(server.asked)
        found = run("pal", asked, store)
        assert len(server.asked) - before == 48 - 16
        assert found.score("f1", "skip-retrieval").value == 1
        server.fails = 1
        with pytest.raises(ServerError, match="answers 503"):
            run("other", asked, store)


def test_two_models_are_compared_by_question(store: Store) -> None:
    with serving(everybody) as server:
        asked = settings.load("sample", url=server.url, **ASKED)
        first = run("eager", asked, store)
        server.reply = nobody
        second = run("shy", asked, store)
    difference = compare(first, second, "wrong")["f1"]
    assert (difference.value, difference.p) == (1, pytest.approx(0.0001, abs=1e-4))
    assert compare(first, second, "skip-retrieval", "2")["recall"].value == -1


def test_retrieval_finds_most_and_says_how_sure(store: Store) -> None:
    with serving(everybody) as server:
        values = {**ASKED, "protocols": ("retrieval", "retrieval-forced"), "url": server.url}
        found = run("pal", settings.load("sample", **values), store)
    hits = found.score("hit_rate", "retrieval", metric="retrieval")
    assert hits.n == 8 * (1 + 2 + 4)
    assert (hits.value or 0) > 0.6
    assert (found.score("false_accept_rate", "retrieval", metric="retrieval").value or 0) < 0.3
    forced = found.score("right_share", "retrieval-forced", "1", metric="retrieval")
    assert (forced.value or 1) <= 0.5  # two references of which one can be right
    points = found.summary["curve"]
    assert [p["hits"] for p in points] == sorted((p["hits"] for p in points), reverse=True)
    assert points[0]["threshold"] < found.summary["threshold"] <= 1
    crops = [crop for row in found.rows("captions") for crop in row["crops"]]
    assert all(crop["nearest"][0]["similarity"] > 0 for crop in crops)


def test_a_model_of_this_machine(store: Store, tmp_path: Path) -> None:
    folder = qwen2_5_vl_folder(tmp_path / "tiny")
    values = {**ASKED, "backend": "transformers", "protocols": ("wrong",)}
    asked = settings.load("sample", ["evaluate.max_new_tokens=4"], **values)
    found = run(folder, asked, store)
    assert len(found.rows("captions")) == 24
    assert found.manifest.models["captioner"]["name"] == folder
    assert not run(folder, asked, store).is_new


def test_what_cannot_caption_says_why(store: Store) -> None:
    with pytest.raises(ConfigError, match="needs vLLM"):
        captioners.load("sample-sft", settings.Evaluation(backend="vllm"), store)
    with pytest.raises(ConfigError, match=r"needs evaluate\.url"):
        captioners.load("pal", settings.Evaluation(backend="server"), store)
    with pytest.raises(StoreError, match="There is no checkpoint"):
        captioners.load("checkpoint@v9", settings.Evaluation(), store)
    with serving(nobody) as server:
        found = run("pal", settings.load("sample", url=server.url, **ASKED), store)
    with pytest.raises(StoreError, match="no evaluation"):
        load(store, found.table("captions"))


def test_the_command(repic_main: Any, tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    common = ("evaluate", "run", "--photos", "8", "--protocol", "wrong", "--store", place)
    with serving(nobody) as server:
        code, printed, said = repic_main(*common, "--model", "shy", "--server", server.url)
        assert code == 0, said
        assert "Published evaluation@v1: shy on sample" in printed
        assert "false_mention" in printed
        code, printed, _ = repic_main(*common, "--model", "shy", "--server", server.url, "--json")
    found = json.loads(printed)
    assert (found["evaluation"], found["is_new"]) == ("evaluation@v1", False)
    whole = next(row for row in found["strict"] if row["part"] == "all")
    assert whole["f1"] == {"value": 1.0, "interval": [1.0, 1.0], "n": 24, "unit": "caption"}
    assert {"length", "distinct_1", "self_bleu", "copy_rate"} <= found["quality"][0].keys()


def test_the_comparison_command(repic_main: Any, tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    opened = Store.open(place, create=True)
    with serving(everybody) as server:
        asked = settings.load("sample", url=server.url, **ASKED)
        run("eager", asked, opened)
        server.reply = nobody
        run("shy", asked, opened)
    plot = tmp_path / "compare.png"
    common = ("evaluate", "compare", "--store", place)
    code, printed, said = repic_main(*common, "eager", "evaluation@v2", "--plot", str(plot))
    assert code == 0, said
    assert "-100.0 (-100.0 to -100.0)" in printed
    assert plot.read_bytes().startswith(b"\x89PNG")
    code, printed, _ = repic_main(*common, "eager", "shy", "--parts", "--json")
    lines = json.loads(printed)
    assert {line["part"] for line in lines} == {"all", "1", "2", "4"}
    [change] = [
        line["difference"]
        for line in lines
        if (line["protocol"], line["part"], line["score"]) == ("wrong", "4", "false_mention")
        and line["model"] == "shy"
    ]
    assert change["value"] == -1
    assert repic_main(*common, "eager")[0] == 2
    code, _, said = repic_main(*common, "eager", "unknown")
    assert code == 2
    assert "unknown was not evaluated" in said
