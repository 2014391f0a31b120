"""Generated photos for the playground: close pictures of named objects, and a photo of two."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from repic.sample import photo_files
from repic.sample.composition import PhotoPlan
from repic.sample.identities import RESERVED
from repic.sample.world import World

NAMES = ("Andrea", "Rex", "Tina")


def photos(folder: Path) -> dict[str, Path]:
    """Name -> file of a reference, `photo of NAME` -> that which it is cut out of, and `photo` ->
    one of the first two."""
    world = World(seed=77)
    cast = RESERVED[::97][: len(NAMES)]
    plans = [PhotoPlan((one,), "sand", n, "own") for n, one in enumerate(cast)]
    plans.append(PhotoPlan(tuple(cast[:2]), "grass", 99, "own"))
    *references, photo = photo_files.read(photo_files.write(world, plans, folder))
    found = {"photo": folder / "photos" / photo["file"]}
    for name, entry in zip(NAMES, references, strict=True):
        found[name] = folder / f"{name}.png"
        found[f"photo of {name}"] = folder / "photos" / entry["file"]
        box = tuple(map(int, entry["objects"][0]["box"]))
        with Image.open(found[f"photo of {name}"]) as picture:
            picture.crop(box).save(found[name])
    return found
