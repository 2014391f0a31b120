"""Wrong settings end a build before its first model runs; most of them before a photo is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from repic import config
from repic.config import Settings
from repic.errors import ConfigError, DeviceError, WeightsError
from repic.pipeline.build import StagePlan, StageShard
from repic.pipeline.execution import build, open_and_scan
from repic.pipeline.scan import Scan, scan
from repic.pipeline.stages.base import Stage
from tests.builds import Album

PHOTOS = ("detector.kind=photos", "encoder.architecture=photos", "encoder.pretrained=")


class Completed:
    """Names of the stages whose shards were computed."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, stage: Stage, plan: StagePlan) -> None:
        pass

    def shard(self, stage: Stage, shard: StageShard) -> None:
        self.stages.append(stage.name)


def asked(album: Album, *overrides: str) -> Settings:
    return album.settings(*PHOTOS, *overrides)


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (["examples.names.locales=[xx_YY]"], ConfigError, "no first names for the locale 'xx_YY'"),
        (["examples.names.locales=[vi_VN]"], ConfigError, "vi_VN have 1 usable first names"),
        (["runtime.device=nonsense"], DeviceError, "is not a device"),
        (["runtime.device=cuda:x"], DeviceError, "is not a device"),
        (["detector.kind=yolo", "detector.checkpoint=gone.pt"], WeightsError, "gone.pt"),
        (["detector.kind=yolo-world"], ConfigError, "needs a detector.checkpoint"),
        (["encoder.architecture=ViT-B-32"], ConfigError, "encoder.pretrained is empty"),
        (["encoder.pretrained=local-dir:gone"], WeightsError, "no model folder gone"),
    ],
)
def test_these_are_found_before_a_photo_is_read(
    overrides: list[str], error: type[Exception], said: str, album: Album, tmp_path: Path
) -> None:
    def unwanted(settings: Settings) -> Scan:
        raise AssertionError("the source was scanned")

    settings = asked(album, *overrides)
    with pytest.raises(error, match=said):
        open_and_scan(str(tmp_path / "store"), settings, unwanted)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (["runtime.device=cuda:99"], DeviceError, "torch cannot use cuda:99"),
        (
            ["encoder.architecture=ViT-B-32", "encoder.pretrained=nonsense"],
            WeightsError,
            "nonsense is neither a file nor weights of ViT-B-32",
        ),
        (
            ["encoder.architecture=ViT-B-32", "encoder.pretrained=openai:{junk}"],
            WeightsError,
            "cannot load ViT-B-32 openai",
        ),
    ],
)
def test_these_are_found_before_the_first_model_runs(
    overrides: list[str], error: type[Exception], said: str, album: Album, tmp_path: Path
) -> None:
    (tmp_path / "junk.pt").write_bytes(b"hi\n")
    changes = [text.format(junk=tmp_path / "junk.pt") for text in overrides]
    settings = asked(album, *changes)
    completed = Completed()
    opened = open_and_scan(str(tmp_path / "store"), settings, scan)
    store, settings, scanned = opened
    with pytest.raises(error, match=said):
        build(settings, store, scanned, completed)
    assert set(completed.stages) <= {"probes"}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("examples.shares={oct: -1, vlt: 2}", "examples.shares.oct=-1"),
        ("examples.shares={oct: 0, ict: 0}", "every share is 0"),
        ("examples.oct.band_shares={hard: -1}", "examples.oct.band_shares.hard=-1"),
        ("examples.ict.shares={single: .nan}", "examples.ict.shares.single=nan"),
        ("rewards.judge.url=localhost", "write an address such as http://host:8000/v1"),
    ],
)
def test_a_setting_without_a_meaning_is_refused(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config.load("photos", [override])
    assert said in str(refused.value)
