"""Photos of the generated world, made on first use; see `repic.sample`.

They lie in `path`, or else in the user's cache folder, and stay there: a second call with the same
settings writes nothing. A larger `count` adds photos and leaves those that are there as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from repic import config
from repic.config import cache_folder
from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources.base import Annotation, SourcePhoto


def photos(settings: config.SourceSettings, splits: config.SplitSettings) -> Iterator[SourcePhoto]:
    """`settings.count` photos of `settings.identities` identities, with everything known of them.

    A photo with one object has its identity; `identity: none` hides all identities.

    Args:
        splits: The build's shares: a photo never mixes identities of two splits.

    Raises:
        SourceError: impossible numbers, or a folder that cannot be written.
    """
    from repic.mining.splits import split_of
    from repic.sample import files
    from repic.sample.world import World

    folder = _folder(settings)
    try:
        world = World(settings.size, settings.seed)
        plans = world.dataset(
            settings.count, settings.identities, lambda name: split_of(name, splits)
        )
    except ValueError as error:
        raise SourceError(f"generated photos: {error} (source.count, source.identities)") from None
    try:
        entries = files.read(files.write(world, plans, folder))
    except OSError as error:
        raise SourceError(
            f"generated photos cannot be written to {folder}: {error.strerror or error}; "
            "give a folder that can (source.path)"
        ) from error
    root = uris.file_uri(folder / "photos")
    for entry in entries:
        yield _photo(entry, root, settings)


def _folder(settings: config.SourceSettings) -> Path:
    if settings.path is None:
        return cache_folder() / "sample"
    if uris.is_url(settings.path) and not settings.path.startswith("file:"):
        raise SourceError(
            f"generated photos are written to a local folder, not to {settings.path} (source.path)"
        )
    return Path(uris.file_path(uris.to_uri(settings.path)))


def _photo(entry: dict, root: str, settings: config.SourceSettings) -> SourcePhoto:
    known = settings.identity != "none"
    objects = entry["objects"]
    return SourcePhoto(
        uri=uris.join(root, entry["file"]),
        source=settings.kind,
        licence=settings.licence,
        identity=objects[0]["identity"] if known and len(objects) == 1 else None,
        caption=entry["caption"],
        annotations=tuple(
            Annotation(
                box=Box.of(o["box"]),
                label=o["label"],
                identity=o["identity"] if known else None,
                expressions=tuple(o["expressions"]),
                truncated=o["truncated"],
                occluded=o["occluded"],
            )
            for o in objects
        ),
    )
