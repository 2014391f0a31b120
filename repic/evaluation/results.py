"""Published evaluations: their scores with intervals, and models side by side.

result = load(store, "evaluation@latest")
result.score("f1", "mixed")                      # Estimate(value, low, high, n, unit)
compare(load(store, "evaluation@v1"), result)    # differences, paired by question
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from repic.errors import CaptionError
from repic.evaluation.intervals import Difference, Estimate, paired_test, sum_by_photo
from repic.evaluation.name_accuracy import COLUMNS
from repic.evaluation.score import ALL, counts_of_row
from storage.errors import NotFoundError, StoreError
from storage.manifest import Manifest
from storage.store import Store

NAME = "evaluation"
SUMMARY = "evaluation.json"
METRICS = ("strict", "paper", "quality", "facts", "reference", "retrieval")
PLOTTED = "f1"

Estimates = Mapping[tuple[str, str], Mapping[str, Estimate]]
"""(protocol, part) -> score -> estimate."""


@dataclass(frozen=True)
class EvaluationResult:
    """One published version of an evaluation.

    Attributes:
        manifest: Of the version; its inputs are the tables.
        is_new: False if the same evaluation had been published before.
    """

    store: Store
    manifest: Manifest
    is_new: bool = False

    @property
    def ref(self) -> str:
        """Such as `evaluation@v3`."""
        return str(self.manifest.ref)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Model, suite, protocols, remarks, threshold and retrieval curve.

        Raises:
            StoreError: It cannot be read.
        """
        data = self.store.read_file(self.manifest.ref, SUMMARY)
        try:
            summary: dict[str, Any] = {**json.loads(data)}
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"{SUMMARY} of {self.ref} cannot be read ({error}): evaluate the model again."
            ) from None
        return summary

    @property
    def model(self) -> str:
        """The model's name, as it was given."""
        return str(self.summary["model"])

    @property
    def suite(self) -> str:
        """Name of the suite."""
        return str(self.summary["suite"])

    @cached_property
    def protocols(self) -> tuple[str, ...]:
        """Protocols, in the order of the settings."""
        return tuple(self.summary["protocols"])

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Parts of the suite, without `all`."""
        return tuple(sorted({row["part"] for row in self.rows("metrics")} - {ALL}))

    def table(self, name: str) -> str:
        """The exact version of one of the tables: captions, scores, metrics.

        Raises:
            StoreError: The evaluation has no such table.
        """
        for bound in self.manifest.inputs:
            if bound.name == name:
                return str(bound.ref)
        raise StoreError(f"{self.ref} has no table of {name}: evaluate the model again.")

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Rows of one of the tables: captions, scores, metrics."""
        return self.store.read(self.table(name)).to_pylist()

    def estimates(self, metric: str = "strict") -> Estimates:
        """All scores of a metric by protocol and part.

        Args:
            metric: strict, paper, quality, facts, reference or retrieval.
        """
        estimates: dict[tuple[str, str], dict[str, Estimate]] = {}
        for row in self.rows("metrics"):
            if row["metric"] == metric:
                estimate = Estimate(row["value"], row["low"], row["high"], row["n"], row["unit"])
                key = row["protocol"], row["part"]
                estimates.setdefault(key, {})[row["score"]] = estimate
        return estimates

    def as_json(self) -> dict[str, Any]:
        """What `repic evaluate run --json` prints."""
        return {
            "evaluation": self.ref,
            "is_new": self.is_new,
            **{key: value for key, value in self.summary.items() if key != "curve"},
            **{
                metric: [
                    {"protocol": protocol, "part": part}
                    | {name: score.as_json() for name, score in named.items()}
                    for (protocol, part), named in self.estimates(metric).items()
                ]
                for metric in METRICS
            },
        }

    def score(
        self, name: str, protocol: str, part: str | None = None, metric: str = "strict"
    ) -> Estimate:
        """One score.

        Args:
            name: A score of the metric; see `repic.evaluation.name_accuracy.COLUMNS` for `strict`.
            part: A part of the suite; by default all parts together.

        Raises:
            CaptionError: It was not measured.
        """
        estimates = self.estimates(metric)
        for candidate in [part] if part else [ALL, *self.parts]:
            if estimate := estimates.get((protocol, candidate), {}).get(name):
                return estimate
        raise CaptionError(f"{self.ref} has no {metric} {name} of {protocol} {part or ''}".rstrip())


@dataclass(frozen=True)
class ComparedScore:
    """One score of one model in one protocol, and its difference from the first model's.

    Attributes:
        difference: Paired by question, clustered by photo; None for the first model.
    """

    model: str
    ref: str
    protocol: str
    part: str
    score: str
    value: Estimate
    difference: Difference | None


def load(store: Store, ref: str) -> EvaluationResult:
    """A published evaluation.

    Raises:
        StoreError: The version does not exist, or is not an evaluation.
    """
    manifest = store.manifest(ref)
    if manifest.name != NAME:
        raise StoreError(
            f"{manifest.ref} is not an evaluation: give evaluation@v..., see `repic log`"
        )
    return EvaluationResult(store, manifest)


def find(store: Store, name: str, suite: str | None = None) -> EvaluationResult:
    """The evaluation with a reference, or the newest one of a model.

    Args:
        name: `evaluation@v3`, or a model's name as it was evaluated.
        suite: Only evaluations on this suite, for a model's name.

    Raises:
        CaptionError: The model was not evaluated.
        StoreError: The version does not exist.
    """
    kind, at, _ = name.partition("@")
    if kind == NAME:
        return load(store, name)
    if at and not Path(name).exists():  # a model may be a folder
        name = str(store.resolve(name))
    for version in reversed(store.versions(NAME)):
        try:
            result = load(store, f"{NAME}@v{version}")
        except NotFoundError:  # withdrawn
            continue
        if result.model == name and suite in (None, result.suite):
            return result
    raise CaptionError(
        f"{name} was not evaluated{f' on {suite}' if suite else ''} in this store: run "
        f"`repic evaluate run --model {name}`, or give evaluation@v..."
    )


def compare(
    first: EvaluationResult,
    second: EvaluationResult,
    protocol: str | None = None,
    part: str | None = None,
) -> dict[str, Difference]:
    """Score -> second minus first, on the questions of both; paired by photo.

    Args:
        protocol, part: Only these questions; by default all.

    Raises:
        CaptionError: The evaluations share no question.
    """
    by_question = [
        {
            row["question_id"]: row
            for row in result.rows("scores")
            if protocol in (None, row["protocol"]) and part in (None, ALL, row["part"])
        }
        for result in (first, second)
    ]
    common = sorted(by_question[0].keys() & by_question[1].keys())
    if not common:
        raise CaptionError(
            f"{first.ref} and {second.ref} share no question: evaluate both on the same suite, "
            "with the same seed, layout and retrieval"
        )
    sums = [
        sum_by_photo((counts_of_row(rows[key]) for key in common), len(COLUMNS))
        for rows in by_question
    ]
    return dict(zip(COLUMNS, paired_test(sums[0], sums[1]), strict=True))


def side_by_side(
    results: Sequence[EvaluationResult], scores: Sequence[str], parts: bool = False
) -> list[ComparedScore]:
    """Scores of all models by protocol, each compared with the first model.

    Args:
        parts: Add the scores of each part of the suite.

    Raises:
        CaptionError: Two evaluations share no question.
    """
    first = results[0]
    compared = []
    for protocol in first.protocols:
        for part in [None, *(first.parts if parts and len(first.parts) > 1 else ())]:
            for result in results:
                if protocol not in result.protocols:
                    continue
                differences = compare(first, result, protocol, part) if result is not first else {}
                for name in scores:
                    value = result.score(name, protocol, part)
                    if value.n:
                        compared.append(
                            ComparedScore(
                                result.model,
                                result.ref,
                                protocol,
                                part or ALL,
                                name,
                                value,
                                differences.get(name),
                            )
                        )
    return compared


def plot(path: Path, compared: Sequence[ComparedScore], score: str = PLOTTED) -> None:
    """Write a bar chart of a score by protocol with intervals, one colour per model.

    Args:
        path: Ends in .png, .svg or .pdf.

    Raises:
        CaptionError: The path has another ending.
    """
    from matplotlib.figure import Figure

    if path.suffix not in (".png", ".svg", ".pdf"):
        raise CaptionError(
            f"{path} is not a .png, .svg or .pdf; give the plot one of these endings"
        )
    plotted = [entry for entry in compared if entry.score == score and entry.part == ALL]
    protocols = list(dict.fromkeys(entry.protocol for entry in plotted))
    models = list(dict.fromkeys((entry.ref, entry.model) for entry in plotted))
    width = 0.8 / max(1, len(models))
    figure = Figure(figsize=(2 + 1.6 * len(protocols), 3.6), layout="constrained")
    axes = figure.add_subplot()
    for k, (ref, model) in enumerate(models):
        own = {entry.protocol: entry.value for entry in plotted if entry.ref == ref}
        offset = width * (k - (len(models) - 1) / 2)
        positions = [p + offset for p, name in enumerate(protocols) if name in own]
        values = [100 * (own[name].value or 0.0) for name in protocols if name in own]
        bounds: list[list[float]] = [[], []]
        for name in protocols:
            if name in own:
                value, low, high = own[name].value or 0.0, own[name].low, own[name].high
                # Where all photos agree, a bound may be on the wrong side by a rounding error.
                bounds[0].append(0.0 if low is None else max(0.0, 100 * (value - low)))
                bounds[1].append(0.0 if high is None else max(0.0, 100 * (high - value)))
        axes.bar(positions, values, width, label=f"{model} ({ref})", yerr=bounds, capsize=2)
    axes.set_xticks(range(len(protocols)), protocols, fontsize=8)
    axes.set_ylabel(f"strict {score}, %")
    axes.set_ylim(0, 105)
    axes.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=120)
