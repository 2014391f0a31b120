"""Commands that score files of captions: evaluate captions, evaluate compare-captions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from repic.cli.common import (
    CaptionsOption,
    FactsOption,
    JsonOption,
    StripOption,
    UserError,
    err,
    out,
    print_json,
    print_rows,
    wrappers_option,
)

if TYPE_CHECKING:
    from repic.config import JudgeSettings
    from repic.evaluation.intervals import Estimate
    from repic.evaluation.metrics import CaptionComparison, CaptionScores
    from repic.evaluation.records import CaptionFile

File = Annotated[Path, typer.Argument(help="JSON or JSON lines: photo, concepts, caption.")]
Metric = Annotated[
    Literal["strict", "paper"],
    typer.Option(help="Our metric, or that of the released scripts, with its loopholes."),
]
Concepts = Annotated[
    int | None,
    typer.Option(
        "--concepts",
        help="Concepts per photo, which select the paper's script; by default read from the rows.",
    ),
]
NO_REFERENCES = (
    "no caption lists its references, so which concepts are absent is not known: absent_facts and "
    'net_facts are not computed; `"references": ["Ann", "Bob"]` in each row lists them'
)
JudgeModel = Annotated[str, typer.Option(help="Model to request from the endpoint.")]
JudgeKey = Annotated[
    str | None, typer.Option(help="Environment variable that holds the endpoint's key.")
]


def add_to(group: typer.Typer) -> None:
    """Register the commands in the group `evaluate`."""
    for command in (captions, compare_captions):
        group.command()(command)


def captions(
    file: File,
    metric: Metric = "strict",
    concepts: Concepts = None,
    references: Annotated[
        Path | None,
        typer.Option(help="Concept file with the text of each reference; adds the copy rate."),
    ] = None,
    captions: CaptionsOption = None,
    facts: FactsOption = None,
    judge: Annotated[
        str | None,
        typer.Option(help="OpenAI-compatible endpoint of a model that reads the facts."),
    ] = None,
    judge_model: JudgeModel = "",
    judge_key_env: JudgeKey = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the photos; adds CLIPScore.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="Profile whose encoder computes CLIPScore.")
    ] = "sample",
    strip: StripOption = "",
    as_json: JsonOption = False,
) -> None:
    """Score a file of captions: precision, recall and F1 of the names, with intervals.

    The strict metric also reports false mentions, claims about who is what, and caption quality.

    With --facts also right and wrong facts that a reader of the captions alone learns.
    With --captions also BLEU, ROUGE-L and CIDEr against reference captions, as pycocoevalcap.

    Example: repic evaluate captions captions.json --metric paper --json
    """
    from repic.evaluation.metrics import measure
    from repic.evaluation.records import CaptionFile
    from repic.models.devices import usable_cores

    records = CaptionFile(file, wrappers_option(strip))
    report = measure(records, metric, concepts, workers=usable_cores())
    extra: dict[str, dict[str, Estimate]] = {"quality": {}}
    if metric == "strict":
        extra["quality"] = _quality(records, references)
    if images is not None:
        extra["quality"]["clip_score"] = _clip_score(records, images, profile)
    if captions is not None:
        from repic.evaluation.reference_files import read_reference_captions
        from repic.evaluation.reference_scores import reference_scores

        extra["references"] = reference_scores(records, read_reference_captions(captions))
    if facts is not None:
        extra["facts"] = _facts(records, facts, _judge(judge, judge_model, judge_key_env))
        if not extra["facts"]["net_facts"].n:
            err().print(f"note: {NO_REFERENCES}")
    elif judge:
        raise UserError("--judge reads facts: give --facts FILE, too")
    for remark in report.remarks:
        err().print(f"note: {remark}")
    if as_json:
        print_json(report.as_json() | _as_json(extra))
        return
    _print_summary(file, report)
    print_rows(*_table(report.scores, *extra.values()))


def _quality(records: CaptionFile, references: Path | None) -> dict[str, Estimate]:
    from repic.evaluation.caption_quality import text_quality
    from repic.evaluation.records import reference_texts

    return text_quality(records, reference_texts(references) if references else None)


def _judge(url: str | None, model: str, key_env: str | None) -> JudgeSettings | None:
    if not url:
        return None
    from repic import config

    judge = {"url": url, "model": model, "api_key_env": key_env}
    return config.load("sample", rewards={"judge": judge}).rewards.judge


def _facts(records: CaptionFile, file: Path, judge: JudgeSettings | None) -> dict[str, Estimate]:
    from repic.evaluation.caption_facts import JudgeReader, WordReader, fact_scores, read_facts

    return fact_scores(records, read_facts(file), JudgeReader(judge) if judge else WordReader())


def _as_json(extra: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    return {
        kind: {name: score.as_json() for name, score in scores.items()}
        for kind, scores in extra.items()
        if scores
    }


def compare_captions(
    first: Annotated[Path, typer.Argument(help="Captions of model A.")],
    second: Annotated[Path, typer.Argument(help="Captions of model B, of the same photos.")],
    metric: Metric = "strict",
    concepts: Concepts = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible endpoint of a judge that also compares them in pairs."
        ),
    ] = None,
    judge_model: JudgeModel = "",
    judge_key_env: JudgeKey = None,
    strip: StripOption = "",
    as_json: JsonOption = False,
) -> None:
    """Test whether B differs from A: paired by photo, permutation p-values, bootstrap intervals.

    Example: repic evaluate compare-captions zero_shot.json ours.json
    """
    from repic.evaluation.metrics import compare_models
    from repic.evaluation.records import CaptionFile

    wrappers = wrappers_option(strip)
    files = CaptionFile(first, wrappers), CaptionFile(second, wrappers)
    comparison = compare_models(*files, metric, concepts)
    preferred = None
    settings = _judge(judge, judge_model, judge_key_env)
    if settings:
        from repic.evaluation.caption_quality import judge_preference

        preferred = judge_preference(*files, settings)
    if comparison.left_out:
        err().print(f"note: {comparison.left_out} captions are in one file only")
    if as_json:
        print_json(_comparison(comparison, preferred))
        return
    _print_comparison(first, second, comparison)
    if preferred is not None:
        print_rows(*_table({"B preferred by the judge": preferred}))


def _clip_score(records: Any, images: Path, profile: str) -> Estimate:
    from repic import config
    from repic.evaluation.caption_quality import mean_clip_score
    from repic.models import encoder

    if not images.is_dir():
        raise UserError(f"there is no folder {images}; --images names the folder of the photos")
    settings = config.load(profile)
    return mean_clip_score(records, images, encoder.load(settings.encoder, settings.runtime))


def _print_summary(file: Path, report: CaptionScores) -> None:
    rule = f", the script for {report.concepts}" if report.metric == "paper" else ""
    out().print(
        f"{file}: {report.metric} metric{rule}; {report.captions} captions of {report.photos} "
        "photos; 95 % intervals, clustered by photo",
    )


def _table(*groups: Mapping[str, Estimate]) -> tuple[list[str], list[tuple[Any, ...]]]:
    from repic.evaluation.metrics import format_interval, format_value

    rows = [
        (
            name,
            format_value(name, score.value),
            format_interval(name, score.low, score.high),
            f"{score.n} {score.unit}{'' if score.n == 1 else 's'}",
        )
        for scores in groups
        for name, score in scores.items()
        if score.n
    ]
    return ["score", "value", "95 % interval", "n"], rows


def _print_comparison(first: Path, second: Path, comparison: CaptionComparison) -> None:
    from repic.evaluation.metrics import format_interval, format_value

    a, b = comparison.first, comparison.second
    out().print(
        f"A {first}, B {second}: {a.metric} metric; {a.captions} captions of {a.photos} photos "
        "each; 95 % intervals and p-values, clustered by photo",
    )
    rows = []
    for name, difference in comparison.differences.items():
        score, other = a.scores[name], b.scores[name]
        if not score.n or difference.value is None:
            continue
        count = str(score.n) if score.n == other.n else f"{score.n} and {other.n}"
        rows.append(
            (
                name,
                format_value(name, score.value),
                format_value(name, other.value),
                format_value(name, difference.value),
                format_interval(name, difference.low, difference.high),
                "-" if difference.p is None else f"{difference.p:.4f}",
                f"{count} {score.unit}{'' if count == '1' else 's'}",
            )
        )
    print_rows(["score", "A", "B", "B - A", "95 % interval", "p", "n"], rows)


def _comparison(comparison: CaptionComparison, preferred: Estimate | None) -> dict[str, Any]:
    a, b = comparison.first, comparison.second
    record: dict[str, Any] = {
        "metric": a.metric,
        "n": a.captions,
        "photos": a.photos,
        "left_out": comparison.left_out,
        "scores": {
            name: {
                "a": a.scores[name].as_json(),
                "b": b.scores[name].as_json(),
                "difference": difference.value,
                "interval": None if difference.low is None else [difference.low, difference.high],
                "p": difference.p,
                "n": difference.n,
            }
            for name, difference in comparison.differences.items()
        },
    }
    if preferred is not None:
        record["preference"] = preferred.as_json()
    return record
