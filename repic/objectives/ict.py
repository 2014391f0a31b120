"""ICT, identity-aware captions: caption the last image, with the names of the objects in it.

One to four named references come before the query. Kinds of rows: `single`, one reference, present;
`multi`, several, all present; `absent`, none present; `mixed`, some of each. References are crops
of other photos, except in a share of the multi rows, which shows crops of the query itself, and for
objects that no other photo shows (`repic.objectives.same_photo`). A `which` row asks for the name
of the object in one box instead; see `repic.objectives.identify`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from repic.captions.mentions import CaptionReading
from repic.config import ExampleSettings, IctSettings
from repic.images.coordinates import QWEN3_VL, Convention
from repic.objectives import (
    balance,
    caption_reward,
    general_caption,
    identify,
    released,
    same_photo,
)
from repic.objectives.base import (
    Draft,
    Mode,
    Reward,
    Row,
    SeededRandom,
    answer_of,
    example_row,
    image_block,
    made,
    query_picture,
    reference_picture,
    reference_row,
    seed_of,
    templates,
    text_block,
)
from repic.objectives.names import draw_names
from repic.objectives.neighborhood import Neighborhood, Object, Origin, texts_of
from repic.objectives.objective import BlindAnswers, Objective
from repic.objectives.phrases import named_caption, reference_info
from repic.objectives.references import (
    ReferenceCandidate,
    ReferenceIndex,
    ReferenceSelection,
    possible_selections,
)
from repic.objectives.scene import scene_of

_SHORT = (
    "Write a caption for this picture.",
    "Caption the last picture.",
    "What is going on in this picture?",
    "Say in a sentence what this photo shows.",
    "Give this picture a caption.",
    "Tell me briefly what you see here.",
    "What does the last picture show?",
    "Sum up this photo.",
    "Put this picture into words.",
    "How would you caption this photo?",
    "Write what can be seen in the final picture.",
    "I want to send this photo to a friend. What should I write under it?",
    "Write a line about this picture for a photo album.",
    "Explain what this picture shows.",
)
_DETAILED = (
    "Describe this picture in detail.",
    "Write a detailed caption for the last picture.",
    "Look closely at this photo and describe all that matters in it.",
    "Describe the picture, its setting and what stands out.",
    "Give a full description of this photo.",
    "What is in this picture, where is it, and what is around it? Describe it thoroughly.",
    "Describe the last picture to someone who cannot see it, leaving nothing out.",
    "Write several sentences about this photo: who or what is in it, and the surroundings.",
    "Take your time and describe this picture with all its details.",
    "Give me a rich description of the scene in this photo.",
    "Describe colours, objects and background of this picture.",
    "Walk me through this photo, from its subject to its background.",
    "Describe this photo as exactly as you can.",
    "Write a paragraph that describes the last picture.",
)
_CAPTIONS = templates("ict", _SHORT + _DETAILED)
TEMPLATES = _CAPTIONS + identify.TEMPLATES
USE_NAME = (
    "Use the names you were given for what you recognise.",
    "If you know something here from above, call it by its name.",
    "Refer by name to what you have met in the earlier pictures.",
    "Name what you already know.",
)
NO_COPY = (
    "Do not repeat the text given above.",
    "Use your own words, not those of the notes above.",
    "Describe what you see instead of copying what was said before.",
    "Please do not copy the information from above.",
)


def request_suffix(settings: IctSettings, rng: SeededRandom) -> str | None:
    """A sentence after the request: to use the name, or not to copy, never both; None for most."""
    shares = {"use": settings.use_name_share, "no copy": settings.no_copy_share}
    kind = rng.weighted({**shares, "none": 1 - sum(shares.values())})
    return {"use": rng.pick(USE_NAME), "no copy": rng.pick(NO_COPY)}.get(kind or "")


WITHOUT_FACTS = "without_facts"
"""Counted beside the refused candidates: rows about a photo that is described, but has too few
distinctive words to check a caption by."""


class Ict(Objective):
    """The ICT objective."""

    name = "ict"
    title = "Identity captions"
    question = "Caption the last picture with the names of the references in it."
    templates = TEMPLATES
    needed = ("kind", "prompt", "answer", "references", "caption")

    def rows(
        self, near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
    ) -> Iterator[Row]:
        """The rows of the drafts."""
        return made(self.drafts(near, settings, refused))

    def drafts(
        self, near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
    ) -> Iterator[Draft]:
        """`settings.ict.per_positive` rows per positive pair whose other photo is this one.

        The kind of each is drawn by `shares` among the kinds that are possible there, so that a row
        does not depend on photos that no pair links to it. `settings.same_photo` adds as many about
        an object whose crop is its own reference. With a share of multi rows of the same photo,
        photos without either give multi rows as well.

        A true caption that its own row does not fully reward is dropped. If facts are checked, the
        row is refused: what is known about the photo then contradicts every true caption.
        """
        for plan in self._plans(near, settings, refused):
            yield Draft(plan.made_from, partial(self._row, plan, refused))

    def _row(self, plan: _RowPlan, refused: Counter[str]) -> Row | None:
        row = plan.row()
        if row["caption"] is None or self._has_full_reward(row):
            return row
        if row["distinctive_words"]:
            refused["its_true_caption_is_not_rewarded"] += 1
            return None
        return {**row, "caption": None, "answer": ""}

    def _has_full_reward(self, row: Row) -> bool:
        # Captions have no boxes, so the convention does not matter.
        return self.reward(row["caption"], row, "strict", QWEN3_VL).total == 1

    def _plans(
        self, near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
    ) -> Iterator[_RowPlan]:
        index = ReferenceIndex(near)
        first_candidates = list(_first_candidates(index))
        for first, identifiers in first_candidates:
            for turn in range(settings.ict.per_positive):
                seed = seed_of(settings.seed, "ict", *identifiers, turn)
                if plan := _plan(index, first, seed, settings, refused):
                    yield plan
        if not first_candidates and settings.ict.same_photo_share > 0:
            seed = seed_of(settings.seed, "ict", near.photo.image_id)
            if plan := _plan(index, None, seed, settings, refused):
                yield plan

    def parse(
        self, completion: str, row: Mapping[str, Any], convention: Convention
    ) -> CaptionReading:
        """The names and words of a caption; see `repic.captions.mentions`.

        Raises:
            ValueError: the caption is longer than `caption_reward.MAX_CAPTION` characters.
        """
        if len(completion) > caption_reward.MAX_CAPTION:
            raise ValueError(f"longer than {caption_reward.MAX_CAPTION} characters")
        return caption_reward.read(completion, row)

    def reward(
        self, completion: str, row: Mapping[str, Any], mode: Mode, convention: Convention
    ) -> Reward:
        """The reward of a caption: `repic.objectives.caption_reward`, or `released` in paper mode.

        A `which` row is scored by `repic.objectives.identify` in both modes.
        """
        if row["kind"] == identify.KIND:
            return identify.reward(completion, row)
        if mode == "paper":
            return released.names(completion, row)
        return caption_reward.reward(completion, row)

    def gold(self, row: Row, convention: Convention) -> str | None:
        """The name of a `which` row, or the true caption if one is known."""
        return answer_of(row, convention) if self._is_which(row) else row["caption"]

    def has_gold(self, row: Mapping[str, Any]) -> bool:
        """Always for a `which` row; a caption must be known."""
        return self._is_which(row) or row["caption"] is not None

    def best(self, row: Row, convention: Convention, mode: Mode) -> str:
        """The true answer, or a sentence with the right names and enough content of its own."""
        answer = self.gold(row, convention)
        # The released rewards want 100 characters of every answer about names.
        if answer is not None and (mode == "strict" or self._is_which(row)):
            return answer
        return general_caption.right(row)

    def wrong(self, row: Row, convention: Convention) -> str:
        """Another name of a `which` row; else a caption with an absent name, or with none."""
        if self._is_which(row):
            names = (f"<{reference['name']}>" for reference in row["references"])
            others = [name for name in names if name != row["answer"]]
            return identify.NONE if row["answer"] != identify.NONE else others[0]
        absent = general_caption.reference_names(row, present=False)
        return f"{f'<{absent[0]}>' if absent else 'Somebody'} is here."

    def form(self, row: Row, reward: Reward) -> float:
        """Of a caption: content without repetition."""
        parts = reward.components
        return parts["format"] if self._is_which(row) else parts["content"] * parts["variety"]

    def task(self, row: Mapping[str, Any]) -> str:
        """`which` or `ict`."""
        return identify.KIND if self._is_which(row) else self.name

    def blind(self, task: str, rows: Sequence[Row]) -> BlindAnswers:
        """The name at one position or none; a general caption with all names or without."""
        return identify.blind if task == identify.KIND else general_caption.blind

    def blind_group(self, row: Row) -> int:
        """The number of names that are given."""
        return len(row["references"])

    @staticmethod
    def _is_which(row: Mapping[str, Any]) -> bool:
        return bool(row["kind"] == identify.KIND)


@dataclass(frozen=True)
class _RowPlan:
    """The decisions behind a row: its kind, its references in order, and the object to identify."""

    index: ReferenceIndex
    settings: ExampleSettings
    seed: int
    kind: str
    candidates: list[ReferenceCandidate]
    target: Object | None
    origin: Origin
    """Of all its references: absent ones are made as present ones would be."""
    rng: SeededRandom
    """Its state after the references are drawn depends on the seed and their number only."""

    @property
    def made_from(self) -> tuple[Any, ...]:
        """See `Draft`; the reward of the true caption depends on the facts as well."""
        references = [
            (
                self.index.near.known_of(one.shown.object_id),
                one.pair and one.pair.row_columns,
                one.in_query and one.in_query.object_id,
            )
            for one in self.candidates
        ]
        target = self.target and self.target.object_id
        words = None if self.target else self.index.near.fact_words
        return self.seed, self.kind, self.origin, references, target, words

    def row(self) -> Row:
        """Draw the rest of the row. Call it once, since it advances `rng`."""
        candidates, target, near = self.candidates, self.target, self.index.near
        template = self.rng.pick(identify.TEMPLATES if target else _CAPTIONS)
        with_info = self.rng.chance(self.settings.ict.info_share)
        request = self._request(template.text)
        prompt, references = self._references(with_info)
        present = [
            (candidate.in_query, reference["name"])
            for candidate, reference in zip(candidates, references, strict=True)
            if candidate.in_query is not None
        ]
        name_of = {obj.object_id: name for obj, name in present}
        infos = [reference["info"] for reference in references]
        words = ([], []) if target else near.fact_words
        caption = None if target else named_caption(near.photo.caption, present, words[0], infos)
        named = ", ".join(f"<{name}>" for _, name in present)
        answer = identify.answer(name_of.get(target.object_id)) if target else caption or ""
        return example_row(
            "ict",
            self.kind,
            near.split,
            template,
            [*prompt, image_block(), text_block(request)],
            [*map(self._picture, candidates), query_picture(near.photo)],
            answer,
            self.seed,
            references=references,
            origin=self.origin,
            pairs=[candidate.pair for candidate in candidates if candidate.pair is not None],
            box=list(target.box) if target else None,
            caption=caption,
            scene=scene_of(near.own, name_of),
            fact_words=words,
            hashed=answer if target else named,
        )

    def _picture(self, candidate: ReferenceCandidate) -> Row:
        changed = same_photo.augmentation(self.settings, self.seed, candidate.shown)
        return reference_picture(self.index.near, candidate.shown, changed)

    def _request(self, sentence: str) -> str:
        suffix = None if self.target else request_suffix(self.settings.ict, self.rng)
        return f"{sentence} {suffix}" if suffix else sentence

    def _references(self, with_info: bool) -> tuple[list[dict[str, str]], list[Row]]:
        """The blocks of the prompt before the query, and the `references` column."""
        shown = [candidate.shown for candidate in self.candidates]
        avoid = [*self.index.near.texts, *texts_of(shown)]
        names = draw_names(self.rng, len(shown), self.settings.names.locales, avoid)
        prompt, references = [], []
        for candidate, (name, locale) in zip(self.candidates, names, strict=True):
            info = reference_info(candidate.shown, self.rng) if with_info else ""
            text = f"Name: <{name}>, Info: {info}" if info else f"This is <{name}>."
            prompt += [image_block(), text_block(text)]
            is_present = candidate.in_query is not None
            references.append(reference_row(name, locale, info, is_present, candidate.shown))
        return prompt, references


def _first_candidates(
    index: ReferenceIndex,
) -> Iterator[tuple[ReferenceCandidate, tuple[str, ...]]]:
    """What rows are about: positive pairs, then crops of the query; and what identifies each."""
    near = index.near
    own = {obj.object_id for obj in near.own}
    for pair in near.pairs:
        if pair.kind == "positive" and pair.other_id in own:
            anchor, in_query = near.objects[pair.anchor_id], near.objects[pair.other_id]
            yield ReferenceCandidate(anchor, pair, in_query), (pair.pair_id,)
    for object_id in near.references:
        obj = near.objects[object_id]
        yield ReferenceCandidate(obj, None, obj), ("same photo", object_id)


def _plan(
    index: ReferenceIndex,
    first: ReferenceCandidate | None,
    seed: int,
    settings: ExampleSettings,
    refused: Counter[str],
) -> _RowPlan | None:
    rng = SeededRandom(seed)
    chosen = _choose(index, first, seed, rng, settings)
    if isinstance(chosen, str):
        refused[chosen] += 1
        return None
    kind, selection = chosen
    candidates = rng.shuffled(selection.candidates)
    of_query = (first is not None and first.of_query) or any(c.of_query for c in candidates)
    origin: Origin = "same_photo" if of_query else "two_photos"
    near = index.near
    if not selection.target and not near.fact_words[0] and near.is_described:
        refused[WITHOUT_FACTS] += 1
    return _RowPlan(index, settings, seed, kind, candidates, selection.target, origin, rng)


def _choose(
    index: ReferenceIndex,
    first: ReferenceCandidate | None,
    seed: int,
    rng: SeededRandom,
    settings: ExampleSettings,
) -> tuple[str, ReferenceSelection] | str:
    """The kind and the references of a row, or why there is none."""
    selections = possible_selections(index, first, seed, rng, settings)
    given = {str(kind): share for kind, share in settings.ict.shares.items()}
    shares = {kind: given.get(kind, 0.0) for kind in selections}
    is_balanced = balance.is_needed(index.near, first, settings)
    if is_balanced and any(share for kind, share in shares.items() if kind != "absent"):
        shares.pop("absent", None)  # others give way to absent rows
    kind = rng.weighted(shares)
    if kind is None:
        return "no_kind_with_a_share_can_be_made"
    selection = selections[kind]()
    if not (is_balanced and balance.may_give_way(selection)):
        return kind, selection
    references = balance.balanced(index, selection.candidates, seed)
    if not references:
        return balance.REFUSED
    present = sum(reference.in_query is not None for reference in references)
    return balance.kind_of(present, len(references)), ReferenceSelection(references)
