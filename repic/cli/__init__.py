"""`repic ...`: the front door, and the only part of `repic` that may import `flows`."""

from __future__ import annotations

import sys

import typer

from repic.cli import build as building
from repic.cli import captions, operate, quarantine, query, reward, status, versions
from repic.cli import evaluate as evaluations
from repic.cli import refresh as refreshing
from repic.cli import train as training

EPILOG = "Start with `repic build --images FOLDER`, or with `repic build --profile sample`."

app = typer.Typer(
    name="repic",
    help="A data engine for personalized vision-language models.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    *(building, training, query, quarantine, versions),
    *(operate, status, reward, captions, evaluations, refreshing),
):
    module.add_to(app)


def main() -> None:
    """Entry point: what a person can mend is one sentence and exit code 2, not a traceback."""
    from repic.cli.common import UserError, explain

    try:
        app()
    except KeyboardInterrupt:
        print("Interrupted. Finished work is kept; run the same command again.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        print(f"repic: {sentence}", file=sys.stderr)
        sys.exit(UserError.exit_code)


if __name__ == "__main__":
    main()
