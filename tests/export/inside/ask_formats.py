"""Runs beside pycocotools, webdataset and mlcroissant: each reads an export."""

import hashlib
import io
import json
import os
import sys

import mlcroissant
import webdataset
from PIL import Image
from pycocotools.coco import COCO

given = json.load(sys.stdin)
found = {}

coco = COCO(f"{given['coco']}/instances.json")
first = coco.loadImgs(coco.getImgIds()[:1])[0]
shown = Image.open(f"{given['coco']}/{first['file_name']}").convert("RGB")
found["coco"] = {
    "rows": len(coco.getImgIds()),
    "boxes": len(coco.loadAnns(coco.getAnnIds())),
    "picture": hashlib.sha256(shown.tobytes()).hexdigest(),
    "file": first["file_name"],
}

shards = [f"{given['webdataset']}/{split}-000000.tar" for split in given["splits"]]
rows = list(webdataset.WebDataset(shards, shardshuffle=False))
names = sorted(name for name in rows[0] if name[0].isdigit())
shown = Image.open(io.BytesIO(rows[0][names[-1]])).convert("RGB")
found["webdataset"] = {
    "rows": len(rows),
    "pictures": sum(name[0].isdigit() for row in rows for name in row),
    "picture": hashlib.sha256(shown.tobytes()).hexdigest(),
    "id": rows[0]["__key__"],
}

os.chdir(given["hf"])
dataset = mlcroissant.Dataset("croissant.json")
sets = [str(records.id) for records in dataset.metadata.record_sets]
found["croissant"] = {
    "errors": sorted(dataset.metadata.ctx.issues.errors),
    "rows": sum(len(list(dataset.records(name))) for name in sets),
}
sys.stdout.write("\n" + json.dumps(found) + "\n")
