"""Who writes captions: a model of this machine, vLLM, or any OpenAI-compatible server.

All are greedy. A checkpoint is `checkpoint@v3`: its base model with the adapter on top.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from repic.config import EvaluateSettings
from repic.errors import CaptionServerError, ConfigError
from repic.images.cache import PictureCache
from repic.images.coordinates import NORMALISED, convention_for
from repic.models.openai_client import complete
from storage.errors import StoreError
from storage.hashing import fingerprint
from storage.manifest import Manifest
from storage.store import Store

if TYPE_CHECKING:
    from repic.models.vlm.load import Reader

Row = Mapping[str, Any]
QUALITY = 95
"""Of the JPEGs that a server gets."""


class Captioner(Protocol):
    """Writes captions.

    Attributes:
        name: As it was asked for.
        fingerprint: Of all that decides a caption: weights, adapter, and how it is generated.
        source: The checkpoint, if it is one.
    """

    name: str
    fingerprint: str
    source: Manifest | None

    def captions(self, rows: Sequence[Row]) -> list[str]:
        """Captions of one batch; a row is `repic.evaluate.questions.Question.row`."""
        ...

    def replies(self, rows: Sequence[Row]) -> Iterator[dict[int, str]]:
        """The same as they come: place in the batch -> caption, each once.

        Raises:
            CaptionServerError: some did not come, after those that did.
        """
        ...


def load(model: str, asked: EvaluateSettings, store: Store | None = None) -> Captioner:
    """The captioner of the settings' backend; weights are read at the first batch.

    Args:
        model: `checkpoint@v3`, sample-sft, sample-full, a folder, a name on the hub, or what the
            server calls it.
        store: Where the checkpoint is.

    Raises:
        ConfigError, WeightsError, StoreError: there is no such model, backend or url.
    """
    if asked.backend == "server":
        return ServerCaptioner(model, asked)
    source = _checkpoint(model, store)
    if asked.backend == "vllm":
        return VllmCaptioner(model, asked, store, source)
    return TransformersCaptioner(model, asked, store, source)


def _checkpoint(model: str, store: Store | None) -> Manifest | None:
    if "@" not in model or Path(model).exists():
        return None
    if store is None:
        raise StoreError(f"{model} is a version in a store: give --store")
    from repic.models.vlm.checkpoints import find

    return find(store, model)


class TransformersCaptioner:
    """A model that `repic.models.vlm.load` can load, on the GPU if there is one."""

    def __init__(
        self, model: str, asked: EvaluateSettings, store: Store | None, source: Manifest | None
    ) -> None:
        import torch

        from repic.models.vlm import load as models

        models.quiet()
        base, boxes = _base(model, source)
        self.source, self._store, self._asked = source, store, asked
        self.name = str(source.ref) if source else model
        self._reader = models.reader(base, boxes, unknown=NORMALISED)
        if asked.max_pixels:
            self._reader = _limited(self._reader, boxes, asked.max_pixels)
        self.convention = self._reader.convention
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        how = ["transformers", self._device, asked.max_new_tokens, asked.batch_size]
        adapter = source.content if source else ""
        self.fingerprint = fingerprint([self._reader.fingerprint, adapter, *how, *_limit(asked)])
        self._loaded: tuple[Any, Any] | None = None

    def captions(self, rows: Sequence[Row]) -> list[str]:
        model, generator = self._loaded or self._load()
        return list(generator.batch(model, rows))

    def replies(self, rows: Sequence[Row]) -> Iterator[dict[int, str]]:
        yield dict(enumerate(self.captions(rows)))

    def _load(self) -> tuple[Any, Any]:
        from repic.models.vlm import load as models
        from repic.models.vlm.checkpoints import open_checkpoint
        from repic.models.vlm.generate import AnswerGenerator

        reader, lower = self._reader, self._device == "cuda"
        if self.source is not None and self._store is not None:
            model = open_checkpoint(self._store, str(self.source.ref), lower).model
        else:
            model = models.load(reader, lower)
        generator = AnswerGenerator(
            reader.processor,
            reader.convention,
            self._asked.batch_size,
            self._asked.max_new_tokens,
            suppress=(reader.config.image_token_id,),
            ends=models.ends_of(model, reader.processor.tokenizer),
        )
        self._loaded = model.to(self._device), generator
        return self._loaded


def _base(model: str, source: Manifest | None) -> tuple[str, str]:
    """Base model, and how it writes boxes; captions have none, so what is unknown is no error."""
    if source is None:
        return model, "auto"
    return source.models["base"]["name"], source.settings["train"]["boxes"]


def _limited(reader: Reader, boxes: str, most: int) -> Reader:
    """The reader with pictures of at most so many pixels, and boxes read accordingly.

    Raises:
        ConfigError: its image processor has no such limit.
    """
    processor = reader.processor.image_processor
    if "Qwen" not in type(processor).__name__:  # elsewhere `longest_edge` is a side
        raise ConfigError(
            f"evaluate.max_pixels is for Qwen-VL models: the processor of {reader.name} has no "
            "such limit; leave it empty"
        )
    least = min(processor.size["shortest_edge"], most)
    processor.size = {"shortest_edge": least, "longest_edge": most}
    if boxes != "auto":
        return reader
    return replace(reader, convention=convention_for(reader.config, processor))


class VllmCaptioner:
    """The same models through vLLM, which must be installed."""

    def __init__(
        self, model: str, asked: EvaluateSettings, store: Store | None, source: Manifest | None
    ) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise ConfigError(
                "evaluate.backend=vllm needs vLLM, which is not installed here: pip install vllm "
                "on a machine with a GPU, or choose transformers or server"
            )
        from repic.models.vlm import load as models

        base, boxes = _base(model, source)
        reader = models.reader(base, boxes, unknown=NORMALISED)
        self.source, self._store, self._asked = source, store, asked
        self.name = str(source.ref) if source else model
        self._path = reader.path
        adapter = source.content if source else ""
        how = ["vllm", asked.max_new_tokens, *_limit(asked)]
        self.fingerprint = fingerprint([reader.fingerprint, adapter, *how])
        self._pictures = PictureCache()
        self._folder = TemporaryDirectory()
        self._engine: Any = None

    def captions(self, rows: Sequence[Row]) -> list[str]:
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        adapter = None
        if self.source is not None and self._store is not None:
            folder = Path(self._folder.name) / "checkpoint"
            if not folder.exists():
                self._store.checkout(self.source.ref, folder)
            adapter = LoRARequest("adapter", 1, str(folder / "adapter"))
        replies = self._started().chat(
            [conversation(row, self._pictures, self._asked.max_pixels) for row in rows],
            SamplingParams(temperature=0, max_tokens=self._asked.max_new_tokens),
            lora_request=adapter,
            use_tqdm=False,
        )
        return [reply.outputs[0].text for reply in replies]

    def replies(self, rows: Sequence[Row]) -> Iterator[dict[int, str]]:
        yield dict(enumerate(self.captions(rows)))

    def _started(self) -> Any:
        if self._engine is None:
            from vllm import LLM

            lora = {"enable_lora": True, "max_lora_rank": 64} if self.source else {}
            self._engine = LLM(self._path, limit_mm_per_prompt={"image": 16}, **lora)
        return self._engine


class ServerCaptioner:
    """A model behind an OpenAI-compatible `chat/completions`."""

    def __init__(self, model: str, asked: EvaluateSettings) -> None:
        if not asked.url:
            raise ConfigError("evaluate.backend=server needs evaluate.url, as http://host:8000/v1")
        self.name, self._asked = model, asked
        self.source: Manifest | None = None
        how = ["server", asked.url, model, asked.max_new_tokens, *_limit(asked)]
        self.fingerprint = fingerprint(how)
        self._pictures = PictureCache()

    def captions(self, rows: Sequence[Row]) -> list[str]:
        made = {place: said for reply in self.replies(rows) for place, said in reply.items()}
        return [made[place] for place in range(len(rows))]

    def replies(self, rows: Sequence[Row]) -> Iterator[dict[int, str]]:
        failed: Exception | None = None
        with ThreadPoolExecutor(len(rows) or 1) as pool:
            places = {pool.submit(self._caption, row): n for n, row in enumerate(rows)}
            for reply in as_completed(places):
                try:
                    said = reply.result()
                except Exception as error:  # the others are still on their way
                    failed = failed or error
                else:
                    yield {places[reply]: said}
        if failed is not None:
            raise failed

    def _caption(self, row: Row) -> str:
        body = {
            "model": self.name,
            "temperature": 0,
            "max_tokens": self._asked.max_new_tokens,
            "messages": conversation(row, self._pictures, self._asked.max_pixels),
        }
        key = None
        if self._asked.api_key_env:
            key = os.environ.get(self._asked.api_key_env)
            if not key:
                raise ConfigError(
                    f"{self._asked.api_key_env} is not set: it holds the server's key"
                )
        url = (self._asked.url or "").rstrip("/")
        try:
            return complete(url, body, self._asked.timeout, key)
        except httpx.HTTPStatusError as error:
            raise CaptionServerError(
                f"{url}/chat/completions answers {error.response.status_code} ({error}); check "
                "evaluate.url and the model's name, then run again: finished captions are kept"
            ) from None
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            OSError,
            ValueError,
            LookupError,
            TypeError,
        ) as error:
            raise CaptionServerError(
                f"{url}/chat/completions gives no caption ({error or type(error).__name__}); is "
                "evaluate.url an address as http://host:8000/v1, and is the server up? Run again "
                "when it is: finished captions are kept"
            ) from None


def _limit(asked: EvaluateSettings) -> list[dict[str, int]]:
    """What a limit of pixels adds to a fingerprint: nothing where there is none."""
    return [{"max_pixels": asked.max_pixels}] if asked.max_pixels else []


def conversation(row: Row, cache: PictureCache, most: int | None = None) -> list[dict[str, Any]]:
    """A prompt as OpenAI's chat form, with its pictures as data URLs.

    Args:
        most: Pixels of a picture; larger ones are shrunk.

    Raises:
        ImageRefused, OSError: a picture cannot be read.
    """
    pictures = iter(row["images"])
    content = [
        {"type": "image_url", "image_url": {"url": _data_url(cache, next(pictures), most)}}
        if block["type"] == "image"
        else {"type": "text", "text": block["text"]}
        for block in row["prompt"]
    ]
    return [{"role": "user", "content": content}]


def _data_url(cache: PictureCache, picture: dict[str, Any], most: int | None) -> str:
    file, shown = io.BytesIO(), cache.picture(picture)
    if most and shown.width * shown.height > most:
        share = math.sqrt(most / (shown.width * shown.height))
        shown = shown.resize((max(1, int(shown.width * share)), max(1, int(shown.height * share))))
    shown.save(file, "JPEG", quality=QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
