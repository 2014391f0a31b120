"""The command line interface; the only part of `repic` that may import `flows`."""

from __future__ import annotations

import sys

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


def main() -> None:
    """Run the command line; an error that the user can fix is one sentence and exit code 2."""
    from repic.cli.common import UserError, explain

    try:
        app()
    except KeyboardInterrupt:
        print("Interrupted. Finished work is kept; run the same command again.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print(f"repic: {message}", file=sys.stderr)
        sys.exit(UserError.exit_code)


if __name__ == "__main__":
    main()
