"""What the evaluate commands print about short answers: recognition and VQA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from repic.cli.common import UserError, err, out, print_json, print_rows

if TYPE_CHECKING:
    from repic.config import Settings
    from repic.evaluation.answers.run import AnswerResult
    from storage.store import Store


def ask(model: str, settings: Settings, store: Store, as_json: bool) -> None:
    """Ask a model the questions of the task, publish the answers and print the scores."""
    from repic.cli.progress import RunProgress
    from repic.evaluation.answers import run

    with RunProgress(err()) as progress:
        result = run.run(model, settings, store, progress)
    if as_json:
        print_json(result.as_json())
        return
    verb = "Published" if result.is_new else "Nothing new: this is"
    out().print(
        f"{verb} {result.ref}: {result.task} of {result.model} on {result.suite}, "
        f"{len(result.rows)} questions; in percent, 95 % intervals, clustered by photo",
    )
    _print(result)


def _print(result: AnswerResult) -> None:
    from repic.evaluation.metrics import format_interval, format_value

    rows = [
        (
            part,
            name,
            format_value(name, score.value),
            format_interval(name, score.low, score.high),
            f"{score.n} {score.unit if score.n == 1 else _plural(score.unit)}",
        )
        for part, scores in result.estimates.items()
        for name, score in scores.items()
        if score.n and score.value is not None
    ]
    print_rows(["part", "score", "value", "95 % interval", "n"], rows)


def _plural(unit: str) -> str:
    first, *rest = unit.split(" ")
    return " ".join([f"{first}s", *rest])


def compare(store: Store, refs: Sequence[str], as_json: bool) -> None:
    """Print the differences of versions of answers from the first one."""
    from repic.evaluation.answers import run, scores

    results = [run.load(store, ref) for ref in refs]
    if len({result.task for result in results}) > 1:
        raise UserError("the versions answer different tasks; compare two of the same task")
    first, *others = results
    differences = [(other, scores.compare(first.rows, other.rows)) for other in others]
    if as_json:
        print_json(
            [
                {
                    "first": first.ref,
                    "second": other.ref,
                    **{name: change.as_json() for name, change in named.items()},
                }
                for other, named in differences
            ]
        )
        return
    for result in results:
        out().print(f"{result.ref}: {result.model} on {result.suite}")
        _print(result)
    for other, named in differences:
        _print_differences(first.ref, other.ref, named)


def _print_differences(first: str, second: str, named: dict[str, Any]) -> None:
    from repic.evaluation.metrics import format_interval, format_value

    out().print(f"{second} minus {first} on the questions of both")
    rows = [
        (
            name,
            format_value(name, change.value),
            format_interval(name, change.low, change.high),
            "-" if change.p is None else f"{change.p:.4f}",
            change.n,
        )
        for name, change in named.items()
        if change.value is not None
    ]
    print_rows(["score", "difference", "95 % interval", "p", "n"], rows)
