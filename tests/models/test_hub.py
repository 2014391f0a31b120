"""Models of the hub without a network: one attempt, then the cache, and no raw lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NO_WAIT = """
import sys, time
def sleep(seconds):
    sys.exit(f"waits {seconds} s for another attempt")
from huggingface_hub.utils import _http
time.sleep = sleep
from repic.errors import WeightsError
from repic.models.detectors import grounded
from repic.models.vlm import load
load.quiet()
for opens, name in ((load.reader, "org/reader"), (grounded._from_pretrained, "org/detector")):
    try:
        opens(name)
    except WeightsError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_hub_that_is_away_is_asked_once(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", NO_WAIT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert "org/reader" in done.stdout
    assert "org/detector" in done.stdout
    assert done.stdout.count("give a folder") == 2
    assert "Retrying" not in done.stderr
    assert "thrown while requesting" not in done.stderr
