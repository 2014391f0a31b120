"""The models that the package carries: they know the generated world, and nothing else.

`detector.checkpoint=sample`, `encoder.architecture=sample` and the models `sample-sft` and
`sample-full` name them. `tools.sample_models.train` made
them, and says what they have seen; `tools.sample_models.holdout` says how good they are.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from repic.errors import WeightsError

NAME = "sample"
VLMS = {"sample-sft": "vlm-sft", "sample-full": "vlm-full"}
"""Name -> folder: the start of reinforcement, and the same training gone on to its end."""
SIDE = 160
"""Pixels of the square that the detector learned from: `detector.image_size`."""


def detector_file() -> Path:
    """The checkpoint of the detector, an ultralytics YOLO.

    Raises:
        WeightsError: the installation lacks it.
    """
    return _shipped("yolo.pt")


def encoder_folder() -> Path:
    """The encoder in OpenCLIP's layout.

    Raises:
        WeightsError: the installation lacks it.
    """
    return _shipped("clip")


def vlm_folder(name: str) -> Path:
    """A checkpoint of the small vision-language model, by one of the names in `VLMS`.

    Raises:
        WeightsError: no checkpoint has this name, or the installation lacks it.
    """
    if name not in VLMS:
        raise WeightsError(f"there is no model {name!r}; one of: {', '.join(VLMS)}")
    return _shipped(VLMS[name])


def folder() -> Path:
    """Where the package carries its models: beside the generated world."""
    return Path(str(resources.files("repic.sample") / "weights"))


def _shipped(name: str) -> Path:
    path = folder() / name
    if not path.exists():
        raise WeightsError(
            f"this installation has no {path}: install repic again, or train it with "
            f"`python -m tools.sample_models.train {name.partition('.')[0].partition('-')[0]}`"
        )
    return path
