"""Models side by side: one table and one plot, each model against the first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repic.errors import CaptionError
from repic.evaluate.intervals import Difference
from repic.evaluate.metrics import Score
from repic.evaluate.results import NAME, Evaluated, compare, load
from repic.evaluate.score import ALL
from storage.store import Store

PLOTTED = "f1"


@dataclass(frozen=True)
class Line:
    """One score of one model in one protocol, and how it differs from the first model's.

    Attributes:
        difference: Paired by question, clustered by photo; None for the first model.
    """

    model: str
    ref: str
    protocol: str
    part: str
    score: str
    value: Score
    difference: Difference | None


def find(store: Store, name: str, suite: str | None = None) -> Evaluated:
    """The evaluation that a reference or a model's name means.

    Args:
        name: `evaluation@v3`, or a model as it was evaluated: its newest evaluation.
        suite: Only of this suite, where a model is named.

    Raises:
        CaptionError: the model was never evaluated so.
        StoreError: there is no such version.
    """
    kind, at, _ = name.partition("@")
    if kind == NAME:
        return load(store, name)
    if at and not Path(name).exists():  # a model may be a folder
        name = str(store.resolve(name))
    for version in reversed(store.versions(NAME)):
        found = load(store, f"{NAME}@v{version}")
        if found.model == name and suite in (None, found.suite):
            return found
    raise CaptionError(
        f"{name} was not evaluated{f' on {suite}' if suite else ''} in this store: run "
        f"`repic evaluate run --model {name}`, or give evaluation@v..."
    )


def lines(found: Sequence[Evaluated], scores: Sequence[str], parts: bool = False) -> list[Line]:
    """All scores of all models, protocol after protocol.

    Args:
        parts: Each part of the suite as well.

    Raises:
        CaptionError: two share no question.
    """
    first = found[0]
    made = []
    for protocol in first.protocols:
        for part in [None, *(first.parts if parts and len(first.parts) > 1 else ())]:
            for one in found:
                if protocol not in one.protocols:
                    continue
                differences = compare(first, one, protocol, part) if one is not first else {}
                for name in scores:
                    value = one.score(name, protocol, part)
                    if value.n:
                        made.append(
                            Line(
                                one.model,
                                one.ref,
                                protocol,
                                part or ALL,
                                name,
                                value,
                                differences.get(name),
                            )
                        )
    return made


def plot(path: Path, made: Sequence[Line], score: str = PLOTTED) -> None:
    """A score by protocol as bars with intervals, one colour per model; PNG, SVG or PDF.

    Raises:
        CaptionError: the file's ending is none of these.
    """
    from matplotlib.figure import Figure

    if path.suffix not in (".png", ".svg", ".pdf"):
        raise CaptionError(f"{path} is no .png, .svg or .pdf; give the plot one of these endings")
    kept = [line for line in made if line.score == score and line.part == ALL]
    protocols = list(dict.fromkeys(line.protocol for line in kept))
    models = list(dict.fromkeys((line.ref, line.model) for line in kept))
    width = 0.8 / max(1, len(models))
    figure = Figure(figsize=(2 + 1.6 * len(protocols), 3.6), layout="constrained")
    axes = figure.add_subplot()
    for k, (ref, model) in enumerate(models):
        ours = {line.protocol: line.value for line in kept if line.ref == ref}
        at = [p + width * (k - (len(models) - 1) / 2) for p, n in enumerate(protocols) if n in ours]
        values = [100 * (ours[n].value or 0.0) for n in protocols if n in ours]
        bounds: list[list[float]] = [[], []]
        for name in protocols:
            if name in ours:
                value, low, high = ours[name].value or 0.0, ours[name].low, ours[name].high
                bounds[0].append(100 * (value - (value if low is None else low)))
                bounds[1].append(100 * ((value if high is None else high) - value))
        axes.bar(at, values, width, label=f"{model} ({ref})", yerr=bounds, capsize=2)
    axes.set_xticks(range(len(protocols)), protocols, fontsize=8)
    axes.set_ylabel(f"strict {score}, %")
    axes.set_ylim(0, 105)
    axes.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=120)
