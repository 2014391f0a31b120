"""Screenshots in Chromium, in light and dark, for scripts beside this one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

SCHEMES = ("light", "dark")
COLORS = 256
"""Of a picture, which keeps its file small."""


@contextmanager
def new_page(width: int, height: int) -> Iterator[Any]:
    """A page of a new Chromium; ends the script if there is none."""
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("Chromium was not found: install the package `chromium`")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened.new_page(viewport={"width": width, "height": height})
        opened.close()


def take(page: Any, out: Path, name: str, schemes: Sequence[str] = SCHEMES) -> None:
    """What the page shows, as `NAME-light.png` and `NAME-dark.png`."""
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        page.wait_for_load_state("networkidle")
        file = out / f"{name}-{scheme}.png"
        page.screenshot(path=file)
        with Image.open(file) as picture:
            picture.convert("RGB").quantize(COLORS).save(file, optimize=True)
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
