"""Servers that are busy, refuse or fail: told apart, and asked again within bounds."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic import config
from repic.errors import SourceError
from repic.images import network, patience
from repic.images.fetch import ImageRefused, read_bytes
from repic.pipeline.scan import scan
from storage.store import Store
from tests.builds import build
from tests.images import hostile_servers as servers
from tests.odd_images import encode, picture

PNG = encode(picture(), "PNG")


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Pauses, which are not waited for."""
    pauses: list[float] = []
    monkeypatch.setattr(patience, "sleep", pauses.append)
    monkeypatch.setenv(network.PRIVATE_HOSTS, "127.0.0.1")
    patience.forget()
    yield pauses
    patience.forget()


def answering(*answers: servers.Answer) -> tuple[servers.Answer, list[str]]:
    """Answers in turn, the last one for ever; and the paths that were asked for."""
    asked: list[str] = []

    def answer(connection: socket.socket, path: str) -> None:
        asked.append(path)
        answers[min(len(asked), len(answers)) - 1](connection, path)

    return answer, asked


def status(text: str, *headers: str) -> servers.Answer:
    return servers.reply(b"no", *headers, status=text)


def refused(url: str) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        read_bytes(url)
    return caught.value


@pytest.mark.parametrize(
    ("text", "reason", "said", "times"),
    [
        ("401 Unauthorized", "denied", "401 Unauthorized", 1),
        ("403 Forbidden", "denied", "403 Forbidden", 1),
        ("404 Not Found", "missing", "no such file", 1),
        ("410 Gone", "missing", "no such file", 1),
        ("418 Teapot", "unreadable", "418", 1),
        ("429 Slow", "rate-limited", "429 Too Many Requests", 4),
        ("500 Broken", "unavailable", "500 Internal Server Error", 4),
        ("503 Busy", "unavailable", "503 Service Unavailable", 4),
        ("599 Odd", "unavailable", "status 599", 4),
    ],
)
def test_each_status_has_its_reason_and_only_a_busy_server_is_asked_again(
    text: str, reason: str, said: str, times: int, slept: list[float]
) -> None:
    answer, asked = answering(status(text))
    with servers.serving(answer) as url:
        error = refused(f"{url}/x.png")
    assert (error.reason, len(asked)) == (reason, times)
    assert said in error.message
    assert len(slept) == times - 1
    assert all(low / 2 <= real <= low for low, real in zip((1, 2, 4), slept, strict=False))


@pytest.mark.parametrize("text", ["429 Slow", "503 Busy", "500 Broken"])
def test_a_server_that_recovers_gives_its_picture(text: str) -> None:
    answer, asked = answering(status(text), status(text), servers.reply(PNG))
    with servers.serving(answer) as url:
        assert read_bytes(f"{url}/x.png") == PNG
    assert len(asked) == 3


def test_a_server_says_how_long_to_wait(slept: list[float]) -> None:
    answer, asked = answering(status("429 Slow", "Retry-After: 7"), servers.reply(PNG))
    with servers.serving(answer) as url:
        assert read_bytes(f"{url}/x.png") == PNG
    assert slept == [7]
    assert len(asked) == 2


def test_a_wait_beyond_the_bound_is_said_and_not_waited_for(slept: list[float]) -> None:
    answer, asked = answering(status("503 Busy", "Retry-After: 3600"))
    with servers.serving(answer) as url:
        assert "it asks to wait 3600 s" in refused(f"{url}/x.png").message
    assert (len(asked), slept) == (1, [])


def test_all_pauses_of_a_picture_are_bounded(slept: list[float]) -> None:
    answer, _ = answering(status("429 Slow", "Retry-After: 20"))
    with servers.serving(answer) as url:
        assert refused(f"{url}/x.png").reason == "rate-limited"
    assert sum(slept) <= patience.MAX_PAUSE_SECONDS


def test_a_server_that_nobody_runs_is_unavailable_and_asked_twice(slept: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refused(f"http://127.0.0.1:{port}/x.png")
    assert error.reason == "unavailable"
    assert "cannot be reached" in error.message
    assert len(slept) == 1


def test_a_server_that_keeps_failing_is_asked_once_until_it_answers(slept: list[float]) -> None:
    busy: list[servers.Answer] = [status("503 Busy")]
    answer, asked = answering(lambda connection, path: busy[0](connection, path))
    with servers.serving(answer) as url:
        for _ in range(patience.FAILURES + 5):
            refused(f"{url}/x.png")
        assert len(asked) == 4 * patience.FAILURES + 5
        busy[0] = servers.reply(PNG)
        assert read_bytes(f"{url}/x.png") == PNG
        busy[0] = status("503 Busy")
        refused(f"{url}/x.png")
    assert len(asked) == 4 * patience.FAILURES + 5 + 1 + 4


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", None), ("soon", None), ("-1", None), ("٣", None), ("0", 0), ("120", 120)],
)
def test_a_header_that_is_no_time_counts_as_none(text: str, seconds: float | None) -> None:
    assert patience.retry_after(text) == seconds


def test_the_header_may_be_a_date() -> None:
    then = datetime.now(UTC) + timedelta(seconds=60)
    wait = patience.retry_after(format_datetime(then, usegmt=True))
    assert wait is not None
    assert 50 < wait <= 60
    assert patience.retry_after("Mon, 01 Jan 2001 00:00:00 GMT") == 0


@given(st.text())
def test_any_header_is_a_time_or_none(text: str) -> None:
    wait = patience.retry_after(text)
    assert wait is None or wait >= 0


def table(folder: Path, urls: Sequence[str]) -> config.Settings:
    folder.mkdir()
    pq.write_table(pa.table({"url": list(urls)}), folder / "train.parquet")
    source = {"kind": "hf", "path": str(folder), "image_column": "url"}
    return config.load("photos", ["quarantine.budget=0.5"], source=source)


def by_path(answers: dict[str, servers.Answer]) -> servers.Answer:
    return lambda connection, path: answers[path](connection, path)


def test_the_quarantine_says_which_and_a_later_build_asks_again(tmp_path: Path) -> None:
    photo: Callable[[int], servers.Answer] = lambda n: servers.reply(  # noqa: E731
        encode(picture((64 + n, 64)), "PNG")
    )
    answers = {
        "/0": photo(0),
        "/1": photo(1),
        "/2": photo(2),
        "/403": status("403 No"),
        "/429": status("429 Slow"),
        "/503": status("503 Busy"),
    }
    with servers.serving(by_path(answers)) as url:
        settings = table(tmp_path / "h", [f"{url}{path}" for path in answers])
        found = {r.uri.rpartition("/")[2]: r for r in scan(settings).rejects}
        assert {key: reject.error for key, reject in found.items()} == {
            "403": "denied",
            "429": "rate-limited",
            "503": "unavailable",
        }
        assert all(reject.transient for reject in found.values())
        answers["/503"] = photo(3)
        assert len(scan(settings).rejects) == 2


def test_a_source_without_a_photo_says_why_and_to_run_again_later(tmp_path: Path) -> None:
    with servers.serving(by_path({"/a": status("503 Busy"), "/b": status("429 Slow")})) as url:
        settings = table(tmp_path / "h", [f"{url}/a", f"{url}/b"])
        with pytest.raises(SourceError, match=r"1 unavailable, 1 rate-limited.*run again later"):
            build(settings, Store.open(tmp_path / "s", create=True))


@pytest.mark.slow
def test_real_pauses_end_in_time() -> None:
    answer, asked = answering(status("503 Busy"))
    with servers.serving(answer) as url, pytest.MonkeyPatch.context() as patch:
        slept: list[float] = []
        patch.setattr(patience, "sleep", lambda pause: (slept.append(pause), time.sleep(pause)))
        start = time.monotonic()
        refused(f"{url}/x.png")
    assert 3.5 <= sum(slept) < 12
    assert sum(slept) <= time.monotonic() - start
    assert len(asked) == 4
