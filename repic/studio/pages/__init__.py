"""The pages of the studio, in the order of the navigation."""

from __future__ import annotations

from repic.studio.pages import (
    evaluation,
    examples,
    groups,
    home,
    pairs,
    photos,
    playground,
    sql,
    training,
    versions,
)

PAGES = (
    home,
    pairs,
    groups,
    photos,
    examples,
    versions,
    training,
    evaluation,
    playground,
    sql,
)
"""Modules with `NAME`, `PATH` and `routes(studio)`."""
