"""Settings of a build: models, mining, splits, examples, rewards and how work is done."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from repic.config import plugins
from repic.config.section import Extensible, Section, added, nearest

Band = Literal["easy", "medium", "hard"]


def _known_objective(name: str) -> str:
    if not plugins.has("objectives", name):
        known = nearest(name, plugins.names("objectives"), "`repic doctor plugins`")
        raise ValueError(f"there is no such objective{known}")
    return name


Objective = Annotated[str, AfterValidator(_known_objective)]
Weight = Annotated[float, Field(ge=0)]
SPLITS = ("train", "validation", "test")
LOCAL = "local-dir:"
"""OpenCLIP's prefix for a folder of weights."""

EVERYDAY = "everyday"
"""Name of the shipped vocabulary."""


class DetectorSettings(Extensible):
    """The detector that draws boxes."""

    group: ClassVar[plugins.Group] = "detectors"

    kind: str = Field(
        "photos",
        description="annotation: the source's own boxes; otherwise a model family: photos, yolo, "
        "yolo-world, yoloe, transformers, or one of a plug-in.",
    )
    checkpoint: str | None = Field(
        None,
        description="Weights: a file name, a folder or a hub name; yolo: `sample` for generated "
        "photos.",
    )
    vocabulary: tuple[str, ...] = Field(
        (),
        description="Categories to detect: a list, `everyday` (about 350 common things), or the "
        "path of a .txt file with one per line; empty: the model's own.",
    )
    text_encoder: str | None = Field(
        None,
        description="OpenCLIP ARCH:TAG for the vocabulary; empty: the detector's own.",
    )
    confidence: float = Field(
        0.25, ge=0, le=1, description="Boxes with a lower confidence are dropped."
    )
    iou: float = Field(
        0.7, gt=0, le=1, description="Boxes of one label with a higher IoU are merged (NMS)."
    )
    image_size: int = Field(640, ge=32, description="Side of the model's square input in pixels.")
    max_objects: int = Field(
        20, ge=1, description="Most boxes kept per photo, highest confidence first."
    )
    min_area_share: float = Field(
        0.005, ge=0, lt=1, description="Boxes with a smaller share of the photo are dropped."
    )
    expressions: Literal["annotation", "none"] = Field(
        "none",
        description="annotation: a detected box gets the referring expressions of the annotated "
        "object that it overlaps by half.",
    )

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if not plugins.has("detectors", kind):
            raise ValueError(
                f"there is no such detector{nearest(kind, plugins.names('detectors'))}"
            )
        return kind

    @field_validator("vocabulary", mode="before")
    @classmethod
    def _read_list(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value == EVERYDAY:
            text = (
                resources.files("repic.config")
                .joinpath(f"profiles/{EVERYDAY}.txt")
                .read_text(encoding="utf-8")
            )
        elif value.endswith(".txt"):
            try:
                text = Path(value).expanduser().read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                raise ValueError(f"the file cannot be read: {error}") from error
        else:
            return value
        return tuple(line.strip() for line in text.splitlines() if line.strip())


class EncoderSettings(Extensible):
    """The encoder that turns a crop into a vector."""

    group: ClassVar[plugins.Group] = "encoders"

    architecture: str = Field(
        "photos",
        description="OpenCLIP architecture, `photos`, `sample` for generated photos, or an "
        "encoder of a plug-in.",
    )
    pretrained: str = Field(
        "", description="OpenCLIP tag, TAG:FILE, local-dir:FOLDER or hf-hub:ORG/NAME."
    )
    view: Literal["crop", "photo"] = Field("crop", description="What is encoded.")
    margin: float = Field(
        0.0, ge=0, le=1, description="Margin added to each side of a crop, as a share of its size."
    )


class MiningSettings(Section):
    """Which pairs are kept; see `repic.mining` for the rules."""

    positives_per_object: int = Field(4, ge=1, description="Most positives kept per anchor.")
    hard_per_object: int = Field(2, ge=0, description="Hard negatives per anchor.")
    medium_per_object: int = Field(1, ge=0, description="Medium negatives per anchor.")
    easy_per_object: int = Field(1, ge=0, description="Easy negatives per anchor.")
    near_duplicate_bits: int = Field(
        6,
        ge=0,
        le=32,
        description="Largest Hamming distance between the 64-bit perceptual hashes of "
        "near-duplicates.",
    )
    exact_up_to: int = added(
        200_000,
        ge=0,
        description="Most objects that are all compared with each other; more are compared within "
        "blocks of similar ones, and the log says which share of the nearest that finds.",
    )


class SplitSettings(Section):
    """Shares of the identity groups; the rest is train."""

    validation: float = Field(0.1, ge=0, lt=1, description="Share of groups to tune on.")
    test: float = Field(0.1, ge=0, lt=1, description="Share of groups to report on.")
    salt: str = Field("repic", description="Change it to assign groups differently.")

    @model_validator(mode="after")
    def _leaves_train(self) -> SplitSettings:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave something to train on")
        return self


class LabelSettings(Section):
    """Which nouns prompts may use for an object, where a detector estimates probabilities."""

    min_probability: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Least probability of a specific noun, such as a breed of dog: the mean over "
        "the photos of one identity.",
    )
    min_broad_probability: float = Field(
        0.38,
        ge=0,
        le=1,
        description="Least probability of a broad noun, such as dog, used where no specific one is "
        "probable enough; below, no text names the object.",
    )


class NameSettings(Section):
    """Names of references."""

    locales: tuple[str, ...] = Field(
        ("en_US", "fr_FR", "it_IT", "ko_KR", "zh_CN"), min_length=1, description="Faker locales."
    )


class OctSettings(Section):
    """Is it the same object: yes or no."""

    negatives_per_positive: float = Field(1.0, ge=0, description="1 is balanced.")
    band_shares: dict[Band, Weight] = Field(
        {"hard": 0.5, "medium": 0.25, "easy": 0.25}, description="Bands of the negatives."
    )


class VltSettings(Section):
    """Where is it: a box."""

    max_per_photo: int = Field(2, ge=1, description="Most expressions per photo.")
    max_area_share: float = Field(
        0.9, gt=0, le=1, description="Objects with a larger share of the photo are skipped."
    )
    max_lazy_iou: float = Field(
        0.42,
        gt=0,
        le=1,
        description="Highest mean IoU that one fixed box for all photos may have. Above it, the "
        "rows that it answers best show crops, or are left out (at most 40 %, and only while 90 "
        "rows remain). 1: no limit.",
    )
    crops: bool = Field(
        True,
        description="Whether a question about a label may be asked about a random crop of the "
        "photo that shows most of the object.",
    )


class IctSettings(Section):
    """Caption the photo and use the right names."""

    shares: dict[Literal["single", "multi", "absent", "mixed", "which"], Weight] = Field(
        {"single": 0.35, "multi": 0.2, "absent": 0.15, "mixed": 0.2, "which": 0.1},
        description="Kinds of rows; the share of a kind that cannot be made goes to the others.",
    )
    balance: bool = Field(
        True,
        description="Where only names are known, ignore the share of absent rows, and turn enough "
        "other rows into absent ones that naming everybody earns no more than naming nobody. Not "
        "if the share of absent rows is 0.",
    )
    max_references: int = Field(
        4, ge=2, le=8, description="Most references in a multi or mixed row."
    )
    same_photo_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of multi rows whose references are crops of the query photo, as in the "
        "paper.",
    )
    info_share: float = Field(
        0.5, ge=0, le=1, description="Share of rows with a `Name, Info` text per reference."
    )
    use_name_share: float = Field(
        0.2, ge=0, le=1, description="Share of rows that ask to use the name."
    )
    no_copy_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of other rows, that ask not to repeat the given text.",
    )
    per_positive: int = Field(1, ge=1, description="Rows per positive pair.")

    @model_validator(mode="after")
    def _exclusive(self) -> IctSettings:
        if self.use_name_share + self.no_copy_share > 1:
            raise ValueError(
                "no row asks both to use the name and not to repeat: the sum of use_name_share and "
                "no_copy_share is at most 1"
            )
        return self


class SamePhotoSettings(Section):
    """References that are crops of the query photo itself."""

    use: Literal["never", "auto", "always"] = Field(
        "never",
        description="Whether OCT and ICT show crops of the query as references. never; auto: of "
        "objects that no other photo shows, such as those of COCO; always: of other objects, too. "
        "All references are then mirrored, scaled and recoloured at random.",
    )
    share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Largest share of objects with such a reference among these objects and the "
        "positive pairs together; no limit if there are no pairs.",
    )
    max_per_photo: int = Field(2, ge=1, description="Most such objects per photo.")


class ExampleSettings(Extensible):
    """How pairs become training examples."""

    group: ClassVar[plugins.Group] = "objectives"

    seed: int = Field(0, description="Seed of all random choices: names, templates, rows.")
    total: int | None = Field(
        None, ge=1, description="Most training rows; empty: as many as can be made."
    )
    shares: dict[Objective, Weight] | None = Field(
        None, description="Share of each objective among all rows; empty: whatever can be made."
    )
    names: NameSettings = NameSettings()
    same_photo: SamePhotoSettings = added(SamePhotoSettings(), description="")
    oct: OctSettings = OctSettings()
    vlt: VltSettings = VltSettings()
    ict: IctSettings = IctSettings()

    @field_validator("shares")
    @classmethod
    def _some(cls, shares: dict[Objective, float] | None) -> dict[Objective, float] | None:
        if shares is not None and not sum(shares.values()):
            raise ValueError("every share is 0, so that nothing would be made")
        return shares


class JudgeSettings(Section):
    """The model that compares a caption with the true one; off without an endpoint."""

    url: str | None = Field(
        None, description="OpenAI-compatible endpoint, such as http://host:8000/v1; empty: off."
    )
    model: str = Field("", description="Model name that is sent to the endpoint.")
    api_key_env: str | None = Field(
        None, description="Environment variable that holds the key; never the key itself."
    )
    timeout: float = Field(20.0, gt=0, description="Seconds to wait for one answer.")
    weight: float = Field(
        0.3, ge=0, le=1, description="Share of the reward that a lost comparison costs."
    )
    photos: bool = added(
        False,
        description="Send photo and references too: they leave this machine for the endpoint.",
    )

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("write an address such as http://host:8000/v1")
        return url


class ClipScoreSettings(Section):
    """How much better a caption fits its photo than other photos, by the configured encoder."""

    weight: float = Field(
        0.0, ge=0, le=1, description="Share of the reward that the worst fit costs; 0: off."
    )
    scale: float = Field(
        2.5, gt=0, description="CLIPScore is the cosine times this, at most 1; published: 2.5."
    )
    margin: float = added(
        0.25,
        gt=0,
        le=1,
        description="By how much CLIPScore must exceed that against other photos for no penalty.",
    )


class RewardSettings(Extensible):
    """What is read as the answer, and model-based penalties that reward workers apply."""

    group: ClassVar[plugins.Group] = "rewards"

    strip: tuple[Literal["think", "answer"], ...] = added(
        (),
        description="Wrappers that are no part of an answer: think (<think>...</think> before it), "
        "answer (<answer>...</answer> around it).",
    )
    judge: JudgeSettings = JudgeSettings()
    clip_score: ClipScoreSettings = ClipScoreSettings()


class QuarantineSettings(Section):
    """When too many files are bad to publish the rest; changes no row."""

    budget: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of files that may be rejected; one always may, except with 0.",
    )


class RuntimeSettings(Section):
    """How work is done. Device, precision, threads and batch are part of a model's fingerprint."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on CUDA, float32 elsewhere."
    )
    threads: int = Field(2, ge=1, description="CPU threads per model.")
    batch_size: int = Field(
        16, ge=1, description="Images per forward pass; the last batch is padded."
    )
    workers: int = Field(4, ge=1, description="Photos that are read at the same time.")
    shard_rows: int = Field(
        256,
        ge=1,
        description="Most inputs per shard: what a crash can lose, and one task of the flow. "
        "A small collection has smaller shards.",
    )
