"""The command line interface; the only part of `repic` that may import `flows`."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from repic.cli import (
    build,
    doctor,
    evaluate,
    export,
    forget,
    maintenance,
    models,
    operate,
    query,
    refresh,
    reward,
    studio,
    train,
    versions,
)

INTERRUPTED = 128 + 2
"""Exit code after Ctrl-C, as shells have it."""
INTERRUPTION = "Interrupted. Finished work is kept; run the same command again."
EPILOG = "Start with `repic build --images FOLDER`, or with `repic build --profile sample`."

app = typer.Typer(
    name="repic",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    build,
    models,
    train,
    export,
    query,
    versions,
    maintenance,
    forget,
    operate,
    studio,
    doctor,
    reward,
    evaluate,
    refresh,
):
    module.add_to(app)


@app.callback()
def options(
    log_format: Annotated[
        Literal["text", "json"],
        typer.Option(
            envvar="REPIC_LOG_FORMAT",
            help="How progress, notes and errors are written to standard error; json: an object a "
            "line, with run, stage and shard.",
        ),
    ] = "text",
) -> None:
    """A data engine for personalized vision-language models."""
    if log_format == "json":
        from repic.pipeline import log_lines

        log_lines.start()


def main() -> None:
    """Run the command line; an error that the user can fix is one sentence and exit code 2."""
    from repic.cli.common import UserError, explain
    from repic.pipeline import log_lines

    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # what typer makes of Ctrl-C
            print(INTERRUPTION, file=sys.stderr)
        raise
    except KeyboardInterrupt:
        print(INTERRUPTION, file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        if log_lines.wanted():
            log_lines.log.error(message)
        else:
            print(f"repic: {message}", file=sys.stderr)
        sys.exit(UserError.exit_code)


if __name__ == "__main__":
    main()
