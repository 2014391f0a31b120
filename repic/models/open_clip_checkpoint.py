"""Which OpenCLIP weights a setting names, and the model that these weights were trained as.

An architecture of OpenCLIP does not define a model alone: weights of one architecture differ in
activation function (QuickGELU or GELU), normalization, interpolation and resize mode. Weights
loaded with the wrong ones give wrong vectors and no error, so everything is taken from what
OpenCLIP declares for the tag.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.config import LOCAL
from repic.errors import ConfigError, WeightsError
from repic.models import imagenet_classifier, shipped, weights

if TYPE_CHECKING:
    from torchvision.transforms import Compose

    from repic.config import EncoderSettings

FOLDER, HUB = LOCAL, "hf-hub:"
DECLARED = ("mean", "std", "interpolation", "resize_mode")
"""Preprocessing that OpenCLIP declares for each tag."""

RULES = 2
"""Version of the rules by which a tag becomes a model; part of the fingerprint. 1 ignored the
activation function that the tag declares."""


@dataclass(frozen=True)
class OpenClipCheckpoint:
    """Name of OpenCLIP weights: an architecture with a tag, or a location that provides both.

    Attributes:
        model: OpenCLIP's model name; with a `local-dir:` or `hf-hub:` prefix, `tag` is None.
        tag: OpenCLIP's name of the weights. None with a file: the architecture's only variant.
        file: Path of the weights; None for those that OpenCLIP downloads.
        reads_text: False if the text tower is untrained.
    """

    model: str
    tag: str | None
    file: str | None = None
    reads_text: bool = True

    @classmethod
    def of(cls, settings: EncoderSettings) -> OpenClipCheckpoint:
        """The checkpoint that the settings name.

        Raises:
            ConfigError: the architecture lacks weights, or weights are set for a shipped one.
        """
        if settings.pretrained.startswith((FOLDER, HUB)):
            return cls(settings.pretrained, None)
        if settings.architecture in (imagenet_classifier.NAME, shipped.NAME):
            if settings.pretrained:
                raise ConfigError(
                    f"encoder.pretrained={settings.pretrained} needs the encoder.architecture "
                    f"that it belongs to; {settings.architecture} has weights of its own"
                )
            if settings.architecture == shipped.NAME:
                return cls(f"{FOLDER}{shipped.encoder_folder()}", None)
            return cls(f"{FOLDER}{imagenet_classifier.model_folder()}", None, reads_text=False)
        if not settings.pretrained:
            raise ConfigError(
                f"encoder.pretrained is empty: name the weights of {settings.architecture} "
                "(`open_clip.list_pretrained()` lists them)"
            )
        return cls(settings.architecture, *_tag_and_file(settings.pretrained))

    @classmethod
    def parse(cls, text: str) -> OpenClipCheckpoint:
        """The checkpoint of `ARCHITECTURE:TAG`, `ARCHITECTURE:TAG:FILE`, `local-dir:FOLDER` or
        `hf-hub:ORG/NAME`.

        Raises:
            ConfigError: the text has another form.
        """
        if text.startswith((FOLDER, HUB)):
            return cls(text, None)
        model, colon, tag = text.partition(":")
        if not (colon and model and tag):
            raise ConfigError(f"{text!r} is not ARCHITECTURE:TAG, local-dir:FOLDER or hf-hub:NAME")
        return cls(model, *_tag_and_file(tag))

    def describe(self) -> dict[str, Any]:
        """JSON that identifies the weights: hashes of local files, names of published ones."""
        described: dict[str, Any] = {"library": "open_clip", "model": self.model, "tag": self.tag}
        if self.model.startswith(FOLDER):
            folder = Path(self.model.removeprefix(FOLDER)).expanduser()
            return described | {"model": FOLDER, "sha256": weights.sha256_of_folder(folder)}
        if self.file:
            described |= {"sha256": weights.sha256(Path(self.file))}
        return described if self.model.startswith(HUB) else described | {"rules": RULES}


def model_arguments(checkpoint: OpenClipCheckpoint) -> dict[str, Any]:
    """Arguments for `open_clip.create_model_from_pretrained` that fit the weights.

    Raises:
        WeightsError: OpenCLIP knows no such architecture or tag.
        ConfigError: the tag of a file is not given, but variants of the architecture differ.
    """
    if checkpoint.model.startswith((FOLDER, HUB)):
        return {"model_name": checkpoint.model}
    declared = _declared(checkpoint)
    return {
        "model_name": checkpoint.model,
        "pretrained": checkpoint.file or checkpoint.tag,
        # Weights whose tag declares nothing were trained as their architecture says.
        "force_quick_gelu": bool(declared.get("quick_gelu")),
        **{f"image_{name}": declared[name] for name in DECLARED if name in declared},
    }


def create(
    checkpoint: OpenClipCheckpoint,
) -> tuple[Any, Compose]:
    """The model on the CPU, and its preprocessing of an RGB image to (3, side, side).

    The last two transforms turn it into a tensor and normalize that.

    Raises:
        ConfigError: the tag of a file is not given, but variants of the architecture differ.
        WeightsError: the weights do not exist or do not fit the architecture.
    """
    import open_clip

    if checkpoint.model.startswith(FOLDER):
        _check_folder(Path(checkpoint.model.removeprefix(FOLDER)).expanduser())
    arguments = model_arguments(checkpoint)
    try:
        with warnings.catch_warnings():
            if arguments.get("force_quick_gelu"):
                warnings.filterwarnings("error", message="QuickGELU mismatch")
            return open_clip.create_model_from_pretrained(**arguments)
    except Exception as error:  # damaged weights raise any class, such as KeyError
        raise WeightsError(
            f"OpenCLIP cannot load {checkpoint.model} {checkpoint.tag or ''}: {error}. "
            "`repic models pull PROFILE` fetches the weights of a profile; without a network, "
            f"give a folder that holds open_clip_config.json and the weights: {FOLDER}FOLDER"
        ) from error


def _check_folder(folder: Path) -> None:
    """Refuse a folder without preprocessing, for which OpenCLIP would take that of OpenAI."""
    weights.sha256_of_folder(folder)
    path = folder / "open_clip_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict) or not {"model_cfg", "preprocess_cfg"} <= config.keys():
        raise WeightsError(
            f"{path} lacks model_cfg or preprocess_cfg (mean, std, interpolation, resize_mode): "
            "copy the file of the published model"
        )


def _tag_and_file(text: str) -> tuple[str | None, str | None]:
    """`TAG`, `FILE` or `TAG:FILE` as tag and path."""
    if Path(text).expanduser().is_file():
        return None, str(Path(text).expanduser())
    tag, _, file = text.partition(":")
    return tag, str(Path(file).expanduser()) if file else None


def _declared(checkpoint: OpenClipCheckpoint) -> Mapping[str, Any]:
    """What OpenCLIP declares for a tag, or for all tags of an architecture where they agree."""
    from open_clip import get_model_config, get_pretrained_cfg, list_pretrained_tags_by_model

    model, tag = checkpoint.model, checkpoint.tag
    if get_model_config(model) is None:
        raise WeightsError(
            f"OpenCLIP has no architecture {model}; `open_clip.list_models()` lists them"
        )
    tags = list_pretrained_tags_by_model(model)
    if tag is not None:
        if declared := get_pretrained_cfg(model, tag):
            return declared
        raise WeightsError(
            f"{tag} is neither a file nor weights of {model}; OpenCLIP has "
            f"{', '.join(tags) or 'none for it'}"
        )
    variants = [get_pretrained_cfg(model, name) for name in tags]
    kinds = {str([v.get("quick_gelu", False), *(v[k] for k in DECLARED)]) for v in variants}
    if len(kinds) > 1:
        raise ConfigError(
            f"weights of {model} differ in activation function or preprocessing: say which these "
            f"are, as TAG:{checkpoint.file} with one of {', '.join(tags)}"
        )
    return variants[0] if variants else {}
