"""Evaluations end to end: a model behind a real server, a local model, and the tables in SQL."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from PIL import Image

from repic import config
from repic.errors import CaptionError, CaptionServerError, ConfigError, WeightsError
from repic.evaluation import caption_quality
from repic.evaluation.results import compare, load
from repic.evaluation.run import load_suite, run
from repic.images.cache import PictureCache
from repic.images.coordinates import Convention
from repic.models import encoder as embed
from repic.models.vlm import captioners
from repic.models.vlm import load as models
from repic.pipeline import catalog
from storage.errors import StoreError
from storage.gc import gc
from storage.integrity import verify
from storage.store import Store
from tests.evaluation.servers import name_all, name_none, serving
from tests.random_vlms import qwen2_5_vl_folder, smolvlm_folder

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
    with serving(name_all) as server:
        result = run("pal", config.load("sample", evaluate={"url": server.url, **ASKED}), store)
        count = len(server.requests)
        again = run("pal", config.load("sample", evaluate={"url": server.url, **ASKED}), store)
        assert len(server.requests) == count  # no question is sent twice
    assert count == 48
    assert (result.is_new, again.is_new, again.ref) == (True, False, result.ref)
    assert result.score("f1", "skip-retrieval").value == 1
    assert result.score("f1", "wrong").value == 0
    false = result.score("false_mention", "wrong")
    assert (false.value, false.n) == (1, 24)
    assert result.score("f1", "skip-retrieval", "4", "paper").value == 1
    assert {row["reason"] for row in result.rows("scores")} == {"right", "absent_named"}
    assert result.parts == ("1", "2", "4")
    assert load(store, "evaluation@latest").ref == result.ref


def test_facts_and_reference_captions_of_a_suite(store: Store, tmp_path: Path) -> None:
    """Captions that repeat what is said about each reference state all facts, true or not."""
    values = {**ASKED, "protocols": ("skip-retrieval", "wrong")}
    suite = load_suite(config.load("sample", evaluate={"photos": 8}).evaluate)
    infos = {concept.name: concept.info for concept in suite.concepts}
    file = tmp_path / "captions.json"
    names = {q.photo.uri.rpartition("/")[2] for q in suite.queries}
    file.write_text(json.dumps({name: ["Grass and a sky."] for name in sorted(names)}))

    def say_all(names: list[str], pictures: list[Any]) -> str:
        return " ".join(f"<{name}> {infos[name]}" for name in names)

    with serving(say_all) as server:
        asked = {"url": server.url, **values}
        plain = run("pal", config.load("sample", evaluate=asked), store)
        asked["captions"] = str(file)
        result = run("pal", config.load("sample", evaluate=asked), store)
        assert result.is_new
        file.write_text(json.dumps({min(names): ["Grass."]}))
        with pytest.raises(CaptionError, match="has no reference caption"):
            run("pal", config.load("sample", evaluate=asked), store)
    right = result.score("right_facts", "skip-retrieval", metric="facts")
    assert right.value == 1
    assert right.n > 100
    assert result.score("net_facts", "skip-retrieval", metric="facts").value == 1
    absent = result.score("absent_facts", "wrong", metric="facts")
    assert (absent.value, absent.low, absent.high) == (1, 1, 1)
    assert result.score("net_facts", "wrong", metric="facts").value == -1
    bleu = result.score("bleu_1", "skip-retrieval", metric="reference")
    assert (bleu.n, bleu.low is not None) == (24, True)
    assert not plain.estimates("reference")


def test_numbers_are_traced_to_pixels_in_sql(store: Store, tmp_path: Path) -> None:
    with serving(name_all) as server:
        result = run("pal", config.load("sample", evaluate={"url": server.url, **ASKED}), store)
    path = catalog.refresh(store, tmp_path / "catalog.duckdb")
    import duckdb

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
    assert result.table("captions") == "captions@v1"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere/v1", "evaluate.url is an address such as http://host:8000/v1"),
        ("http://127.0.0.1:1/a b", "evaluate.url is an address"),
        (None, "the content of its message is not text"),
    ],
)
def test_a_server_that_gives_no_caption(store: Store, url: str | None, message: str) -> None:
    with serving(lambda *_: None) as server:  # type: ignore[arg-type, return-value]
        settings = config.load("sample", evaluate={"url": url or server.url, **ASKED})
        with pytest.raises(CaptionServerError, match=message):
            run("pal", settings, store)


def test_a_broken_server_keeps_what_it_wrote(store: Store) -> None:
    with serving(name_all) as server:
        calls = itertools.count()
        good = server.reply
        server.reply = lambda *a: good(*a) if next(calls) < 20 else 1 / 0  # type: ignore[func-returns-value]
        settings = config.load(
            "sample", ["evaluate.batch_size=8"], evaluate={"url": server.url, **ASKED}
        )
        with pytest.raises(CaptionServerError, match="finished captions are kept"):
            run("pal", settings, store)
        server.reply = good
        before = len(server.requests)
        result = run("pal", settings, store)
        assert len(server.requests) - before == 48 - 20, "each reply is stored, not only each batch"
        assert result.score("f1", "skip-retrieval").value == 1
        server.fails = 1
        with pytest.raises(CaptionServerError, match="returned 503"):
            run("other", settings, store)


@pytest.mark.slow
def test_a_kill_loses_the_replies_in_flight_alone(store: Store, tmp_path: Path) -> None:
    stuck = threading.Event()
    with serving(name_all) as server:
        calls = itertools.count()
        server.reply = lambda *a: name_all(*a) if next(calls) != 11 else str(stuck.wait(300))
        settings = config.load(
            "sample", ["evaluate.batch_size=8"], evaluate={"url": server.url, **ASKED}
        )
        captioner = captioners.load("pal", settings.evaluate)
        command = [
            *(sys.executable, "-m", "repic.cli", "evaluate", "run", "--model", "pal"),
            *("--server", server.url, "--photos", "8", "--set", "evaluate.batch_size=8"),
            *("--protocol", "skip-retrieval", "--protocol", "wrong"),
            *("--store", str(tmp_path / "store")),
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 240
            while len(store.parts("captions", captioner.fingerprint)) < 15:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            process.kill()
        stuck.set()
        assert len(server.requests) == 16
        server.reply = name_all
        result = run("pal", settings, store)
        assert len(server.requests) == 16 + 48 - 15
    assert result.score("f1", "skip-retrieval").value == 1


def test_two_models_are_compared_by_question(store: Store) -> None:
    with serving(name_all) as server:
        settings = config.load("sample", evaluate={"url": server.url, **ASKED})
        first = run("eager", settings, store)
        server.reply = name_none
        second = run("shy", settings, store)
    difference = compare(first, second, "wrong")["f1"]
    assert (difference.value, difference.p) == (1, pytest.approx(0.0001, abs=1e-4))
    assert difference.n == 24
    assert compare(first, second, "wrong", "2")["f1"].n == 8
    assert compare(first, second, "skip-retrieval", "2")["recall"].value == -1


def test_retrieval_finds_most_and_says_how_sure(store: Store) -> None:
    with serving(name_all) as server:
        values = {**ASKED, "protocols": ("retrieval", "retrieval-forced"), "url": server.url}
        result = run("pal", config.load("sample", evaluate={**values}), store)
    hits = result.score("hit_rate", "retrieval", metric="retrieval")
    assert hits.n == 8 * (1 + 2 + 4)
    assert (hits.value or 0) > 0.6
    assert (result.score("false_accept_rate", "retrieval", metric="retrieval").value or 0) < 0.3
    forced = result.score("right_share", "retrieval-forced", "1", metric="retrieval")
    assert (forced.value or 1) <= 0.5  # of two references at most one is correct
    points = result.summary["curve"]
    assert [p["hits"] for p in points] == sorted((p["hits"] for p in points), reverse=True)
    assert points[0]["threshold"] < result.summary["threshold"] <= 1
    crops = [crop for row in result.rows("captions") for crop in row["crops"]]
    assert all(crop["nearest"][0]["similarity"] > 0 for crop in crops)


def test_a_model_of_this_machine(store: Store, tmp_path: Path) -> None:
    folder = qwen2_5_vl_folder(tmp_path / "tiny")
    values = {**ASKED, "backend": "transformers", "protocols": ("wrong",)}
    settings = config.load("sample", ["evaluate.max_new_tokens=4"], evaluate={**values})
    result = run(folder, settings, store)
    assert len(result.rows("captions")) == 24
    assert result.manifest.models["captioner"]["name"] == folder
    assert not run(folder, settings, store).is_new


def seen(captioner: captioners.TransformersCaptioner) -> tuple[int, Convention]:
    """Number of patches of a 640 x 480 photo for the captioner's model, and its box convention."""
    processor = captioner._reader.processor.image_processor
    grid = processor(Image.new("RGB", (640, 480)), return_tensors="pt")["image_grid_thw"]
    return int(grid.prod()), captioner.convention


def test_max_pixels_shrinks_pictures_and_is_another_model(store: Store, tmp_path: Path) -> None:
    folder = qwen2_5_vl_folder(tmp_path / "tiny")
    made = {
        most: captioners.load(folder, config.EvaluateSettings(max_pixels=most), store)
        for most in (None, 112 * 112, 56 * 56)
    }
    patches, conventions = zip(*map(seen, made.values()), strict=True)  # type: ignore[arg-type]
    assert patches[0] == patches[1] > 4 * 4 >= patches[2] > 0  # a patch has 14 x 14 pixels
    assert conventions[0] == conventions[1] != conventions[2]
    assert len({one.fingerprint for one in made.values()}) == 3
    values = {**ASKED, "backend": "transformers", "protocols": ("wrong",)}
    changes = ["evaluate.max_new_tokens=4", "evaluate.max_pixels=3136"]
    result = run(folder, config.load("sample", changes, evaluate={**values}), store)
    assert result.manifest.settings["evaluate"]["max_pixels"] == 3136
    captions = store.manifest(result.table("captions"))
    assert captions.settings["evaluate"]["max_pixels"] == 3136


def test_a_server_gets_pictures_of_max_pixels(store: Store) -> None:
    sizes: dict[bool, list[int]] = {False: [], True: []}
    for is_limited, areas in sizes.items():

        def look(names: list[str], pictures: list[Image.Image], areas: list[int] = areas) -> str:
            areas += [picture.width * picture.height for picture in pictures]
            return name_all(names, pictures)

        with serving(look) as server:
            changes = ["evaluate.max_pixels=9000"] if is_limited else []
            values = {**ASKED, "protocols": ("skip-retrieval",)}
            run(
                "pal", config.load("sample", changes, evaluate={"url": server.url, **values}), store
            )
    assert max(sizes[False]) > 9000
    assert 8500 < max(sizes[True]) <= 9000
    assert min(sizes[True]) == min(sizes[False]), "small pictures keep their size"
    assert store.versions("captions") == [1, 2]


def test_max_pixels_where_it_means_nothing(tmp_path: Path) -> None:
    other = smolvlm_folder(tmp_path / "smol")
    with pytest.raises(ConfigError, match="are for Qwen-VL models"):
        models.reader(other, "normalised", pixels=models.PixelLimits(max_pixels=802_816))


def test_captions_are_held_against_their_photos(store: Store) -> None:
    """CLIPScore by the encoder of the settings, once per photo and caption."""
    with serving(lambda names, pictures: f"a photo of {names[0]}") as server:
        settings = config.load("sample", evaluate={"url": server.url, **ASKED})
        result = run("pal", settings, store)
        encoder = embed.load(settings.encoder, settings.runtime)
        rows = {row["caption_id"]: row for row in result.rows("captions")}
        scored = result.rows("scores")
        row = next(row for row in scored if row["part"] == "2")
        caption = rows[row["caption_id"]]
        photo = PictureCache().picture(caption["images"][-1])
        [picture], [text] = (
            encoder.encode_images([photo]),
            encoder.encode_texts([caption["caption"]]),
        )
        assert row["clip_score"] == pytest.approx(2.5 * max(0.0, float(picture @ text)), abs=1e-3)
        mean = sum(r["clip_score"] for r in scored if r["protocol"] == "wrong") / 24
        score = result.score("clip_score", "wrong", metric="quality")
        assert (score.value, score.n) == (pytest.approx(mean), 24)
        assert (score.low or 3) < mean < (score.high or 0)
        assert result.manifest.models["clip_score"] == encoder.fingerprint

        with mock.patch.object(embed.OpenClipEncoder, "encode_texts", side_effect=AssertionError):
            assert run("pal", settings, store).ref == result.ref, "nothing is scored twice"
        blind = config.load(
            "sample", ["encoder.architecture=photos"], evaluate={"url": server.url, **ASKED}
        )
        without = run("pal", blind, store)
        unwanted = run(
            "pal",
            config.load(
                "sample", ["evaluate.clip_score=false"], evaluate={"url": server.url, **ASKED}
            ),
            store,
        )
    assert without.table("captions") == result.table("captions"), "the captions are the same"
    assert without.ref == unwanted.ref != result.ref
    nothing = without.score("clip_score", "wrong", metric="quality")
    assert (nothing.value, nothing.low, nothing.n) == (None, None, 0)
    assert verify(store) == []
    lost = ["encoder.pretrained=local-dir:nowhere"]
    with pytest.raises(WeightsError, match=r"set evaluate\.clip_score=false"):
        run("pal", config.load("sample", lost, evaluate={"url": server.url, **ASKED}), store)


def test_what_is_published_is_not_scored_again(store: Store) -> None:
    """Published scores are reused even after gc deleted the parts and the encoder would differ."""
    with serving(name_none) as server:
        settings = config.load("sample", evaluate={"url": server.url, **ASKED})
        result = run("shy", settings, store)
        gc(store, delete=True)
        assert not store.files.find(f"parts/{caption_quality.CLIP_PARTS}")
        with mock.patch.object(embed.OpenClipEncoder, "encode_texts", side_effect=AssertionError):
            again = run("shy", settings, store)
    assert (again.ref, again.is_new) == (result.ref, False)
    assert again.table("scores") == result.table("scores")


def test_scoring_that_was_interrupted_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_quality, "_PHOTOS_PER_BATCH", 5)
    real, calls = embed.OpenClipEncoder.encode_texts, itertools.count()

    def dies(self: embed.OpenClipEncoder, texts: list[str]) -> Any:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(self, texts)

    with serving(name_none) as server:
        settings = config.load("sample", evaluate={"url": server.url, **ASKED})
        with mock.patch.object(embed.OpenClipEncoder, "encode_texts", dies):
            with pytest.raises(KeyboardInterrupt):
                run("shy", settings, store)
            result = run("shy", settings, store)
        assert next(calls) == 3 + 3, "24 photos in batches of five, ten of them stored before"
        other = run("silent", settings, store)
    assert result.score("clip_score", "wrong", metric="quality").n == 24
    ours, theirs = (
        {r["question_id"]: r["clip_score"] for r in one.rows("scores")} for one in (result, other)
    )
    assert ours == theirs, "another model with the same captions gets the same scores"


def test_what_cannot_caption_says_why(store: Store) -> None:
    with pytest.raises(ConfigError, match="needs vLLM"):
        captioners.load("sample-base", config.EvaluateSettings(backend="vllm"), store)
    with pytest.raises(ConfigError, match=r"needs evaluate\.url"):
        captioners.load("pal", config.EvaluateSettings(backend="server"), store)
    with pytest.raises(StoreError, match=r"`repic train` makes one.*--model sample-base"):
        captioners.load("checkpoint@v9", config.EvaluateSettings(), store)
    with serving(name_none) as server:
        result = run("pal", config.load("sample", evaluate={"url": server.url, **ASKED}), store)
    with pytest.raises(StoreError, match="not an evaluation"):
        load(store, result.table("captions"))


def test_the_command(repic_main: Any, tmp_path: Path) -> None:
    location = str(tmp_path / "store")
    common = ("evaluate", "run", "--photos", "8", "--protocol", "wrong", "--store", location)
    with serving(name_none) as server:
        code, output, errors = repic_main(*common, "--model", "shy", "--server", server.url)
        assert code == 0, errors
        assert "Published evaluation@v1: shy on sample" in output
        assert "false_mention" in output
        code, output, _ = repic_main(*common, "--model", "shy", "--server", server.url, "--json")
    result = json.loads(output)
    assert (result["evaluation"], result["is_new"]) == ("evaluation@v1", False)
    all_parts = next(row for row in result["strict"] if row["part"] == "all")
    assert all_parts["f1"] == {"value": 1.0, "interval": [1.0, 1.0], "n": 24, "unit": "caption"}
    assert {"length", "distinct_1", "self_bleu", "copy_rate"} <= result["quality"][0].keys()
    fit = result["quality"][0]["clip_score"]
    assert fit["n"] == 24
    assert 0 <= fit["interval"][0] <= fit["value"] <= fit["interval"][1] <= 2.5


def test_tables_fit_80_columns(
    repic_main: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No word or interval is folded: each line of a table ends with its n."""
    monkeypatch.setenv("COLUMNS", "80")
    where = ("--photos", "8", "--store", str(tmp_path / "store"), "--protocol", "retrieval-forced")
    with serving(name_all) as server:
        code, output, errors = repic_main(
            "evaluate", "run", "--model", "pal", "--server", server.url, *where
        )
    assert code == 0, errors
    header = "protocol part score value 95 % interval n"
    tables = [line for line in output.splitlines() if line.startswith(" ") and line.strip()]
    assert sum(" ".join(line.split()) == header for line in tables) == 4, output
    for line in tables:
        assert len(line) <= 80
        is_rule = set(line.strip()) == {"\u2500"}
        assert is_rule or line.split()[-1] == "n" or line.split()[-1].isdigit(), line
    assert "false_mention" in output
    assert "right_share" in output


def test_tables_show_n_of_what_counts_something_else(repic_main: Any, tmp_path: Path) -> None:
    common = ("evaluate", "run", "--photos", "8", "--store", str(tmp_path / "store"))
    with serving(name_all) as server:
        settings = ("--model", "pal", "--server", server.url, "--protocol", "mixed")
        code, output, errors = repic_main(*common, *settings)
        assert code == 0, errors
        result = json.loads(repic_main(*common, *settings, "--json")[1])
        blind = ("--set", "encoder.architecture=photos")
        code, without, errors = repic_main(*common, *settings, *blind)
        assert code == 0, errors
        empty = json.loads(repic_main(*common, *settings, *blind, "--json")[1])
    [names] = [row for row in result["strict"] if row["part"] == "all"]
    [read] = result["quality"]
    lines = [line.split() for line in output.splitlines()]
    first = next(words for words in lines if words[:2] == ["mixed", "all"])
    assert (first[2], first[-1]) == ("precision", "24")
    for name, score in ("binding", names["binding"]), *read.items():
        if isinstance(score, dict) and score["n"]:
            [low, high] = score["interval"]
            places, scale = (2, 1) if name in ("length", "clip_score") else (1, 100)
            shown = [f"{scale * value:.{places}f}" for value in (score["value"], low, high)]
            expected = [name, shown[0], shown[1], "to", shown[2], str(score["n"])]
            assert any(words[-6:] == expected for words in lines), expected
    assert names["binding"]["n"] != 24
    assert "clip_score" in output
    assert "clip_score" not in without
    assert empty["quality"][0]["clip_score"] == {
        "value": None,
        "interval": None,
        "n": 0,
        "unit": "caption",
    }


@pytest.mark.slow
def test_the_comparison_command(repic_main: Any, tmp_path: Path) -> None:
    location = str(tmp_path / "store")
    opened = Store.open(location, create=True)
    with serving(name_all) as server:
        settings = config.load("sample", evaluate={"url": server.url, **ASKED})
        run("eager", settings, opened)
        server.reply = name_none
        run("shy", settings, opened)
    plot = tmp_path / "compare.png"
    common = ("evaluate", "compare", "--store", location)
    code, output, errors = repic_main(*common, "eager", "evaluation@v2", "--plot", str(plot))
    assert code == 0, errors
    assert "-100.0 (-100.0 to -100.0)" in output
    assert max(map(len, output.splitlines()[1:])) <= 80
    assert output.count("skip-retrieval, all") == 1
    line = next(line for line in output.splitlines() if "-100.0 (" in line)
    assert line.split()[-1] == "24"
    assert plot.read_bytes().startswith(b"\x89PNG")
    code, output, _ = repic_main(*common, "eager", "shy", "--parts", "--json")
    lines = json.loads(output)
    assert {line["part"] for line in lines} == {"all", "1", "2", "4"}
    [change] = [
        line["difference"]
        for line in lines
        if (line["protocol"], line["part"], line["score"]) == ("wrong", "4", "false_mention")
        and line["model"] == "shy"
    ]
    assert (change["value"], change["n"]) == (-1, 8)
    assert repic_main(*common, "eager")[0] == 2
    code, _, errors = repic_main(*common, "eager", "unknown")
    assert code == 2
    assert "unknown was not evaluated" in errors
