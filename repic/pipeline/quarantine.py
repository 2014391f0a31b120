"""How many files a build may refuse, and what became of those that the last one refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repic.errors import QuarantineError
from storage.errors import NotFoundError

if TYPE_CHECKING:
    from repic.pipeline.build import Outcome
    from storage.manifest import ArtifactRef, Manifest
    from storage.store import Store


def allowed(budget: float, files: int) -> int:
    """How many of `files` may be refused: the share `budget`, but at least one unless it is 0.

    One bad file of fifty is no sign of a broken disk, though it is more than 1 %.
    """
    return max(1, math.floor(round(budget * files, 6))) if budget else 0


def check(rows: Sequence[dict[str, Any]], files: int, budget: float, ref: ArtifactRef) -> None:
    """Refuse to go on if a build refused too many files.

    Args:
        rows: Of the table quarantine.
        files: What the source holds.
        ref: The version that holds the rows, for whoever wants to see all of them.

    Raises:
        QuarantineError: they are more than the budget allows.
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


@dataclass(frozen=True)
class Retried:
    """What became of files that were in quarantine, as URIs.

    Attributes:
        dataset: The version after the retry.
        used: Now part of it, by themselves or as another place of the same bytes.
        refused: Still in quarantine -> its reason.
        gone: The source does not name them any more.
    """

    dataset: str
    used: tuple[str, ...]
    refused: dict[str, str]
    gone: tuple[str, ...]


def of_latest(store: Store) -> Manifest:
    """The quarantine that belongs to the latest dataset.

    Raises:
        NotFoundError: there is no dataset yet.
    """
    if store.current().of("dataset").latest is None:
        raise NotFoundError("Nothing was published yet: repair the files and run `repic build`.")
    dataset = store.manifest("dataset@latest")
    (bound,) = (table for table in dataset.inputs if table.name == "quarantine")
    return store.manifest(bound.ref)


def known(store: Store) -> frozenset[str]:
    """URIs that the latest dataset was made from, refused ones included.

    Raises:
        NotFoundError: there is no dataset yet.
    """
    refused = of_latest(store)
    dataset = store.manifest("dataset@latest")
    (bound,) = (table for table in dataset.inputs if table.name == "images")
    photos = store.read(bound.ref, ["uri", "also_at"]).to_pylist()
    places = [uri for photo in photos for uri in (photo["uri"], *photo["also_at"])]
    return frozenset((*places, *store.read(refused.ref, ["uri"])["uri"].to_pylist()))


def retried(store: Store, before: Manifest, outcome: Outcome) -> Retried:
    """Compare a quarantine with a build that was made after it."""
    refused = {
        row["uri"]: row["error"] for row in store.read(outcome.tables["quarantine"].ref).to_pylist()
    }
    images = store.read(outcome.tables["images"].ref, ["uri", "also_at"]).to_pylist()
    used = {uri for row in images for uri in (row["uri"], *row["also_at"])}
    uris = sorted({row["uri"] for row in store.read(before.ref).to_pylist()})
    return Retried(
        str(outcome.dataset.ref),
        used=tuple(uri for uri in uris if uri in used and uri not in refused),
        refused={uri: refused[uri] for uri in uris if uri in refused},
        gone=tuple(uri for uri in uris if uri not in used and uri not in refused),
    )
