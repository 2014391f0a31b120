"""How many of a kind: a number."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from repic.config import ExampleSettings, Section
from repic.images.coordinates import Convention
from repic.objectives import base, names
from repic.objectives.base import Mode, Reward, Row
from repic.objectives.neighborhood import Neighborhood, Object, Pair
from repic.objectives.objective import BlindAnswers, Objective
from repic.objectives.short_answers import bare
from repic.rewards.attacks.base import Attack, Paraphrase, Target

WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NUMBER = re.compile(rf"(?:there (?:is|are) )?(\d{{1,3}}|{'|'.join(WORDS)})", re.IGNORECASE)


class HowManySettings(Section):
    """What is counted, as `examples.howmany` in the settings."""

    most: int = Field(5, ge=1, le=9, description="Largest number that is asked for.")
    per_photo: int = Field(2, ge=1, description="Most questions about a photo.")


class HowMany(Objective):
    """The objective `howmany`."""

    VERSION = 1  # raise it when the same photos give other rows or rewards
    SETTINGS = HowManySettings

    name = "howmany"
    title = "Counting"
    question = "How many things of the kind of the first picture are in the second? A number."
    templates = base.templates(
        "howmany",
        (
            "How many things of the kind of {name} are in this picture?",
            "Count what is of one kind with {name} in this picture. How many are there?",
            "What is the number of things like {name} in the second picture?",
        ),
    )
    rules: ClassVar = {"right": "the number is right", "format": "the answer is one number"}
    refusals: ClassVar = {
        "too_many_of_a_kind": ("photos with more of a kind than is asked", "raise most"),
        "kind_is_not_sure": ("objects whose kind is not sure", "use a source with labels"),
    }
    blind_remedy = "add photos with other numbers of things"

    def rows(
        self, near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
    ) -> Iterator[Row]:
        """Questions about things in other photos that a pair links to this one."""
        own = settings.of_plugin(self.name)
        found = []
        for pair in near.pairs:
            for object_id in (pair.anchor_id, pair.other_id):
                shown = near.objects[object_id]
                if shown.image_id == near.photo.image_id:
                    continue
                if shown.spoken is None:
                    refused["kind_is_not_sure"] += 1
                    continue
                number = sum(thing.spoken == shown.spoken for thing in near.own)
                if number > own.most:
                    refused["too_many_of_a_kind"] += 1
                    continue
                seed = base.seed_of(settings.seed, self.name, pair.pair_id, near.photo.image_id)
                found.append((seed, pair, shown, number))
        for seed, pair, shown, number in sorted(found, key=lambda one: one[0])[: own.per_photo]:
            yield self._row(near, settings, seed, pair, shown, number)

    def _row(
        self,
        near: Neighborhood,
        settings: ExampleSettings,
        seed: int,
        pair: Pair,
        shown: Object,
        number: int,
    ) -> Row:
        random = base.SeededRandom(seed)
        template = random.pick(self.templates)
        avoid = [shown.label, *near.texts]
        [(name, locale)] = names.draw_names(random, 1, settings.names.locales, avoid)
        asked = template.text.format(name=f"<{name}>")
        return base.example_row(
            self.name,
            "none" if number == 0 else "one" if number == 1 else "several",
            near.split,
            template,
            [
                base.image_block(),
                base.text_block(f"This is <{name}>."),
                base.image_block(),
                base.text_block(f"{asked} Answer only with a number."),
            ],
            [base.reference_picture(near, shown), base.query_picture(near.photo)],
            str(number),
            seed,
            references=[base.reference_row(name, locale, "", number > 0, shown)],
            origin="two_photos",
            pairs=[pair],
        )

    def parse(self, completion: str) -> int | None:
        """The number, if the answer is only that; None otherwise."""
        match = _NUMBER.fullmatch(bare(completion[:100]))
        if match is None or len(completion) > 100:
            return None
        word = match[1].lower()
        return WORDS.index(word) if word in WORDS else int(word)

    def reward(
        self, completion: str, row: Mapping[str, Any], mode: Mode, convention: Convention
    ) -> Reward:
        """1 for only the right number, else 0; the same in both modes."""
        number = self.parse(completion)
        right = float(number is not None and str(number) == row["answer"])
        reason = "malformed" if number is None else "right" if right else "wrong"
        return Reward(right, {"right": right, "format": float(number is not None)}, reason, number)

    def wrong(self, row: Row, convention: Convention) -> str:
        """One more than the true number."""
        return str(int(row["answer"]) + 1)

    def blind(self, task: str, rows: Sequence[Row]) -> BlindAnswers:
        """One number for all photos."""
        numbers = sorted({row["answer"] for row in rows})
        return lambda row, convention: {number: number for number in numbers}

    def attacks(self) -> Iterator[Attack]:
        """Answers that earn nothing."""
        yield Attack(self.name, "several", "one number", "all of them", lambda t: "0 1 2 3 4 5")
        yield Attack(self.name, "several", "one number", "a range", _range)
        yield Attack(self.name, "size", "100 characters", "a long number", lambda t: t.gold * 200)

    def paraphrases(self) -> Iterator[Paraphrase]:
        """Other forms of true answers."""
        yield Paraphrase(self.name, "writing", "as a word", lambda t: WORDS[int(t.gold)])
        yield Paraphrase(self.name, "writing", "a sentence", lambda t: f"There are {t.gold}.")


def _range(target: Target) -> str:
    return f"{target.gold} or {int(target.gold) + 1}"
