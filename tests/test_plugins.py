"""Packages that register kinds of their own: found, checked, used, and named where they fail."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from repic import config, objectives, report, sources
from repic.cli import app
from repic.config import plugins
from repic.config.settings import as_recorded
from repic.errors import ConfigError, PluginError, RowError, TargetError
from repic.export import registry
from repic.images.coordinates import QWEN3_VL
from repic.models import detectors, encoder
from repic.pipeline.scan import scan
from repic.rewards import image_blind, scoring
from repic.rewards.attacks import suite
from repic.rewards.components import RewardedAnswer, lowered
from repic.rewards.scoring import explain, score
from repic.rewards.server.model_components import load_components, packed_settings
from repic.rewards.server.protocol import row_message, score_row
from repic.training.checks import preflight
from storage.store import Store
from tests.builds import PHOTOS, SIZE, Built, build
from tests.packages import Packages

ROOT = Path(__file__).parents[1]
LISTING = """
from pydantic import Field

from repic.config import Section
from repic.images import uris
from repic.sources.base import SourceFacts, SourcePhoto

VERSION = 1
FACTS = SourceFacts(path="a text file with a photo in each line", identity="none")


class SETTINGS(Section):
    most: int = Field(9, ge=1, description="Most photos that are read.")


def photos(settings):
    lines = open(settings.path, encoding="utf-8").read().split()
    for line in lines[: settings.of_plugin("listing").most]:
        yield SourcePhoto(uris.to_uri(line), "listing", caption="listed")
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    folder = tmp_path / "packages"
    folder.mkdir()
    installed = Packages(folder, monkeypatch)
    yield installed
    installed.close()


@pytest.fixture
def listing(packages: Packages) -> Packages:
    packages.install("repic_listing", {"sources/listing": ""}, LISTING)
    return packages


@pytest.mark.parametrize("group", plugins.GROUPS)
def test_our_own_have_all_that_is_asked_of_a_plugin(group: plugins.Group) -> None:
    for name in plugins.OWN[group]:
        found = plugins.load(group, name)
        assert all(hasattr(found, needed) for needed in plugins.NEEDED[group]), name


def test_no_name_of_ours_reads_the_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_registered", lambda: pytest.fail("read"))
    settings = config.load("sample")
    assert settings.sources[0].of_owner is False
    assert registry.target("trl").name == "trl"


def test_a_source_of_a_package_is_a_kind_like_ours(listing: Packages, tmp_path: Path) -> None:
    photos = [tmp_path / f"{number}.jpg" for number in range(3)]
    (tmp_path / "list.txt").write_text("\n".join(map(str, photos)))
    chosen = config.chosen_sources(sources=[f"listing:{tmp_path / 'list.txt'}"])
    settings = config.load("photos", ["source.listing.most=2"], **chosen)
    found = list(sources.photos(settings.sources[0], settings.splits))
    assert [photo.caption for photo in found] == ["listed", "listed"]
    assert "listing" in sources.facts()
    assert sources.provenance(settings.sources[0], []) == {"plugin": "repic_listing 1.0 1"}
    recorded = as_recorded(settings).record(config.BUILD)
    assert recorded["sources"][0]["listing"] == {"most": 2}
    assert config.from_record(recorded).sources == as_recorded(settings).sources


def test_its_settings_are_listed_and_checked(listing: Packages) -> None:
    keys = {key: (default, text) for key, default, text in config.describe(config.BUILD)}
    assert keys["source.listing.most"] == ("9", "Most photos that are read.")
    kind = {"source": {"kind": "listing", "path": "a"}}
    with pytest.raises(ConfigError, match=r"did you mean source\.listing\.most"):
        config.load("photos", ["source.listing.mots=2"], **kind)
    with pytest.raises(ConfigError, match=r"source\.listing\.most=0.*greater than or equal to 1"):
        config.load("photos", ["source.listing.most=0"], **kind)
    with pytest.raises(ConfigError, match="listing is for sources of kind listing"):
        config.load("photos", ["source.listing.most=2"], source={"path": "a"})
    with pytest.raises(ConfigError, match="did you mean listing"):
        config.load("photos", source={"kind": "lsting", "path": "a"})


def test_its_version_is_in_the_fingerprint(packages: Packages, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(str(tmp_path / "gone.jpg"))
    source = {"kind": "listing", "path": str(tmp_path / "list.txt")}
    prints = set()
    for release, version in (("1.0", 1), ("1.0", 2), ("1.1", 2)):
        for record in packages.folder.glob("*.dist-info"):
            record.rename(tmp_path / f"old-{len(prints)}")
        packages.close()
        code = LISTING.replace("VERSION = 1", f"VERSION = {version}")
        packages.install("repic_listing", {"sources/listing": ""}, code, release)
        os.utime(packages.folder / "repic_listing.py", ns=(0, len(prints) * 10**10))
        settings = config.load("photos", source=source)
        prints.add(scan(settings).fingerprint)
    assert len(prints) == 3


TARGET = """
from pathlib import Path

from repic.export.target import TargetFacts

VERSION = 1
FACTS = TargetFacts("a reader", "ids", "all else", "our test", "cat F/ids", pictures=("reference",))


def write(job):
    with open(Path(job.folder) / "ids", "w", encoding="utf-8") as file:
        for chat in job.rows():
            file.write(chat.row["example_id"])
    return {}
"""


def test_a_target_of_a_package_is_listed(packages: Packages) -> None:
    packages.install("repic_ids", {"exports/ids": ""}, TARGET)
    assert registry.target("ids").facts.program == "a reader"
    listed = CliRunner().invoke(app, ["export", "--list", "--json"]).output
    assert [*json.loads(listed)] == [*plugins.OWN["exports"], "ids"]
    with pytest.raises(TargetError, match="did you mean ids"):
        registry.target("idz")


MODELS = """
import hashlib

import numpy as np
from pydantic import Field

from repic.config import Section
from repic.images.coordinates import Box
from repic.models.detectors import Detection
from repic.models.detectors.base import detect

VERSION = 1
OPEN_VOCABULARY = False


class SETTINGS(Section):
    share: float = Field(0.5, gt=0, le=1, description="Side of the box, as a share of the photo's.")


def describe(settings):
    return {"weights": "none"}


def load(settings, runtime, fingerprint):
    return Middle(settings, fingerprint)


class Middle:
    vocabulary, side = ("thing",), 640

    def __init__(self, settings, fingerprint):
        self.share, self.fingerprint = settings.of_plugin("middle").share, fingerprint

    def prepare(self, image):
        return image

    def detect(self, images):
        return detect(self, images, 4)

    def detect_prepared(self, batches, pool):
        for batch in batches:
            yield [[self.find(*image.size)] for image in batch]

    def find(self, width, height):
        rest = (1 - self.share) / 2
        box = Box(rest * width, rest * height, (1 - rest) * width, (1 - rest) * height)
        return Detection(box, "thing", 1.0)


class Colours:
    VERSION = 2

    @staticmethod
    def describe(settings):
        return {"mean": "colour"}

    @staticmethod
    def reads_texts(settings):
        return False

    @staticmethod
    def load(settings, runtime, fingerprint):
        return MeanColour(fingerprint)


class MeanColour:
    dim, side = 3, 64

    def __init__(self, fingerprint):
        self.fingerprint = fingerprint

    def prepare(self, image):
        return np.asarray(image.resize((8, 8))).mean(axis=(0, 1)) + 1

    def encode_prepared(self, prepared):
        vectors = np.array(prepared, np.float32).reshape(-1, 3)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_images(self, images):
        return self.encode_prepared([self.prepare(image) for image in images])
"""


def test_a_detector_and_an_encoder_of_a_package_build(
    packages: Packages, built: Built, tmp_path: Path
) -> None:
    points = {"detectors/middle": "", "encoders/colours": "Colours"}
    packages.install("repic_models", points, MODELS)
    changes = ("detector.kind=middle", "detector.middle.share=0.25", "encoder.architecture=colours")
    settings = built.album.settings(*changes)
    store = Store.open(tmp_path / "store", create=True)
    build(settings, store)
    rows = store.read("objects@latest").to_pylist()
    assert {row["label"] for row in rows} == {"thing"}
    assert {round(row["x2"] - row["x1"]) for row in rows} == {SIZE // 4}
    assert store.read("embeddings@latest").num_rows == len(rows) == PHOTOS
    described = detectors.describe(settings.detector, settings.runtime)
    made = {"package": "repic_models", "release": "1.0", "version": 1}
    assert described["plugin"] == made
    assert described["settings"] == {"share": 0.25}
    assert encoder.describe(settings.encoder, settings.runtime)["plugin"]["version"] == 2


REWARD = """
from pydantic import Field

from repic.config import Section

VERSION = 1
RULE = "how short the answer is"


class SETTINGS(Section):
    weight: float = Field(0.0, ge=0, le=1, description="Share of the reward that it can take.")


def is_on(settings):
    return settings.weight > 0


def looks(settings):
    return False


def component(settings, models):
    return Short(settings.weight)


class Short:
    name = "short"

    def __init__(self, weight):
        self.weight = weight

    def applies(self, answer):
        return True

    def scores(self, answers):
        return [1.0 if len(answer.text) < 4 else 0.0 for answer in answers]
"""


def test_a_reward_of_a_package_is_a_component_of_workers(packages: Packages) -> None:
    packages.install("repic_short", {"rewards/short": ""}, REWARD)
    off = config.load("sample")
    assert packed_settings(off, "store") == ""
    settings = config.load("sample", ["rewards.short.weight=0.5"])
    [component] = load_components(packed_settings(settings, "store"))
    row = {"objective": "oct", "kind": "positive", "answer": "yes"}
    answers = [RewardedAnswer(text, row, score(text, row)) for text in ("yes", "Yes, it is.")]
    rewards = [
        lowered(answer.reward, component, part)
        for answer, part in zip(answers, component.scores(answers), strict=True)
    ]
    assert [reward.total for reward in rewards] == [1.0, 0.5]
    full = {**row, "example_id": "1", "prompt": [], "box": None, "caption": None}
    parts = explain(full, rewards[1], rewards[1])["components"]
    assert parts[-1] == {"name": "short", "value": 0.0, "rule": "how short the answer is"}


@pytest.mark.parametrize(
    ("code", "name", "problem"),
    [
        ("import nothing_of_this_name", "listing", "cannot be imported .ModuleNotFoundError: No"),
        ("1 / 0", "listing", "cannot be imported .ZeroDivisionError"),
        ("VERSION = 1\nFACTS = None", "listing", r"lacks photos in broken"),
        (LISTING.replace("VERSION = 1", ""), "listing", "lacks VERSION"),
        (LISTING.replace("VERSION = 1", "VERSION = None"), "listing", "VERSION that is no number"),
        (LISTING + "FACTS = None", "listing", "FACTS in broken that are no SourceFacts"),
        ("raise SystemExit('no licence')", "listing", "cannot be imported .SystemExit: no licence"),
        (LISTING + "SETTINGS = 3", "listing", "SETTINGS in broken that are no repic.config.Sect"),
        (
            LISTING.replace("from repic.config import", "from pydantic import BaseModel as"),
            "listing",
            "SETTINGS in broken that are no repic.config.Sect",
        ),
        (LISTING, "Listing", "has a name that is not of lower-case letters"),
    ],
)
def test_a_broken_plugin_is_named_with_the_remedy(
    packages: Packages, code: str, name: str, problem: str
) -> None:
    packages.install("broken", {f"sources/{name}": ""}, code)
    settings = config.SourceSettings.model_construct(kind=name)
    with pytest.raises(PluginError, match=problem) as raised:
        settings.require_path()
    assert "the package broken 1.0" in str(raised.value)
    assert "update broken or uninstall it" in str(raised.value)


def test_a_broken_plugin_stops_only_what_needs_it(packages: Packages) -> None:
    packages.install("broken", {"sources/listing": "", "exports/ids": ""}, "1 / 0")
    assert config.load("sample").sources[0].kind == "sample"
    assert [*sources.facts()] == [*plugins.OWN["sources"]]
    assert config.describe(config.BUILD)
    with pytest.raises(ConfigError, match=r"did you mean source\.path"):
        config.load("photos", ["source.pth=a"])
    done = CliRunner().invoke(app, ["doctor", "plugins"])
    assert done.exit_code == 1
    assert "ZeroDivisionError" in " ".join(done.output.split())


def test_a_name_of_ours_stays_ours(packages: Packages) -> None:
    packages.install("taker", {"sources/folder": ""}, LISTING)
    assert plugins.load("sources", "folder") is import_module("repic.sources.folder")
    (found,) = plugins.installed()
    assert "taker 1.0 has a name that RePIC uses" in str(plugins.problem_of(found))


def test_two_packages_with_one_name_are_named_both(listing: Packages) -> None:
    listing.install("second", {"sources/listing": ""}, LISTING)
    with pytest.raises(PluginError, match=r"several packages register \(repic_listing, second"):
        config.load("photos", source={"kind": "listing", "path": "a"})


def test_the_working_directory_cannot_name_code(
    packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.install("repic_listing", {"sources/listing": ""}, "1 / 0")
    monkeypatch.chdir(packages.folder)
    plugins._registered.cache_clear()
    assert plugins.installed() == []


def test_doctor_lists_them(listing: Packages) -> None:
    done = CliRunner().invoke(app, ["doctor", "plugins", "--json"])
    assert json.loads(done.output) == [
        {
            "group": "sources",
            "name": "listing",
            "path": "repic_listing",
            "distribution": "repic_listing",
            "release": "1.0",
            "problem": None,
        }
    ]


@pytest.fixture
def howmany(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> Packages:
    """The package of docs/extending.md, with its objective."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "howmany"))
    point = {"objectives/howmany": "HowMany"}
    packages.install("counting", point, "from repic_howmany.objective import HowMany")
    return packages


USED = "source.objectives=[oct, howmany]"


def test_an_objective_that_no_source_uses_changes_no_recipe(howmany: Packages) -> None:
    plain = config.load("sample")
    before = objectives.describe(plain.examples, plain.sources)
    assert "plugins" not in before
    assert [*before["sentences"]] == ["oct", "vlt", "ict"]
    for change in ("examples.howmany.most=3", "examples.shares={oct: 1, howmany: 1}"):
        with pytest.raises(ConfigError, match=r"howmany, which no source uses: add it to source"):
            config.load("sample", [change])


def test_its_version_settings_and_sentences_are_in_the_recipe(howmany: Packages) -> None:
    settings = config.load("sample", [USED, "examples.howmany.most=3"])
    found = objectives.describe(settings.examples, settings.sources)
    assert found["plugins"]["howmany"] == {
        "plugin": {"package": "counting", "release": "1.0", "version": 1},
        "settings": {"most": 3, "per_photo": 2},
    }
    assert len(found["sentences"]["howmany"]) == 3


def test_every_place_knows_the_objective(howmany: Packages, built: Built, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    build(built.album.settings(USED), store)
    rows = store.read("examples@latest").to_pylist()
    counted = [row for row in rows if row["objective"] == "howmany"]
    assert {row["answer"] for row in counted} > {"1"}
    for row in counted:
        scoring.check_row(row)
        assert score(preflight.best_answer(row, QWEN3_VL), row).total == 1
        assert score(preflight.corrupted_answer(row, QWEN3_VL), row).total == 0
        sent: Any = row_message(row)
        assert score_row(row["answer"], sent, "strict", QWEN3_VL).reward == 1
    earned = [e for e in image_blind.measure(rows, "strict", QWEN3_VL) if e.objective == "howmany"]
    assert {e.split for e in earned} == {row["split"] for row in counted}
    assert suite.run(counted).attacks == 3
    page = report.write(store, "dataset@latest", tmp_path / "page.html").read_text()
    assert "How many things of the kind of the first picture" in page
    notes = store.manifest("examples@latest").notes["howmany"]
    assert sum(n for of in notes["rows"].values() for n in of.values()) == len(counted)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("class HowMany:\n    VERSION = 1", "lacks attacks, best"),
        (
            "from repic.objectives.objective import Objective\n"
            "class HowMany(Objective):\n    VERSION, name, title, question, templates = 1, *'abcd'",
            "lacks reward, rows, wrong",
        ),
        (
            "from repic_howmany import objective\n"
            "class HowMany(objective.HowMany):\n    name = 'other'",
            "calls itself other",
        ),
    ],
)
def test_an_objective_that_lacks_something_is_named(
    packages: Packages, monkeypatch: pytest.MonkeyPatch, code: str, problem: str
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "howmany"))
    packages.install("counting", {"objectives/howmany": "HowMany"}, code)
    settings = config.load("sample", [USED])
    with pytest.raises(PluginError, match=problem):
        objectives.describe(settings.examples, settings.sources)


def test_a_row_of_a_package_that_is_gone_is_named() -> None:
    with pytest.raises(RowError, match=r"one of oct, vlt, ict; if it is of a plug-in"):
        score("1", {"objective": "howmany", "answer": "1"})
