"""The Python API behind `import repic`: a store and its versions, and one function per command."""

from __future__ import annotations

from repic.api.commands import Outcome, build, caption, evaluate, score, train
from repic.api.rows import Example, ExampleReference, ShownPicture
from repic.api.store import DataStore, open
from repic.api.version import Version

__all__ = [
    "DataStore",
    "Example",
    "ExampleReference",
    "Outcome",
    "ShownPicture",
    "Version",
    "build",
    "caption",
    "evaluate",
    "open",
    "score",
    "train",
]
