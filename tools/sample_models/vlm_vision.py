"""First half of the training: the vision tower, without language.

Temporary heads predict the attributes of the object at each patch and token, and its box as
offsets *from the token's center*, because rotary positions encode distances, not absolute
positions. Batches of full photos and of crops, as references are, alternate, each at its own
resolution.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from repic.sample.identities import IDENTITIES, RESERVED
from repic.sample.seeds import generator
from tools.sample_models import vlm_model
from tools.sample_models.crops import HIDDEN, SIZES, attributes_of
from tools.sample_models.optimizers import optimizers
from tools.sample_models.training_data import SIDE
from tools.sample_models.vlm_model import MERGE, PATCH, TOKEN
from tools.sample_models.vlm_photos import STRIDE, PhotoSet

PHOTO_GRID = (SIDE // TOKEN, SIDE // TOKEN)
CROP_GRIDS = ((2, 2), (3, 2), (2, 2), (3, 3), (4, 3), (2, 3))
"""Most frequent sizes of crops, in tokens down and across; batches use only these."""
PHOTOS = 48
"""Photos in a batch."""
COVERED = 0.12
"""Minimum share of a token or patch that an object covers to own it."""
_JITTER = 0.03
"""Standard deviation of a detected edge, in shares of the box's side."""
_RATE, _WARM_UP, _FADE = 3e-3, 50, 4 / 9
IGNORE = -100
BY_NAME = {i.name: i for i in (*IDENTITIES, *RESERVED)}


class VisionLabels:
    """Pixels and labels of the photos of several photo sets.

    Attributes:
        attributes: Per photo int (objects, 4), see `attributes_of`.
        boxes: Per photo float (objects, 4), in pixels.
        objects: Photo and object index of every object.
        by_grid: Indexes into `objects` by the size of the crop in tokens.
    """

    def __init__(self, photo_sets: Sequence[PhotoSet]) -> None:
        self.pixels = [pixels for photo_set in photo_sets for pixels in photo_set.pixels]
        self.owners = [owners for photo_set in photo_sets for owners in photo_set.owners]
        photos = [photo for photo_set in photo_sets for photo in photo_set.photos]
        self.attributes = [
            np.array(
                [
                    attributes_of(BY_NAME[o["identity"]], o["shows_accessory"])
                    for o in photo["objects"]
                ]
            )
            for photo in photos
        ]
        self.boxes = [np.array([o["box"] for o in photo["objects"]]) for photo in photos]
        self.objects = [(p, i) for p, boxes in enumerate(self.boxes) for i in range(len(boxes))]
        self.by_grid: dict[tuple[int, int], list[int]] = {}
        for k, (p, i) in enumerate(self.objects):
            self.by_grid.setdefault(crop_grid(self.boxes[p][i]), []).append(k)


def crop_grid(box: np.ndarray) -> tuple[int, int]:
    """Tokens, down and across, of a crop as the image processor resizes it."""
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    x1, y1, x2, y2 = np.round(box).astype(int).tolist()
    down, across = smart_resize(
        max(1, y2 - y1), max(1, x2 - x1), TOKEN, vlm_model.MIN_PIXELS, vlm_model.MAX_PIXELS
    )
    return down // TOKEN, across // TOKEN


class VisionBatch(NamedTuple):
    """n pictures of one size with the labels of their patches and tokens.

    Attributes:
        pixels: uint8 (n, height, width, 3).
        patch_labels: int64 (n, patches, 4), `IGNORE` where there is no object.
        token_labels: int64 (n, tokens, 4), likewise.
        offsets: float32 (n, tokens, 4), box from each token's center in shares of `SIDE`.
        owners: int64 (n, tokens), index of the object at a token, 4 for none.
    """

    pixels: torch.Tensor
    patch_labels: torch.Tensor
    token_labels: torch.Tensor
    offsets: torch.Tensor
    owners: torch.Tensor


def photo_batch(truth: VisionLabels, chosen: Sequence[int], flipped: bool) -> VisionBatch:
    """A batch of full photos, mirrored if `flipped`."""
    pixels, owners, boxes, attributes = [], [], [], []
    for p in chosen:
        image, owner, box = truth.pixels[p], truth.owners[p], truth.boxes[p]
        if flipped:
            image, owner = image[:, ::-1], owner[:, ::-1]
            box = np.stack([SIDE - box[:, 2], box[:, 1], SIDE - box[:, 0], box[:, 3]], 1)
        pixels.append(image)
        owners.append(owner)
        boxes.append(box)
        attributes.append(truth.attributes[p])
    return _vision_batch(np.stack(pixels), owners, boxes, attributes, PHOTO_GRID)


def crop_batch(
    truth: VisionLabels, chosen: Sequence[int], grid: tuple[int, int], rng: np.random.Generator
) -> VisionBatch:
    """A batch of crops with jittered edges, resized to `grid` tokens."""
    pixels, owners, boxes, attributes = [], [], [], []
    height, width = grid[0] * TOKEN, grid[1] * TOKEN
    for k in chosen:
        p, i = truth.objects[k]
        x1, y1, x2, y2 = jittered(truth.boxes[p][i], rng)
        image = Image.fromarray(truth.pixels[p]).crop((x1, y1, x2, y2))
        pixels.append(np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)))
        owner = truth.owners[p]
        rows = ((np.arange(height // STRIDE) + 0.5) * (y2 - y1) / height * STRIDE + y1) / STRIDE
        columns = ((np.arange(width // STRIDE) + 0.5) * (x2 - x1) / width * STRIDE + x1) / STRIDE
        last = SIDE // STRIDE - 1
        owners.append(
            owner[np.minimum(rows.astype(int), last)][:, np.minimum(columns.astype(int), last)]
        )
        scale = np.array([width / (x2 - x1), height / (y2 - y1)] * 2)
        moved = (truth.boxes[p] - np.array([x1, y1] * 2)) * scale
        boxes.append(np.clip(moved, 0, np.array([width, height] * 2)))
        attributes.append(truth.attributes[p])
    return _vision_batch(np.stack(pixels), owners, boxes, attributes, grid)


def jittered(box: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A box with integer corners and edges jittered like those of a detector."""
    sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    x1, y1, x2, y2 = np.clip(np.round(box + rng.normal(size=4) * sides * _JITTER), 0, SIDE).astype(
        int
    )
    return int(x1), int(y1), int(max(x2, x1 + 1)), int(max(y2, y1 + 1))


def _vision_batch(
    pixels: np.ndarray,
    owners: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    attributes: Sequence[np.ndarray],
    grid: tuple[int, int],
) -> VisionBatch:
    down, across = grid
    n = len(pixels)
    own = np.stack(owners)
    # Cover of each patch by each object: (n, rows, columns, objects), then tokens of 2 x 2 patches.
    cells = PATCH // STRIDE
    patched = own.reshape(n, down * MERGE, cells, across * MERGE, cells)
    cover = np.stack([(patched == i).mean((2, 4)) for i in range(4)], -1)
    object_labels = np.full((n, 5, 4), IGNORE)
    object_boxes = np.zeros((n, 5, 4), np.float32)
    for k in range(n):
        object_labels[k, : len(attributes[k])] = np.where(
            attributes[k] == HIDDEN, IGNORE, attributes[k]
        )
        object_boxes[k, : len(boxes[k])] = boxes[k]
    ordered = cover.reshape(n, down, MERGE, across, MERGE, 4).transpose(0, 1, 3, 2, 4, 5)
    patch_owner = _owner(ordered.reshape(n, -1, 4))
    token_owner = _owner(ordered.mean((3, 4)).reshape(n, -1, 4))
    every = np.arange(n)[:, None]
    rows, columns = np.divmod(np.arange(down * across), across)
    centre = np.stack([columns, rows, columns, rows], 1) * TOKEN + TOKEN / 2
    offsets = (object_boxes[every, token_owner] - centre) / SIDE
    return VisionBatch(
        torch.from_numpy(pixels.copy()),
        torch.from_numpy(object_labels[every, patch_owner]),
        torch.from_numpy(object_labels[every, token_owner]),
        torch.from_numpy(offsets.astype(np.float32)),
        torch.from_numpy(token_owner),
    )


def _owner(cover: np.ndarray) -> np.ndarray:
    """Index of the object with the largest cover, 4 for none: (n, cells)."""
    return np.where(cover.max(-1) >= COVERED, cover.argmax(-1), 4)


class Heads(nn.Module):
    """Linear heads for category (the last class is background), colour, pattern, accessory, box."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = (SIZES[0] + 1, *SIZES[1:])
        self.patch = nn.Linear(vlm_model.VISION_WIDTH, sum(self.sizes))
        self.token = nn.Linear(vlm_model.WIDTH, sum(self.sizes))
        self.box = nn.Linear(vlm_model.WIDTH, 4)

    def loss(self, hidden: torch.Tensor, labels: torch.Tensor, head: nn.Linear) -> torch.Tensor:
        """Cross-entropy of the four attributes; on background, of the category alone."""
        logits = head(hidden).float().split(self.sizes, -1)
        total = torch.zeros(())
        for i, scores in enumerate(logits):
            target = labels[..., i]
            if i == 0:
                target = target.masked_fill(target == IGNORE, self.sizes[0] - 1)
            weight = (1.0, 0.7, 1.0, 1.0)[i]
            total = total + weight * functional.cross_entropy(
                scores.flatten(0, 1), target.flatten(), ignore_index=IGNORE
            )
        return total


class VisionTraining:
    """Training state of the vision tower: weights, heads, optimizers and step."""

    def __init__(self, model: Any, steps: int, compiled: bool = True) -> None:
        torch.manual_seed(0)
        self.visual = model.model.visual
        self.heads = Heads()
        self.steps, self.step = steps, 0
        named = [("visual." + n, p) for n, p in self.visual.named_parameters()]
        named += list(self.heads.named_parameters())
        self._parameters = [p for _, p in named]
        self.optimizers = optimizers(named, _RATE)
        self._features: Callable[..., Any] = vlm_model.features
        if compiled:
            self._features = torch.compile(vlm_model.features, dynamic=False)

    def train_step(self, truth: VisionLabels) -> dict[str, float]:
        """Train one step; its seed is the step number, so a resumed run is reproducible."""
        rng = generator("eye", self.step)
        if self.step % 2 == 0:
            chosen = rng.integers(0, len(truth.pixels), PHOTOS).tolist()
            grid = PHOTO_GRID
            batch = photo_batch(truth, chosen, bool(rng.random() < 0.5))
        else:
            grid = CROP_GRIDS[self.step // 2 % len(CROP_GRIDS)]
            members = truth.by_grid[grid]
            count = PHOTOS * PHOTO_GRID[0] * PHOTO_GRID[1] // (grid[0] * grid[1]) // 2
            chosen = [members[i] for i in rng.integers(0, len(members), count)]
            batch = crop_batch(truth, chosen, grid, rng)
        losses = self.losses(batch, grid)
        total = losses["patch"] + 2 * losses["token"] + 20 * losses["box"]
        for parameter in self._parameters:
            parameter.grad = None
        total.backward()
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        rate = _RATE * schedule(self.step, self.steps, _FADE)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        self.step += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def losses(self, batch: VisionBatch, grid: tuple[int, int]) -> dict[str, torch.Tensor]:
        """Losses of patches, tokens and boxes."""
        with vlm_model.fast_autocast():
            hidden, tokens = self._features(self.visual, vlm_model.patches(batch.pixels), *grid)
            is_object = batch.owners < 4
            return {
                "patch": self.heads.loss(hidden, batch.patch_labels, self.heads.patch),
                "token": self.heads.loss(tokens, batch.token_labels, self.heads.token),
                "box": (self.heads.box(tokens).float() - batch.offsets)[is_object].abs().mean(),
            }

    def state(self) -> dict[str, Any]:
        """The state to resume from."""
        return {
            "step": self.step,
            "visual": self.visual.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a state."""
        self.step = state["step"]
        self.visual.load_state_dict(state["visual"])
        self.heads.load_state_dict(state["heads"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def schedule(step: int, steps: int, fade: float) -> float:
    """Share of the learning rate: short warm-up, constant, linear decay over the last part."""
    remaining = (steps - step) / (steps * fade)
    return min(1.0, (step + 1) / _WARM_UP, 0.02 + 0.98 * remaining)


@torch.no_grad()
def tuning_scores(
    training: VisionTraining, truth: VisionLabels, count: int = 192
) -> dict[str, float]:
    """Attribute accuracy on tokens of objects, and mean box error in pixels."""
    batch = photo_batch(truth, range(count), False)
    labels = batch.token_labels
    with vlm_model.fast_autocast():
        _, tokens = vlm_model.features(
            training.visual, vlm_model.patches(batch.pixels), *PHOTO_GRID
        )
        logits = training.heads.token(tokens).float().split(training.heads.sizes, -1)
        error = (training.heads.box(tokens).float() - batch.offsets).abs() * SIDE
    scores = {}
    for i, name in enumerate(("category", "colour", "pattern", "accessory")):
        is_labelled = labels[..., i] != IGNORE
        scores[name] = float((logits[i].argmax(-1) == labels[..., i])[is_labelled].float().mean())
    scores["box_px"] = float(error[batch.owners < 4].mean())
    return scores


def train(
    model: Any,
    truth: VisionLabels,
    tuning: VisionLabels,
    steps: int,
    state: Path,
    compiled: bool = True,
) -> None:
    """Train the tower of `model`, or resume from the file `state`."""
    training = VisionTraining(model, steps, compiled)
    if state.exists():
        training.load(torch.load(state, weights_only=True))
    started, sums, since = time.monotonic(), dict.fromkeys(("patch", "token", "box"), 0.0), 0
    while training.step < steps:
        for name, loss in training.train_step(truth).items():
            sums[name] += loss
        since += 1
        if training.step % 100 == 0 or training.step == steps:
            text = ", ".join(f"{name} {total / since:.3f}" for name, total in sums.items())
            if training.step % 500 == 0 or training.step == steps:
                scores = tuning_scores(training, tuning)
                text += "; " + ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
            seconds = time.monotonic() - started
            print(f"vision step {training.step} of {steps}: {text}; {seconds:.0f} s", flush=True)
            sums, since = dict.fromkeys(sums, 0.0), 0
        if training.step % 250 == 0 or training.step == steps:
            save_state(training.state(), state)


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write a training state atomically."""
    temporary = path.with_suffix(".new")
    torch.save(state, temporary)
    temporary.replace(path)
