"""What an objective is: all that a build, rewards, checks, training and reports ask of it.

`repic.config.plugins` registers ours and those of other packages. A subclass gives templates, rows
and a reward; everything else has a default.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from repic.config import ExampleSettings
from repic.images.coordinates import Convention
from repic.objectives.base import Draft, Mode, Reward, Row, Template, answer_of
from repic.objectives.neighborhood import Neighborhood

BlindAnswers = Callable[[Row, Convention], Mapping[str, str]]
"""The answers to a row that do not depend on its photo, by what they are called."""


class Objective(ABC):
    """One objective.

    Attributes:
        name: The name under which it is registered; the column `objective` of its rows.
        title: A few words for the report.
        question: What its rows ask, in a sentence.
        templates: All of its prompt sentences; they are part of the fingerprint.
        needed: Columns that a score depends on, of those that reward workers receive
            (`repic.rewards.server.protocol.RowMessage`).
        answers_with_box: Whether an answer is a box in the query; the column `box` is the true one.
        needs_pairs: Whether its rows are made of pairs, so that there are few where pairs are few.
        least: Least reward of a true answer, below which a row is not trained on.
        rules: Component of its rewards -> what it means.
        refusals: Code that `rows` counts -> what was left out, and what the user can do about it.
        most_blind: Mean reward of `blind` above which `repic doctor dataset` warns.
        blind_remedy: What the user can do about it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    templates: ClassVar[tuple[Template, ...]]
    needed: ClassVar[tuple[str, ...]] = ("answer",)
    answers_with_box: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = True
    least: ClassVar[float] = 0.9
    rules: ClassVar[Mapping[str, str]] = {}
    refusals: ClassVar[Mapping[str, tuple[str, str]]] = {}
    most_blind: ClassVar[float] = 0.6
    blind_remedy: ClassVar[str] = "add photos whose answers differ"

    @abstractmethod
    def rows(
        self, near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
    ) -> Iterator[Row]:
        """Rows about a photo; `refused` counts candidates that are not used, by reason.

        They may depend on nothing else, and on chance only by `seed_of`.
        """

    def drafts(
        self, near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
    ) -> Iterator[Draft]:
        """The `rows`, each with what it is made from, so that a build keeps those it has."""
        for row in self.rows(near, settings, refused):
            yield Draft(None, partial(dict, row))

    @abstractmethod
    def reward(
        self, completion: str, row: Mapping[str, Any], mode: Mode, convention: Convention
    ) -> Reward:
        """Reward of a completion; never raises for any text."""

    @abstractmethod
    def wrong(self, row: Row, convention: Convention) -> str:
        """A wrong answer in the right format, which checks before training must see earn less."""

    def gold(self, row: Row, convention: Convention) -> str | None:
        """The true answer in its canonical form; None if it is not known."""
        return answer_of(row, convention)

    def has_gold(self, row: Mapping[str, Any]) -> bool:
        """Whether `gold` is known, by the columns kind, answer and caption."""
        return bool(row["answer"])

    def best(self, row: Row, convention: Convention, mode: Mode) -> str:
        """An answer that earns the full reward, also where the true one is not known."""
        return self.gold(row, convention) or ""

    def form(self, row: Row, reward: Reward) -> float:
        """What the form of an answer alone earns, 0 to 1, for `train.control=format`."""
        return reward.components["format"]

    def task(self, row: Mapping[str, Any]) -> str:
        """What a row asks, where an objective has rows of several kinds of answers: its name."""
        return self.name

    def blind(self, task: str, rows: Sequence[Row]) -> BlindAnswers:
        """Answers that ignore the photo.

        Args:
            rows: Those of train, from which such answers may be learned.
        """
        return lambda row, convention: {}

    def blind_group(self, row: Row) -> int:
        """Rows of equal groups get the same one of the `blind` answers: that which earns most."""
        return 0

    def attacks(self) -> Iterable[Any]:
        """Attacks on its reward, each a `repic.rewards.attacks.base.Attack`."""
        return ()

    def paraphrases(self) -> Iterable[Any]:
        """Other forms of true answers, each a `repic.rewards.attacks.base.Paraphrase`."""
        return ()
