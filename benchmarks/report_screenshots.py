"""Screenshots of the sample profile's report for `docs/`.

    python benchmarks/report_screenshots.py [--store STORE] [--out docs]

Builds the sample profile (names in Latin letters) unless a store is given, and takes pictures of
the top of its report: `report-light.png` and `report-dark.png`. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.screenshots import new_page, take
from repic import config, report
from repic.pipeline.execution import build
from repic.pipeline.scan import scan
from storage.store import Store

WIDTH, HEIGHT = 1200, 1500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", help="a store with a build of the sample profile")
    parser.add_argument(
        "--out", type=Path, default=Path("docs"), help="output folder (%(default)s)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(options.store or folder, create=options.store is None)
        if options.store is None:
            # Names in Latin letters: the machine may have no other font.
            latin = "examples.names.locales=[en_US, fr_FR, it_IT]"
            settings = config.load("sample", (latin,))
            build(settings, store, scan(settings))
        written = report.write(store, "dataset@latest", Path(folder) / "report.html")
        with new_page(WIDTH, HEIGHT) as page:
            page.goto(written.as_uri())
            take(page, options.out, "report")
    return 0


if __name__ == "__main__":
    sys.exit(main())
