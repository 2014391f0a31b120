"""The models that the package ships, trained on the generated world only.

Settings name them: `detector.checkpoint=sample`, `encoder.architecture=sample`, and the
vision-language models `sample-base` and `sample-full`. `tools.sample_models.train` trains them,
`tools.sample_models.holdout` measures them.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from repic.errors import WeightsError

NAME = "sample"
VLMS = {"sample-base": "vlm-base", "sample-full": "vlm-full"}
"""Name -> folder: a general model, where reinforcement learning starts, and a personalized one."""
SIDE = 160
"""`detector.image_size` of the detector, pixels."""


def detector_file() -> Path:
    """Path of the detector, an ultralytics YOLO checkpoint.

    Raises:
        WeightsError: the installation lacks it.
    """
    return _shipped("yolo.pt")


def encoder_folder() -> Path:
    """Folder of the encoder in OpenCLIP's layout.

    Raises:
        WeightsError: the installation lacks it.
    """
    return _shipped("clip")


def vlm_folder(name: str) -> Path:
    """Folder of a small vision-language model, by a name in `VLMS`.

    Raises:
        WeightsError: the name is unknown, or the installation lacks the model.
    """
    if name not in VLMS:
        raise WeightsError(f"there is no model {name!r}; one of: {', '.join(VLMS)}")
    return _shipped(VLMS[name])


def folder() -> Path:
    """Folder of all shipped models, inside `repic.sample`."""
    return Path(str(resources.files("repic.sample") / "weights"))


def _shipped(name: str) -> Path:
    path = folder() / name
    if not path.exists():
        raise WeightsError(
            f"this installation has no {path}: install repic again, or train it with "
            f"`python -m tools.sample_models.train {name.partition('.')[0]}`"
        )
    return path
