"""A folder of photos, a COCO file with boxes and generated photos: three sources of one build."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from repic import config
from tests.builds import Album


@dataclass(frozen=True)
class Sources:
    """A folder of photos, a COCO file with boxes of other photos, and generated photos."""

    family: Path
    coco: Path
    world: Path
    overrides: tuple[str, ...]

    @classmethod
    def make(cls, folder: Path, album: Album) -> Sources:
        """The album, divided; a folder for each identity."""
        alone = [e for e in album.entries if len(e["objects"]) == 1]
        for entry in alone:
            target = folder / "family" / entry["objects"][0]["identity"] / entry["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(album.folder / "photos" / entry["file"], target)
        names = {entry["file"] for entry in alone}
        data = json.loads((album.folder / "instances.json").read_text())
        data["images"] = [image for image in data["images"] if image["file_name"] not in names]
        listed = {image["id"] for image in data["images"]}
        data["annotations"] = [a for a in data["annotations"] if a["image_id"] in listed]
        (folder / "set").mkdir()
        for image in data["images"]:
            shutil.copy(album.folder / "photos" / image["file_name"], folder / "set")
        (folder / "set" / "instances.json").write_text(json.dumps(data))
        overrides = (
            *("detector.kind=yolo", "detector.checkpoint=sample", "detector.image_size=160"),
            *(f"encoder.pretrained={album.encoder}", "encoder.view=crop", "runtime.threads=1"),
            *("sources.sample.count=10", "sources.sample.identities=3", "sources.sample.size=96"),
        )
        return cls(folder / "family", folder / "set" / "instances.json", folder / "w", overrides)

    @property
    def texts(self) -> list[str]:
        return [f"folder:{self.family}", f"coco:{self.coco}", f"sample:{self.world}"]

    @property
    def arguments(self) -> list[str]:
        return [
            *(f"--source={text}" for text in self.texts),
            *(f"--set={change}" for change in self.overrides),
        ]

    def settings(self, *overrides: str) -> config.Settings:
        values = config.chosen_sources(sources=self.texts)
        return config.load("photos", (*self.overrides, *overrides), **values)
