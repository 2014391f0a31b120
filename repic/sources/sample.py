"""Generated photos, written on first use; see `repic.sample`.

They are kept in `path` or, by default, in the user's cache folder. A second call with the same
settings writes nothing. A larger `count` adds photos and does not change existing ones.

An identity is a generated object, which looks alike in all of its photos; no other object has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from repic import config
from repic.config import cache_folder
from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources.base import Annotation, SourceFacts, SourcePhoto

FACTS = SourceFacts(
    path="where generated photos are written; by default the cache folder",
    identity="given by the generator (`annotation`)",
    boxes="boxes and expressions",
    captions="of the generator",
    splits="no photo mixes identities of two splits",
    lacks="photos of anything real",
)


def photos(settings: config.SourceSettings, splits: config.SplitSettings) -> Iterator[SourcePhoto]:
    """`settings.count` photos of `settings.identities` identities, with complete annotations.

    A photo with one object has the identity of the object; `identity: none` hides all identities.

    Args:
        splits: Split settings of the build; a photo never mixes identities of two splits.

    Raises:
        SourceError: impossible counts, or the folder cannot be written.
    """
    from repic.mining.splits import split_of
    from repic.sample import photo_files
    from repic.sample.world import World

    folder = _folder(settings)
    try:
        world = World(settings.size, settings.seed)
        plans = world.dataset(
            settings.count,
            settings.identities,
            lambda name: split_of(name, splits),
            settings.look_alikes,
        )
    except ValueError as error:
        raise SourceError(f"generated photos: {error} (source.count, source.identities)") from None
    try:
        entries = photo_files.read(photo_files.write(world, plans, folder))
    except OSError as error:
        raise SourceError(
            f"generated photos cannot be written to {folder}: {error.strerror or error}; "
            "give a writable folder (source.path)"
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
    is_labelled = settings.identity != "none"
    objects = entry["objects"]
    return SourcePhoto(
        uri=uris.join(root, entry["file"]),
        source=settings.kind,
        licence=settings.licence,
        identity=objects[0]["identity"] if is_labelled and len(objects) == 1 else None,
        caption=entry["caption"],
        annotations=tuple(
            Annotation(
                box=Box.of(o["box"]),
                label=o["label"],
                identity=o["identity"] if is_labelled else None,
                expressions=tuple(o["expressions"]),
                truncated=o["truncated"],
                occluded=o["occluded"],
            )
            for o in objects
        ),
    )
