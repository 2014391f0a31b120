"""Photos are decoded ahead, in order, and within the memory limit."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from repic.config import RuntimeSettings
from repic.images.fetch import ImageRefused
from repic.images.semaphore import WeightedSemaphore
from repic.pipeline.scan import scan
from repic.pipeline.stages import prefetch as prefetch_module
from repic.pipeline.stages.base import Inputs
from repic.pipeline.stages.embeddings import EmbeddingStage
from repic.pipeline.stages.prefetch import Decode, prefetch
from tests.builds import Built, tables

RUNTIME = RuntimeSettings(batch_size=5, workers=3)


def photo(number: int, pixels: int) -> dict[str, Any]:
    return {"uri": f"file:///{number}", "image_id": str(number), "width": pixels, "height": 1}


class Held:
    """Counts the pixels that are decoded and not yet released."""

    def __init__(self) -> None:
        self.now = self.most = self.calls = 0
        self._lock = threading.Lock()

    def prepare(self, photo: dict[str, Any], decode: Decode) -> str:
        with self._lock:
            self.calls += 1
            self.now += photo["width"]
            self.most = max(self.most, self.now)
        time.sleep(0.0005)
        with self._lock:
            self.now -= photo["width"]
        if photo["width"] % 7 == 0:
            raise ImageRefused("corrupt", "as every seventh")
        return str(photo["image_id"])


class AtOnce(Executor):
    """Runs what is submitted before it returns, so that it can be counted."""

    def submit(self, work: Any, /, *args: Any, **options: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args, **options))
        return done


@pytest.fixture
def any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch_module, "read_photo", lambda uri, image_id: b"")


@given(st.lists(st.integers(1, 120), max_size=30))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_every_photo_comes_in_its_order_and_in_bounded_memory(
    any_bytes: None, sizes: list[int]
) -> None:
    photos = [photo(number, pixels) for number, pixels in enumerate(sizes)]
    held = Held()
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(RUNTIME.workers) as pool:
        patch.setattr(prefetch_module, "MAX_PIXELS", 100)
        results = list(prefetch(photos, held.prepare, pool, RUNTIME))
    assert [found for found, _ in results] == photos
    for found, prepared in results:
        if found["width"] % 7:
            assert prepared == found["image_id"]
        else:
            assert isinstance(prepared, ImageRefused)
    assert held.most <= max([100, *sizes])


def test_one_batch_is_prepared_ahead_and_no_more(any_bytes: None) -> None:
    held = Held()
    photos = [photo(n, 1) for n in range(40)]
    ahead = max(RUNTIME.batch_size, 2 * RUNTIME.workers)
    results = prefetch(photos, held.prepare, AtOnce(), RUNTIME)
    for number in range(len(photos)):
        next(results)
        assert held.calls == min(ahead + number, len(photos))


def test_the_room_changes_no_row(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = built.album.settings("runtime.batch_size=4")
    stage, bound = EmbeddingStage(), tables(built.store, built.outcome)
    inputs = stage.inputs(Inputs(settings, scan(settings), bound))
    ample = stage.run(inputs, settings)
    monkeypatch.setattr(prefetch_module, "MAX_PIXELS", 1)
    assert stage.run(inputs, settings).rows.equals(ample.rows)
    assert ample.rows.num_rows == bound["objects"].num_rows > 0


def test_decoding_in_threads_shares_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every one of many threads gets its turn, also for pictures that are refused."""
    from repic.images import decode

    monkeypatch.setattr(decode, "_PIXEL_BUDGET", WeightedSemaphore(1))
    good = tmp_path / "good.png"
    Image.new("RGB", (40, 30), "red").save(good)
    cut = good.read_bytes()[:-20]
    errors: list[str] = []

    def work(data: bytes) -> None:
        try:
            errors.append(hashlib.sha256(decode.decode(data).tobytes()).hexdigest())
        except ImageRefused as refused:
            errors.append(refused.reason)

    threads = [threading.Thread(target=work, args=(data,)) for data in (good.read_bytes(), cut) * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=240)
    assert len(errors) == 10
    assert errors.count("truncated") == 5
    assert len(set(errors)) == 2
