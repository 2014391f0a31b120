"""What the process of the models does: captions and replies, with one model in memory."""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from secrets import token_hex
from typing import Any, Protocol

from repic import config
from repic.config import EvaluateSettings, Settings
from repic.config import Protocol as Prompting
from repic.errors import FIXABLE, ConfigError
from repic.evaluation.single_photo import PhotoCaption, caption_by
from repic.evaluation.suites.base import Concept, photo_in
from repic.images import uris
from repic.images.decode import decode
from repic.models.vlm.captioners import TransformersCaptioner, load
from repic.models.vlm.generate import ChatOptions, ChatReply
from repic.pipeline.catalog import open_store
from repic.web.orphans import end_with_parent
from storage.store import Store

log = logging.getLogger(__name__)

PROFILE = "sample"
"""Of the settings of generation, unless a task names another."""


class LoadedModel:
    """The model that was used last; another one is loaded after it is freed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key: tuple[str, EvaluateSettings] | None = None
        self._captioner: TransformersCaptioner | None = None

    def captioner(self, model: str, settings: EvaluateSettings) -> TransformersCaptioner:
        """The captioner of a model.

        Raises:
            ConfigError, WeightsError, StoreError: as `captioners.load`.
        """
        if self._captioner is None or self._key != (model, settings):
            self._captioner = self._key = None
            gc.collect()
            self._captioner, self._key = self._opened(model, settings), (model, settings)
        return self._captioner

    def prompter(self, model: str, settings: EvaluateSettings) -> TransformersCaptioner:
        """A captioner for its prompts alone; the model in memory stays."""
        if self._captioner is not None and self._key == (model, settings):
            return self._captioner
        return self._opened(model, settings)

    def _opened(self, model: str, settings: EvaluateSettings) -> TransformersCaptioner:
        found = load(model, settings, self._store)
        if not isinstance(found, TransformersCaptioner):
            raise ConfigError("the profile names another backend than transformers")
        return found

    def forget_pictures(self) -> None:
        """Free what was decoded for a task."""
        if self._captioner is not None:
            self._captioner.forget_pictures()


class ModelTask(Protocol):
    """A task that can be pickled."""

    def run(self, loaded: LoadedModel) -> Any:
        """The answer, which can be pickled."""


@dataclass(frozen=True)
class NamedPicture:
    """A reference: a name, what is known of it, and bytes of a picture."""

    name: str
    info: str
    data: bytes


@dataclass(frozen=True)
class CaptionTask:
    """A photo to caption; see `caption_by`.

    Attributes:
        profile: Of the detector, the encoder and the prompt.
        threshold: Lowest cosine at which a part of the photo is a reference; None: calibrated.
    """

    model: str
    profile: str
    protocol: Prompting
    threshold: float | None
    photo: bytes
    references: tuple[NamedPicture, ...]

    def run(self, loaded: LoadedModel) -> PhotoCaption:
        """Its caption.

        Raises:
            repic.errors.RepicError, storage.errors.StoreError: a model cannot be loaded.
        """
        settings = _settings(self.profile)
        captioner = loaded.captioner(self.model, settings.evaluate)
        evaluate = settings.evaluate.model_copy(update={"threshold": self.threshold})
        settings = settings.model_copy(update={"evaluate": evaluate})
        with kept_in_memory([self.photo, *(r.data for r in self.references)]) as places:
            concepts = tuple(
                Concept(r.name, r.info, "", (photo_in(r.data, place),))
                for r, place in zip(self.references, places[1:], strict=True)
            )
            photo = photo_in(self.photo, places[0])
            return caption_by(captioner, photo, concepts, settings, self.protocol, searches=True)


@dataclass(frozen=True)
class ChatTask:
    """A conversation to reply to.

    Attributes:
        turns: `role` and `content`: blocks of `text`, and of `image` as the bytes of a file.
    """

    model: str
    turns: tuple[Mapping[str, Any], ...]
    options: ChatOptions

    def run(self, loaded: LoadedModel) -> ChatReply:
        """The reply.

        Raises:
            repic.errors.RepicError, storage.errors.StoreError: the model cannot be loaded.
        """
        captioner = loaded.captioner(self.model, _settings(PROFILE).evaluate)
        return captioner.chat([_decoded(turn) for turn in self.turns], self.options)


@dataclass(frozen=True)
class PromptTask:
    """A row of the examples table, whose prompt is written by the chat template of a model."""

    model: str
    row: Mapping[str, Any]

    def run(self, loaded: LoadedModel) -> str:
        """The text, with a placeholder for each picture.

        Raises:
            repic.errors.RepicError, storage.errors.StoreError: the model cannot be opened.
        """
        return loaded.prompter(self.model, _settings(PROFILE).evaluate).written(self.row)


def _settings(profile: str) -> Settings:
    return config.load(profile, scope=config.EVALUATE)


def _decoded(turn: Mapping[str, Any]) -> dict[str, Any]:
    blocks = [
        {**block, "image": decode(block["image"])} if block["type"] == "image" else block
        for block in turn["content"]
    ]
    return {"role": turn["role"], "content": blocks}


@contextmanager
def kept_in_memory(files: Sequence[bytes]) -> Iterator[list[str]]:
    """Addresses of files in the memory of this process, for as long as the context lasts."""
    from fsspec.implementations.memory import MemoryFileSystem

    memory, folder = MemoryFileSystem(), f"/studio-{token_hex(16)}"
    try:
        paths = [f"{folder}/{number}" for number in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            memory.pipe_file(path, data)
        yield [uris.remote_uri(memory.unstrip_protocol(path)) for path in paths]
    finally:
        memory.rm(folder, recursive=True)


def serve_tasks(pipe: Connection, location: str) -> None:
    """Answer tasks until the studio ends; the main function of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the studio, which ends this
    end_with_parent(1)
    loaded = LoadedModel(open_store(location))
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(task, loaded))
        loaded.forget_pictures()


def _outcome(task: ModelTask, loaded: LoadedModel) -> tuple[bool, Any]:
    """Whether it worked, and the answer or a sentence."""
    try:
        return True, task.run(loaded)
    except FIXABLE as error:
        return False, str(error)
    except Exception as error:  # the sender is told, and the process goes on
        log.exception("a task of the studio failed")
        return False, f"The model failed: {type(error).__name__}: {error}"[:500]
