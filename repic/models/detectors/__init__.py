"""Object detectors, chosen by the settings.

One module per family, registered in `repic.config.plugins`: `yolo` (ultralytics YOLO, YOLO-World
and YOLOE, AGPL-3.0), `grounded` (OWLv2 and Grounding DINO through transformers, Apache-2.0),
`main_object` (an ImageNet classifier, for photos with one subject) and `annotation` (no model). The
first two share `base`: each photo is letterboxed to one fixed square and batches have one fixed
size, so that a box depends on its own photo only. Each has

- `OPEN_VOCABULARY`: whether it finds whatever the vocabulary names;
- `describe(settings)`: JSON of its weights and rules, for the fingerprint; must not import torch;
- `load(settings, runtime, fingerprint)`: the `Detector`, on its device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repic.config import plugins
from repic.models.detectors import annotation
from repic.models.detectors.base import Detection, Detector, Prepared
from repic.models.devices import ResolvedRuntime
from storage.hashing import fingerprint

if TYPE_CHECKING:
    from repic.config import DetectorSettings, RuntimeSettings

__all__ = ["Detection", "Detector", "Prepared", "describe", "has_open_vocabulary", "load"]


def describe(settings: DetectorSettings, runtime: RuntimeSettings) -> dict[str, Any]:
    """JSON of everything that can change a box, for the fingerprint. Does not import torch.

    Local weights are identified by their hash, models on the hub by name, and one of a plug-in also
    by its version and settings.

    Raises:
        ConfigError: the kind needs a checkpoint or a vocabulary that is not set.
        WeightsError: the weights file does not exist.
        PluginError: the kind is of a plug-in that cannot be used.
    """
    found: dict[str, Any] = {
        "kind": settings.kind,
        "confidence": settings.confidence,
        "max_objects": settings.max_objects,
        "min_area_share": settings.min_area_share,
        **plugins.load("detectors", settings.kind).describe(settings),
    }
    if settings.kind != annotation.KIND:
        found |= ResolvedRuntime.of(runtime).describe()
    return found | plugins.described("detectors", settings.kind, settings.of_plugin(settings.kind))


def has_open_vocabulary(settings: DetectorSettings) -> bool:
    """Whether it finds whatever `settings.vocabulary` names. Does not load it."""
    return bool(plugins.load("detectors", settings.kind).OPEN_VOCABULARY)


def load(settings: DetectorSettings, runtime: RuntimeSettings) -> Detector:
    """Load the detector onto its device.

    Raises:
        ConfigError: the settings contradict each other or the checkpoint.
        WeightsError: the weights do not exist.
        DeviceError: the device cannot be used.
        PluginError: the kind is of a plug-in that cannot be used.
    """
    kind = plugins.load("detectors", settings.kind)
    name = "" if settings.kind == annotation.KIND else fingerprint(describe(settings, runtime))
    detector: Detector = kind.load(settings, ResolvedRuntime.of(runtime), name)
    return detector
