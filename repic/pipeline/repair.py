"""Repair: what `verify` finds is restored from the store, or computed again from the photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from repic import config
from repic.config import Settings
from repic.errors import FIXABLE
from repic.pipeline import retry
from repic.pipeline.build import DATASET, Build, BuildCallbacks
from repic.pipeline.execution import computing_here, run_stages
from repic.pipeline.scan import Scan, scan
from repic.pipeline.stages import STAGES
from storage import integrity, withdrawn
from storage import repair as repairs
from storage.errors import DamagedError, NotFoundError
from storage.integrity import IntegrityProblem
from storage.manifest import Manifest
from storage.store import Store

OF_BUILD = {DATASET, *(name for stage in STAGES for name in stage.writes)}

REMEDIES = {
    "reviews": "import the decisions again: repic reviews import FILE",
    "checkpoint": "train again: repic train",
    "rollouts": "train again: repic train",
    "refs": "bring back its manifest from where the store came from, or run the command again that "
    "made it: repic build, repic train",
}
BUILD_AGAIN = "`repic build` publishes a new version, and `repic gc --keep N` can remove this one"
MAKE_INPUTS = (
    "run the command again that made {} (for a dataset `repic build`), with the same photos, code "
    "and models, then `repic repair`"
)
RUN_AGAIN = "run the command again that made it: repic evaluate, or repic refresh"

Scanner = Callable[[Settings, frozenset[str] | None], Scan]
"""Scans the source of some settings; of the photos at these URIs only, if any are given."""


@dataclass(frozen=True)
class Unrepaired:
    """A problem that is left, why it is left, and what the user can do."""

    problem: IntegrityProblem
    remedy: str


@dataclass(frozen=True)
class RepairResult:
    """What a repair did, a sentence each, and what it could not do."""

    done: tuple[str, ...]
    left: tuple[Unrepaired, ...]


def repair(
    store: Store, callbacks: BuildCallbacks | None = None, scanner: Scanner | None = None
) -> RepairResult:
    """Restore and rebuild what `verify` finds; no new dataset is published, and no tag moves.

    Damaged manifests, refs and kept results move to `damaged/`. Tables of a dataset are computed
    again from the photos if these, the code and the models are as they were.

    Raises:
        storage.errors.StoreError: the store has a newer format, or cannot be read or written.
    """
    done = repairs.set_aside(store)
    reasons: dict[str, str] = {}
    gone = withdrawn.find(store.files)
    datasets = [m for m in store.manifests() if m.kind == "dataset" and m.ref not in gone]
    for dataset in sorted(datasets, key=lambda manifest: -manifest.version):
        if damage := store.faults(dataset):
            reasons[str(dataset.ref)] = _rebuild(store, dataset, callbacks, scanner)
            left = store.faults(dataset)
            done += [f"{path} was computed again" for path in damage if path not in left]
    done += repairs.mend(store)
    problems = integrity.verify(store)
    return RepairResult(
        tuple(done), tuple(Unrepaired(each, _remedy(store, each, reasons)) for each in problems)
    )


def _rebuild(
    store: Store, dataset: Manifest, callbacks: BuildCallbacks | None, scanner: Scanner | None
) -> str:
    """Compute the tables of a dataset again; returns why some could not be, or nothing."""
    try:
        settings = config.from_record(dataset.settings)
        photos = (scanner or _scan)(settings, _uris(store, dataset))
        build = Build(settings, store, photos)
        build.reviews = _reviews(store, dataset)
        wanted = {item.name: item.fingerprint for item in dataset.inputs}
        same = {
            name for name, made_from in build.fingerprints.items() if wanted.get(name) == made_from
        }
        stages = [stage for stage in STAGES if same.issuperset(stage.writes)]
        with store.lease():
            gone = run_stages(build, computing_here(callbacks), Build.publish, stages)
    except FIXABLE as error:
        return str(error)
    if gone:
        return f"{len(gone)} of its photos are gone, such as {gone[0].uri}"
    if same.issuperset(wanted):
        return ""
    changed = ", ".join(name for name in wanted if name not in same)
    cause = "photos or labels" if STAGES[0].name not in same else "code, models or reviews"
    return f"its {cause} have changed, so that {changed} cannot be made as they were"


def _scan(settings: Settings, uris: frozenset[str] | None) -> Scan:
    return scan(settings, only=uris)


def _uris(store: Store, dataset: Manifest) -> frozenset[str] | None:
    """URIs of the photos of a dataset; None if its tables do not tell."""
    try:
        return retry.source_uris(store, dataset)
    except (NotFoundError, DamagedError):
        return None


def _reviews(store: Store, dataset: Manifest) -> Manifest | None:
    """The reviews that a dataset was made with."""
    for table in dataset.inputs:
        try:
            inputs = store.manifest(table.ref).inputs
        except NotFoundError:
            continue
        for item in inputs:
            if item.name == "reviews":
                return store.manifest(item.ref)
    return None


def _remedy(store: Store, problem: IntegrityProblem, reasons: dict[str, str]) -> str:
    name = problem.artifact.partition("@")[0]
    if name not in OF_BUILD:
        again = REMEDIES.get(name, RUN_AGAIN)
        lost = "" if problem.path else _lost_inputs(store, problem.artifact)
        return f"{MAKE_INPUTS.format(lost)}; if they have changed, {again}" if lost else again
    holders = (ref for ref in reasons if ref == problem.artifact or _binds(store, ref, problem))
    reason = next((reasons[ref] for ref in holders if reasons[ref]), "")
    return f"{reason}; {BUILD_AGAIN}" if reason else BUILD_AGAIN


def _lost_inputs(store: Store, ref: str) -> str:
    """The inputs of a version that do not exist, if `ref` is a version."""
    if "@" not in ref:
        return ""
    inputs = store.manifest(ref).inputs
    return ", ".join(str(i.ref) for i in inputs if i.version not in store.versions(i.name))


def _binds(store: Store, ref: str, problem: IntegrityProblem) -> bool:
    return problem.artifact in {str(item.ref) for item in store.manifest(ref).inputs}
