"""What a version of the examples holds and lacks: everything to know before training.

Its rows, what answers that ignore the photos earn, what is missing for a recipe, and which rows
cannot be trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from repic.config import SPLITS, Settings
from repic.errors import RepicError
from repic.images.coordinates import QWEN3_VL
from repic.models.vlm import load
from repic.models.vlm.load import Reader
from repic.objectives import blind_captions, lazy_answers
from repic.objectives.base import Row
from repic.pipeline import recipe_check, suspects
from repic.pipeline.build import DATASET
from repic.pipeline.doctor import Finding
from repic.pipeline.recipe_check import RecipeLine
from repic.rewards import image_blind
from repic.rewards.image_blind import BlindEarning
from repic.training.checks import preflight
from repic.training.checks.preflight import RowProblem
from repic.training.dataset import reduced_row
from storage.manifest import ArtifactRef, Manifest
from storage.store import Store

UNBALANCED = 0.6
"""Reward of one word for all OCT rows above which its answers are too unequal."""

PAYS = 0.5
"""Reward of ICT captions that do not look above which the released rewards are warned about."""

SHOWN = 4
"""Settings that differ from the recipe, as a finding lists them."""


@dataclass(frozen=True)
class RowCount:
    """Number of rows of one kind in a split; `origin` is that of their references."""

    objective: str
    kind: str
    origin: str | None
    split: str
    rows: int


@dataclass(frozen=True)
class DatasetReport:
    """The result of `examine`.

    Attributes:
        examples: The version, as `examples@v3`.
        counts: Its rows by objective, kind, origin and split.
        blind: What the best answers that ignore the photos earn.
        recipe: What the recipe wants, and what is there.
        findings: What is right or wrong, with remedies.
        problems: Rows that cannot be trained on.
    """

    examples: str
    dataset: str | None
    model: str
    mode: str
    counts: tuple[RowCount, ...]
    blind: tuple[BlindEarning, ...]
    recipe: tuple[RecipeLine, ...]
    findings: tuple[Finding, ...]
    problems: tuple[RowProblem, ...]

    @property
    def has_errors(self) -> bool:
        """Whether something would stop training, or the recipe cannot be followed at all."""
        return any(finding.level == "error" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Everything, with the remedy of each problem."""
        problems = [{**asdict(problem), "remedy": problem.remedy} for problem in self.problems]
        lines = [{**asdict(line), "is_short": line.is_short} for line in self.recipe]
        return {**asdict(self), "recipe": lines, "problems": problems}


def examine(
    store: Store,
    examples: Manifest,
    settings: Settings,
    start: Callable[[str, int], None] = lambda phase, total: None,
    tick: Callable[[int], None] = lambda done: None,
) -> DatasetReport:
    """Look at every row of a version.

    Args:
        settings: `examples` is the recipe, `train` says how the rows are trained on.
        start: Called before the rows are looked at, with their number.
        tick: Called with the number of rows that were looked at since.
    """
    train = settings.train
    rows = [reduced_row(row, train.resize) for row in store.read(examples.ref).to_pylist()]
    dataset = _dataset_of(store, examples)
    start("preflight", len(rows))
    reader = _reader(settings)
    problems, of_rows = _preflight(rows, settings, reader, tick)
    convention = QWEN3_VL if isinstance(reader, Finding) else reader.convention
    blind = image_blind.measure(rows, train.mode, convention)
    lines = recipe_check.check(store, examples, dataset, settings.examples)
    findings = [
        of_rows,
        *_of_recipe(lines, recipe_check.differences(examples, settings.examples)),
        *_of_blind(rows, blind, train.mode),
        *_of_labels(store, examples),
    ]
    return DatasetReport(
        examples=str(examples.ref),
        dataset=str(dataset.ref) if dataset else None,
        model=train.model,
        mode=train.mode,
        counts=tuple(_counts(rows)),
        blind=tuple(blind),
        recipe=tuple(lines),
        findings=tuple(findings),
        problems=tuple(problems),
    )


def _dataset_of(store: Store, examples: Manifest) -> Manifest | None:
    """The newest dataset version that binds the examples."""
    for version in reversed(store.versions(DATASET)):
        dataset = store.manifest(ArtifactRef.exact(DATASET, version))
        if any(table.ref == examples.ref for table in dataset.inputs):
            return dataset
    return None


def _counts(rows: Sequence[Row]) -> Iterator[RowCount]:
    counts = Counter(
        (row["objective"], row["kind"], row.get("origin"), row["split"]) for row in rows
    )
    for key in sorted(counts, key=lambda k: (k[0], k[1], k[2] or "", SPLITS.index(k[3]))):
        yield RowCount(*key, counts[key])


def _reader(settings: Settings) -> Reader | Finding:
    """The processor of the model; why there is none, if it cannot be opened."""
    train = settings.train
    try:
        return load.reader(train.model, train.boxes, pixels=load.PixelLimits.of(train))
    except RepicError as error:
        remedy = "give another with --model; the other checks need none"
        return Finding("error", "model", str(error), remedy)


def _preflight(
    rows: Sequence[Row], settings: Settings, reader: Reader | Finding, tick: Callable[[int], None]
) -> tuple[list[RowProblem], Finding]:
    if isinstance(reader, Finding):
        return [], reader
    train = settings.train
    problems = preflight.examine(rows, reader, train.max_prompt_tokens, train.mode, tick)
    if not problems:
        found = f"all {len(rows)} rows can be trained on with {train.model}"
        return [], Finding("ok", "rows", found)
    wrong = len({problem.example_id for problem in problems})
    found = f"{wrong} of {len(rows)} rows cannot be trained on with {train.model}"
    remedies = dict.fromkeys(problem.remedy for problem in problems)
    return problems, Finding("error", "rows", found, "; ".join(remedies))


def _of_recipe(lines: Sequence[RecipeLine], differences: Sequence[str]) -> Iterator[Finding]:
    if differences:
        more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        yield Finding(
            "note",
            "recipe",
            f"the version was built without {', '.join(differences[:SHOWN])}{more}",
            "build with the profile that you train with",
        )
    for line in lines:
        wanted = line.wanted is not None and line.wanted > 0
        if line.is_short or (not line.rows and line.wanted is None):
            found = f"{line.rows} rows of train"
            found += f", and the recipe wants {line.wanted}" if wanted else ""
            for loss in line.losses[:1]:
                found += f"; {loss.stage}: {loss.count} {loss.what}"
            told = (loss.remedy for loss in line.losses if loss.remedy)
            remedy = next(told, recipe_check.ADD_PHOTOS)
            is_error = wanted and not line.rows and not line.kind
            yield Finding(
                "error" if is_error else "note",
                f"{line.objective} {line.kind}".strip(),
                found,
                "see ict" if line.kind else remedy,
            )
    if not any(line.is_short for line in lines):
        total = sum(line.rows for line in lines if not line.kind)
        yield Finding("ok", "recipe", f"{total} rows of train, all that it wants")


def _of_blind(
    rows: Sequence[Row], earnings: Sequence[BlindEarning], mode: str
) -> Iterator[Finding]:
    for earning in (earning for earning in earnings if earning.split == "train"):
        where = f"{earning.objective} without looking, {earning.split}"
        if earning.objective == "oct" and earning.reward > UNBALANCED:
            found = f"always {earning.answer} earns {earning.reward:.2f}"
            remedy = "examples.oct.negatives_per_positive=1 balances the answers; add photos"
            yield Finding("note", where, found, remedy)
        if earning.objective == "ict" and mode == "paper" and earning.reward > PAYS:
            found = f"{earning.answer} earns {earning.reward:.2f} of the released reward"
            remedy = "with train.mode=strict, names of absent ones cost"
            yield Finding("note", where, found, remedy)
    for score in lazy_answers.measure(rows):
        found = (
            f"one box for all {score.rows} photos has a mean IoU of {score.mean_iou:.3f}, and at "
            f"least 0.5 in {score.hits:.0%} of them"
        )
        remedy = (
            "the objects are in similar places: add photos, or lower examples.vlt.max_lazy_iou and "
            "build again"
        )
        where = f"vlt without looking, {score.split}"
        yield _blind_finding(where, found, remedy if score.too_high else "")
    if mode == "strict":
        yield from _of_blind_captions(rows)


def _of_blind_captions(rows: Sequence[Row]) -> Iterator[Finding]:
    """What names earn in ICT where the content of captions is not checked."""
    for result in blind_captions.measure(rows):
        found = (
            f"{result.rows - result.checked} of {result.rows} caption rows have no check of "
            f"content but, in {result.labelled}, a label; naming nobody earns {result.nobody:.2f}, "
            f"everybody {result.everybody:.2f}, the better for each number of names "
            f"{result.best:.2f}"
        )
        remedy = ""
        if result.too_high:
            suggested = blind_captions.suggested_shares(rows)
            shares = ", ".join(f"{kind}: {share:g}" for kind, share in suggested.items())
            remedy = (
                "give the photos captions and expressions, or build again with --set "
                "examples.ict.balance=true, or with --set "
                f'"examples.ict.shares={{{shares}}}"'
            )
        yield _blind_finding(f"ict without looking, {result.split}", found, remedy)


def _blind_finding(subject: str, found: str, remedy: str) -> Finding:
    return Finding("note" if remedy else "ok", subject, found, remedy)


def _of_labels(store: Store, examples: Manifest) -> Iterator[Finding]:
    for suspicion in suspects.of_examples(store, examples):
        yield Finding("note", "labels", suspicion.found, suspicion.remedy)
