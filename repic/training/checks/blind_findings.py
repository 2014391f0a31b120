"""Answers that pay without a look at the photos, as findings for one version.

A remedy is given only if it changes something for the settings with which the version was made, and
one finding names all splits that it is true of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from repic.config import ExampleSettings, plugins
from repic.config.build import VltSettings
from repic.images.coordinates import Convention
from repic.objectives import blind_captions, lazy_answers, objective_of
from repic.objectives.base import Mode, Row
from repic.objectives.blind_captions import BlindCaptions
from repic.pipeline import recipe_check
from repic.pipeline.doctor import Finding
from repic.rewards import image_blind
from repic.rewards.image_blind import BlindEarning
from storage.manifest import Manifest

UNBALANCED = 0.6
"""Reward of one word for all OCT rows above which its answers are too unequal."""

PAYS = 0.5
"""Reward of ICT captions that do not look above which the released rewards are warned about."""


def of_version(
    examples: Manifest,
    rows: Sequence[Row],
    earnings: Sequence[BlindEarning],
    mode: Mode,
    convention: Convention,
) -> Iterator[Finding]:
    """What pays without looking, and what would change that.

    Args:
        rows: All rows of the version.
        earnings: `image_blind.measure` of the rows.
    """
    made = recipe_check.made_with(examples)
    for earning in (earning for earning in earnings if earning.split == "train"):
        where = f"{earning.objective} without looking, train"
        if earning.objective == "oct" and earning.reward > UNBALANCED:
            found = f"always {earning.answer} earns {earning.reward:.2f}"
            yield Finding("note", where, found, _oct_remedy(earning.answer, made))
        if earning.objective == "ict" and mode == "paper" and earning.reward > PAYS:
            found = f"{earning.answer} earns {earning.reward:.2f} of the released reward"
            remedy = _remedy_of_released(examples, rows, earning.reward, convention)
            yield Finding("note", where, found, remedy)
        if plugins.is_plugin("objectives", earning.objective):
            one = objective_of(earning.objective)
            if earning.reward > one.most_blind:
                found = f"always {earning.answer} earns {earning.reward:.2f}"
                yield Finding("note", where, found, one.blind_remedy)
    yield from _of_boxes(rows, made)
    if mode == "strict":
        yield from _of_captions(examples, rows, made)


def _oct_remedy(answer: str, made: ExampleSettings) -> str:
    if made.oct.negatives_per_positive != 1:
        return "build with examples.oct.negatives_per_positive=1, which balances the answers"
    if answer == "yes":
        return (
            "add photos of other objects of the same labels, and label identities: too few "
            "negative pairs are sure"
        )
    return "add photos that show the same objects again: too few positive pairs are there"


def _remedy_of_released(
    examples: Manifest, rows: Sequence[Row], earned: float, convention: Convention
) -> str:
    """Strict rewards, if not looking earns less in these very rows; else what to build."""
    captions = [row for row in blind_captions.captions(rows) if row["split"] == "train"]
    [strict] = image_blind.measure(captions, "strict", convention)
    if strict.reward > earned - blind_captions.TOO_HIGH:
        made, unchecked = recipe_check.made_with(examples), blind_captions.unchecked(captions)
        remedy = _caption_remedy(examples, rows, unchecked, made)
        return (
            f"{remedy}; with train.mode=strict alone, not looking still earns {strict.reward:.2f}"
        )
    costs = []
    if any(not reference["present"] for row in captions for reference in row["references"]):
        costs.append("names of absent ones cost")
    if len(blind_captions.unchecked(captions)) < len(captions):
        costs.append("content is checked")
    why = f", since {' and '.join(costs)}" if costs else ""
    return f"with train.mode=strict, not looking earns {strict.reward:.2f}{why}"


def _of_boxes(rows: Sequence[Row], made: ExampleSettings) -> Iterator[Finding]:
    scores = lazy_answers.measure(rows)
    for too_high in (True, False):
        if alike := [score for score in scores if score.too_high == too_high]:
            found = "mean IoU of one box for all photos, and share of at least 0.5: " + "; ".join(
                f"{score.split} {score.mean_iou:.3f}, {score.hits:.0%} of {score.rows}"
                for score in alike
            )
            remedy = _box_remedy(made) if too_high else ""
            yield _finding("vlt", [score.split for score in alike], found, remedy)


def _box_remedy(made: ExampleSettings) -> str:
    remedy, default = "add photos with the objects in other places", VltSettings().max_lazy_iou
    if made.vlt.max_lazy_iou > default:
        return f"{remedy}, or build with examples.vlt.max_lazy_iou={default:g}"
    return remedy if made.vlt.crops else f"{remedy}, or build with examples.vlt.crops=true"


def _of_captions(
    examples: Manifest, rows: Sequence[Row], made: ExampleSettings
) -> Iterator[Finding]:
    """What names earn in ICT where the content of captions is not checked."""
    results = blind_captions.measure(rows)
    for too_high in (True, False):
        alike = [result for result in results if result.too_high == too_high]
        if not alike:
            continue
        found = (
            "in caption rows without a check of content (but, in some, of a label), naming nobody, "
            "everybody, and the better for each number of names earn: "
        ) + "; ".join(map(_of_split, alike))
        splits = [result.split for result in alike]
        unchecked = [row for row in blind_captions.unchecked(rows) if row["split"] in splits]
        remedy = _caption_remedy(examples, rows, unchecked, made) if too_high else ""
        yield _finding("ict", splits, found, remedy)


def _of_split(result: BlindCaptions) -> str:
    earned = f"{result.nobody:.2f}, {result.everybody:.2f} and {result.best:.2f}"
    count = f"{result.rows - result.checked} of {result.rows} rows, {result.labelled} with a label"
    return f"{result.split} {earned} ({count})"


def _caption_remedy(
    examples: Manifest, rows: Sequence[Row], unchecked: Sequence[Row], made: ExampleSettings
) -> str:
    """What makes not looking pay less in the unchecked rows of a version with these settings."""
    remedies = ["give the photos captions and expressions"]
    has_absent_share = made.ict.shares.get("absent", 0) > 0
    of_pairs = any(row.get("origin") != "same_photo" for row in unchecked)
    if not _has_negatives(rows):
        remedies.append(
            "add photos of other objects of the same labels and label identities: nothing is "
            "certainly absent from any photo"
        )
    elif has_absent_share and of_pairs and not recipe_check.is_balanced(examples):
        remedies.append("build with examples.ict.balance=true")
    elif has_absent_share and of_pairs:
        remedies.append("add photos of more identities: in few rows, chance decides")
    if _has_negatives(rows) and (not has_absent_share or not of_pairs):
        suggested = blind_captions.suggested_shares(unchecked)
        shares = ", ".join(f"{kind}: {share:g}" for kind, share in suggested.items())
        remedies.append(f'build with --set "examples.ict.shares={{{shares}}}"')
    return ", or ".join(remedies)


def _has_negatives(rows: Sequence[Row]) -> bool:
    """Whether anything is known to be absent from any photo."""
    return any(
        row["kind"] == "negative" or not all(r["present"] for r in row["references"] or ())
        for row in rows
        if row["objective"] in ("oct", "ict")
    )


def _finding(objective: str, splits: Sequence[str], found: str, remedy: str) -> Finding:
    where = f"{objective} without looking, {', '.join(splits)}"
    return Finding("note" if remedy else "ok", where, found, remedy)
