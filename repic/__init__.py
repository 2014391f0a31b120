"""RePIC: a data engine for personalized vision-language models.

>>> import repic
>>> examples = repic.open("demo/store")["examples@latest"]
>>> examples.to_datasets()
Dataset({...})
>>> len(next(iter(examples)).pictures) > 0
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repic.api import (
        DataStore,
        Example,
        ExampleReference,
        Outcome,
        ShownPicture,
        Version,
        build,
        caption,
        evaluate,
        open,
        score,
        train,
    )
    from repic.config import Settings
    from repic.errors import RepicError

__version__ = "0.1.0"

__all__ = [
    "DataStore",
    "Example",
    "ExampleReference",
    "Outcome",
    "RepicError",
    "Settings",
    "ShownPicture",
    "Version",
    "build",
    "caption",
    "evaluate",
    "open",
    "score",
    "train",
]

_MODULES = {"RepicError": "repic.errors", "Settings": "repic.config"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import repic` stays light."""
    if name not in __all__:
        raise AttributeError(f"module 'repic' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_MODULES.get(name, "repic.api")), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
