"""Repair of a store from its own files: refs from manifests, lost versions from equal ones.

Nothing is deleted: a damaged or stray file moves to `damaged/`. What no file of the store holds any
more, such as a lost shard, has to be computed again; `mend` then gives it back to the versions that
lack it.
"""

from __future__ import annotations

from collections.abc import Iterator

from storage import documents, intact, integrity, refs, withdrawn
from storage.errors import DamagedError, StoreError
from storage.reader import MANIFESTS, manifest_path, parse_manifest_path
from storage.refs import Ref, Snapshot
from storage.store import Store


def set_aside(store: Store) -> list[str]:
    """Move stray files and damaged manifests to `damaged/`, and make the refs readable.

    Their version numbers are not given to other versions.

    Returns:
        What was done, a sentence each.

    Raises:
        StoreError: a file has a newer format, or the disk or its permissions prevent it.
    """
    with store.lease():
        store.forget()
        done = [_aside(store, path, "it is a folder") for path in integrity.misplaced(store.files)]
        for path in sorted(store.files.find(MANIFESTS)):
            exact = parse_manifest_path(path)
            if exact is None:
                done.append(_aside(store, path, "it is no manifest"))
                continue
            try:
                store.manifest(exact)
            except DamagedError as error:
                done.append(_aside(store, path, error.reason))
        return done + _restore_refs(store)


def mend(store: Store) -> list[str]:
    """Give lost files and manifests back to versions, from intact versions of equal content.

    Afterwards, refs to versions that are still lost move to the newest version that is left. If
    none is left, they stay: the rest of the store may be elsewhere, and gc deletes nothing.

    Returns:
        What was done, a sentence each.

    Raises:
        StoreError: a manifest cannot be read, or the store not written.
    """
    with store.lease():
        store.forget()
        done = [*_mend_tables(store), *_mend_inputs(store)]
        done += _drop_lost_refs(store)
        store.forget()
    store.changed()
    return done


def _aside(store: Store, path: str, why: str) -> str:
    return f"{path} was moved to {intact.set_aside(store.files, path)}, because {why}"


def _restore_refs(store: Store) -> list[str]:
    existing = refs.numbers(store.files)
    readable, damaged = [], []
    for number in existing:
        try:
            readable.append(refs.read(store.files, number))
        except DamagedError as error:
            damaged.append((refs.path(number), error.reason))
    strays = sorted(store.files.find(refs.FOLDER).keys() - {refs.path(n) for n in existing})
    done = []
    before = readable[-1] if readable else Snapshot()
    if not existing or before.number != existing[-1]:
        restored = _from_manifests(store, before)
        if existing or restored:
            number = existing[-1] + 1 if existing else 1
            after = Snapshot(number=number, why="repair", refs=restored)
            if not store.files.create(refs.path(number), documents.encode(after)):
                raise StoreError("Another process moved the refs meanwhile: repair again.")
            kept = f"tags are those of {refs.path(before.number)}" if readable else "tags are lost"
            done.append(f"{refs.path(number)} was written from the manifests; {kept}")
    done += [_aside(store, path, why) for path, why in damaged]
    return done + [_aside(store, path, "it is no snapshot of refs") for path in strays]


def _from_manifests(store: Store, before: Snapshot) -> dict[str, Ref]:
    """The refs of `before`, moved to what was published since.

    A dataset is published only if it is to become the latest, together with its tables; so is every
    version that no dataset binds.
    """
    since = before.created if before.number else None
    every = store.manifests()
    there = {manifest.ref for manifest in every}
    bound = {item.name for m in every if m.kind == "dataset" for item in m.inputs}
    after = dict(before.refs)
    for manifest in sorted(every, key=lambda manifest: manifest.created):
        if manifest.name in bound or (since and manifest.created <= since):
            continue
        if manifest.kind == "dataset" and any(item.ref not in there for item in manifest.inputs):
            continue
        moved = [manifest.ref]
        if manifest.kind == "dataset":
            moved += [item.ref for item in manifest.inputs]
        for ref in moved:
            after[ref.name] = after.get(ref.name, Ref()).moved("latest", ref.version or 0)
    return after


def _mend_tables(store: Store) -> Iterator[str]:
    """Tables with lost or damaged shards get those of an intact version of equal rows."""
    gone = withdrawn.find(store.files)
    for manifest in store.manifests():
        if manifest.kind != "table" or manifest.ref in gone or not store.faults(manifest):
            continue
        twin = store.find(manifest.name, manifest.fingerprint)
        if twin and twin.content == manifest.content:
            update = {
                name: getattr(twin, name) for name in ("shards", "columns", "arrow_schema", "key")
            }
            mended = manifest.model_copy(update=update)
            path = manifest_path(mended.name, mended.version)
            store.files.replace(path, documents.encode(mended))
            yield f"{mended.ref} has the shards of {twin.ref}, which has the same rows"


def _mend_inputs(store: Store) -> Iterator[str]:
    """A lost version that is an input of another comes back as a copy of an equal version."""
    every = store.manifests()
    there = {manifest.ref for manifest in every}
    for manifest in every:
        for item in manifest.inputs:
            if item.ref in there:
                continue
            twin = store.find(item.name, item.fingerprint)
            if twin:
                copy = twin.model_copy(update={"version": item.version})
                path = manifest_path(copy.name, copy.version)
                if store.files.create(path, documents.encode(copy)):
                    there.add(copy.ref)
                    yield f"{copy.ref} is back: {twin.ref} was made from the same"


def _drop_lost_refs(store: Store) -> list[str]:
    done: list[str] = []

    def change(before: refs.Refs) -> dict[str, Ref]:
        done.clear()
        after = {}
        for name, ref in before.items():
            left = store.versions(name)
            if not left:  # as in an incomplete copy: these refs tell gc that something is missing
                after[name] = ref
                continue
            for tag, version in ref.tags.items():
                if version not in left:
                    done.append(f"{name}@{tag} named {name}@v{version}, which is lost: tag again")
            latest = ref.latest
            if latest and latest not in left:
                latest = left[-1]
                done.append(
                    f"{name}@latest named v{ref.latest}, which is lost, and is v{latest} now: run "
                    "the command again that made it"
                )
            tags = {tag: version for tag, version in ref.tags.items() if version in left}
            after[name] = Ref(latest=latest, tags=tags)
        return after

    refs.move(store.files, change, "repair")
    return done
