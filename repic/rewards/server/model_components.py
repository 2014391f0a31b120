"""The model-based components of a worker, as its settings name them; none by default.

A request names a photo by its `image_id`, a hash of its content. The worker looks it up in the
store that it was started with; no request can make it read another file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repic.config import EncoderSettings, RewardSettings, RuntimeSettings, Settings, plugins
from repic.errors import ConfigError
from repic.rewards.components import Component, WorkerModels

if TYPE_CHECKING:
    from PIL import Image

    from repic.models.encoder import Encoder


def packed_settings(settings: Settings, store: str) -> str:
    """The settings that a worker needs, as JSON for its environment; empty without components.

    Raises:
        ConfigError: CLIPScore is on, and the encoder cannot encode texts.
        PluginError: a component is of a plug-in that cannot be used.
    """
    from repic.models import encoder

    if settings.rewards.clip_score.weight and not encoder.reads_texts(settings.encoder):
        raise ConfigError(
            "rewards.clip_score needs an encoder that reads texts, and "
            f"`{settings.encoder.architecture}` encodes only pictures: add --profile sample, or "
            "--set encoder.architecture=ViT-B-32 --set encoder.pretrained=openai"
        )
    if not any(True for _ in _chosen(settings.rewards)):
        return ""
    chosen = settings.model_dump(mode="json", include={"rewards", "encoder", "runtime"})
    return json.dumps({**chosen, "store": store})


def load_components(packed: str) -> list[Component]:
    """The components that `packed` describes, with their models loaded.

    Raises:
        ConfigError, WeightsError: the encoder cannot be loaded.
        PluginError: a component is of a plug-in that cannot be used.
    """
    if not packed:
        return []
    settings = json.loads(packed)
    chosen = list(_chosen(RewardSettings.model_validate(settings["rewards"])))
    looks = any(kind.looks(own) for kind, own in chosen)
    photos = StoredPhotos.of(settings["store"]) if looks else None

    def encoder() -> Encoder:
        from repic.models import encoder as embed

        return embed.load(
            EncoderSettings.model_validate(settings["encoder"]),
            RuntimeSettings.model_validate(settings["runtime"]),
        )

    return [
        kind.component(own, WorkerModels(encoder, photos if kind.looks(own) else None))
        for kind, own in chosen
    ]


def _chosen(rewards: RewardSettings) -> Iterator[tuple[Any, Any]]:
    """The module and the settings of each component that is on; of plug-ins, those with
    settings."""
    sections = {"clip_score": rewards.clip_score, "judge": rewards.judge, **rewards.given}
    for name, own in sections.items():
        kind = plugins.load("rewards", name)
        if kind.is_on(own):
            yield kind, own


@dataclass(frozen=True)
class StoredPhotos:
    """Opens the photos of the newest images of a store by their `image_id`.

    Attributes:
        uris: `image_id` -> address of the photo.
    """

    uris: Mapping[str, str]

    @classmethod
    def of(cls, store: str) -> StoredPhotos:
        """Raises: ConfigError: the store has no images."""
        from storage.errors import StoreError
        from storage.store import Store

        try:
            opened = Store.open(os.path.expanduser(store), create=False)
            table = opened.read("images@latest", columns=["image_id", "uri"])
        except StoreError as error:
            raise ConfigError(
                f"rewards.clip_score and rewards.judge.photos look at photos, and {store} has no "
                f"images ({error}): name the store of the build with --store"
            ) from None
        columns = (table[name].to_pylist() for name in ("image_id", "uri"))
        return cls(dict(zip(*columns, strict=True)))

    def __call__(self, image_id: str, crop: Sequence[float] | None = None) -> Image.Image | None:
        """The photo, or a crop of it (xyxy, pixels); None if it is gone or was replaced."""
        from repic.images.coordinates import Box
        from repic.images.decode import open_image
        from repic.images.fetch import ImageRefused

        try:
            box, uri = Box.of(crop) if crop else None, self.uris.get(image_id)
            return open_image(uri, box, image_id) if uri is not None else None
        except (ImageRefused, OSError):
            return None
