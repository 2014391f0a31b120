"""A search for blind answers, which earn rewards without the picture.

It tries 2,000 answers per task: constants, templates over the text of the prompt, and mutations of
the best ones by an evolutionary search against the reward. An answer may use the distribution of
the data, as a trained model could, but of its own row it sees only the text of the prompt.

Answers are chosen on one half of the rows and measured on the other, in both directions, so that
the result is not selection luck. The result is the gain of the best answer over the best constant.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from repic.captions.tokens import plain_words
from repic.images.coordinates import QWEN3_VL, Box
from repic.objectives.base import Row
from repic.objectives.identify import KIND as WHICH
from repic.objectives.identify import NONE
from repic.objectives.query_view import QueryView, box_in_view
from repic.rewards.scoring import score

ANSWERS = 2_000
SURVIVORS = 24
GENERATION = 50
FIRST_LOOK = 120
"""Rows that every answer is tried on; the survivors are tried on all rows of the half."""

Genome = tuple[Any, ...]


@dataclass(frozen=True)
class PromptView:
    """What a blind answer may use of its row: the text of the prompt."""

    text: str
    names: tuple[str, ...]
    infos: tuple[str, ...]

    @classmethod
    def of(cls, row: Row) -> PromptView:
        text = "\n".join(block["text"] for block in row["prompt"] if block["text"])
        names = tuple(dict.fromkeys(re.findall(r"<([^<>]+)>", text)))
        return cls(text, names, tuple(re.findall(r"Info: ([^\n]+)", text)))


@dataclass(frozen=True)
class SearchResult:
    """Result of a search: mean rewards over the rows that the answers were not chosen on.

    Attributes:
        error: Standard error of `gain`.
    """

    task: str
    rows: int
    answers: int
    constant: float
    best: float
    gain: float
    error: float
    best_constant: str
    best_answer: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Task(Protocol):
    """Blind answers to one kind of question: genomes, and the text of a genome for a prompt."""

    name: str

    def includes(self, row: Row) -> bool:
        """Whether a row belongs to this task."""
        ...

    def learn(self, rows: Sequence[Row]) -> None:
        """Learn the distribution of the rows of one half."""
        ...

    def constants(self, rng: random.Random) -> list[Genome]:
        """Answers that do not depend on the prompt."""
        ...

    def templates(self, rng: random.Random) -> list[Genome]:
        """Answers that depend on the prompt."""
        ...

    def mutated(self, genome: Genome, rng: random.Random) -> Genome:
        """A random neighbour of an answer."""
        ...

    def is_constant(self, genome: Genome) -> bool:
        """Whether an answer does not depend on the prompt."""
        ...

    def text(self, genome: Genome, view: PromptView) -> str:
        """The text of an answer."""
        ...


class _Words:
    """Yes or no, or one of the names, by up to four features of the prompt's text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._features: list[str] = []

    def includes(self, row: Row) -> bool:
        return row["objective"] == "oct" if self.name == "oct" else row["kind"] == WHICH

    def learn(self, rows: Sequence[Row]) -> None:
        counts = Counter(w for r in rows for w in set(plain_words(PromptView.of(r).text)))
        common = [w for w, n in counts.most_common(200) if n < 0.9 * len(rows)]
        letters = [f"^{letter}" for letter in "ABCDEFGHIJKLMNOPRSTVWY"]
        self._features = [*common, *letters, "hangul", "han", "long", "info", "many"]

    def constants(self, rng: random.Random) -> list[Genome]:
        words = ("yes", "no") if self.name == "oct" else (NONE, "the first one", "nobody")
        more = ("", "Yes.", "No!", "yes or no", "eyes", "I cannot tell", "maybe", "1", "<>")
        return [((), text, text) for text in words + more]

    def templates(self, rng: random.Random) -> list[Genome]:
        kept = self._options(rng)
        return [((f,), *rng.sample(kept, 2)) for f in self._features for _ in range(2)]

    def _options(self, rng: random.Random) -> list[str]:
        return ["yes", "no"] if self.name == "oct" else [NONE, "@0", "@1", "@-1", "@-2"]

    def mutated(self, genome: Genome, rng: random.Random) -> Genome:
        features, first, second = genome
        options = self._options(rng)
        if rng.random() < 0.3:
            return features, rng.choice(options), rng.choice(options)
        kept = [f for f in features if rng.random() < 0.7]
        return (*kept, rng.choice(self._features))[:4], first, second

    def is_constant(self, genome: Genome) -> bool:
        features, first, second = genome
        return (not features or first == second) and "@" not in first

    def text(self, genome: Genome, view: PromptView) -> str:
        features, first, second = genome
        word = first if all(self._has(f, view) for f in features) else second
        if word.startswith("@"):
            index = int(word[1:])
            return view.names[index if -len(view.names) <= index < len(view.names) else 0]
        return word

    def _has(self, feature: str, view: PromptView) -> bool:
        name = view.names[0] if view.names else ""
        tests = {
            "hangul": "\uac00" <= name[:1] <= "\ud7a3",
            "han": "\u4e00" <= name[:1] <= "\u9fff",
            "long": len(name) > 6,
            "info": bool(view.infos),
            "many": len(view.names) > 2,
        }
        if feature in tests:
            return tests[feature]
        if feature.startswith("^"):
            return name.startswith(feature[1:])
        return feature in plain_words(view.text)


class _Boxes:
    """A box, or another one if the prompt has a word; in thousandths of the photo."""

    name = "vlt"

    def __init__(self) -> None:
        self._words: list[str] = []
        self._mean: tuple[int, ...] = (250, 250, 750, 750)

    def includes(self, row: Row) -> bool:
        return row["objective"] == "vlt"

    def learn(self, rows: Sequence[Row]) -> None:
        counts = Counter(w for r in rows for w in set(plain_words(PromptView.of(r).text)))
        self._words = [w for w, n in counts.most_common(120) if n < 0.9 * len(rows)]
        boxes = []
        for row in rows:
            view = QueryView.of(row)
            boxes.append(box_in_view(row).scale(1000 / view.width, 1000 / view.height).as_list())
        self._mean = tuple(round(sum(edge) / len(boxes)) for edge in zip(*boxes, strict=True))

    def constants(self, rng: random.Random) -> list[Genome]:
        grid = range(0, 1000, 250)
        boxes = [(x, y, x + w, y + w) for x in grid for y in grid for w in (250, 500, 750, 1000)]
        fitting = [box for box in boxes if max(box) <= 1000]
        near = [self._near(self._mean, rng) for _ in range(250)]
        return [(box, (), box) for box in (self._mean, *fitting, *near)]

    def templates(self, rng: random.Random) -> list[Genome]:
        return [
            (self._mean, (word,), self._near(self._mean, rng, 200))
            for word in self._words
            for _ in range(3)
        ]

    def _near(self, box: Sequence[int], rng: random.Random, most: int = 150) -> tuple[int, ...]:
        x1, y1, x2, y2 = (min(1000, max(0, v + rng.randint(-most, most))) for v in box)
        left, top = min(x1, x2), min(y1, y2)
        return left, top, max(x1, x2, left + 1), max(y1, y2, top + 1)

    def mutated(self, genome: Genome, rng: random.Random) -> Genome:
        usual, words, other = genome
        chance = rng.random()
        if chance < 0.35:
            return self._near(usual, rng, 60), words, other
        if chance < 0.7 or not self._words:
            return usual, words, self._near(other, rng, 100)
        kept = tuple(w for w in words if rng.random() < 0.8)
        return usual, (*kept, rng.choice(self._words))[:6], other

    def is_constant(self, genome: Genome) -> bool:
        return not genome[1] or genome[0] == genome[2]

    def text(self, genome: Genome, view: PromptView) -> str:
        usual, words, other = genome
        box = usual
        if words and not set(plain_words(view.text)).isdisjoint(words):
            box = other
        return QWEN3_VL.render(Box.of(box), 1000, 1000)


class _Captions:
    """Some names of the prompt, and words of the captions."""

    name = "ict"

    def __init__(self) -> None:
        self._words: list[str] = []
        self._captions: list[str] = []

    def includes(self, row: Row) -> bool:
        return row["objective"] == "ict" and row["kind"] != WHICH

    def learn(self, rows: Sequence[Row]) -> None:
        captions = [row["caption"] for row in rows if row["caption"]]
        self._captions = [re.sub(r"<[^<>]*>", "something", text) for text in captions]
        counts = Counter(w for text in self._captions for w in plain_words(text))
        self._words = [w for w, _ in counts.most_common(120)] or ["thing"]

    def constants(self, rng: random.Random) -> list[Genome]:
        filler = "a quiet day outside with many small things that stand around and nobody else"
        texts = ["", "A photo.", filler, " ".join(self._words[:40])]
        return [("none", text, "") for text in texts + self._captions[:250]]

    def templates(self, rng: random.Random) -> list[Genome]:
        modes = ("all", "first", "last", "one", "few")
        texts = ["", "A photo.", *self._captions[:120]]
        return [(mode, text, info) for mode in modes for text in texts for info in ("", "info")][
            :600
        ]

    def mutated(self, genome: Genome, rng: random.Random) -> Genome:
        mode, text, info = genome
        chance = rng.random()
        words = text.split()
        if chance < 0.1:
            return rng.choice(("all", "first", "last", "one", "few")), text, info
        if chance < 0.15:
            return mode, text, "" if info else "info"
        if chance < 0.45 and words:
            words.pop(rng.randrange(len(words)))
        elif chance < 0.6 and self._captions:
            return mode, rng.choice(self._captions), info
        else:
            words.insert(rng.randint(0, len(words)), rng.choice(self._words))
        return mode, " ".join(words), info

    def is_constant(self, genome: Genome) -> bool:
        return genome[0] == "none" and not genome[2]

    def text(self, genome: Genome, view: PromptView) -> str:
        mode, text, info = genome
        count = len(view.names)
        named = {
            "none": (),
            "all": view.names,
            "first": view.names[:1],
            "last": view.names[-1:],
            "one": view.names if count == 1 else (),
            "few": view.names if count <= 2 else (),
        }[mode]
        parts = [" and ".join(f"<{name}>" for name in named), text]
        return " ".join(part for part in (*parts, *(view.infos if info else ())) if part)


def tasks() -> tuple[Task, ...]:
    """New instances of all tasks; an instance keeps what it has learned."""
    return _Words("oct"), _Boxes(), _Captions(), _Words("which")


def search(
    task: Task, rows: Sequence[Row], answers: int = ANSWERS, seed: int = 0
) -> SearchResult | None:
    """Search one task twice, once on each half of its rows; None for fewer than 20 rows.

    Each search is measured on the other half, so every row counts once, and chance differences
    between the halves (such as more yes in one) cancel.

    Args:
        rows: Rows of the examples table, of any objective.
        answers: Number of answers that each search tries.
    """
    task_rows = sorted((r for r in rows if task.includes(r)), key=lambda r: r["example_id"])
    if len(task_rows) < 20:
        return None
    views = {row["example_id"]: PromptView.of(row) for row in task_rows}
    halves = task_rows[::2], task_rows[1::2]
    best: list[float] = []
    usual: list[float] = []
    tried = 0
    for chosen_on, measured_on in (halves, halves[::-1]):
        answer, constant, count = _evolve(task, chosen_on, views, answers, seed)
        best += _scores(task, answer, measured_on, views)
        usual += _scores(task, constant, measured_on, views)
        tried = max(tried, count)
    gains = [mine - plain for mine, plain in zip(best, usual, strict=True)]
    gain = sum(gains) / len(gains)
    spread = sum((g - gain) ** 2 for g in gains) / (len(gains) - 1)
    return SearchResult(
        task.name,
        len(gains),
        tried,
        round(sum(usual) / len(gains), 4),
        round(sum(best) / len(gains), 4),
        round(gain, 4),
        round(math.sqrt(spread / len(gains)), 4),
        repr(constant)[:200],
        repr(answer)[:200],
    )


def _evolve(
    task: Task, rows: Sequence[Row], views: Mapping[str, PromptView], answers: int, seed: int
) -> tuple[Genome, Genome, int]:
    """The best answer and the best constant on these rows, and the number of answers tried."""
    task.learn(rows)
    rng = random.Random(seed)
    pool = [*task.constants(rng), *task.templates(rng)]
    tried: dict[Genome, float] = {}

    def look(genome: Genome) -> None:
        tried[genome] = _mean(task, genome, rows[:FIRST_LOOK], views)

    for genome in dict.fromkeys(pool[: answers * 2 // 3]):
        look(genome)
    for _ in range(answers):
        best = sorted(tried, key=lambda g: -tried[g])[:SURVIVORS]
        for genome in (task.mutated(rng.choice(best), rng) for _ in range(GENERATION)):
            if genome not in tried and len(tried) < answers:
                look(genome)
        if len(tried) == answers:
            break
    ranked = sorted(tried, key=lambda g: -tried[g])
    constant = _best(task, [g for g in ranked if task.is_constant(g)], rows, views)
    return _best(task, ranked, rows, views), constant, len(tried)


def _best(
    task: Task, ranked: Sequence[Genome], rows: Sequence[Row], views: Mapping[str, PromptView]
) -> Genome:
    return max(ranked[:SURVIVORS], key=lambda genome: _mean(task, genome, rows, views))


def _mean(
    task: Task, genome: Genome, rows: Sequence[Row], views: Mapping[str, PromptView]
) -> float:
    return sum(_scores(task, genome, rows, views)) / len(rows)


def _scores(
    task: Task, genome: Genome, rows: Sequence[Row], views: Mapping[str, PromptView]
) -> list[float]:
    return [score(task.text(genome, views[row["example_id"]]), row).total for row in rows]
