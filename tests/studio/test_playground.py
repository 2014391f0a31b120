"""The playground: uploads and their limits, captions by the shipped model, and its process."""

from __future__ import annotations

import io
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import repic
from repic.studio import uploads
from repic.studio.app import create_app
from repic.studio.model_process import ModelBusyError, ModelProcess, ModelProcessError
from repic.studio.pages.playground import AnswersInMemory, marked
from repic.studio.site import PageNotFoundError, Studio
from storage.store import Store
from tests.builds import Built
from tests.studio import worlds
from tests.studio.conftest import ATTACK, HERE, SCRIPT
from tests.studio.echo import Echo
from tests.studio.test_frame import check_escaped


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return worlds.photos(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def studio(built: Built) -> Iterator[TestClient]:
    with TestClient(create_app(Studio(built.store)), base_url=HERE) as opened:
        yield opened


def picture(width: int = 64, height: int = 64, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (9, 99, 9)).save(file, kind)
    return file.getvalue()


def form(names: dict[str, bytes], photo: bytes | None = None) -> dict[str, Any]:
    """Arguments of a POST: a photo, and references by name, all of them in the photo."""
    files = {"photo": ("photo", photo or picture())}
    data = {"model": "sample-full", "profile": "sample", "shown": "all"}
    for number, (name, content) in enumerate(names.items()):
        files[f"reference{number}"] = ("reference", content)
        data |= {f"name{number}": name, f"present{number}": "on"}
    return {"files": files, "data": data}


@pytest.mark.slow
def test_a_caption_is_that_of_the_command_line(
    studio: TestClient, photos: dict[str, Path], tmp_path: Path
) -> None:
    names = worlds.NAMES
    given = form({n: photos[n].read_bytes() for n in names}, photos["photo"].read_bytes())
    del given["data"]["present2"]
    reply = studio.post("/playground", **given)
    assert reply.status_code == 200, reply.text
    assert reply.url.path.startswith("/playground/")
    for name in names:
        (tmp_path / f"{name}.png").write_bytes(photos[name].read_bytes())
    told = repic.caption(photos["photo"], tmp_path, "sample-full")
    said = reply.text[reply.text.index('class="prompt answer"') :].partition("</p>")[0]
    said = said.partition(">")[2].replace("<mark>", "").replace("</mark>", "")
    assert said.replace("&lt;", "<").replace("&gt;", ">") == told.caption
    assert "<mark>&lt;Andrea&gt;</mark>" in reply.text
    assert reply.text.count("<rect") >= 2  # both objects were found
    assert "if Andrea and Rex are in the photo" in reply.text
    assert '<th scope="row">names</th>' in reply.text
    shown = studio.get(f"{reply.url.path}/0.jpg")
    assert shown.content.startswith(b"\xff\xd8")
    assert studio.get(f"{reply.url.path}/4.jpg").status_code == 404
    assert studio.get("/playground/guessed").status_code == 404


def test_only_what_is_found_may_be_shown(studio: TestClient, photos: dict[str, Path]) -> None:
    given = form({"Rex": photos["Rex"].read_bytes()}, photos["photo"].read_bytes())
    given["data"] |= {"shown": "found", "threshold": "1"}
    text = studio.post("/playground", **given).text
    assert "which saw no reference" in text
    assert "Found: nobody" in text
    given["data"]["threshold"] = "-1"
    text = studio.post("/playground", **given).text
    assert "Found: Rex" in text


def test_of_a_photo_as_reference_its_object_is_used(
    studio: TestClient, photos: dict[str, Path]
) -> None:
    names = worlds.NAMES[:2]
    whole = {name: photos[f"photo of {name}"].read_bytes() for name in names}
    text = studio.post("/playground", **form(whole, photos["photo"].read_bytes())).text
    nearest = dict(re.findall(r"<b>(\w+) ([\d.]+)</b>", text))
    assert nearest.keys() == set(names)
    assert min(map(float, nearest.values())) > 0.8, "of all of the photos they are below 0.5"
    for name in names:
        figure = text[text.index(f'alt="Reference of {name}"') :].partition("</figure>")[0]
        assert figure.count("<rect") == 1
    text = studio.post("/playground", **form({"Rex": picture()}, photos["photo"].read_bytes())).text
    assert "<rect" not in text[text.index('alt="Reference of Rex"') :].partition("</figure>")[0]


def test_advice_is_of_the_page(studio: TestClient, photos: dict[str, Path]) -> None:
    text = studio.post("/playground", **form({"Rex": photos["Rex"].read_bytes()})).text
    assert "sample-full knows generated photos only" in text
    assert "--model" not in text
    assert "--server" not in text
    assert "repic train --profile modern" in text


def test_names_and_notes_are_escaped(studio: TestClient) -> None:
    script = SCRIPT.replace("<", "").replace(">", "")
    given = form({f"\"'{script}{{{{7*7}}}}": picture()})
    given["data"]["info0"] = ATTACK
    given["files"]["photo"] = (f"{ATTACK}.png", picture())
    reply = studio.post("/playground", **given)
    assert reply.status_code == 200, reply.text
    check_escaped(reply.text)
    assert script in reply.text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"photo": b""}, "Choose a file for the photo"),
        ({"photo": b"no picture"}, "The photo cannot be used: not-an-image"),
        ({"photo": picture()[:-40]}, "The photo cannot be used"),
        ({"photo": b"\0" * (uploads.PICTURE_BYTES + 1)}, "at most 16 MB"),
        ({"photo": picture(4, 4)}, "too-small"),
        ({"name0": ""}, "needs a name"),
        ({"name0": "<b>"}, "needs a name, without"),
        ({"name1": "rex", "reference1": picture()}, "Two references are called rex"),
        ({"name1": "Tina"}, "Choose a file for the picture of Tina"),
        ({"name0": "x" * 61}, "at most 60 characters"),
        ({"model": "/etc"}, "There is no model"),
        ({"model": "checkpoint@v9"}, "There is no model"),
        ({"profile": "../x"}, "There is no profile"),
        ({"threshold": "much"}, "from -1 to 1"),
        ({"threshold": "nan"}, "from -1 to 1"),
    ],
)
def test_what_is_refused(studio: TestClient, change: dict[str, Any], sentence: str) -> None:
    given = form({"Rex": picture()})
    for name, value in change.items():
        if isinstance(value, bytes):
            given["files"][name] = ("file", value)
        else:
            given["data"][name] = value
    reply = studio.post("/playground", **given)
    assert reply.status_code == 422
    assert sentence in reply.text.replace("&#39;", "'")


def test_a_picture_of_too_many_pixels_is_not_decoded() -> None:
    wide = Image.new("1", (10_000, 6_000))
    file = io.BytesIO()
    wide.save(file, "PNG")
    with pytest.raises(uploads.UploadRefusedError, match="50 megapixels"):
        uploads.checked_picture(file.getvalue(), "the photo")


def test_too_many_files_or_bytes(studio: TestClient) -> None:
    given = form({f"N{n}": picture() for n in range(5)})
    assert "Too many files" in studio.post("/playground", **given).text
    plain = {"content-type": "text/plain"}
    assert studio.post("/playground", content=b"x", headers=plain).status_code == 422
    large = {"content-length": str(uploads.BODY + 1)}
    assert studio.post("/playground", headers=large).status_code == 413
    large = {"content-length": str(2 << 20)}
    assert studio.post("/sql", headers=large).status_code == 413
    foreign = {"origin": "http://evil.example"}
    assert studio.post("/playground", headers=foreign).status_code == 403


def test_no_file_of_an_upload_reaches_the_disk(
    studio: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form of Starlette writes what is larger than 1 MB to a temporary file."""
    import tempfile

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    noise = Image.frombytes("RGB", (1024, 1024), os.urandom(3 << 20))
    file = io.BytesIO()
    noise.save(file, "PNG")
    given = form({"": b""}, file.getvalue())
    assert "at least one reference" in studio.post("/playground", **given).text


def test_names_are_marked() -> None:
    assert marked("<Rex> and Ann-Lee, rex.", ["Rex", "Ann", "Ann-Lee"]) == [
        ("<Rex>", True),
        (" and ", False),
        ("Ann-Lee", True),
        (", ", False),
        ("rex", True),
        (".", False),
    ]
    assert marked("Rexona", ["Rex"]) == [("Rexona", False)]


def test_the_process_outlives_failures_and_is_replaced(store: Store) -> None:
    process = ModelProcess(store.location)
    try:
        assert process.ask(Echo("one")) == "one"
        first = process.pid
        with pytest.raises(ModelProcessError, match="RuntimeError: out of memory"):
            process.ask(Echo("fail"))
        assert process.ask(Echo("two")) == "two"
        assert process.pid == first
        with pytest.raises(ModelProcessError, match="without an answer"):
            process.ask(Echo("die"))
        with pytest.raises(ModelProcessError, match="more than"):
            process.ask(Echo("hang"), seconds=0.2)
        assert process.pid is None
        assert process.ask(Echo("three")) == "three"
        os.kill(process.pid or 0, signal.SIGKILL)  # as a system without memory does
        process._process.join()
        assert process.ask(Echo("four")) == "four"
    finally:
        process.close()
    with pytest.raises(ModelProcessError, match="is stopping"):
        process.ask(Echo("five"))


def test_a_third_task_is_told_that_the_model_is_busy(store: Store) -> None:
    process = ModelProcess(store.location)
    failed: list[Exception] = []

    def ask(does: str) -> None:
        try:
            process.ask(Echo(does), seconds=600)
        except ModelProcessError as error:
            failed.append(error)

    waiting = [threading.Thread(target=ask, args=("hang",), daemon=True) for _ in range(2)]
    for thread in waiting:
        thread.start()
    while process._places._value:  # until both have a place
        threading.Event().wait(0.01)
    with pytest.raises(ModelBusyError, match="Try again"):
        process.ask(Echo("third"))
    process.close()
    for thread in waiting:
        thread.join(600)
    assert len(failed) == 2


def test_the_process_ends_when_it_is_idle(store: Store) -> None:
    process = ModelProcess(store.location, idle=0.01)
    assert process.ask(Echo("one")) == "one"
    timer = process._timer
    if timer:
        timer.join(60)
    assert process.pid is None


def test_old_answers_are_forgotten() -> None:
    with pytest.raises(PageNotFoundError, match="not kept"):
        AnswersInMemory().find("x")
