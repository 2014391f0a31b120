"""Commands that generate captions and compare evaluations: evaluate run and compare, caption."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repic.cli import answers, caption_files
from repic.cli.common import (
    DEFAULT_STORE,
    CaptionsOption,
    DryRunOption,
    FactsOption,
    JsonOption,
    ProfileOption,
    SetOption,
    ShowSettingsOption,
    StoreOption,
    UserError,
    err,
    open_store,
    out,
    print_findings,
    print_json,
    print_rows,
    print_settings,
)

if TYPE_CHECKING:
    from repic.evaluation.results import ComparedScore, EvaluationResult

ModelOption = Annotated[
    str,
    typer.Option(
        help="checkpoint@v3, sample-base, sample-full, a folder, a name on the Hub, or its name on "
        "the server."
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="OpenAI-compatible server to use."),
]
RETRIEVAL = ("hit_rate", "right_share", "false_accept_rate")

evaluate = typer.Typer(
    name="evaluate",
    help="Score captions of a model.\n\n"
    "Example: repic evaluate captions captions.json --metric paper",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    caption_files.add_to(evaluate)
    app.add_typer(evaluate)
    app.command()(caption)


@evaluate.command()
def run(
    model: ModelOption = "checkpoint@latest",
    suite: Annotated[
        str | None,
        typer.Option(
            help="sample, sample-ood, dreambooth, myvlm, yollava, mc-llava, repic-2c or "
            "repic-4c; sample unless the profile sets it."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="caption; or short answers: recognition (yes or no), vqa (a letter)."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the suite's photos, unless they are generated.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="skip-retrieval, retrieval, retrieval-forced, wrong, mixed; repeatable."),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Prompt layout of the references: training or paper.")
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option(help="File of captions whose fourth column is what to ask about each photo."),
    ] = None,
    captions: CaptionsOption = None,
    facts: FactsOption = None,
    photos: Annotated[
        int | None,
        typer.Option(help="Number of generated photos per part of the suite, at least 8."),
    ] = None,
    server: ServerOption = None,
    profile: ProfileOption = "sample",
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    show_settings: ShowSettingsOption = False,
    report: Annotated[
        Path | None, typer.Option(help="HTML file for the page of the evaluation.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Caption a suite, score it, and publish captions, scores and metrics as an evaluation.

    With --task recognition or vqa, ask for short answers instead and publish them as `answers`.
    To resume an interrupted evaluation, run the same command again.

    Example: repic evaluate run --model checkpoint@latest --suite sample
    """
    from repic import config

    if show_settings:
        print_settings(config.EVALUATE)
        return
    settings = config.load(
        profile,
        set_ or [],
        scope=config.EVALUATE,
        evaluate={
            "suite": suite,
            "task": task,
            "folder": str(folder) if folder else None,
            "protocols": protocol or None,
            "layout": layout,
            "requests": str(requests) if requests else None,
            "captions": str(captions) if captions else None,
            "facts": str(facts) if facts else None,
            "photos": photos,
            "url": server,
            "backend": "server" if server else None,
        },
    )
    if dry_run:
        from repic.evaluation.suites import evaluation_dry_run

        checkpoints = open_store(store) if "@" in model else None
        print_findings(evaluation_dry_run.examine(model, settings, checkpoints, profile), as_json)
        return
    from repic.cli.progress import RunProgress
    from repic.evaluation import run as evaluation

    opened = open_store(store, create=True)
    if settings.evaluate.task != "caption":
        if report is not None:
            raise UserError("--report writes a page about captions; leave it out, or --task")
        answers.ask(model, settings, opened, as_json)
        return
    with RunProgress(err()) as progress:
        result = evaluation.run(model, settings, opened, progress)
    if report is not None:
        from repic.report import write

        write(opened, result.ref, report)
    if as_json:
        print_json(result.as_json())
        return
    _print(result)
    if report is None:
        out().print(f"`repic report {result.ref}` writes its page")


def _print(result: EvaluationResult) -> None:
    from repic.evaluation import caption_facts, reference_scores
    from repic.report.evaluation_page import QUALITY, SCORES

    verb = "Published" if result.is_new else "Nothing new: this is"
    out().print(
        f"{verb} {result.ref}: {result.model} on {result.suite}, {result.summary['photos']} "
        "photos; strict metric in percent, 95 % intervals, clustered by photo; n counts what a "
        "score is a mean over: captions, or claims about who is what (binding), or others",
    )
    _print_table(result, "strict", SCORES)
    out().print("Caption quality: length in words, shares in percent, CLIPScore from 0 to 2.5")
    _print_table(result, "quality", QUALITY)
    if any(score.n for named in result.estimates("facts").values() for score in named.values()):
        out().print("Facts that the captions alone convey, in percent")
        _print_table(result, "facts", caption_facts.COLUMNS)
    if result.estimates("reference"):
        out().print("Against reference captions: CIDEr from 0 to 10, else percent")
        _print_table(result, "reference", reference_scores.COLUMNS)
    if result.estimates("retrieval"):
        out().print(f"Retrieval alone, threshold {result.summary['threshold']}")
        _print_table(result, "retrieval", RETRIEVAL)


def _print_table(result: EvaluationResult, metric: str, names: Sequence[str]) -> None:
    """A line for each score, so that the table fits 80 columns; protocol and part lead each group.

    Scores that nothing was counted for are left out.
    """
    from repic.evaluation.metrics import format_interval, format_value
    from repic.report.evaluation_page import ordered_estimates

    rows = []
    for group, named in ordered_estimates(result, metric):
        heading = group
        for name in names:
            if name not in named or not named[name].n:
                continue
            score = named[name]
            interval = format_interval(name, score.low, score.high)
            rows.append((*heading, name, format_value(name, score.value), interval, score.n))
            heading = ("", "")
    print_rows(["protocol", "part", "score", "value", "95 % interval", "n"], rows)


@evaluate.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            help="evaluation@v3, or the name of an evaluated model; the first is A. Or answers@v3."
        ),
    ],
    suite: Annotated[
        str | None, typer.Option(help="Suite of models that are given by name.")
    ] = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="Also compare each part of the suite.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="PNG, SVG or PDF file for a plot of F1.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Compare evaluations side by side: differences from A, paired by question, with p-values.

    `--json` has the interval of each value, too.

    Example: repic evaluate compare evaluation@v1 evaluation@v2 --plot compare.png
    """
    from repic.evaluation import results
    from repic.report.evaluation_page import SCORES

    if len(models) < 2:
        raise UserError("give at least two evaluations, for example evaluation@v1 evaluation@v2")
    opened = open_store(store)
    if all(name.startswith("answers@") for name in models):
        answers.compare(opened, models, as_json)
        return
    evaluations = [results.find(opened, name, suite) for name in models]
    lines = results.side_by_side(evaluations, SCORES, parts)
    if plot is not None:
        results.plot(plot, lines)
    if as_json:
        print_json([_line(line) for line in lines])
        return
    letters = {one.ref: chr(ord("A") + k) for k, one in enumerate(evaluations)}
    legend = ", ".join(f"{letters[one.ref]} {one.model} ({one.ref})" for one in evaluations)
    out().print(
        f"{legend} on {evaluations[0].suite}: strict metric in percent; differences on the "
        "questions of both, with 95 % intervals and p-values, clustered by photo",
    )
    for (protocol, part), group in groupby(lines, lambda line: (line.protocol, line.part)):
        out().print(f"{protocol}, {part}", style="bold")
        by_score = sorted(group, key=lambda line: SCORES.index(line.score))
        columns = ["score", "model", "value", "minus A", "p", "n"]
        print_rows(columns, [_compared(line, letters[line.ref]) for line in by_score])


def _compared(line: ComparedScore, letter: str) -> tuple[Any, ...]:
    """A line of a model; n is that of the difference where there is one."""
    from repic.evaluation.metrics import format_interval, format_value

    change, value = line.difference, format_value(line.score, line.value.value)
    if change is None or change.value is None:
        return line.score, letter, value, "", "", line.value.n
    sign = "+" if change.value >= 0 else ""
    span = format_interval(line.score, change.low, change.high)
    difference = f"{sign}{format_value(line.score, change.value)} ({span})"
    p = "-" if change.p is None else f"{change.p:.4f}"
    return line.score, letter, value, difference, p, change.n


def _line(line: ComparedScore) -> dict[str, Any]:
    change = line.difference
    return {
        **{key: getattr(line, key) for key in ("model", "ref", "protocol", "part", "score")},
        **line.value.as_json(),
        "difference": None if change is None else change.as_json(),
    }


def caption(
    photo: Annotated[Path, typer.Argument(help="The photo to caption.")],
    refs: Annotated[
        Path, typer.Option(help="Folder of references: Ann.jpg, or Ann/ with several photos.")
    ],
    model: ModelOption = "sample-full",
    server: ServerOption = None,
    whole_references: Annotated[
        bool,
        typer.Option(
            "--whole-references",
            help="Use references as they are, instead of the object that the detector finds.",
        ),
    ] = False,
    profile: ProfileOption = "sample",
    set_: SetOption = None,
    sidecar: Annotated[
        bool,
        typer.Option(
            "--sidecar",
            help="Write the caption into the photo's XMP sidecar, where photo libraries show it.",
        ),
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Caption one photo with the names of your references.

    The model sees all references if there are at most four, otherwise those found in the photo;
    of each, the main object that the detector finds, as in a data set, or all if it finds none.
    With --sidecar, other properties of an existing sidecar stay as they are, and its first content
    is kept beside it (.bak).

    Example: repic caption photo.jpg --refs refs/ --model checkpoint@latest
    """
    from repic import config
    from repic.evaluation import single_photo
    from repic.models.vlm import captioners

    settings = config.load(
        profile,
        set_ or [],
        scope=config.EVALUATE,
        evaluate={"url": server, "backend": "server" if server else None},
    )
    opened = open_store(store) if "@" in model else None
    answer = single_photo.caption(photo, refs, model, settings, opened, whole_references)
    question = answer.question
    if answer.limitation:
        err().print(captioners.advised(answer.limitation))
    if sidecar:
        from repic.sources.sidecars import write_caption

        err().print(f"Wrote {write_caption(photo, answer.plain)}")
    if as_json:
        print_json(answer.as_json())
        return
    for crop in question.crops:
        near = ", ".join(f"{n.name} {n.similarity:.2f}" for n in crop.nearest[:3])
        box = " ".join(f"{side:.0f}" for side in crop.box)
        err().print(f"crop {box} {crop.label}: {near}")
    out().print(answer.caption)
