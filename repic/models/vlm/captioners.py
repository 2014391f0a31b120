"""Caption generation by transformers, vLLM, or an OpenAI-compatible server; decoding is greedy.

A model is a folder, a name on the hub, a shipped model, or a checkpoint such as `checkpoint@v3`,
which is its base model with the adapter.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from repic.config import EvaluateSettings
from repic.errors import CaptionServerError, ConfigError
from repic.images.cache import PictureCache
from repic.images.coordinates import NORMALIZED
from repic.models.openai_client import complete, image_part, text_part
from repic.models.vlm.generate import AnswerGenerator, ChatOptions, ChatReply
from repic.objectives.base import messages
from repic.web.replies import ReplyError
from storage.errors import StoreError
from storage.hashing import fingerprint
from storage.manifest import Manifest
from storage.store import Store

if TYPE_CHECKING:
    from repic.models.vlm.checkpoints import Base

Row = Mapping[str, Any]


class Captioner(Protocol):
    """Generates captions.

    Attributes:
        name: Name of the model as given by the user; of a checkpoint, its version.
        fingerprint: Hash of everything that can change a caption: weights, adapter, generation.
        source: Manifest of the checkpoint, if the model is one.
    """

    name: str
    fingerprint: str
    source: Manifest | None

    def captions(self, rows: Sequence[Row]) -> list[str]:
        """Captions of one batch of rows, each with `prompt` and `images`."""
        ...

    def replies(self, rows: Sequence[Row]) -> Iterator[dict[int, str]]:
        """Captions as they are completed: index in the batch -> caption, each once.

        Raises:
            CaptionServerError: a caption failed; raised after all others were yielded.
        """
        ...


def load(model: str, settings: EvaluateSettings, store: Store | None = None) -> Captioner:
    """The captioner of the settings' backend; weights are loaded at the first batch.

    Args:
        model: `checkpoint@v3`, sample-base, sample-full, a folder, a name on the hub, or its name
            on the server.
        store: Store of the checkpoint.

    Raises:
        ConfigError, WeightsError, StoreError: the model, the backend or the URL is missing.
    """
    if settings.backend == "server":
        return ServerCaptioner(model, settings)
    source = _checkpoint(model, store)
    if settings.backend == "vllm":
        return VllmCaptioner(model, settings, store, source)
    return TransformersCaptioner(model, settings, store, source)


def limitation(captioner: Captioner) -> str | None:
    """What a user must know before captioning real photos with this model; None for most."""
    from repic.models.shipped import VLMS

    base = captioner.name
    if captioner.source:
        base = _base(captioner.name, captioner.source).name
    if base not in VLMS or isinstance(captioner, ServerCaptioner):
        return None
    return f"{captioner.name} knows generated photos only, and its captions of others mean nothing"


def advised(limits: str) -> str:
    """A limitation with what to do about it on the command line."""
    other = "a vision-language model, such as Qwen/Qwen2.5-VL-7B-Instruct"
    return f"{limits}: give --model {other}, or --server"


def _checkpoint(model: str, store: Store | None) -> Manifest | None:
    if "@" not in model or Path(model).exists():
        return None
    if store is None:
        raise StoreError(f"{model} is a version in a store: give --store")
    from repic.models.vlm.checkpoints import NAME, find

    if model.startswith(f"{NAME}@") and not store.versions(NAME):
        raise StoreError(
            f"there is no {NAME} in this store: `repic train` makes one, or give another model, "
            "such as --model sample-base"
        )
    return find(store, model)


class TransformersCaptioner:
    """A model in transformers, on the GPU if there is one."""

    def __init__(
        self, model: str, settings: EvaluateSettings, store: Store | None, source: Manifest | None
    ) -> None:
        import torch

        from repic.models.vlm import load as models

        models.quiet()
        base = _base(model, source)
        self.source, self._store, self._settings = source, store, settings
        self.name = str(source.ref) if source else model
        pixels = base.pixels
        if settings.max_pixels:
            pixels = models.PixelLimits(max_pixels=settings.max_pixels)
        self._reader = models.reader(base.name, base.boxes, unknown=NORMALIZED, pixels=pixels)
        self.convention = self._reader.convention
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        generation = ["transformers", self._device, settings.max_new_tokens, settings.batch_size]
        adapter = source.content if source else ""
        self.fingerprint = fingerprint(
            [self._reader.fingerprint, adapter, *generation, *_limit(settings)]
        )
        self._loaded: tuple[Any, Any] | None = None

    def captions(self, rows: Sequence[Row]) -> list[str]:
        model, generator = self._loaded or self._load()
        return list(generator.batch(model, rows))

    def replies(self, rows: Sequence[Row]) -> Iterator[dict[int, str]]:
        yield dict(enumerate(self.captions(rows)))

    def chat(self, conversation: Sequence[Mapping[str, Any]], options: ChatOptions) -> ChatReply:
        """The reply to a conversation; see `AnswerGenerator.chat`."""
        model, generator = self._loaded or self._load()
        reply: ChatReply = generator.chat(model, conversation, options)
        return reply

    def written(self, row: Row) -> str:
        """The prompt of a row as the model's chat template writes it, with a placeholder for each
        picture. No weights are loaded."""
        text: str = self._reader.processor.apply_chat_template(
            messages(row, self.convention), add_generation_prompt=True, tokenize=False
        )
        return text

    def forget_pictures(self) -> None:
        """Free the decoded pictures of earlier rows."""
        if self._loaded:
            self._loaded[1].forget_pictures()

    def _load(self) -> tuple[Any, Any]:
        from repic.models.vlm import load as models
        from repic.models.vlm.checkpoints import open_checkpoint

        reader, bfloat16 = self._reader, self._device == "cuda"
        if self.source is not None and self._store is not None:
            model = open_checkpoint(self._store, str(self.source.ref), bfloat16).model
        else:
            model = models.load(reader, models.LoadOptions(bfloat16))
        generator = AnswerGenerator(
            reader.processor,
            reader.convention,
            self._settings.batch_size,
            self._settings.max_new_tokens,
            suppress=(reader.config.image_token_id,),
            ends=models.ends_of(model, reader.processor.tokenizer),
        )
        self._loaded = model.to(self._device), generator
        return self._loaded


def _base(model: str, source: Manifest | None) -> Base:
    """The model itself, or the base model of a checkpoint."""
    from repic.models.vlm.checkpoints import Base, base_of

    return base_of(source) if source else Base(model, "", "auto")


class VllmCaptioner:
    """A model in vLLM, which must be installed."""

    def __init__(
        self, model: str, settings: EvaluateSettings, store: Store | None, source: Manifest | None
    ) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise ConfigError(
                "evaluate.backend=vllm needs vLLM, which is not installed here: pip install vllm "
                "on a machine with a GPU, or choose transformers or server"
            )
        from repic.models.vlm import load as models

        base = _base(model, source)
        reader = models.reader(base.name, base.boxes, unknown=NORMALIZED, pixels=base.pixels)
        self.source, self._store, self._settings = source, store, settings
        self.name = str(source.ref) if source else model
        self._path = reader.path
        adapter = source.content if source else ""
        generation = ["vllm", settings.max_new_tokens, *_limit(settings)]
        self.fingerprint = fingerprint([reader.fingerprint, adapter, *generation])
        self._pictures = PictureCache()
        self._folder = TemporaryDirectory()
        self._loaded: tuple[Any, Any] | None = None

    def captions(self, rows: Sequence[Row]) -> list[str]:
        from vllm import SamplingParams

        engine, adapter = self._loaded or self._load()
        replies = engine.chat(
            [conversation(row, self._pictures, self._settings.max_pixels) for row in rows],
            SamplingParams(temperature=0, max_tokens=self._settings.max_new_tokens),
            lora_request=adapter,
            use_tqdm=False,
        )
        return [reply.outputs[0].text for reply in replies]

    def replies(self, rows: Sequence[Row]) -> Iterator[dict[int, str]]:
        yield dict(enumerate(self.captions(rows)))

    def _load(self) -> tuple[Any, Any]:
        """The engine, and the request for the adapter of a checkpoint, if it has one."""
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        from repic.models.vlm.checkpoints import ADAPTER, MODEL, is_complete

        path, adapter, lora = self._path, None, {}
        if self.source is not None and self._store is not None:
            folder = Path(self._folder.name) / "checkpoint"
            self._store.checkout(self.source.ref, folder)
            if is_complete(self.source):
                path = str(folder / MODEL)
            else:
                adapter = LoRARequest("adapter", 1, str(folder / ADAPTER))
                lora = {"enable_lora": True, "max_lora_rank": 64}
        engine = LLM(path, limit_mm_per_prompt={"image": 16}, **lora)
        self._loaded = engine, adapter
        return self._loaded


class ServerCaptioner:
    """A model on an OpenAI-compatible server."""

    def __init__(self, model: str, settings: EvaluateSettings) -> None:
        if not settings.url:
            raise ConfigError(
                "evaluate.backend=server needs evaluate.url, such as http://host:8000/v1"
            )
        self.name, self._settings = model, settings
        self.source: Manifest | None = None
        generation = ["server", settings.url, model, settings.max_new_tokens, *_limit(settings)]
        self.fingerprint = fingerprint(generation)
        self._pictures = PictureCache()

    def captions(self, rows: Sequence[Row]) -> list[str]:
        captions: dict[int, str] = {}
        for reply in self.replies(rows):
            captions |= reply
        return [captions[index] for index in range(len(rows))]

    def replies(self, rows: Sequence[Row]) -> Iterator[dict[int, str]]:
        first_error: Exception | None = None
        with ThreadPoolExecutor(len(rows) or 1) as pool:
            indices = {pool.submit(self._caption, row): n for n, row in enumerate(rows)}
            for reply in as_completed(indices):
                try:
                    caption = reply.result()
                except Exception as error:  # yield the other captions first
                    first_error = first_error or error
                else:
                    yield {indices[reply]: caption}
        if first_error is not None:
            raise first_error

    def _caption(self, row: Row) -> str:
        body = {
            "model": self.name,
            "temperature": 0,
            "max_tokens": self._settings.max_new_tokens,
            "messages": conversation(row, self._pictures, self._settings.max_pixels),
        }
        key = None
        if self._settings.api_key_env:
            key = os.environ.get(self._settings.api_key_env)
            if not key:
                raise ConfigError(
                    f"{self._settings.api_key_env} is not set: it holds the server's key"
                )
        url = (self._settings.url or "").rstrip("/")
        try:
            return complete(url, body, self._settings.timeout, key)
        except ReplyError as error:
            raise CaptionServerError(_no_caption(url, error)) from None


def _no_caption(url: str, error: ReplyError) -> str:
    address = f"{url}/chat/completions"
    if error.status is not None:
        return (
            f"{address} returned {error.status} ({error}); check evaluate.url and the model's "
            "name, then run again: finished captions are kept"
        )
    return (
        f"{address} returned no caption ({error}): check that evaluate.url is an address such as "
        "http://host:8000/v1 and that the server runs, then run again: finished captions are kept"
    )


def _limit(settings: EvaluateSettings) -> list[dict[str, int]]:
    """Part of the fingerprint for `max_pixels`; empty without a limit."""
    return [{"max_pixels": settings.max_pixels}] if settings.max_pixels else []


def conversation(
    row: Row, cache: PictureCache, max_pixels: int | None = None
) -> list[dict[str, Any]]:
    """Prompt of a row as OpenAI chat messages, with its images as data URLs.

    Args:
        max_pixels: Images with more pixels are downscaled.

    Raises:
        ImageRefused, OSError: an image cannot be read.
    """
    pictures = iter(row["images"])
    content = [
        image_part(cache.picture(next(pictures)), max_pixels)
        if block["type"] == "image"
        else text_part(block["text"])
        for block in row["prompt"]
        if block["type"] != "system"
    ]
    system = [block["text"] for block in row["prompt"] if block["type"] == "system"]
    turns = [{"role": "system", "content": text} for text in system]
    return [*turns, {"role": "user", "content": content}]
