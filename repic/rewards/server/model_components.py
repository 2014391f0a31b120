"""The model-based components of a worker, as its settings name them; none by default.

A request names a photo by its `image_id`, a hash of its content. The worker looks it up in the
store that it was started with; no request can make it read another file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from repic.config import EncoderSettings, RewardSettings, RuntimeSettings, Settings
from repic.errors import ConfigError
from repic.rewards.components import Component

if TYPE_CHECKING:
    from PIL import Image


def packed_settings(settings: Settings, store: str) -> str:
    """The settings that a worker needs, as JSON for its environment; empty without components.

    Raises:
        ConfigError: CLIPScore is on, and the encoder cannot encode texts.
    """
    if settings.rewards.clip_score.weight and settings.encoder.architecture == "photos":
        raise ConfigError(
            "rewards.clip_score needs an encoder that reads texts, and `photos` encodes only "
            "pictures: add --profile sample, or --set encoder.architecture=ViT-B-32 --set "
            "encoder.pretrained=openai"
        )
    if not settings.rewards.clip_score.weight and not settings.rewards.judge.url:
        return ""
    chosen = settings.model_dump(mode="json", include={"rewards", "encoder", "runtime"})
    return json.dumps({**chosen, "store": store})


def load_components(packed: str) -> list[Component]:
    """The components that `packed` describes, with their models loaded.

    Raises:
        ConfigError, WeightsError: the encoder cannot be loaded.
    """
    if not packed:
        return []
    settings = json.loads(packed)
    rewards = RewardSettings.model_validate(settings["rewards"])
    components: list[Component] = []
    if rewards.clip_score.weight:
        from repic.models import encoder as embed
        from repic.rewards.clip_score import ClipScoreComponent

        encoder = embed.load(
            EncoderSettings.model_validate(settings["encoder"]),
            RuntimeSettings.model_validate(settings["runtime"]),
        )
        encoder.encode_texts(["a photo"])
        chosen = rewards.clip_score
        components.append(
            ClipScoreComponent(
                encoder, photo_opener(settings["store"]), chosen.weight, chosen.scale
            )
        )
    if rewards.judge.url:
        from repic.rewards.judge import JudgeComponent

        components.append(JudgeComponent(rewards.judge))
    return components


def photo_opener(store: str) -> Callable[[str], Image.Image | None]:
    """A function that opens a photo of the newest images of a store by its `image_id`.

    Raises:
        ConfigError: the store has no images.
    """
    from repic.images.decode import open_image
    from repic.images.fetch import ImageRefused
    from storage.errors import StoreError
    from storage.store import Store

    try:
        opened = Store.open(os.path.expanduser(store), create=False)
        table = opened.read("images@latest", columns=["image_id", "uri"])
    except StoreError as error:
        raise ConfigError(
            f"rewards.clip_score looks at photos, and {store} has no images ({error}): name the "
            "store of the build with --store"
        ) from None
    uris = dict(zip(*(table[name].to_pylist() for name in ("image_id", "uri")), strict=True))

    def open_photo(image_id: str) -> Image.Image | None:
        try:
            return open_image(uris[image_id]) if image_id in uris else None
        except (ImageRefused, OSError):
            return None

    return open_photo
