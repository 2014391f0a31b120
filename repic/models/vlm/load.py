"""Vision-language models by name, with the convention in which they write boxes."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.config import Attention, LoraSettings, TrainSettings
from repic.errors import ConfigError, WeightsError
from repic.images.coordinates import (
    CONVENTIONS,
    Convention,
    ConventionError,
)
from repic.images.model_families import convention_for
from repic.models import hub, weights

if TYPE_CHECKING:
    from peft import LoraConfig

TARGETS = (
    r".*(?:language_model|text_model)(?:\.model)?\.layers\.\d+\.(?:self_attn|mlp)\."
    r"(?:q|k|v|o|gate|up|down)_proj"
)
"""Linear layers of the language model by their transformers names, without the vision tower."""
_LANGUAGE = ("language_model.", "text_model.", "lm_head.")
"""Parts of the names of all weights of the language model."""
_NOT_QUANTIZED = [rf"(?!.*(?:{'|'.join(map(re.escape, _LANGUAGE))})).*", "lm_head"]
"""Patterns of modules that keep their precision: all that see, and the output layer."""


@dataclass(frozen=True)
class PixelLimits:
    """Least and most pixels (area) of a picture after the processor's resize; None: its own."""

    min_pixels: int | None = None
    max_pixels: int | None = None

    @classmethod
    def of(cls, train: TrainSettings) -> PixelLimits:
        """The limits of a training run."""
        return cls(train.min_pixels, train.max_pixels)


@dataclass(frozen=True)
class LoadOptions:
    """How the weights of a model are kept and used.

    Attributes:
        bfloat16: Load in bfloat16, for GPUs; otherwise float32.
        attention: Implementation of attention; `auto` is that of transformers.
        four_bit: Quantize the language model to 4 bits (NF4 with double quantization, QLoRA,
            arXiv 2305.14314).
    """

    bfloat16: bool = False
    attention: Attention = "auto"
    four_bit: bool = False

    @classmethod
    def of(cls, train: TrainSettings, bfloat16: bool) -> LoadOptions:
        """The options of a training run."""
        return cls(bfloat16, train.attention, train.quantize == "4bit")

    def check(self) -> None:
        """Refuse options that this machine cannot serve.

        Raises:
            ConfigError: a package or a GPU is missing.
        """
        import torch

        if self.four_bit and find_spec("bitsandbytes") is None:
            raise ConfigError(
                "train.quantize=4bit needs the package bitsandbytes: pip install 'repic[qlora]', "
                "or leave train.quantize at none"
            )
        if self.attention == "flash" and not (
            find_spec("flash_attn") is not None and torch.cuda.is_available()
        ):
            raise ConfigError(
                "train.attention=flash needs a GPU and the package flash-attn, and one of them is "
                "missing here: choose sdpa, which is nearly as fast"
            )


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


def reader(
    name: str,
    boxes: str = "auto",
    unknown: Convention | None = None,
    pixels: PixelLimits = PixelLimits(),
) -> Reader:
    """Load config and processor of a model.

    Args:
        boxes: Name of the convention in which it writes boxes; `auto` selects that of its family.
        unknown: Convention for a family without a known one; None raises an error.
        pixels: Limits of the size of pictures, for the Qwen-VL families.

    Raises:
        WeightsError: the model cannot be opened; the message names the remedy.
        ConfigError: the box convention is unknown, or the model has no image processor, or none
            with limits of pixels.
    """
    from transformers import AutoConfig, AutoProcessor

    path = _locate(name)
    how = {"trust_remote_code": False, "local_files_only": hub.is_needed_but_away(path)}
    try:
        config = AutoConfig.from_pretrained(path, **how)
        processor = AutoProcessor.from_pretrained(path, padding_side="left", **how)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"the model {name} cannot be opened ({first}): give a folder, or download it first"
        ) from None
    except ImportError as error:
        extra = "; pip install 'repic[smolvlm]'" if "num2words" in str(error) else ""
        why = " ".join(str(error).split())
        raise WeightsError(f"the model {name} needs another package: {why}{extra}") from None
    if not hasattr(processor, "image_processor"):
        raise ConfigError(f"{name} is not a vision-language model: it has no image processor")
    processor.tokenizer.padding_side = "left"
    _limit_pixels(name, processor.image_processor, pixels)
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


def _limit_pixels(name: str, processor: Any, pixels: PixelLimits) -> None:
    if pixels == PixelLimits():
        return
    if "Qwen" not in type(processor).__name__:  # in other families `longest_edge` is a side
        raise ConfigError(
            f"min_pixels and max_pixels are for Qwen-VL models: the processor of {name} has no "
            "such limits; leave them empty"
        )
    most = pixels.max_pixels or processor.size["longest_edge"]
    least = pixels.min_pixels or min(processor.size["shortest_edge"], most)
    if least > most:
        raise ConfigError(f"min_pixels={least} is more than max_pixels={most} of {name}")
    processor.size = {"shortest_edge": least, "longest_edge": most}


def _locate(name: str) -> str:
    """Folder of a model, or its name on the hub.

    Raises:
        WeightsError: the installation lacks a shipped model, or the name can only be a folder and
            there is none.
    """
    from repic.models import shipped

    if name in shipped.VLMS:
        return str(shipped.vlm_folder(name))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    if name.startswith(("/", "~", ".")) or name.count("/") > 1:  # no hub has such names
        raise WeightsError(
            f"the model {name} cannot be opened: there is no such folder; give another, or a name "
            "on the hub"
        )
    return name


def _fingerprint(path: str, config: Any) -> str:
    from storage.hashing import fingerprint

    if Path(path).is_dir():
        return fingerprint(weights.sha256_of_folder(Path(path)))
    return fingerprint([path, getattr(config, "_commit_hash", None)])


def quiet() -> None:
    """Disable progress bars and warnings of transformers, of bitsandbytes and of the hub."""
    from transformers.utils import logging as of_transformers

    of_transformers.disable_progress_bar()
    of_transformers.set_verbosity_error()
    hub.quiet_retries()
    # peft imports it where it is installed, also for training that quantizes nothing.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def load(reader: Reader, options: LoadOptions = LoadOptions()) -> Any:
    """Load the weights of a model; those that are not quantized are trainable.

    Raises:
        ConfigError: this machine cannot serve the options.
        WeightsError: the weights cannot be read.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    options.check()
    dtype = torch.bfloat16 if options.bfloat16 else torch.float32
    how: dict[str, Any] = {
        "dtype": dtype,
        "local_files_only": hub.is_needed_but_away(reader.path),
    }
    if options.attention != "auto":
        how["attn_implementation"] = _ATTENTION[options.attention]
    if options.four_bit:
        how["quantization_config"] = _four_bits(dtype)
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            reader.path, trust_remote_code=False, **how
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(f"the weights of {reader.name} cannot be read ({first})") from None
    layers: Iterable[Any] = model.modules() if options.four_bit else ()
    for layer in layers:
        # After the first answer on a CPU with bfloat16, bitsandbytes 0.50 would keep the weights
        # in a layout whose product has no gradient.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    return model


_ATTENTION = {"sdpa": "sdpa", "eager": "eager", "flash": "flash_attention_2"}


def _four_bits(dtype: Any) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=_NOT_QUANTIZED,
    )


def train_language_model_only(model: Any) -> None:
    """Let all weights of the language model be trained, and freeze the vision tower."""
    for name, weight in model.named_parameters():
        weight.requires_grad_(any(part in name for part in _LANGUAGE))


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
