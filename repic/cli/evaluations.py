"""Commands that ask models for captions: evaluate run, evaluate compare, caption."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    err,
    open_store,
    out,
    print_json,
    print_rows,
)
from repic.cli.evaluating import evaluate, interval_of, said_of
from repic.cli.training import SetOption

if TYPE_CHECKING:
    from repic.evaluate.results import Evaluated

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


def add_to(app: typer.Typer) -> None:
    """`run` and `compare` belong to `evaluate`, which was added before."""


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
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Caption a suite, score it, and publish captions, scores, metrics and a report.

    An interrupted evaluation goes on where it was when the same command is given again.

    Example: repic evaluate run --model checkpoint@latest --suite sample
    """
    from repic.evaluate import settings

    if show_settings:
        print_rows(["setting", "default", "meaning"], [tuple(row) for row in settings.describe()])
        return
    asked = settings.load(
        profile,
        set_ or [],
        suite=suite,
        folder=str(folder) if folder else None,
        protocols=protocol or None,
        layout=layout,
        photos=photos,
        url=server,
        backend="server" if server else None,
    )
    from repic import catalog
    from repic.cli.progress import TrainingProgress
    from repic.evaluate.run import run as evaluated

    opened = open_store(store, create=True)
    with TrainingProgress(err()) as progress:
        found = evaluated(model, asked, opened, progress)
    if opened.files.local:
        catalog.refresh(opened)
    if as_json:
        print_json(summary(found))
    else:
        _print(found)


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
            for metric in ("strict", "paper", "retrieval")
        },
    }


def _print(found: Evaluated) -> None:
    verb = "Published" if found.is_new else "Nothing new: this is"
    out().print(
        f"{verb} {found.ref}: {found.model} on {found.suite}, {found.summary['photos']} photos; "
        "strict metric in per cent, 95 % intervals, clustered by photo",
        markup=False,
    )
    print_rows(
        ["protocol", "part", "n", *SHOWN],
        [
            (protocol, part, named["f1"].n, *(_cell(name, named[name]) for name in SHOWN))
            for (protocol, part), named in _ordered(found, "strict")
        ],
    )
    if retrieval := list(_ordered(found, "retrieval")):
        out().print(f"Retrieval alone, threshold {found.summary['threshold']}", markup=False)
        columns = ("hit_rate", "right_share", "false_accept_rate")
        print_rows(
            ["protocol", "part", *columns],
            [
                (p, part, *(_cell(c, named[c]) if c in named else "-" for c in columns))
                for (p, part), named in retrieval
            ],
        )


def _ordered(found: Evaluated, metric: str) -> Iterable[tuple[tuple[str, str], Any]]:
    """Numbers in the order of the protocols; all parts together first."""
    order = {name: k for k, name in enumerate(found.protocols)}
    numbers = found.numbers(metric)
    return sorted(numbers.items(), key=lambda i: (order[i[0][0]], i[0][1] != "all", i[0][1]))


def _cell(name: str, score: Any) -> str:
    if not score.n:
        return "-"
    return f"{said_of(name, score.value)} ({interval_of(name, score.low, score.high)})"
