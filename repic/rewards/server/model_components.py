"""The components of a worker, as settings name them; none by default, and then nothing is loaded.

A request names a photo by its `image_id`, the hash of its content: the worker looks it up in the
store that it was started with, and no request can make it read anything else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from repic.config.build import EncoderSettings, Rewards, Runtime, Settings
from repic.errors import ConfigError
from repic.rewards.components import Component

if TYPE_CHECKING:
    from PIL import Image


def packed_settings(settings: Settings, store: str) -> str:
    """What a worker needs to know, as JSON for its environment; empty where there is no component.

    Raises:
        ConfigError: photos are to be looked at by an encoder that reads no texts.
    """
    if settings.rewards.clip_score.weight and settings.encoder.architecture == "photos":
        raise ConfigError(
            "rewards.clip_score needs an encoder that reads texts, and `photos` knows only "
            "pictures: add --profile sample, or --set encoder.architecture=ViT-B-32 --set "
            "encoder.pretrained=openai"
        )
    if not settings.rewards.clip_score.weight and not settings.rewards.judge.url:
        return ""
    chosen = settings.model_dump(mode="json", include={"rewards", "encoder", "runtime"})
    return json.dumps({**chosen, "store": store})


def load_components(packed: str) -> list[Component]:
    """The components that `packed` describes, ready to score.

    Raises:
        ConfigError, WeightsError: the encoder cannot be loaded.
    """
    if not packed:
        return []
    given = json.loads(packed)
    rewards = Rewards.model_validate(given["rewards"])
    found: list[Component] = []
    if rewards.clip_score.weight:
        from repic.models import encoder as embed
        from repic.rewards.clip_score import ClipScoreComponent

        encoder = embed.load(
            EncoderSettings.model_validate(given["encoder"]),
            Runtime.model_validate(given["runtime"]),
        )
        encoder.encode_texts(["a photo"])
        chosen = rewards.clip_score
        found.append(
            ClipScoreComponent(encoder, photo_opener(given["store"]), chosen.weight, chosen.scale)
        )
    if rewards.judge.url:
        from repic.rewards.judge import JudgeComponent

        found.append(JudgeComponent(rewards.judge))
    return found


def photo_opener(store: str) -> Callable[[str], Image.Image | None]:
    """Opens photos of the newest images of a store by `image_id`.

    Raises:
        ConfigError: the store has none.
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
    places = dict(zip(*(table[name].to_pylist() for name in ("image_id", "uri")), strict=True))

    def picture(image_id: str) -> Image.Image | None:
        try:
            return open_image(places[image_id]) if image_id in places else None
        except (ImageRefused, OSError):
            return None

    return picture
