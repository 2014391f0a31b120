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
from repic.objectives.base import Row
from repic.pipeline import recipe_check, suspects
from repic.pipeline.build import DATASET
from repic.pipeline.doctor import Finding
from repic.pipeline.recipe_check import RecipeLine
from repic.rewards import image_blind
from repic.rewards.image_blind import BlindEarning
from repic.training.checks import blind_findings, preflight
from repic.training.checks.preflight import RowProblem
from repic.training.dataset import reduced_row
from storage.manifest import ArtifactRef, Manifest
from storage.store import Store

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
        lines = [
            {**asdict(line), "is_short": line.is_short, "is_over": line.is_over}
            for line in self.recipe
        ]
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
    lines = recipe_check.check(store, examples, dataset, settings.examples, rows)
    findings = [
        of_rows,
        *of_recipe(
            lines,
            recipe_check.differences(examples, settings.examples),
            recipe_check.gave_way(examples, rows),
        ),
        *blind_findings.of_version(examples, rows, blind, train.mode, convention),
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


def of_recipe(
    lines: Sequence[RecipeLine], differences: Sequence[str], some_gave_way: bool
) -> Iterator[Finding]:
    """What is missing for a recipe, and what is there beyond it.

    Args:
        differences: Settings of the recipe with which the version was not made.
        some_gave_way: Whether caption rows gave way to absent ones (`ict.balance`).
    """
    if differences:
        more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        yield Finding(
            "note",
            "recipe",
            f"the version was built without {', '.join(differences[:SHOWN])}{more}",
            recipe_check.BUILD,
        )
    for line in lines:
        if line.is_short or (not line.rows and line.wanted is None):
            yield _shortfall(line)
    if above := [line for line in lines if line.is_over]:
        total = sum(line.rows for line in lines if not line.kind)
        remedy = recipe_check.BUILD
        if not differences:
            why = "they take the place of kinds that are missing"
            if some_gave_way:
                why = "captions and expressions make the absent rows of ict.balance needless"
            remedy = f"none is needed; {why}"
        yield Finding("note", "above the recipe", _excess(above, total), remedy)
    if not any(line.is_short or line.is_over for line in lines):
        total = sum(line.rows for line in lines if not line.kind)
        yield Finding("ok", "recipe", f"{total} rows of train, as it wants")


def _shortfall(line: RecipeLine) -> Finding:
    found = f"{line.rows} rows of train"
    found += f", and the recipe wants {line.wanted}" if line.wanted else ""
    for loss in line.losses[:1]:
        found += f"; {loss.stage}: {loss.count} {loss.what}"
    told = (loss.remedy for loss in line.losses if loss.remedy)
    is_error = line.wanted and not line.rows and not line.kind
    subject = f"{line.objective} {line.kind}".strip()
    return Finding(
        "error" if is_error else "note", subject, found, next(told, recipe_check.ADD_PHOTOS)
    )


def _excess(above: Sequence[RecipeLine], rows: int) -> str:
    found = []
    for line in above:
        share = "" if line.kind else f" ({line.rows / rows:.0%} of all)"
        subject = f"{line.objective} {line.kind}".strip()
        found.append(f"{subject} {line.rows}{share} instead of {line.wanted}")
    return "rows of train: " + "; ".join(found)


def _of_labels(store: Store, examples: Manifest) -> Iterator[Finding]:
    for suspicion in suspects.of_examples(store, examples):
        yield Finding("note", "labels", suspicion.found, suspicion.remedy)
