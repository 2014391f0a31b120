"""Twelve photos, small models, prepared stores, and what undisturbed commands make of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from repic import cli, config
from repic.mining.splits import split_of
from repic.sample import photo_files
from repic.sample.world import World as Painter
from storage.errors import NotFoundError
from storage.store import Store
from tests.builds import Album
from tests.random_models import open_clip_folder
from tests.random_vlms import qwen2_5_vl_folder
from tests.torture.processes import Outcome, forked

PHOTOS, MORE, IDENTITIES = 12, 3, 5

State = Mapping[str, str]
"""Artifact -> hash of what a reader of its latest version gets."""

SETTINGS = ("--set=runtime.shard_rows=4", "--set=examples.total=30")

TIMED = ("log.json", "curves.png", "training.html")
"""Files of a checkpoint that hold the seconds of its steps."""

TRAIN = (
    *("train.measure.per_objective=2", "train.measure.batch_size=6", "train.lora.rank=2"),
    *("trainer.num_generations=4", "trainer.per_device_train_batch_size=4"),
    *("train.prompts_per_step=1", "trainer.max_completion_length=6"),
    *("trainer.max_steps=3", "trainer.save_steps=1", "trainer.use_cpu=true"),
)


@dataclass(frozen=True)
class Work:
    """A command that faults go into.

    Attributes:
        store: Name of the prepared store that it works on; empty: it makes a new one.
        arguments: Of `repic`, without `--store`.
        before: State of the prepared store.
        after: State after the undisturbed command.
        seconds: Its wall time.
        damaged: The prepared store has damage, which the command repairs.
    """

    name: str
    store: str
    arguments: tuple[str, ...]
    damaged: bool = False
    before: State = field(default_factory=dict)
    after: State = field(default_factory=dict)
    seconds: float = 0.0


class World:
    """Everything lies in one folder: photos, models, prepared stores, and the stores of trials."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        for variable, name in (("TMPDIR", "tmp"), ("XDG_CACHE_HOME", "cache")):
            (self.folder / name).mkdir(parents=True)
            os.environ[variable] = str(self.folder / name)
        self.album = self._album()
        self.grown = replace(self.album.copy(self.folder / "grown")).grown()
        self.works: dict[str, Work] = {}

    def prepare(self, names: set[str]) -> None:
        """Make the stores, and run each work undisturbed; the models stay in this process."""
        run(self.build(), self.folder / "warm")
        expect(forked(lambda: run(self.build(), self.stores("one"))))
        shutil.copytree(self.stores("one"), self.stores("two"))
        expect(forked(lambda: run(self.build(self.grown), self.stores("two"))))
        shutil.copytree(self.stores("two"), self.stores("damaged"))
        self._litter(self.stores("two"))
        self._damage(self.stores("damaged"))
        for work in self._works():
            if work.name in names:
                self.works[work.name] = self.measured(work)

    def measured(self, work: Work) -> Work:
        """The work with its states and time, from a run without faults."""
        store = self.trial(work.store)
        before: State = {} if work.damaged else expect(forked(lambda: state(store)))
        clock = os.times().elapsed
        done = expect(forked(lambda: run(work.arguments, store)))
        seconds = os.times().elapsed - clock
        if done[0] != 0:
            raise RuntimeError(f"{work.name} fails without faults: {done[1]}")
        after: State = expect(forked(lambda: state(store)))
        self.discard(store)
        return replace(work, before=before, after=after, seconds=seconds)

    def stores(self, name: str) -> Path:
        """Folder of a prepared store."""
        return self.folder / "stores" / name

    def trial(self, name: str) -> Path:
        """A store to break: a copy of a prepared one, or a place for a new one."""
        place = self.folder / "trials" / uuid.uuid4().hex[:8] / "store"
        place.parent.mkdir(parents=True)
        if name:
            shutil.copytree(self.stores(name), place)
        return place

    def discard(self, store: Path) -> None:
        """Remove the store of a trial."""
        shutil.rmtree(store.parent, ignore_errors=True)

    def build(self, album: Album | None = None, *changes: str) -> tuple[str, ...]:
        """Arguments of a build."""
        changed = (f"--set={change}" for change in changes)
        return (*(album or self.album).arguments, *SETTINGS, *changed)

    def _works(self) -> tuple[Work, ...]:
        model = self.folder / "vlm"
        if not model.exists():
            qwen2_5_vl_folder(model)
        train = ("train", "--profile=photos", f"--model={model}", *(f"--set={c}" for c in TRAIN))
        evaluate = (
            *("evaluate", "run", f"--model={model}", "--photos=8", "--protocol=skip-retrieval"),
            *("--set=evaluate.max_new_tokens=3", "--set=evaluate.clip_score=false"),
        )
        return (
            Work("first build", "", self.build()),
            Work("build", "one", self.build(self.grown)),
            Work("gc", "two", ("gc", "--apply", "--keep=1")),
            Work("repair", "damaged", ("repair",), damaged=True),
            Work("train", "one", train),
            Work("evaluate", "one", evaluate),
        )

    def _album(self) -> Album:
        painter = Painter(96, seed=3)
        plans = painter.dataset(
            PHOTOS + MORE, IDENTITIES, lambda name: split_of(name, config.SplitSettings())
        )
        entries = photo_files.read(photo_files.write(painter, plans, self.folder / "world"))
        shutil.copytree(self.folder / "world" / "photos", self.folder / "album" / "photos")
        encoder = open_clip_folder(self.folder / "encoder")
        first, rest = tuple(entries[:PHOTOS]), tuple(entries[PHOTOS:])
        return Album(self.folder / "album", encoder, first, rest).written()

    def _litter(self, store: Path) -> None:
        """Leave what killed processes leave: files that gc removes."""
        for number, folder in enumerate(("shards/pairs", "parts/probes/abc", "tmp", "files")):
            (store / folder).mkdir(parents=True, exist_ok=True)
            (store / folder / f"{number}.parquet").write_bytes(b"left behind")

    def _damage(self, store: Path) -> None:
        """Lose a shard and a kept result, flip a bit of each kind, and lose all refs."""
        for folder in ("shards/examples", "shards/pairs", "parts/embeddings", "parts/probes"):
            files = sorted(p for p in (store / folder).rglob("*") if p.is_file())
            files[0].unlink()
            data = bytearray(files[-1].read_bytes())
            data[len(data) // 2] ^= 1
            files[-1].write_bytes(data)
        shutil.rmtree(store / "refs")


def run(arguments: tuple[str, ...], store: Path) -> tuple[int, str]:
    """Run `repic` in this process: exit code, and what it said on standard error."""
    sys.argv = ["repic", *arguments, f"--store={store}"]
    said = io.StringIO()
    code: object = 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    return (code if isinstance(code, int) else 1), said.getvalue()[-2000:]


def expect(outcome: Outcome) -> object:
    """The value of a process that must not fail."""
    if outcome.kind != "done":
        raise RuntimeError(f"{outcome.kind}: {outcome.error}\n{outcome.trace}")
    return outcome.value


def state(store: Path | Store) -> State:
    """What a reader of the latest versions gets, independent of the hashes in manifests."""
    if isinstance(store, Path):
        try:
            store = Store.open(store)
        except NotFoundError:
            return {}
    current = store.current().refs
    return {name: content(store, f"{name}@v{ref.latest}") for name, ref in current.items()}


def content(store: Store, ref: str) -> str:
    """Hash of the rows of a table, of the files of a checkpoint, or of a dataset's tables."""
    manifest = store.manifest(ref)
    digest = hashlib.sha256()
    if manifest.kind == "table":
        digest.update(rows_of(store.read(manifest.ref), manifest.key))
    elif manifest.kind == "dataset":
        bound = sorted((made.name, content(store, str(made.ref))) for made in manifest.inputs)
        digest.update(repr(bound).encode())
    else:
        for file in manifest.files:
            if file.name.startswith(TIMED):
                continue
            with store.files.open(file.path) as handle:
                digest.update(file.name.encode() + hashlib.sha256(handle.read()).digest())
    return digest.hexdigest()


def rows_of(table: pa.Table, key: tuple[str, ...]) -> bytes:
    """Rows as bytes, in order of their keys."""
    rows = table.to_pylist()
    return repr(sorted(rows, key=lambda row: [str(row[column]) for column in key])).encode()
