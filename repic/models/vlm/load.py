"""Vision-language models for training and measuring: by name, with how they write boxes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.config import LoraSettings
from repic.errors import ConfigError, WeightsError
from repic.images.coordinates import (
    INTERNVL,
    NORMALISED,
    QWEN2_VL,
    QWEN3_VL,
    Convention,
    ConventionError,
    convention_for,
)
from repic.models import weights

if TYPE_CHECKING:
    from peft import LoraConfig

TARGETS = (
    r".*(?:language_model|text_model)(?:\.model)?\.layers\.\d+\.(?:self_attn|mlp)\."
    r"(?:q|k|v|o|gate|up|down)_proj"
)
"""Linear layers of the language model, as transformers names them; none of the vision tower's."""

_CONVENTIONS = {c.name: c for c in (QWEN2_VL, QWEN3_VL, INTERNVL, NORMALISED)}


@dataclass(frozen=True)
class Reader:
    """The part of a model that turns rows into tokens; cheap to load.

    Attributes:
        name: As it was asked for.
        path: A folder, or a name on the hub.
        config: Of the model.
        processor: Tokenizer and image processor; pads on the left.
        convention: How the model writes boxes.
        fingerprint: Hash of its files, or the hub's revision.
    """

    name: str
    path: str
    config: Any
    processor: Any
    convention: Convention
    fingerprint: str


def reader(name: str, boxes: str = "auto", unknown: Convention | None = None) -> Reader:
    """Config and processor of a model.

    Args:
        boxes: Name of the convention in which it writes boxes; `auto`: that of its family.
        unknown: For a family whose boxes are not known; by default that is an error.

    Raises:
        WeightsError: there is no such model here; the message names the remedy.
        ConfigError: how it writes boxes is not known, or something is no processor of images.
    """
    from transformers import AutoConfig, AutoProcessor

    path = locate(name)
    try:
        config = AutoConfig.from_pretrained(path)
        processor = AutoProcessor.from_pretrained(path, padding_side="left")
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"the model {name} cannot be opened ({first}): give a folder, or download it first"
        ) from None
    except ImportError as error:
        raise WeightsError(f"the model {name} needs another package: {error}") from None
    if not hasattr(processor, "image_processor"):
        raise ConfigError(f"{name} is no vision-language model: it has no processor of images")
    processor.tokenizer.padding_side = "left"
    try:
        convention = (
            convention_for(config, processor.image_processor)
            if boxes == "auto"
            else _CONVENTIONS[boxes]
        )
    except ConventionError:
        if unknown:
            return Reader(name, path, config, processor, unknown, _fingerprint(path, config))
        choices = ", ".join(_CONVENTIONS)
        raise ConfigError(
            f"how {config.model_type} writes boxes is not known: "
            f"set train.boxes to one of {choices}"
        ) from None
    return Reader(name, path, config, processor, convention, _fingerprint(path, config))


def locate(name: str) -> str:
    """Folder of a model, or the name as the hub knows it.

    Raises:
        WeightsError: the package lacks its own model.
    """
    from repic.models import shipped

    if name in shipped.VLMS:
        return str(shipped.vlm_folder(name))
    folder = Path(name).expanduser()
    return str(folder) if folder.is_dir() else name


def _fingerprint(path: str, config: Any) -> str:
    from storage.hashing import fingerprint

    if Path(path).is_dir():
        return fingerprint(weights.sha256_of_folder(Path(path)))
    return fingerprint([path, getattr(config, "_commit_hash", None)])


def quiet() -> None:
    """No bars for the loading of weights, and no remarks on what TRL's own defaults will become."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def load(reader: Reader, lower: bool = False) -> Any:
    """The model itself, frozen nowhere yet.

    Args:
        lower: In bfloat16, as a GPU wants it; else in float32.

    Raises:
        WeightsError: its weights cannot be read.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    try:
        return AutoModelForImageTextToText.from_pretrained(
            reader.path, dtype=torch.bfloat16 if lower else torch.float32
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(f"the weights of {reader.name} cannot be read ({first})") from None


def ends_of(model: Any, tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that end an answer: the tokenizer's and those that the model declares."""
    declared = model.generation_config.eos_token_id
    several = declared if isinstance(declared, list) else [declared]
    return frozenset(
        token
        for token in (*several, tokenizer.eos_token_id, tokenizer.pad_token_id)
        if token is not None
    )


def lora_config(settings: LoraSettings) -> LoraConfig:
    """Of an adapter on the language model; everything else stays as it is, vision included."""
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=TARGETS,
        task_type="CAUSAL_LM",
    )
