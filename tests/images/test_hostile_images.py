"""Hostile pictures, decoded in a process with little memory and time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from repic.images import containers, decode
from tests import bad_images

MEBIBYTES = 3_000
"""Address space that a child may take on top of what it has after its imports."""

_CHILD = """
import faulthandler, json, resource, sys, warnings
warnings.simplefilter("ignore")
from tests import bad_images
from tests.odd_images import picture, encode
from tests.timing import cpu, is_quick
from repic.images import decode
for kind in ("AVIF", "JPEG", "PNG", "WEBP", "JPEG2000", "TIFF"):
    decode.probe(encode(picture(), kind))
faulthandler.enable()
pages = int(open("/proc/self/statm").read().split()[0])
bound = pages * resource.getpagesize() + {limit} * 2**20
{body}
"""
_BOMBS = """
files = list(bad_images.all_bombs())
pages = int(open("/proc/self/statm").read().split()[0])
bound = pages * resource.getpagesize() + {limit} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
for name, data in files:
    taken = cpu(lambda: print(json.dumps([name, bad_images.outcome(data)]), flush=True))
    print(json.dumps(is_quick(10, taken)), flush=True)
"""
_MUTATIONS = """
resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
print(json.dumps(bad_images.torture({count}, {start})))
"""


def _in_child(body: str) -> list:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD.format(limit=MEBIBYTES, body=body)],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_hostile_pictures_are_many() -> None:
    assert len(bad_images.BOMBS) >= 60


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_hostile_pictures_cost_little_memory_and_time() -> None:
    said = _in_child(_BOMBS.format(limit=MEBIBYTES))
    seen = dict(said[::2])
    assert seen.keys() == set(bad_images.BOMBS)
    assert not [name for name, quick in zip(seen, said[1::2], strict=True) if not quick]
    decoded = {name for name, result in seen.items() if result == "decoded"}
    # A picture within every limit with something odd beside its pixels.
    assert decoded <= {
        *("png-deflate-bomb", "png-raw-exif", "tiff-strip-bomb", "bmp-rle-delta"),
        *("jpeg-exif-loop", "jpeg-icc-65535-parts", "jpeg-larger-than-data", "avif-12000"),
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_mutated_pictures_are_decoded_or_refused() -> None:
    (counts,) = _in_child(_MUTATIONS.format(count=1_000, start=0))
    assert sum(counts.values()) == 1_000
    assert counts["decoded"] > 100
    assert counts["corrupt"] > 100


@pytest.mark.filterwarnings("ignore::UserWarning")  # thousands, of Pillow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ico-png-177-megapixels", "too-many-pixels"),
        ("ico-png-144-megapixels-long", "aspect"),
        ("ico-bmp-60000", "too-many-pixels"),
        ("tiff-tile-bomb", "too-many-pixels"),
        ("tiff-many-strips", "corrupt"),
        ("tiff-same-bytes", "corrupt"),
        ("png-exif", "corrupt"),
        ("png-tiny-chunks", "corrupt"),
        ("jpeg-500-scans", "corrupt"),
        ("png-many-tag-blocks", "corrupt"),
        ("png-many-empty-tag-blocks", "corrupt"),
        ("gif-many-tag-blocks", "corrupt"),
        ("webp-many-tag-blocks", "corrupt"),
        ("jpeg-tiny-exif-segments", "corrupt"),
        ("jpeg-long-exif-segments", "corrupt"),
        ("jpeg-exif-bomb", "corrupt"),
        ("webp-exif-bomb", "corrupt"),
        ("avif-exif-bomb", "corrupt"),
        ("webp-canvas-65535", "too-many-pixels"),
        ("eps", "not-an-image"),
        ("psd", "not-an-image"),
        ("icns", "not-an-image"),
    ],
)
def test_a_bomb_is_refused_before_it_is_decoded(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(decode, "to_rgb", never)
    assert bad_images.outcome(bad_images.BOMBS[name]()) == reason


def test_ordinary_progressive_photos_have_few_scans() -> None:
    assert containers._jpeg(bad_images.jpeg_with_scans(1))[0] <= 12


def test_icons_with_any_inside_keep_their_picture() -> None:
    for variant in range(4):
        assert bad_images.outcome(bad_images._good("ICO", variant)) == "decoded"
