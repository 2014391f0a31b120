"""Training of the detector: the nano YOLO of ultralytics at half width, with their trainer.

Objects fill a quarter to three quarters of a photo's side, so small images suffice; mosaic
augmentation is off because it would make objects unrealistically small. Hue augmentation is
strong because the label is only the category.
"""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repic.models import shipped
from repic.models.detectors.yolo import quiet_ultralytics
from repic.sample.identities import CATEGORIES
from repic.sample.world import WorldPhoto
from tools.sample_models import training_data

EPOCHS = 10
ROUNDS = 12
PHOTOS_PER_ROUND = 500
TUNING_PHOTOS = 200
_FAMILY = "yolov8n.yaml"
_DEPTH, _WIDTH, _MOST_CHANNELS = 0.33, 0.125, 1024
_RECIPE: dict[str, Any] = {
    "imgsz": shipped.SIDE,
    "batch": 32,
    "nbs": 32,
    "optimizer": "AdamW",
    "lr0": 0.002,
    "lrf": 0.01,
    "cos_lr": True,
    "warmup_epochs": 1.0,
    "weight_decay": 0.01,
    "mosaic": 0.0,
    "scale": 0.15,
    "translate": 0.05,
    "hsv_h": 0.2,
    "hsv_s": 0.4,
    "hsv_v": 0.3,
    "seed": 0,
    "deterministic": True,
    "device": "cpu",
    "workers": 0,
    "cache": "ram",
    "amp": False,
    "plots": False,
    "patience": 0,
}


def train(work: Path, threads: int, epochs: int = EPOCHS, rounds: int = ROUNDS) -> Path:
    """Train, or resume from the state in `work`; the path of the finished checkpoint.

    Args:
        work: Folder for the photos and for the state of the training.
        threads: CPU threads.
        epochs: Passes over the photos.
        rounds: Number of worlds, each with `PHOTOS_PER_ROUND` photos.
    """
    quiet_ultralytics()
    from ultralytics import YOLO

    data = _photos(work / "photos", rounds)
    state = work / "run" / "weights" / "last.pt"
    model: Any
    if not state.exists():
        model = YOLO(_architecture(work))
        _watch(model, threads)
        model.train(
            data=str(data), epochs=epochs, project=str(work), name="run", exist_ok=True, **_RECIPE
        )
    elif not _is_finished(state):
        print(f"resuming from {state}", flush=True)
        model = YOLO(state)
        _watch(model, threads)
        model.train(resume=True, device="cpu")
    finished = work / "yolo.pt"
    finished.write_bytes(_export(state))
    return finished


def _is_finished(state: Path) -> bool:
    """Whether the training has finished: ultralytics then writes epoch -1.

    Resuming a finished training would start a new one.
    """
    from ultralytics.nn.tasks import load_checkpoint

    _, checkpoint = load_checkpoint(os.fspath(state))
    return checkpoint["epoch"] < 0


def _architecture(work: Path) -> Path:
    """Write the model's YAML file; ultralytics derives the scale from the file name."""
    from ultralytics.nn.tasks import yaml_model_load
    from ultralytics.utils import YAML

    layers = copy.deepcopy(yaml_model_load(_FAMILY))
    layers["scales"] = {"n": [_DEPTH, _WIDTH, _MOST_CHANNELS]}
    layers["nc"] = len(CATEGORIES)
    layers.pop("yaml_file", None)
    path = work / _FAMILY
    YAML.save(path, layers)
    return path


def _photos(folder: Path, rounds: int) -> Path:
    """Create missing photos and labels in ultralytics' layout; the path of the dataset YAML."""
    from ultralytics.utils import YAML

    for round_index in range(rounds):
        done = folder / f"round-{round_index}.done"
        if not done.exists():
            photos = training_data.training_photos(round_index, PHOTOS_PER_ROUND)
            _write(photos, folder, "train", f"{round_index:03}")
            done.touch()
            print(f"photos of round {round_index + 1} of {rounds}", flush=True)
    if not (folder / "tuning.done").exists():
        _write(training_data.tuning_photos(TUNING_PHOTOS), folder, "val", "tuning")
        (folder / "tuning.done").touch()
    yaml = folder / "data.yaml"
    names = dict(enumerate(CATEGORIES))
    YAML.save(
        yaml, {"path": str(folder), "train": "images/train", "val": "images/val", "names": names}
    )
    return yaml


def _write(photos: Iterable[WorldPhoto], folder: Path, part: str, name: str) -> None:
    images, labels = folder / "images" / part, folder / "labels" / part
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    for k, photo in enumerate(photos):
        photo.image.save(images / f"{name}-{k:04}.jpg", quality=95, subsampling=0)
        lines = []
        for item in photo.objects:
            box, side = item.box, photo.image.width
            middle = ((box.x1 + box.x2) / 2 / side, (box.y1 + box.y2) / 2 / side)
            size = (box.width / side, box.height / side)
            numbers = " ".join(f"{value:.6f}" for value in (*middle, *size))
            lines.append(f"{CATEGORIES.index(item.identity.category)} {numbers}")
        (labels / f"{name}-{k:04}.txt").write_text("\n".join(lines), encoding="utf-8")


def _watch(model: Any, threads: int) -> None:
    """Print a line per epoch, and set the CPU threads, which ultralytics reduces."""
    import torch

    def use_threads(trainer: Any) -> None:
        torch.set_num_threads(threads)

    def report(trainer: Any) -> None:
        if trainer.epoch >= trainer.epochs:  # final validation, of the averaged network
            return
        loss = ", ".join(f"{name} {float(v):.3f}" for name, v in (trainer.tloss or {}).items())
        print(
            f"epoch {trainer.epoch + 1} of {trainer.epochs}: {loss}, mAP50 on tuning photos "
            f"{trainer.metrics.get('metrics/mAP50(B)', float('nan')):.3f}",
            flush=True,
        )

    model.add_callback("on_train_start", use_threads)
    model.add_callback("on_fit_epoch_end", report)


def _export(state: Path) -> bytes:
    """The averaged network in half precision, without optimizer, dates or paths."""
    import torch
    from ultralytics.nn.tasks import load_checkpoint

    network, _ = load_checkpoint(os.fspath(state))
    network.args = {}
    network.yaml.pop("yaml_file", None)
    network.criterion = None
    del network.pt_path
    for parameter in network.parameters():
        parameter.requires_grad = False
    out = io.BytesIO()
    torch.save({"model": network.half(), "train_args": {"imgsz": shipped.SIDE}}, out)
    return out.getvalue()
