"""What versions and refs reach: the answer that decides about deletion, or an error.

That a file is not reached must never follow from something that could not be read. So all that
names files has to be there and has to agree: a snapshot of refs, every version that it names, every
input of a version, and two readings of all this. An incomplete copy of a store, a disk that is
not mounted and a listing that ends early all fail one of these. Only a version that is to be
deleted may lack an input: it has lost it for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storage import refs
from storage.errors import NotFoundError, StoreError
from storage.files import MARKER
from storage.lineage import closure
from storage.manifest import ArtifactRef, Manifest
from storage.reader import StoreReader

CONTENT = ("manifests", "shards", "files", "parts")
"""Folders whose files are reached from refs, if at all."""


@dataclass(frozen=True)
class Reach:
    """All versions of a store, inputs before their outputs, and the refs.

    Attributes:
        lacking: Version -> what is wrong with its inputs, of those whose inputs are not all there.
    """

    versions: tuple[Manifest, ...]
    refs: refs.Snapshot
    lacking: Mapping[ArtifactRef, str]

    def kept(self, newest: int | None) -> list[Manifest]:
        """The `newest` versions of each name, any that a ref names, and the inputs of both.

        Args:
            newest: None keeps all versions.

        Raises:
            StoreError: an input of one of them is not there.
        """
        kept = self._kept(newest)
        for manifest in kept:
            if wrong := self.lacking.get(manifest.ref):
                raise StoreError(wrong)
        return kept

    def _kept(self, newest: int | None) -> list[Manifest]:
        if newest is None:
            return list(self.versions)
        numbers: dict[str, list[int]] = {}
        for manifest in self.versions:
            numbers.setdefault(manifest.name, []).append(manifest.version)
        kept: set[ArtifactRef] = set()
        for manifest in reversed(self.versions):  # outputs before their inputs
            recent = manifest.version in sorted(numbers[manifest.name])[-newest:]
            named = manifest.version in self.refs.of(manifest.name).versions
            if recent or named or manifest.ref in kept:
                kept |= {manifest.ref, *(bound.ref for bound in manifest.inputs)}
        return [manifest for manifest in self.versions if manifest.ref in kept]


def read(reader: StoreReader) -> Reach:
    """Read all versions and refs of a store.

    Args:
        reader: One without cached manifests, or with those of an earlier reading.

    Raises:
        StoreError: something cannot be read, or names what is not there.
    """
    reader.files.forget_numbers()
    try:
        snapshot = reader.current()
        if not snapshot.number:
            _check_empty(reader)
        every = {manifest.ref: manifest for manifest in reader.manifests()}
        for name, ref in snapshot.refs.items():
            for version in ref.versions:
                exact = ArtifactRef.exact(name, version)
                if not _include(reader, every, exact):
                    raise StoreError(_absent(exact, "refs name it"))
        lacking = _include_inputs(reader, every)
        reader.files.read(MARKER)  # the disk of the store was there until now
        return Reach(tuple(closure(reader, every.values(), among=every)), snapshot, lacking)
    except OSError as error:
        raise StoreError(f"{reader.location} cannot be read completely: {error}.") from error


def _check_empty(reader: StoreReader) -> None:
    """Check that a store without refs has nothing that they might reach."""
    if any(reader.files.find(folder) for folder in CONTENT):
        raise StoreError(
            f"{reader.location} has files but no refs, which say what is needed: finish its first "
            "build, or, if the refs were lost, run `repic repair`."
        )


def _include(reader: StoreReader, every: dict[ArtifactRef, Manifest], ref: ArtifactRef) -> bool:
    """Read a version that is named, if it was not listed; False if it does not exist."""
    if ref in every:
        return True
    try:
        manifest = reader.manifest(ref)
    except NotFoundError:
        return False
    if ref.version not in reader.versions(ref.name):  # now: it may have been published meanwhile
        raise StoreError(
            f"The manifest of {ref} is there but is not listed: check the disk or the connection, "
            "and run again."
        )
    every[ref] = manifest
    return True


def _include_inputs(
    reader: StoreReader, every: dict[ArtifactRef, Manifest]
) -> dict[ArtifactRef, str]:
    """Read the inputs of all versions, and theirs; returns what is wrong with those of which."""
    lacking: dict[ArtifactRef, str] = {}
    waiting = list(every.values())
    for manifest in waiting:
        for bound in manifest.inputs:
            known = bound.ref in every
            if not _include(reader, every, bound.ref):
                why = f"it is an input of {manifest.ref}"
                lacking[manifest.ref] = _absent(bound.ref, why)
                continue
            if not known:
                waiting.append(every[bound.ref])
            if every[bound.ref].fingerprint != bound.fingerprint:
                lacking[manifest.ref] = (
                    f"{bound.ref} is not the version that {manifest.ref} was made from, as in "
                    "a mixture of two stores: run `repic verify` and `repic repair`."
                )
    return lacking


def _absent(ref: ArtifactRef, why: str) -> str:
    return (
        f"The manifest of {ref} is not there, although {why}: bring back the rest of the store, or "
        "run `repic verify` and `repic repair`."
    )
