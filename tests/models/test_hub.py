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
"""
READER = "from repic.models.vlm import load; load.quiet(); load.reader('org/model')"
DETECTOR = "from repic.models.detectors import grounded; grounded._from_pretrained('org/model')"


@pytest.mark.parametrize("opens", [READER, DETECTOR], ids=["reader", "detector"])
def test_a_hub_that_is_away_is_asked_once(opens: str, tmp_path: Path) -> None:
    script = f"{NO_WAIT}\ntry:\n    {opens}\nexcept WeightsError as error:\n    print(error)\n"
    environment = {
        **os.environ,
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "org/model" in done.stdout
    assert "give a folder" in done.stdout
    assert "Retrying" not in done.stderr
    assert "thrown while requesting" not in done.stderr
