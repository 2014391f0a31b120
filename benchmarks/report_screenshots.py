"""Screenshots of the sample profile's report for `docs/`.

    python benchmarks/report_screenshots.py [--store STORE] [--out docs]

Builds the sample profile (names in Latin letters) unless a store is given, and takes pictures of
the top of its report: `report-light.png` and `report-dark.png`. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from repic import config, report
from repic.pipeline.execution import build
from repic.pipeline.scan import scan
from storage.store import Store

VIEW = {"width": 1200, "height": 1500}


def take(page_file: Path, out: Path, browser_path: str) -> list[Path]:
    """Take one picture per color scheme, in 256 colors to keep the files small."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    taken = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"]
        )
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=VIEW, color_scheme=scheme)
            page.goto(page_file.as_uri())
            path = out / f"report-{scheme}.png"
            page.screenshot(path=path)
            with Image.open(path) as picture:
                picture.convert("RGB").quantize(256).save(path, optimize=True)
            taken.append(path)
        browser.close()
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", help="a store with a build of the sample profile")
    parser.add_argument(
        "--out", type=Path, default=Path("docs"), help="output folder (%(default)s)"
    )
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("Chromium was not found: install the package `chromium`")
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(options.store or folder, create=options.store is None)
        if options.store is None:
            # Names in Latin letters: the machine may have no other font.
            latin = "examples.names.locales=[en_US, fr_FR, it_IT]"
            settings = config.load("sample", (latin,))
            build(settings, store, scan(settings))
        page = report.write(store, "dataset@latest", Path(folder) / "report.html")
        for path in take(page, options.out, browser):
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
