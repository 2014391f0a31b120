"""Photos that decisions of reviewers may have taken out of all splits.

Each split has things of its own, so a photo that shows things of two gives no rows. A box that is
drawn or moved by hand, and an identity that a reviewer says, can make it such a photo.
"""

from __future__ import annotations

import pyarrow.compute as pc

from repic.pipeline.stages.reviewed import REVIEW
from storage.manifest import Manifest
from storage.reader import StoreReader

REMEDY = (
    "merge the groups that are one thing, delete a box that is not needed, or set "
    "splits.validation=0 and splits.test=0"
)


def reviewed_photos(store: StoreReader, dataset: Manifest) -> int:
    """Number of photos in no split that have a box or an identity of a reviewer.

    Raises:
        storage.errors.StoreError: a table cannot be read.
    """
    without = dataset.notes.get("pairs", {}).get("photos_by_split", {}).get("mixed")
    if not without or not dataset.notes.get("objects", {}).get("reviews"):
        return 0
    tables = {item.name: item.ref for item in dataset.inputs}
    photos = store.read(tables["groups"], ["image_id"], pc.field("split").is_null())["image_id"]
    by_reviewers = pc.field("reviewed_box").is_valid() | (pc.field("identity_origin") == REVIEW)
    its = by_reviewers & pc.field("image_id").isin(photos.unique())
    return len(store.read(tables["objects"], ["image_id"], its)["image_id"].unique())


def sentence(photos: int) -> str:
    """What a person should know of that many photos."""
    what = "photo that was reviewed shows" if photos == 1 else "photos that were reviewed show"
    gives = "gives" if photos == 1 else "give"
    return f"{photos} {what} things of two splits and {gives} no rows; {REMEDY}"
