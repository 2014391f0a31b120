"""The 158 real photos beside the clone, made smaller, in folders of their subjects."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

from tests.shared_data import shared_folder

REAL = shared_folder("dreambooth")
COUNT = 158
BOX = (0.1, 0.9)
"""Where the owner says that the subject is, as shares of both sides."""


def write(folder: Path, side: int) -> None:
    """Write the photos, and where the subject of five in six is: the detector sees the others.

    The photos must be there (`REAL`).

    Args:
        side: Longer side in pixels; large photos take longer than the rest of a test.
    """
    assert REAL is not None
    rows = ["uri,box"]
    for number, path in enumerate(sorted(REAL.glob("*/*.jpg"))):
        photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        photo.thumbnail((side, side))
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        photo.save(folder / path.parent.name / path.name)
        if number % 6:
            box = ", ".join(str(round(share * side)) for share in BOX for side in photo.size)
            rows.append(f'{path.parent.name}/{path.name},"{box}"')
    assert len(list(folder.glob("*/*.jpg"))) == COUNT
    (folder / "labels.csv").write_text("\n".join(rows))
