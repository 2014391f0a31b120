"""Commands that ask models for captions: evaluate run, evaluate compare, caption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repic.cli.captions import evaluate
from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    UserError,
    err,
    open_store,
    out,
    print_json,
    print_rows,
)
from repic.cli.train import SetOption
from repic.evaluate.formatting import cell, interval_of, said_of

if TYPE_CHECKING:
    from repic.evaluate.metrics import Score
    from repic.evaluate.results import Evaluated
    from repic.evaluate.sidebyside import Line

ModelOption = Annotated[
    str,
    typer.Option(
        help="checkpoint@v3, sample-sft, a folder, a name on the hub, or the server's name for it."
    ),
]
ProfileOption = Annotated[
    str, typer.Option(help="sample, paper, modern, or the path of your own YAML file.")
]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="OpenAI-compatible server that generates."),
]
SHOWN = ("precision", "recall", "f1", "exact", "false_mention", "binding")
READ = ("length", "distinct_1", "distinct_2", "self_bleu", "copy_rate", "clip_score")
FOUND = ("hit_rate", "right_share", "false_accept_rate")


def add_to(app: typer.Typer) -> None:
    """`run` and `compare` belong to `evaluate`, which another module adds."""
    app.command()(caption)


@evaluate.command()
def run(
    model: ModelOption = "checkpoint@latest",
    suite: Annotated[
        str | None,
        typer.Option(
            help="sample, sample-ood, dreambooth, myvlm, yollava, repic-2c or repic-4c; "
            "sample unless the profile says."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the photos of the suite lie, if not generated.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="skip-retrieval, retrieval, retrieval-forced, wrong, mixed; repeatable."),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="How references are written: training or paper.")
    ] = None,
    photos: Annotated[
        int | None, typer.Option(help="Generated photos of each part of the suite.")
    ] = None,
    server: ServerOption = None,
    profile: ProfileOption = "sample",
    set_: SetOption = None,
    show_settings: Annotated[
        bool, typer.Option("--show-settings", help="Print every setting with its help, and end.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the HTML page of the evaluation there.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Caption a suite, score it, and publish captions, scores and metrics as an evaluation.

    An interrupted evaluation goes on where it was when the same command is given again.

    Example: repic evaluate run --model checkpoint@latest --suite sample
    """
    from repic import config

    if show_settings:
        print_rows(
            ["setting", "default", "meaning"],
            [tuple(row) for row in config.describe(config.EVALUATE)],
        )
        return
    asked = config.load(
        profile,
        set_ or [],
        scope=config.EVALUATE,
        evaluate={
            "suite": suite,
            "folder": str(folder) if folder else None,
            "protocols": protocol or None,
            "layout": layout,
            "photos": photos,
            "url": server,
            "backend": "server" if server else None,
        },
    )
    from repic.cli.progress import TrainingProgress
    from repic.evaluate.run import run as evaluated
    from repic.pipeline import catalog

    opened = open_store(store, create=True)
    with TrainingProgress(err()) as progress:
        found = evaluated(model, asked, opened, progress)
    if opened.files.local:
        catalog.refresh(opened)
    if report is not None:
        from repic.report import write

        write(opened, found.ref, report)
    if as_json:
        print_json(summary(found))
        return
    _print(found)
    if report is None:
        out().print(f"`repic report {found.ref}` writes its page", markup=False)


def summary(found: Evaluated) -> dict[str, Any]:
    """An evaluation for programs."""
    return {
        "evaluation": found.ref,
        "is_new": found.is_new,
        **{key: value for key, value in found.summary.items() if key != "curve"},
        **{
            metric: [
                {"protocol": protocol, "part": part, **{n: s.as_json() for n, s in named.items()}}
                for (protocol, part), named in found.numbers(metric).items()
            ]
            for metric in ("strict", "paper", "quality", "retrieval")
        },
    }


def _print(found: Evaluated) -> None:
    verb = "Published" if found.is_new else "Nothing new: this is"
    out().print(
        f"{verb} {found.ref}: {found.model} on {found.suite}, {found.summary['photos']} photos; "
        "strict metric in per cent, 95 % intervals, clustered by photo; n is captions, and stands "
        "in a cell that counts something else",
        markup=False,
    )
    _print_table(found, "strict", SHOWN, "f1")
    out().print(
        "How captions read: words, shares in per cent; CLIPScore by the encoder, 0 to 2.5",
        markup=False,
    )
    _print_table(found, "quality", READ, "length")
    if found.numbers("retrieval"):
        out().print(f"Retrieval alone, threshold {found.summary['threshold']}", markup=False)
        _print_table(found, "retrieval", FOUND)


def _print_table(
    found: Evaluated, metric: str, shown: Sequence[str], counted: str | None = None
) -> None:
    """One metric by protocol and part, n of one of its scores before all the others."""
    rows = []
    for (protocol, part), named in _ordered(found, metric):
        n = named[counted].n if counted else None
        cells = [cell(name, named[name], n) if name in named else "-" for name in shown]
        rows.append((protocol, part, *([n] if counted else []), *cells))
    print_rows(["protocol", "part", *(["n"] if counted else []), *shown], rows)


def _ordered(
    found: Evaluated, metric: str
) -> Iterable[tuple[tuple[str, str], Mapping[str, Score]]]:
    """Numbers in the order of the protocols; all parts together first."""
    order = {name: k for k, name in enumerate(found.protocols)}
    numbers = found.numbers(metric)
    return sorted(numbers.items(), key=lambda i: (order[i[0][0]], i[0][1] != "all", i[0][1]))


@evaluate.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="evaluation@v3, or a model that was evaluated; the first one is A."),
    ],
    suite: Annotated[str | None, typer.Option(help="Of which suite, for models by name.")] = None,
    parts: Annotated[bool, typer.Option("--parts", help="Each part of the suite as well.")] = False,
    plot: Annotated[Path | None, typer.Option(help="PNG, SVG or PDF to draw F1 into.")] = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Put evaluations side by side: differences from A, paired by question, with p-values.

    Example: repic evaluate compare evaluation@v1 evaluation@v2 --plot compare.png
    """
    from repic.evaluate import sidebyside

    if len(models) < 2:
        raise UserError("give two evaluations or more, as evaluation@v1 evaluation@v2")
    opened = open_store(store)
    found = [sidebyside.find(opened, name, suite) for name in models]
    made = sidebyside.lines(found, SHOWN, parts)
    if plot is not None:
        sidebyside.plot(plot, made)
    if as_json:
        print_json([_line(line) for line in made])
        return
    letters = {one.ref: chr(ord("A") + k) for k, one in enumerate(found)}
    said = ", ".join(f"{letters[one.ref]} {one.model} ({one.ref})" for one in found)
    out().print(
        f"{said} on {found[0].suite}: strict metric in per cent; 95 % intervals and p-values, "
        "clustered by photo",
        markup=False,
    )
    columns = ["protocol", "part", "score", "", "value", "n", "minus A", "p", "both asked"]
    print_rows(columns, [_compared(line, letters[line.ref]) for line in made])


def _compared(line: Line, letter: str) -> tuple[Any, ...]:
    change = line.difference
    told: tuple[str, str, int | str] = ("", "", "")
    if change is not None and change.value is not None:
        sign = "+" if change.value >= 0 else ""
        span = interval_of(line.score, change.low, change.high)
        p = "-" if change.p is None else f"{change.p:.4f}"
        told = f"{sign}{said_of(line.score, change.value)} ({span})", p, change.n
    shown = cell(line.score, line.value, line.value.n)
    return line.protocol, line.part, line.score, letter, shown, line.value.n, *told


def _line(line: Line) -> dict[str, Any]:
    change = line.difference
    return {
        **{key: getattr(line, key) for key in ("model", "ref", "protocol", "part", "score")},
        **line.value.as_json(),
        "difference": None
        if change is None
        else {
            "value": change.value,
            "interval": [change.low, change.high],
            "p": change.p,
            "n": change.n,
        },
    }


def caption(
    photo: Annotated[Path, typer.Argument(help="The photo to caption.")],
    refs: Annotated[
        Path, typer.Option(help="Folder of references: Ann.jpg, or Ann/ with several photos.")
    ],
    model: ModelOption = "sample-full",
    server: ServerOption = None,
    profile: ProfileOption = "sample",
    set_: SetOption = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Caption one photo with the names of those whose references are given.

    Up to four references are all shown; of more, those that are found in the photo.

    Example: repic caption photo.jpg --refs refs/ --model checkpoint@latest
    """
    from repic import config
    from repic.evaluate.single_photo import caption as captioned

    asked = config.load(
        profile,
        set_ or [],
        scope=config.EVALUATE,
        evaluate={"url": server, "backend": "server" if server else None},
    )
    answer = captioned(photo, refs, model, asked, open_store(store) if "@" in model else None)
    question = answer.question
    if as_json:
        shown = [reference["name"] for reference in question.references]
        print_json(
            {
                "caption": answer.caption,
                "shown": shown,
                "crops": [asdict(c) for c in question.crops],
            }
        )
        return
    for crop in question.crops:
        near = ", ".join(f"{n.name} {n.similarity:.2f}" for n in crop.nearest[:3])
        box = " ".join(f"{side:.0f}" for side in crop.box)
        err().print(f"crop {box} {crop.label}: {near}", markup=False)
    out().print(answer.caption, markup=False)
