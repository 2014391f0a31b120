"""No model: the boxes are those of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from repic.errors import ConfigError

if TYPE_CHECKING:
    from repic.config import DetectorSettings
    from repic.models.devices import ResolvedRuntime

KIND = "annotation"
OPEN_VOCABULARY = False


def describe(settings: DetectorSettings) -> dict[str, Any]:
    """Nothing but the limits, which all detectors have."""
    return {}


def load(settings: DetectorSettings, runtime: ResolvedRuntime, fingerprint: str) -> NoReturn:
    """Raises: ConfigError: always."""
    raise ConfigError(
        "detector.kind=annotation takes the boxes of the source's annotations and has no "
        "model; choose another kind for photos without annotations"
    )
