"""Commands about rewards: reward attack, score, explain, serve."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    SetOption,
    StoreOption,
    StripOption,
    UserError,
    err,
    open_store,
    out,
    print_json,
    print_rows,
    wrappers_option,
)
from repic.cli.conventions import Convention, MaxPixels, MinPixels, box_convention

if TYPE_CHECKING:
    from repic.objectives.base import Row
    from repic.rewards.attacks.suite import AttackReport

Mode = Annotated[
    Literal["strict", "paper"],
    typer.Option(help="Our rewards, or the released ones with their loopholes."),
]
Dataset = Annotated[str, typer.Option(help="Version of examples, or of a dataset.")]
EXAMPLES = "examples@latest"

reward = typer.Typer(
    name="reward",
    help="Score completions, and test that the rewards cannot be gamed.\n\n"
    "Example: repic reward attack",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(reward)


@reward.command()
def attack(
    as_json: JsonOption = False,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", help="Store with rows to attack; by default a small generated build."
        ),
    ] = None,
    dataset: Dataset = EXAMPLES,
) -> None:
    """Try every attack and every honest paraphrase on real rows; exit code 1 on any failure.

    An attack succeeds if it scores at least as high as the honest answer of its row. A paraphrase
    is punished if it scores more than 0.05 below it. Known gaps are listed with their rate.

    Example: repic reward attack --store repic-store --json
    """
    from repic.rewards.attacks import sample_rows, suite

    if store is None and dataset != EXAMPLES:
        raise UserError("--dataset names rows of a store: give --store, too")
    rows = (
        sample_rows.generated()
        if store is None
        else sample_rows.rows_of(open_store(store), dataset)
    )
    report = suite.run(rows)
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if report.succeeded or report.punished:
        raise typer.Exit(1)


def _print(report: AttackReport) -> None:
    record = report.as_json()
    print_json({key: record[key] for key in ("tried", "succeeded", "paraphrases", "punished")})
    out().print(
        f"{report.attacks} attacks, {report.paraphrases} paraphrases of honest answers, 6 rows each"
    )
    print_rows(
        ["task", "family", "tried", "succeeded", "released rewards"],
        [
            (task, family, counts["tried"], counts["succeeded"], counts["released"])
            for (task, family), counts in report.families.items()
        ],
    )
    out().print(
        f"Against the released rewards, {report.released} of {report.tried} attacks succeed, and "
        f"they punish {report.released_punished} of {report.answers} honest answers."
    )
    print_rows(
        ["undefended", "rows", "works on", "mean score", "why"],
        [(u.name, u.rows, f"{u.rate:.1%}", f"{u.mean:.3f}", u.why) for u in report.undefended],
    )
    for case in (*report.succeeded, *report.punished):
        out().print(
            f"{case.task} {case.family} {case.name}: {case.total:.3f} of {case.honest:.3f} "
            f"({case.reason}) on {case.example_id}",
        )


@reward.command()
def score(
    completions: Annotated[
        Path, typer.Argument(help="JSON lines: example_id and completion, or complete rows.")
    ],
    mode: Mode = "strict",
    convention: Convention = "qwen3-vl",
    min_pixels: MinPixels = None,
    max_pixels: MaxPixels = None,
    strip: StripOption = "",
    iou_threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Score a box 1 at or above this IoU; without it, the score is the IoU.",
        ),
    ] = None,
    dataset: Dataset = EXAMPLES,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Score a file of completions: total, components and reason per row; bad lines are reported.

    A line is `{"example_id": ..., "completion": ...}`, which is looked up in the store, or contains
    `completion` and the columns of the example.

    Example: repic reward score completions.jsonl --json
    """
    from repic.rewards import completions_file
    from repic.rewards.attacks import sample_rows
    from repic.rewards.scoring import score as reward_of

    if not completions.is_file():
        raise UserError(f"there is no file {completions}")
    examples: dict[str, Row] = {}
    if completions_file.needs_a_store(completions):
        examples = sample_rows.by_id(sample_rows.rows_of(open_store(store), dataset))
    score = partial(
        reward_of,
        mode=mode,
        convention=box_convention(convention, min_pixels, max_pixels),
        iou_threshold=iou_threshold,
        strip=wrappers_option(strip),
    )
    results = list(completions_file.scored(completions, examples, score))
    good = [r for r in results if "error" not in r]
    if as_json:
        print_json(results)
    else:
        print_rows(
            ["line", "example", "total", "reason", "components"],
            [
                (r["line"], r["example_id"], f"{r['total']:.3f}", r["reason"], _parts(r))
                for r in good
            ],
        )
        if good:
            out().print(f"{len(good)} scored, mean {sum(r['total'] for r in good) / len(good):.4f}")
    for bad in results:
        if "error" in bad:
            err().print(f"line {bad['line']}: {bad['error']}")
    if not good:
        raise UserError(f"no line of {completions} could be scored")


def _parts(result: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value:.2f}" for name, value in result["components"].items())


@reward.command()
def explain(
    example_id: Annotated[str, typer.Argument(help="Id of an example, or its first digits.")],
    text: Annotated[str, typer.Argument(help="The answer to score.")],
    convention: Convention = "qwen3-vl",
    min_pixels: MinPixels = None,
    max_pixels: MaxPixels = None,
    strip: StripOption = "",
    dataset: Dataset = EXAMPLES,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Explain the score of an answer: prompt, parsed answer, each component and its rule.

    Example: repic reward explain 3f2a "no"
    """
    from repic.rewards import scoring
    from repic.rewards.attacks import sample_rows

    rows = sample_rows.rows_of(open_store(store), dataset)
    matches = [row for row in rows if row["example_id"].startswith(example_id)]
    if not matches:
        raise UserError(f"no example of {dataset} begins with {example_id!r}; give another id")
    if len(matches) > 1:
        raise UserError(
            f"{len(matches)} examples of {dataset} begin with {example_id!r}; give more digits"
        )
    units = box_convention(convention, min_pixels, max_pixels)
    result = scoring.score(text, matches[0], "strict", units, strip=wrappers_option(strip))
    released = scoring.score(text, matches[0], "paper", units, strip=wrappers_option(strip))
    facts = scoring.explain(matches[0], result, released)
    if as_json:
        print_json(facts)
        return
    for key in ("objective", "kind", "prompt", "answer", "caption", "read", "reason"):
        if facts[key] not in (None, ""):
            out().print(f"{key}: {facts[key]}")
    print_rows(
        ["component", "value", "rule"],
        [(part["name"], f"{part['value']:.3f}", part["rule"]) for part in facts["components"]],
    )
    out().print(f"total {result.total:.3f}; the released reward gives {released.total:.3f}")


@reward.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to bind; a public one requires a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to bind.")] = 8899,
    workers: Annotated[int, typer.Option(min=1, help="Scoring processes.")] = 1,
    max_rows: Annotated[int, typer.Option(min=1, help="Maximum rows per request.")] = 1024,
    max_bytes: Annotated[int, typer.Option(min=1024, help="Maximum bytes per request body.")] = 8
    << 20,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Concurrent requests per worker; beyond that it answers 429.")
    ] = 64,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Another name under which clients call it, such as a proxy's; repeat it."
        ),
    ] = None,
    profile: Annotated[
        str, typer.Option(help="Profile of the judge and of CLIPScore's encoder.")
    ] = "sample",
    set_: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Serve rewards to trainers over HTTP; a process that dies or hangs is replaced.

    Every request must carry the token in REPIC_REWARD_TOKEN; without a token only this machine is
    served. Prometheus metrics are at /metrics. Stop it with Ctrl-C.

    Two optional model-based penalties are batched over requests: a judge
    (--set rewards.judge.url=...), and CLIPScore by the profile's encoder on the photos of --store
    (--set rewards.clip_score.weight=0.3).

    Example: repic reward serve --workers 2 --port 8899
    """
    from repic import config
    from repic.rewards.server import model_components
    from repic.rewards.server import serve as service
    from repic.rewards.server.app import Limits
    from repic.rewards.server.protocol import TOKEN
    from repic.web.listening import address, listen

    settings = config.load(profile, set_ or [])
    components = model_components.packed_settings(settings, store)
    limits = Limits(max_rows, max_bytes, max_waiting)
    with listen(host, port, TOKEN) as listening:
        at = address(host, port)
        err().print(f"Rewards at {at}/v1/score, {workers} worker{'s' * (workers > 1)}")
        service.serve(
            listening,
            host,
            workers,
            limits,
            components,
            allow_host or (),
            settings.rewards.strip,
        )
