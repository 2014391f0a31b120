"""Quarantine: every input that a stage refused and why, and how many a build may refuse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

from repic.config import Settings
from repic.errors import QuarantineError
from repic.pipeline.stages.base import Inputs, Json, Output, TableStage, rows_of
from storage.manifest import ArtifactRef


class QuarantineStage(TableStage):
    """Collect the refusals of the scan and of the row-wise stages.

    A photo that cannot be decoded is listed once per URI; one that a later stage refused, once.
    """

    name = "quarantine"
    version = 1
    reads = ("source", "probes", "detections", "embeddings")  # for what their stages refused
    columns: ClassVar = {"probes": (), "detections": (), "embeddings": ()}
    writes = ("quarantine",)

    def recipe(self, settings: Settings) -> Json:
        return None

    def run(self, inputs: Inputs) -> Output:
        uris = {photo.image_id: photo.uris for photo in inputs.scan.photos}
        rejects = [
            replace(reject, uri=uri)
            for reject in inputs.rejects
            if reject.image_id in uris
            for uri in uris[reject.image_id][: None if reject.stage == "images" else 1]
        ]
        refused = {(r.uri, r.stage): asdict(r) for r in (*inputs.scan.rejects, *rejects)}
        return Output({"quarantine": rows_of("quarantine", list(refused.values()))})


def allowed(budget: float, files: int) -> int:
    """How many of `files` may be refused: the share `budget`, but at least 1 unless it is 0.

    In a small source a single bad file exceeds 1 % without indicating a broken disk.
    """
    return max(1, math.floor(round(budget * files, 6))) if budget else 0


def check_budget(
    rows: Sequence[dict[str, Any]], files: int, budget: float, ref: ArtifactRef
) -> None:
    """Raise if a build refused too many files.

    Args:
        rows: Rows of the quarantine table.
        files: Number of files in the source.
        budget: Share of the files that may be refused, 0 to 1.
        ref: Version of the quarantine table, for the message.

    Raises:
        QuarantineError: more files were refused than the budget allows.
    """
    reasons = Counter({row["uri"]: row["error"] for row in rows}.values())
    refused, limit = reasons.total(), allowed(budget, files)
    if refused <= limit:
        return
    enough = math.ceil(1000 * refused / files) / 1000
    counts = ", ".join(f"{count} {error}" for error, count in reasons.most_common())
    raise QuarantineError(
        f"nothing was published: {refused} of {files} files cannot be used ({counts}), and "
        f"quarantine.budget={budget:g} allows {limit}; `repic quarantine --of {ref}` lists them: "
        f"repair them and build again, or accept them with `--set quarantine.budget={enough:g}`"
    )
