"""Vision-language models by name, with the convention in which they write boxes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.config import LoraSettings
from repic.errors import ConfigError, WeightsError
from repic.images.coordinates import (
    CONVENTIONS,
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
"""Linear layers of the language model by their transformers names, without the vision tower."""


@dataclass(frozen=True)
class Reader:
    """A model without its weights: config, processor and box convention; cheap to load.

    Attributes:
        name: Name as given by the user.
        path: A folder, or a name on the hub.
        config: transformers config of the model.
        processor: Tokenizer and image processor; pads on the left.
        convention: How the model writes boxes.
        fingerprint: Hash of the model's files, or the hub's revision.
    """

    name: str
    path: str
    config: Any
    processor: Any
    convention: Convention
    fingerprint: str


def reader(name: str, boxes: str = "auto", unknown: Convention | None = None) -> Reader:
    """Load config and processor of a model.

    Args:
        boxes: Name of the convention in which it writes boxes; `auto` selects that of its family.
        unknown: Convention for a family without a known one; None raises an error.

    Raises:
        WeightsError: the model cannot be opened; the message names the remedy.
        ConfigError: the box convention is unknown, or the model has no image processor.
    """
    from transformers import AutoConfig, AutoProcessor

    path = _locate(name)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        processor = AutoProcessor.from_pretrained(
            path, padding_side="left", trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"the model {name} cannot be opened ({first}): give a folder, or download it first"
        ) from None
    except ImportError as error:
        raise WeightsError(f"the model {name} needs another package: {error}") from None
    if not hasattr(processor, "image_processor"):
        raise ConfigError(f"{name} is not a vision-language model: it has no image processor")
    processor.tokenizer.padding_side = "left"
    try:
        convention = (
            convention_for(config, processor.image_processor)
            if boxes == "auto"
            else CONVENTIONS[boxes]
        )
    except ConventionError:
        if unknown:
            return Reader(name, path, config, processor, unknown, _fingerprint(path, config))
        choices = ", ".join(CONVENTIONS)
        raise ConfigError(
            f"how {config.model_type} writes boxes is not known: "
            f"set train.boxes to one of {choices}"
        ) from None
    return Reader(name, path, config, processor, convention, _fingerprint(path, config))


def _locate(name: str) -> str:
    """Folder of a model, or its name on the hub.

    Raises:
        WeightsError: the installation lacks a shipped model.
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
    """Disable progress bars and warnings of transformers."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def load(reader: Reader, bfloat16: bool = False) -> Any:
    """Load the weights of a model, all trainable.

    Args:
        bfloat16: Load in bfloat16, for GPUs; otherwise float32.

    Raises:
        WeightsError: the weights cannot be read.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    try:
        return AutoModelForImageTextToText.from_pretrained(
            reader.path,
            dtype=torch.bfloat16 if bfloat16 else torch.float32,
            trust_remote_code=False,
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
    """LoRA config for the language model; vision tower and projector stay frozen."""
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=TARGETS,
        task_type="CAUSAL_LM",
    )
