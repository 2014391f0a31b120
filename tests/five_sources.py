"""The five sources of the paper's recipe in their published layouts, with generated photos.

    python -m tests.five_sources FOLDER

writes COCO, Objects365, CelebA, RefCOCO and Subjects200K with enough photos for 2,000 rows, and
prints the command that builds them. As in the published sets, nothing is in two photos, except for
the two views of a row of Subjects200K.
"""

from __future__ import annotations

import io
import json
import pickle
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from repic import config
from repic.config import Settings
from repic.sample.identities import IDENTITIES, Identity
from repic.sample.world import World, WorldPhoto

SIZE = 112
"""Side of a photo in pixels."""

SIDE, PADDING = 512, 16
"""Side of a view of Subjects200K, and what surrounds it, in pixels."""

SAMPLES = (
    *("detector.kind=yolo", "detector.checkpoint=sample", "detector.image_size=160"),
    *("detector.vocabulary=[]", "detector.confidence=0.25"),
    *("encoder.architecture=sample", "encoder.pretrained=", "runtime.threads=1"),
)
"""The shipped models in place of those of the paper."""

TRAIN_SAMPLES = (
    *("train.model=sample-base", "train.max_prompt_tokens=1024", "trainer.max_steps=2"),
    *("trainer.per_device_train_batch_size=8", "grpo.max_completion_length=32"),
    "train.measure.per_objective=2",
)
"""Two steps of the shipped model in place of the paper's training."""


@dataclass(frozen=True)
class FiveSources:
    """The folder that holds the five sources, each in a folder of its own."""

    folder: Path

    @classmethod
    def make(
        cls,
        folder: Path,
        coco: int = 300,
        objects365: int = 300,
        celeba: int = 60,
        refcoco: int = 300,
        subjects: int = 60,
    ) -> FiveSources:
        """Write the sources.

        Args:
            coco: Number of photos; `objects365`, `celeba` and `refcoco` likewise.
            subjects: Number of pictures with two views.
        """
        photos = _Photos()
        _coco(folder / "coco", photos.take(coco, 2))
        _objects365(folder / "objects365", photos.take(objects365, 2))
        _celeba(folder / "celeba", photos.take(celeba, 1))
        _refcoco(folder / "refcoco", photos.take(refcoco, 2))
        _subjects200k(folder / "subjects200k", photos.views(subjects))
        return cls(folder)

    @property
    def texts(self) -> list[str]:
        return [
            f"coco:{self.folder}/coco/annotations/instances_train2017.json",
            f"coco:{self.folder}/objects365/zhiyuan_objv2_val.json",
            f"celeba:{self.folder}/celeba",
            f"refcoco:{self.folder}/refcoco",
            f"subjects200k:{self.folder}/subjects200k",
        ]

    @property
    def overrides(self) -> tuple[str, ...]:
        """What each source is used for, as in docs/paper-experiment.md."""
        return (
            "sources.1.name=objects365",
            *(f"sources.{name}.identity=object" for name in ("coco", "objects365", "refcoco")),
            *(f"sources.{name}.objectives=[oct, ict]" for name in ("coco", "objects365", "celeba")),
            "sources.refcoco.objectives=[vlt]",
            "sources.subjects200k.objectives=[oct, ict]",
        )

    @property
    def arguments(self) -> list[str]:
        """Of `repic build`."""
        changes = (*self.overrides, *SAMPLES)
        return [
            "--profile=paper",
            *(f"--source={text}" for text in self.texts),
            *(f"--set={change}" for change in changes),
        ]

    def settings(self, *overrides: str) -> Settings:
        values = config.chosen_sources(sources=self.texts)
        return config.load("paper", (*self.overrides, *SAMPLES, *overrides), **values)


class _Photos:
    """Photos of one world; no identity is dealt twice."""

    def __init__(self) -> None:
        self._world = World(SIZE, seed=11)
        # By turns over the categories, so that the objects of a photo are of different ones.
        order = sorted(range(len(IDENTITIES)), key=lambda i: (i * 1_000_003) % len(IDENTITIES))
        self._left = [IDENTITIES[i] for i in order]
        self._seed = 0

    def take(self, count: int, objects: int) -> list[WorldPhoto]:
        return [self._photo(self._deal(objects)) for _ in range(count)]

    def views(self, count: int) -> Iterator[tuple[WorldPhoto, WorldPhoto]]:
        for _ in range(count):
            identities = self._deal(1)
            yield self._photo(identities), self._photo(identities)

    def _photo(self, identities: Sequence[Identity]) -> WorldPhoto:
        self._seed += 1
        return self._world.photo(identities, self._seed)

    def _deal(self, count: int) -> list[Identity]:
        """Identities of different categories."""
        dealt: list[Identity] = []
        for identity in self._left:
            if identity.category not in {one.category for one in dealt}:
                dealt.append(identity)
            if len(dealt) == count:
                break
        for identity in dealt:
            self._left.remove(identity)
        return dealt


def _save(photo: WorldPhoto, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    photo.image.save(path, "JPEG", quality=95, subsampling=0)


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _instances(
    photos: Sequence[WorldPhoto], names: Sequence[str], **changes: Any
) -> dict[str, Any]:
    """The content of an instances file; ids are those that `_annotation_id` gives."""
    labels = sorted({obj.identity.category for photo in photos for obj in photo.objects})
    return {
        "info": {"description": "generated"},
        "licenses": [{"id": 4, "name": "CC BY 2.0", "url": ""}],
        "images": [
            {"id": n, "file_name": name, "width": SIZE, "height": SIZE, "license": 4}
            for n, name in enumerate(names, 1)
        ],
        "annotations": [
            {
                "id": _annotation_id(n, place),
                "image_id": n,
                "category_id": labels.index(obj.identity.category) + 1,
                "bbox": [obj.box.x1, obj.box.y1, obj.box.width, obj.box.height],
                "area": obj.box.area,
                "iscrowd": 0,
                **changes,
            }
            for n, photo in enumerate(photos, 1)
            for place, obj in enumerate(photo.objects)
        ],
        "categories": [{"id": i, "name": label} for i, label in enumerate(labels, 1)],
    }


def _annotation_id(image: int, place: int) -> int:
    return 10 * image + place


def _coco(folder: Path, photos: Sequence[WorldPhoto]) -> None:
    """`train2017/` and `annotations/instances_train2017.json`, with `captions_train2017.json`."""
    names = [f"{n:012d}.jpg" for n in range(1, len(photos) + 1)]
    for name, photo in zip(names, photos, strict=True):
        _save(photo, folder / "train2017" / name)
    content = _instances(photos, names)
    _write(folder / "annotations" / "instances_train2017.json", content)
    captions = [
        {"id": n, "image_id": n, "caption": photo.caption.text} for n, photo in enumerate(photos, 1)
    ]
    _write(
        folder / "annotations" / "captions_train2017.json",
        {"images": content["images"], "annotations": captions},
    )


def _objects365(folder: Path, photos: Sequence[WorldPhoto]) -> None:
    """Photos in `patch0/`, which the file calls `images/v1/patch0/`."""
    names = [f"patch0/objects365_v1_{n:08d}.jpg" for n in range(1, len(photos) + 1)]
    for name, photo in zip(names, photos, strict=True):
        _save(photo, folder / name)
    listed = [f"images/v1/{name}" for name in names]
    changes = {"isfake": 0, "isreflected": 0}
    _write(folder / "zhiyuan_objv2_val.json", _instances(photos, listed, **changes))


def _celeba(folder: Path, photos: Sequence[WorldPhoto]) -> None:
    """`Anno/`, `Eval/` and `Img/img_celeba/`; everybody is in one photo."""
    names = [f"{n:06d}.jpg" for n in range(1, len(photos) + 1)]
    boxes = [f"{len(names)}", "image_id x_1 y_1 width height"]
    for name, photo in zip(names, photos, strict=True):
        _save(photo, folder / "Img" / "img_celeba" / name)
        box = photo.objects[0].box
        x, y, width, height = round(box.x1), round(box.y1), round(box.width), round(box.height)
        boxes.append(f"{name} {x} {y} {width} {height}")
    splits = [f"{name} {(0, 0, 0, 0, 0, 0, 0, 0, 1, 2)[i % 10]}" for i, name in enumerate(names)]
    people = [f"{name} {1000 + i}" for i, name in enumerate(names)]
    for path, lines in (
        ("Anno/identity_CelebA.txt", people),
        ("Anno/list_bbox_celeba.txt", boxes),
        ("Eval/list_eval_partition.txt", splits),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _refcoco(folder: Path, photos: Sequence[WorldPhoto]) -> None:
    """`refcoco/instances.json` and `refs(unc).p`; photos in `images/train2014/`."""
    names = [f"COCO_train2014_{n:012d}.jpg" for n in range(1, len(photos) + 1)]
    for name, photo in zip(names, photos, strict=True):
        _save(photo, folder / "images" / "train2014" / name)
    content = _instances(photos, names)
    _write(folder / "refcoco" / "instances.json", content)
    refs = []
    for n, photo in enumerate(photos, 1):
        for place, obj in enumerate(photo.objects):
            texts = list(obj.expressions)
            refs.append(
                {
                    "ref_id": len(refs),
                    "ann_id": _annotation_id(n, place),
                    "image_id": n,
                    "category_id": content["annotations"][len(refs)]["category_id"],
                    "split": (*("train",) * 8, "val", "testA")[n % 10],
                    "file_name": names[n - 1].replace(".jpg", f"_{place}.jpg"),
                    "sent_ids": list(range(len(texts))),
                    "sentences": [
                        {"sent_id": i, "sent": text, "raw": text, "tokens": text.split()}
                        for i, text in enumerate(texts)
                    ],
                }
            )
    # Protocol 0, as Python 2 wrote them.
    (folder / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=0))


def _subjects200k(folder: Path, rows: Iterator[tuple[WorldPhoto, WorldPhoto]]) -> None:
    """One Parquet file: two views side by side, with 16 pixels around each."""
    grades = ("compositeStructure", "objectConsistency", "imageQuality")
    table = [
        {
            "image": {"bytes": _side_by_side(pair), "path": None},
            "collection": "collection_2",
            "quality_assessment": dict.fromkeys(grades, 5),
            "description": {
                "item": pair[0].objects[0].identity.category,
                "description_0": pair[0].caption.text,
                "description_1": pair[1].caption.text,
                "category": "Toys",
                "description_valid": True,
            },
        }
        for pair in rows
    ]
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(table), folder / "data/train-00000-of-00001.parquet")


def _side_by_side(pair: tuple[WorldPhoto, WorldPhoto]) -> bytes:
    picture = Image.new("RGB", (2 * (SIDE + PADDING), SIDE + PADDING), (255, 255, 255))
    for view, photo in enumerate(pair):
        corner = (PADDING // 2 + view * (SIDE + PADDING), PADDING // 2)
        picture.paste(photo.image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), corner)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def main(folder: str) -> None:
    made = FiveSources.make(Path(folder))
    print("repic build", shlex.join(made.arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
