"""What a version of the examples lacks for a recipe, and where its rows were lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from repic.config import ExampleSettings
from repic.config.section import validated
from repic.objectives import blind_captions, identify, in_order, objective_of
from repic.objectives.base import Row
from storage.manifest import Manifest
from storage.reader import StoreReader

ADD_PHOTOS = "add photos or sources (`repic sources` says what each kind gives), or lower the total"
BUILD = "build with the profile that you train with"

SHORT, OVER = 0.02, 0.1
"""Rows that a kind may lack, and that a kind or an objective may have in excess, as shares of what
is wanted; one row is rounding. An objective may lack no others.
"""


@dataclass(frozen=True)
class Loss:
    """What a stage left out of all that it was given.

    Attributes:
        stage: The stage; `shares` is the choice of rows at the end.
        count: How many photos, objects, pairs or rows, as `what` says; of all splits.
        remedy: What the user can do about it.
    """

    stage: str
    count: int
    what: str
    remedy: str


@dataclass(frozen=True)
class RecipeLine:
    """Rows of train of an objective, or of one kind of its rows, that a recipe wants and has.

    Attributes:
        kind: Empty for all kinds of the objective.
        wanted: None where the recipe takes as many as can be made.
        losses: The largest first.
    """

    objective: str
    kind: str
    wanted: int | None
    rows: int
    losses: tuple[Loss, ...] = ()

    @property
    def missing(self) -> int:
        """Rows that are wanted and not there."""
        return max(0, (self.wanted or 0) - self.rows)

    @property
    def is_short(self) -> bool:
        """Whether rows are missing, but for rounding and, of a kind, a share of `SHORT`."""
        if self.wanted is None:
            return False
        slack = max(1, SHORT * self.wanted) if self.kind else 1
        return self.rows < self.wanted - slack or (self.rows == 0 < self.wanted)

    @property
    def is_over(self) -> bool:
        """Whether there are more rows than wanted, by more than a share of `OVER`."""
        return self.wanted is not None and self.rows > self.wanted + max(1, OVER * self.wanted)


_OF_PAIRS = {
    "pair_doubtful": ("pairs whose label and similarity disagree", "`repic reviews export` them"),
    "pair_review_rejects": ("pairs that a review rejects", ""),
    "pair_crosses_splits": ("pairs of photos in two splits", "label identities"),
    "pair_object_missing": ("pairs of objects that are gone", ""),
}
_REASONS: Mapping[str, tuple[str, str, str]] = {
    **{code: ("pairs", *said) for code, said in _OF_PAIRS.items()},
    "anchor_may_be_in_the_query": (
        "examples",
        "negatives whose object may be in the query",
        "label identities, or annotate all objects",
    ),
    "no_other_object_of_its_label": (
        "examples",
        "objects without another one of their label for a negative",
        "add photos with the same categories",
    ),
    "not_clear_enough_for_a_reference_of_its_own_photo": (
        "examples",
        "objects that are cut, too small or too large for a reference of their own photo",
        "add photos with objects that are clearly visible",
    ),
    "its_true_caption_is_not_rewarded": (
        "examples",
        "photos whose caption contradicts their own annotations",
        "correct the captions",
    ),
    "no_kind_with_a_share_can_be_made": (
        "examples",
        "photos for which no kind with a share can be made",
        "give other kinds a share (examples.ict.shares)",
    ),
    "no_label_is_sure": (
        "labels",
        "objects that no text may name: no label is sure, and there is no expression",
        "use a source with expressions (refcoco, coco with refs), name the folders "
        "(source.label=folder), or lower labels.min_broad_probability",
    ),
    "no_expression_for_it_alone": (
        "examples",
        "objects without an expression or label that is theirs alone",
        "use a source with expressions (refcoco, coco with refs)",
    ),
    "a_fixed_box_answers_it": (
        "examples",
        "objects where a fixed box finds them",
        "add photos with objects elsewhere, or raise examples.vlt.max_lazy_iou",
    ),
    "too_large": ("examples", "objects that fill the photo", "raise examples.vlt.max_area_share"),
}
"""Code of an `ObjectiveSummary` -> stage, what was left out, remedy."""


KINDS = ("single", "multi", "absent", "mixed", identify.KIND)
_KIND_NEEDS = {
    "single": "add photos with one object that other photos show",
    "multi": "add photos of several objects that other photos show",
    "absent": "add photos of other objects of the same labels, and label identities",
    "mixed": "add photos of other objects of the same labels, and label identities",
    identify.KIND: "add photos with several objects side by side",
}
"""Kind of ICT row -> what gives more of them."""


def recorded_recipe(examples: Manifest) -> dict[str, Any]:
    """The settings `examples` with which a version was made."""
    recipe = examples.settings.get("recipe")
    return dict(recipe.get("settings", {})) if isinstance(recipe, Mapping) else {}


def made_with(examples: Manifest) -> ExampleSettings:
    """The same, complete: settings that are not recorded have their default.

    Raises:
        ConfigError: it was made with a plug-in that is not installed.
    """
    recorded = recorded_recipe(examples)
    return validated(ExampleSettings, recorded, "if it is of a plug-in, install its package")


def is_balanced(examples: Manifest) -> bool:
    """Whether a version was made with `ict.balance`, which older ones do not have."""
    ict = recorded_recipe(examples).get("ict", {})
    return bool(ict.get("balance")) and made_with(examples).ict.shares.get("absent", 0) > 0


def gave_way(examples: Manifest, rows: Iterable[Row]) -> bool:
    """Whether caption rows of a version gave way to absent ones: only names are known of some."""
    of_names = blind_captions.unchecked(rows)
    return is_balanced(examples) and any(row.get("origin") != "same_photo" for row in of_names)


def differences(examples: Manifest, recipe: ExampleSettings) -> list[str]:
    """Settings of a recipe with which the version was not made, as `examples.total=2000`."""
    made = dict(_flat(made_with(examples).model_dump()))
    wanted = dict(_flat(recipe.model_dump()))
    return [f"examples.{key}={value}" for key, value in wanted.items() if made.get(key) != value]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check(
    store: StoreReader,
    examples: Manifest,
    dataset: Manifest | None,
    recipe: ExampleSettings,
    rows: Sequence[Row],
) -> list[RecipeLine]:
    """What the recipe wants of each objective and of each kind of ICT row, and what is there.

    Args:
        dataset: A dataset that binds the examples; None: nothing is known of the quarantine.
        rows: All rows of the examples.
    """
    there = Counter((r["objective"], r["kind"]) for r in rows if r["split"] == "train")
    of_objective: Counter[str] = Counter()
    for (objective, _), count in there.items():
        of_objective[objective] += count
    wanted = _wanted(recipe, of_objective.total())
    lines = []
    for name in in_order((*of_objective, *(recipe.shares or {}))):
        line = RecipeLine(name, "", wanted.get(name), of_objective[name])
        if line.is_short or not line.rows:
            found = [*_losses(store, examples, dataset, name), *_of_shares(examples, recipe, name)]
            found = found or [*_unexplained(examples, recipe, line)]
            found.sort(key=lambda loss: -loss.count)
            line = replace(line, losses=tuple(found))
        lines.append(line)
        if name == "ict":
            lines += _kinds(examples, recipe, line, there, gave_way(examples, rows))
    return lines


def _wanted(recipe: ExampleSettings, rows: int) -> dict[str, int]:
    """Rows of train by objective; empty without shares."""
    if recipe.shares is None:
        return {}
    total, share_sum = recipe.total or rows, sum(recipe.shares.values())
    return {
        name: round(total * recipe.shares.get(name, 0) / share_sum)
        for name in in_order(recipe.shares)
    }


def _kinds(
    examples: Manifest,
    recipe: ExampleSettings,
    ict: RecipeLine,
    there: Mapping[tuple[str, str], int],
    some_gave_way: bool,
) -> Iterator[RecipeLine]:
    """A line for each kind that the recipe wants or the version has."""
    given = {str(kind): share for kind, share in recipe.ict.shares.items()}
    share_sum = sum(given.values())
    base = ict.rows if ict.wanted is None else ict.wanted
    made = made_with(examples)
    for kind in KINDS:
        share = given.get(kind, 0) / share_sum if share_sum else 0
        line = RecipeLine("ict", kind, round(base * share), there["ict", kind])
        if line.is_short and replace(line, wanted=round(ict.rows * share)).is_short:
            loss = _of_kind(line, made.ict.shares != recipe.ict.shares, some_gave_way)
            line = replace(line, losses=(loss,))
        elif line.is_short:
            remedy = next((loss.remedy for loss in ict.losses if loss.remedy), ADD_PHOTOS)
            loss = Loss("examples", line.missing, "rows that ict lacks as a whole", remedy)
            line = replace(line, losses=(loss,))
        if line.wanted or line.rows:
            yield line


def _of_kind(line: RecipeLine, has_other_shares: bool, some_gave_way: bool) -> Loss:
    """Why there are fewer rows of a kind than its share of the ICT rows."""
    if has_other_shares:
        said = "rows not made: built with other examples.ict.shares"
        return Loss("examples", line.missing, said, BUILD)
    said, remedy = "rows not made: drawn as another kind", _KIND_NEEDS[line.kind]
    if some_gave_way and line.kind in ("single", "multi", "mixed"):
        said += ", or gave way to absent ones (examples.ict.balance)"
        remedy += "; with captions and expressions, none give way"
    return Loss("examples", line.missing, said, remedy)


def _unexplained(examples: Manifest, recipe: ExampleSettings, line: RecipeLine) -> Iterator[Loss]:
    """Why an objective is short of which no stage left anything out."""
    if line.missing and differences(examples, recipe):
        yield Loss("examples", line.missing, "rows not made: built with other settings", BUILD)
    elif line.missing:
        yield Loss("examples", line.missing, "rows not made: there are no more photos", ADD_PHOTOS)


def _losses(
    store: StoreReader, examples: Manifest, dataset: Manifest | None, name: str
) -> Iterator[Loss]:
    one = objective_of(name)
    tables = {table.name: store.manifest(table.ref) for table in examples.inputs}
    if dataset is not None:
        yield from _quarantined(store, dataset)
    notes = {name: manifest.notes for name, manifest in tables.items()}
    if count := notes.get("objects", {}).get("photos_without_objects"):
        yield Loss(
            "objects",
            count,
            "photos in which nothing was found",
            "lower detector.confidence, or choose another detector",
        )
    if one.needs_pairs:
        yield from _of_identities(notes)
        if made_with(examples).same_photo.use == "never":
            yield from _without_second_view(store, tables)
    if count := notes.get("pairs", {}).get("photos_by_split", {}).get("mixed"):
        yield Loss(
            "pairs",
            count,
            "photos with identities of two splits",
            "label identities, or set splits.validation=0 and splits.test=0",
        )
    for code, count in examples.notes.get(name, {}).get("refused", {}).items():
        if code.startswith("pair_") and not one.needs_pairs:
            continue
        own = one.refusals.get(code, (code.replace("_", " "), ""))
        said = _REASONS.get(code, ("examples", *own))
        yield Loss(said[0], count, said[1], said[2])


def _quarantined(store: StoreReader, dataset: Manifest) -> Iterator[Loss]:
    ref = next((table.ref for table in dataset.inputs if table.name == "quarantine"), None)
    rows = store.read(ref, ["stage", "error"]).to_pylist() if ref else []
    errors: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        errors[row["stage"]][row["error"]] += 1
    for stage, counts in errors.items():
        listed = ", ".join(f"{count} {error}" for error, count in counts.most_common(3))
        yield Loss(
            stage,
            counts.total(),
            f"photos in quarantine: {listed}",
            "`repic quarantine` lists them; repair them, then `repic quarantine retry`",
        )


def _of_identities(notes: Mapping[str, Mapping[str, Any]]) -> Iterator[Loss]:
    if lost := notes.get("objects", {}).get("identities_without_box"):
        yield Loss(
            "objects",
            lost["lost"],
            "annotated identities that are on no box of the detector",
            "detector.kind=annotation uses the annotated boxes",
        )


def _without_second_view(store: StoreReader, tables: Mapping[str, Manifest]) -> Iterator[Loss]:
    """Objects that are in one photo only, so that no positive pair has them."""
    photos: dict[str, set[str]] = defaultdict(set)
    objects: Counter[str] = Counter()
    if "groups" in tables:
        for row in store.read(tables["groups"].ref, ["group", "image_id"]).to_pylist():
            photos[row["group"]].add(row["image_id"])
            objects[row["group"]] += 1
    if single := sum(objects[group] for group, seen in photos.items() if len(seen) == 1):
        yield Loss(
            "pairs",
            single,
            "objects without a second view: no other photo shows them",
            "add photos of the same things, or let a crop of the photo itself be the reference "
            "(examples.same_photo.use=auto)",
        )


def _of_shares(examples: Manifest, recipe: ExampleSettings, name: str) -> Iterator[Loss]:
    """Rows that could be made, but are left out because another objective has too few."""
    made = {
        one: note["candidates"].get("train", 0)
        for one, note in examples.notes.items()
        if isinstance(note, Mapping) and "candidates" in note
    }
    shares = {one: share for one, share in (recipe.shares or {}).items() if share > 0}
    if not shares or any(one not in made for one in shares):
        return
    scarce = min(shares, key=lambda one: made[one] / shares[one])
    rows = examples.notes[name]["rows"].values()
    left_out = made.get(name, 0) - sum(kind.get("train", 0) for kind in rows)
    if name in shares and name != scarce and left_out > 0:
        yield Loss(
            "shares",
            left_out,
            f"rows left out to keep the shares, since {scarce} has too few",
            f"more rows of {scarce}, or other examples.shares",
        )
