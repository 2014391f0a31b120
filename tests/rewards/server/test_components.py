"""Components of a worker: batched over requests, they only lower rewards, and may fail."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from repic import config
from repic.config import ClipScoreSettings
from repic.errors import ConfigError
from repic.images.identity import image_id_of
from repic.models import encoder as embed
from repic.objectives.base import Reward
from repic.rewards.clip_score import ClipScoreComponent, without_names
from repic.rewards.components import Component, RewardedAnswer
from repic.rewards.scoring import score
from repic.rewards.server import model_components
from repic.rewards.server.app import create_app
from repic.rewards.server.protocol import row_message
from tests.builds import Built

OCT = {"objective": "oct", "answer": "yes"}


class Slow:
    """Scores `yes` by 0.5, and records the sizes of its batches."""

    name, weight = "slow", 0.5

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.at_work = threading.Lock()

    def applies(self, answer: RewardedAnswer) -> bool:
        return answer.reward.total > 0

    def scores(self, answers: Sequence[RewardedAnswer]) -> list[float | None]:
        assert self.at_work.acquire(blocking=False), "two batches at once"
        time.sleep(0.05)
        self.batches.append(len(answers))
        self.at_work.release()
        return [0.5 if answer.text == "yes" else None for answer in answers]


class Broken(Slow):
    name = "broken"

    def scores(self, answers: Sequence[RewardedAnswer]) -> list[float | None]:
        raise RuntimeError("out of memory")


class Short(Slow):
    name = "short"

    def scores(self, answers: Sequence[RewardedAnswer]) -> list[float | None]:
        return [0.5] * (len(answers) - 1)


def replies(
    components: Sequence[Component], bodies: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Replies of one worker to concurrent requests."""

    async def post_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(components=components))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await asyncio.gather(*(http.post("/v1/score", json=body) for body in bodies))

    responses = asyncio.run(post_all())
    assert [response.status_code for response in responses] == [200] * len(bodies)
    return [response.json() for response in responses]


def test_requests_are_scored_together_and_each_gets_its_own() -> None:
    component = Slow()
    texts = ["yes", "no", "Yes.", "maybe"]
    bodies = [
        {"rows": [{"completion": text, "row": OCT} for text in texts[: 1 + k % 4]]}
        for k in range(24)
    ]
    for body, reply in zip(bodies, replies([component], bodies), strict=True):
        expected = [0.75, 0.0, 1.0, 0.0][: len(body["rows"])]
        assert [entry["reward"] for entry in reply["scores"]] == expected
        assert reply["scores"][0]["components"]["slow"] == 0.5
    assert sum(component.batches) == 24 + 12  # "no" and "maybe" have a reward of 0 and are skipped
    assert len(component.batches) <= 4


@pytest.mark.parametrize("failing", [Broken, Short])
def test_a_component_that_fails_takes_nothing(failing: type[Slow]) -> None:
    body = {"rows": [{"completion": "yes", "row": OCT}]}
    (reply,) = replies([failing()], [body])
    assert reply["scores"][0]["reward"] == 1.0
    assert failing.name not in reply["scores"][0]["components"]


def test_openrlhf_gets_the_lowered_reward() -> None:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(components=[Slow()]))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            label = '{"objective": "oct", "answer": "yes"}'
            body = {"query": ["Q?yes", "Q?yes"], "prompts": ["Q?", "Q?"], "labels": ["{", label]}
            return await http.post("/get_reward", json=body)

    assert asyncio.run(asked()).json() == {
        "rewards": [0.5, 0.75],
        "scores": [0.5, 0.75],
        "extra_logs": {"scored": [0.0, 1.0]},
    }


FULL = Reward(1.0, {}, "right")


def captions(built: Built) -> list[dict[str, Any]]:
    rows = built.store.read("examples@latest").to_pylist()
    return [row for row in rows if row["objective"] == "ict" and row["caption"]]


@pytest.fixture(scope="module")
def crops(built: Built) -> dict[str, tuple[str, Image.Image]]:
    """Expression and crop of an object by an invented photo id: the sample encoder knows crops."""
    photo = model_components.StoredPhotos.of(str(built.location))
    pictures: dict[str, tuple[str, Image.Image]] = {}
    for thing in built.store.read("objects@latest").to_pylist():
        image = photo(thing["image_id"])
        if thing["expressions"] and image is not None:
            box = [thing[side] for side in ("x1", "y1", "x2", "y2")]
            text = min(thing["expressions"], key=len)
            pictures.setdefault(text, (text, image.crop(tuple(map(int, box)))))
    return {f"{k:032x}": entry for k, entry in enumerate(pictures.values())}


@pytest.fixture(scope="module")
def clip(crops: dict[str, tuple[str, Image.Image]]) -> ClipScoreComponent:
    settings = config.load("sample")
    encoder = embed.load(settings.encoder, settings.runtime)
    return ClipScoreComponent(
        encoder,
        lambda i: crops[i][1] if i in crops else None,
        list(crops)[::2],
        ClipScoreSettings(weight=0.4, scale=1),
    )


def test_a_caption_of_another_picture_fits_less(
    built: Built, clip: ClipScoreComponent, crops: dict[str, tuple[str, Image.Image]]
) -> None:
    row = row_message(captions(built)[0])
    ids = list(crops)
    assert len(ids) > 10
    own = [RewardedAnswer(crops[i][0], {**row, "photo": i}, FULL) for i in ids]
    other = [
        RewardedAnswer(crops[j][0], {**row, "photo": i}, FULL)
        for i, j in zip(ids, ids[1:] + ids[:1], strict=True)
    ]
    assert all(clip.applies(answer) for answer in own)
    fits, fits_not = clip.scores(own), clip.scores(other)
    assert all(value is not None and 0 <= value <= 1 for value in fits + fits_not)
    better = sum((a or 0) > (b or 0) for a, b in zip(fits, fits_not, strict=True))
    assert better > 0.8 * len(ids)
    for answer, value in zip(own[:3], fits, strict=False):  # the batch does not change a score
        assert clip.scores([answer]) == [value]
    lost = RewardedAnswer("A photo.", {**row, "photo": "f" * 32}, FULL)
    assert clip.scores([own[0], lost, own[1]]) == [fits[0], None, fits[1]]


def test_a_caption_that_fits_every_picture_earns_nothing(
    built: Built, clip: ClipScoreComponent, crops: dict[str, tuple[str, Image.Image]]
) -> None:
    row = row_message(captions(built)[0])
    ids = list(crops)

    def mean(text: Callable[[str], str]) -> float:
        scores = clip.scores([RewardedAnswer(text(i), {**row, "photo": i}, FULL) for i in ids])
        return sum(s or 0 for s in scores) / len(scores)

    anything = max(mean(lambda _, text=text: text) for text in ("a photo", "an object on grass"))
    assert mean(lambda i: crops[i][0]) > 2 * anything


def test_photos_of_the_row_are_no_strangers(
    built: Built, clip: ClipScoreComponent, crops: dict[str, tuple[str, Image.Image]]
) -> None:
    row = row_message(captions(built)[0])
    own, *others = clip.strangers
    all_shown = {**row, "photo": own, "pictures": [{"photo": p, "crop": None} for p in others]}
    assert clip.scores([RewardedAnswer(crops[own][0], all_shown, FULL)]) == [None]


def test_who_is_not_looked_at(built: Built, clip: ClipScoreComponent) -> None:
    row = row_message(captions(built)[0])
    assert not clip.applies(RewardedAnswer("", row, Reward(0.0, {}, "empty")))
    assert not clip.applies(RewardedAnswer("x", {**row, "photo": ""}, FULL))
    assert not clip.applies(RewardedAnswer("x", {**row, "kind": "which"}, FULL))
    assert not clip.applies(RewardedAnswer("yes", {**OCT, "kind": "", "photo": row["photo"]}, FULL))


def test_a_photo_that_was_replaced_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 30), "red").save(path)
    image_id = image_id_of(hashlib.sha256(path.read_bytes()).hexdigest(), None)
    photos = model_components.StoredPhotos({image_id: path.as_uri()})
    picture = photos(image_id, (0.0, 0.0, 20.0, 30.0))
    assert picture is not None
    assert picture.size == (20, 30)
    Image.new("RGB", (40, 30), "blue").save(path)
    assert photos(image_id) is None


def test_names_are_taken_out() -> None:
    row = {
        "references": [{"name": "Ann"}, {"name": "Bo"}],
        "scene": [{"name": "Ann", "label": r"mug\9"}],
    }
    answer = RewardedAnswer("<Ann> and bo stand by Annabel.", row, FULL)
    assert without_names(answer) == r"the mug\9 and it stand by Annabel."


def test_nothing_is_loaded_unless_asked_for() -> None:
    assert model_components.packed_settings(config.load("sample"), "store") == ""
    assert model_components.load_components("") == []


def test_an_encoder_that_reads_no_text_is_refused() -> None:
    settings = config.load("photos", ("rewards.clip_score.weight=0.3",), source={"path": "."})
    with pytest.raises(ConfigError, match="reads texts"):
        model_components.packed_settings(settings, "store")


def test_a_worker_as_it_is_started(built: Built) -> None:
    settings = config.load("sample", ("rewards.clip_score.weight=0.4",))
    (component,) = model_components.load_components(
        model_components.packed_settings(settings, str(built.location))
    )
    row = captions(built)[0]
    (reply,) = replies(
        [component], [{"rows": [{"completion": row["caption"], "row": row_message(row)}]}]
    )
    rules = score(row["caption"], row)
    (given,) = reply["scores"]
    fit = given["components"]["clip_score"]
    assert given["reward"] == pytest.approx(rules.total * (1 - 0.4 * (1 - fit)))
    with pytest.raises(ConfigError, match="--store"):
        model_components.load_components(
            model_components.packed_settings(settings, f"{built.location}-elsewhere")
        )
