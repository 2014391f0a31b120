"""Logs as JSON, one object a line, with run, stage and shard.

`repic --log-format json` and `REPIC_LOG_FORMAT=json` ask for them: of a command, of its flow runs,
and of the processes of `repic up`. Results stay as they are, on standard output.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

VARIABLE = "REPIC_LOG_FORMAT"
"""Environment variable: text (the default) or json."""

PREFECT = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json",
    "PREFECT_LOGGING_FORMATTERS_JSON_CLASS": f"{__name__}.JsonLines",
}
"""Environment variables with which Prefect writes its logs like this."""

RUN = uuid.uuid4().hex
"""Names the lines of this process, outside of a flow run."""

LONGEST = 20_000
"""Characters of a message or a traceback."""

log = logging.getLogger("repic")


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object.

    Keys: `time` (ISO 8601), `level`, `logger`, `message`, `run` (of Prefect in a flow run) and,
    where they are known, `flow_run` (its name), `stage`, `shard` (`3/12`), what a progress line
    counts, and `error` (a traceback).
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        validate: bool = True,
    ) -> None:
        super().__init__()  # a format of Prefect's configuration is none of ours

    def format(self, record: logging.LogRecord) -> str:
        """The record in one line."""
        found = vars(record)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[-LONGEST:],
            "run": str(found.get("flow_run_id") or RUN),
            "flow_run": found.get("flow_run_name"),
            **_shard_of(found),
            **found.get("counts", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)[-LONGEST:]
        return json.dumps({key: value for key, value in line.items() if value is not None})


def _shard_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Stage and shard of a record: its own, or those in the name of a task of Prefect."""
    task = re.fullmatch(r"(\w+) (\d+/\d+)", str(found.get("task_run_name")))
    named = {"stage": task[1], "shard": task[2]} if task else {}
    own = {key: found[key] for key in ("stage", "shard") if key in found}
    return {**named, **own}


def wanted() -> bool:
    """Whether logs are JSON."""
    return os.environ.get(VARIABLE) == "json"


def start() -> None:
    """Let this process, and those that it starts, write their logs to standard error as JSON."""
    os.environ[VARIABLE] = "json"
    os.environ.update(PREFECT)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.root.addHandler(handler)
    log.setLevel(logging.INFO)
