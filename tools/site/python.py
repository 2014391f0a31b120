"""The page of the Python interface; mkdocstrings fills it from docstrings."""

from __future__ import annotations

import repic

BEGINNING = """# Python interface

[Python](python.md) shows how these are used.
"""

FOR_PLUGINS = (
    "repic.config.Section",
    "repic.objectives.objective.Objective",
    "repic.sources.base.SourcePhoto",
    "repic.sources.base.Annotation",
    "repic.sources.base.SourceFacts",
    "repic.models.detectors.base.Detector",
    "repic.models.encoder.Encoder",
    "repic.export.target.TargetFacts",
)
"""What a package that [extends](../../docs/extending.md) RePIC subclasses, makes or returns."""


def page() -> str:
    """The page as Markdown."""
    lines = [BEGINNING]
    lines += [f"::: repic.{name}" for name in repic.__all__]
    lines += ["", "## For packages that extend RePIC", "", "See [extending](extending.md).", ""]
    lines += [f"::: {name}" for name in FOR_PLUGINS]
    return "\n\n".join(lines)
