"""The schema of every table, one documented column at a time.

A table is declared once: in `build`, in `decisions` if people say what is in it, or in `models` if
training, evaluation or refresh writes it.
`repic schema` prints it, every write is checked against it, and the DuckDB views take their
comments from it. Coordinates are float xyxy in pixels of the upright original image: x to the
right, y down, the origin in the top left corner.
"""

from __future__ import annotations

from repic.tables.build import OF_BUILD
from repic.tables.decisions import OF_PEOPLE
from repic.tables.models import OF_MODELS
from repic.tables.schema import Table

__all__ = ["TABLES"]

TABLES: dict[str, Table] = {table.name: table for table in (*OF_BUILD, *OF_PEOPLE, *OF_MODELS)}
"""Every table by its name."""
