"""OWLv2 (arXiv 2306.09683) and Grounding DINO (arXiv 2303.05499) through transformers; Apache-2.0.

A checkpoint is a folder or a name on the Hugging Face hub. `NAME@REVISION` pins a commit; a name
without a revision is assumed not to change. OWLv2 was trained on squares of 960 pixels
(`detector.image_size`), Grounding DINO on a shorter side of 800.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repic.errors import ConfigError, WeightsError
from repic.models import hub, weights
from repic.models.detectors.base import (
    Candidates,
    LetterboxDetector,
    Padding,
    describe_model,
    needed_checkpoint,
)

if TYPE_CHECKING:
    import torch

    from repic.config import DetectorSettings
    from repic.models.devices import ResolvedRuntime

Scores = tuple["torch.Tensor", "torch.Tensor"]
"""Probabilities (batch, queries, words); boxes (batch, queries, 4) as center and size, 0 to 1."""

PROMPT = "a photo of a {}"
OPEN_VOCABULARY = True
OWL, DINO = {"owlv2"}, {"grounding-dino", "mm-grounding-dino"}


def describe(settings: DetectorSettings) -> dict[str, Any]:
    """JSON of the model; see `repic.models.detectors.describe`."""
    checkpoint = needed_checkpoint(settings, vocabulary=True)
    if settings.text_encoder is not None:
        raise ConfigError(
            f"detector.text_encoder belongs to yolo-world and yoloe; {settings.kind} has none"
        )
    folder = Path(checkpoint).expanduser()
    return describe_model(
        settings, weights.sha256_of_folder(folder) if folder.is_dir() else checkpoint
    )


def load(
    settings: DetectorSettings, runtime: ResolvedRuntime, fingerprint: str
) -> LetterboxDetector:
    """Load the detector of a transformers checkpoint.

    Raises:
        ConfigError: the checkpoint is of another family, or the vocabulary is too long for it.
        WeightsError: the checkpoint exists neither locally nor on the hub.
    """
    device = runtime.prepare()
    model, processor = _from_pretrained(settings.checkpoint or "")
    model = model.eval().to(device)
    family = model.config.model_type
    scorer = _owl if family in OWL else _dino
    score = scorer(model, processor.tokenizer, settings.vocabulary)
    mean, std = (
        np.array(values, dtype=np.float32)
        for values in (processor.image_processor.image_mean, processor.image_processor.image_std)
    )
    # These families pad with zeros after normalization, which is the mean color before it.
    red, green, blue = (int(value) for value in (mean * 255).round())
    padding = Padding(centered=False, color=(red, green, blue))

    def forward(pixels: torch.Tensor, mask: torch.Tensor) -> list[Candidates]:
        import torch

        center = torch.from_numpy(mean).to(pixels.device)[:, None, None]
        scale = torch.from_numpy(std).to(pixels.device)[:, None, None]
        probabilities, boxes = score((pixels - center) / scale, mask)
        return [
            _candidates(p, b, settings.image_size)
            for p, b in zip(probabilities.float().cpu(), boxes.float().cpu(), strict=True)
        ]

    return LetterboxDetector(forward, settings.vocabulary, padding, settings, runtime, fingerprint)


def _from_pretrained(checkpoint: str) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoProcessor

    if Path(checkpoint).expanduser().is_dir():
        name, revision = str(Path(checkpoint).expanduser()), "main"
    else:
        name, _, revision = checkpoint.partition("@")
    pinned: dict[str, Any] = {
        "revision": revision or "main",
        "trust_remote_code": False,
        "local_files_only": hub.is_needed_but_away(name),
    }
    try:
        model_type = AutoConfig.from_pretrained(name, **pinned).model_type
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"transformers cannot load {checkpoint} (detector.checkpoint): give a folder that "
            f"save_pretrained wrote, or a name on the hub and a network to fetch it. {error}"
        ) from error
    if model_type not in OWL | DINO:
        raise ConfigError(
            f"{checkpoint} is a {model_type}; detector.kind=transformers reads "
            f"{', '.join(sorted(OWL | DINO))}"
        )
    model = AutoModelForZeroShotObjectDetection.from_pretrained(name, **pinned)
    return model, AutoProcessor.from_pretrained(name, **pinned)


def _owl(model: Any, tokenizer: Any, vocabulary: Sequence[str]) -> Callable[..., Scores]:
    """OWLv2: scores every image token against every word. Words are encoded once."""
    import torch

    tokens = tokenizer(
        [PROMPT.format(word) for word in vocabulary],
        padding="max_length",
        max_length=model.config.text_config.max_position_embeddings,
        truncation=True,
        return_tensors="pt",
    ).to(model.device)
    with torch.no_grad():
        words = model.owlv2.get_text_features(**tokens).pooler_output

    def score(pixels: torch.Tensor, mask: torch.Tensor) -> Scores:
        grid, _ = model.image_embedder(pixels, interpolate_pos_encoding=True)
        features = grid.flatten(1, 2)
        queries = words[None].expand(len(pixels), -1, -1)
        logits, _ = model.class_predictor(features, queries)
        return logits.sigmoid(), model.box_predictor(features, grid, interpolate_pos_encoding=True)

    return score


def _dino(model: Any, tokenizer: Any, vocabulary: Sequence[str]) -> Callable[..., Scores]:
    """Grounding DINO: one text of all words; a word scores as its best token."""
    import torch

    if dotted := [word for word in vocabulary if "." in word]:
        raise ConfigError(f"Grounding DINO ends a word at a full stop: rename {dotted[0]!r}")
    text, spans = "", []
    for word in map(str.lower, vocabulary):
        spans.append((len(text), len(text) + len(word)))
        text += f"{word}. "
    tokens = tokenizer(text.strip(), return_offsets_mapping=True, return_tensors="pt")
    offsets = tokens.pop("offset_mapping")[0].tolist()
    if len(offsets) > model.config.max_text_len:
        raise ConfigError(
            f"detector.vocabulary is {len(offsets)} tokens, Grounding DINO reads "
            f"{model.config.max_text_len}: ask for fewer words"
        )
    token_indices = [
        [i for i, (start, end) in enumerate(offsets) if first <= start < end <= last]
        for first, last in spans
    ]
    tokens = tokens.to(model.device)

    def score(pixels: torch.Tensor, mask: torch.Tensor) -> Scores:
        texts = {name: ids.expand(len(pixels), -1) for name, ids in tokens.items()}
        output = model(pixel_values=pixels, pixel_mask=mask.long(), **texts)
        tokenwise = output.logits.float().sigmoid()
        wordwise = [tokenwise[..., indices].amax(dim=-1) for indices in token_indices]
        return torch.stack(wordwise, dim=-1), output.pred_boxes

    return score


def _candidates(probabilities: torch.Tensor, boxes: torch.Tensor, size: int) -> Candidates:
    scores, classes = probabilities.max(dim=-1)
    centers, sides = boxes[:, :2] * size, boxes[:, 2:] * size
    corners = np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
    return Candidates(corners, scores.numpy(), classes.numpy())
