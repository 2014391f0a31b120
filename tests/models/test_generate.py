"""Answers of a model to rows, in batches."""

from __future__ import annotations

from repic.models.vlm import load
from repic.models.vlm.generate import AnswerGenerator
from repic.objectives.rows import balanced
from tests.builds import Built


def test_padding_changes_no_greedy_answer(built: Built, tiny: str) -> None:
    """Prompts of different lengths share a batch, padded on the left."""
    reader = load.reader(tiny)
    model = load.load(reader)
    rows = balanced(built.store.read("examples@latest"), 4)

    def texts(batch_size: int) -> list[str]:
        generator = AnswerGenerator(reader.processor, reader.convention, batch_size, 5)
        return generator.answers(model, rows, sample=False)

    assert texts(12) == texts(1)
