"""Answers of a model to held-out rows repeat."""

from __future__ import annotations

from repic.models.vlm import load
from repic.models.vlm.measure import Measurer
from repic.train.rows import balanced
from tests.builds import Built


def test_answers_repeat_and_join_their_rows(built: Built, tiny: str) -> None:
    reader = load.reader(tiny)
    model = load.load(reader)
    rows = balanced(built.store.read("examples@latest"), 3)
    measurer = Measurer(
        reader.processor, reader.convention, 4, 5, suppress=(reader.config.image_token_id,)
    )
    first = measurer.measure(model, rows, seed=3)
    assert first == measurer.measure(model, rows, seed=3)
    other = measurer.measure(model, rows, seed=4)
    assert first.greedy == other.greedy
    assert first.sampled != other.sampled
    assert [a.example_id for a in first.greedy] == [row["example_id"] for row in rows]
    gone = {**rows[0], "images": [{**p, "uri": "file:///gone.jpg"} for p in rows[0]["images"]]}
    fresh = Measurer(reader.processor, reader.convention, 4, 5)
    assert [a.example_id for a in fresh.measure(model, [gone, *rows[1:]]).greedy] == [
        row["example_id"] for row in rows[1:]
    ]
    means = first.as_json()["means"]["greedy"]
    assert {name: values["n"] for name, values in means.items()} == {"ict": 3, "oct": 3, "vlt": 3}


def test_padding_changes_no_greedy_answer(built: Built, tiny: str) -> None:
    """Prompts of different length in one batch, padded on the left."""
    reader = load.reader(tiny)
    model = load.load(reader)
    rows = balanced(built.store.read("examples@latest"), 4)

    def texts(batch_size: int) -> list[str]:
        measurer = Measurer(reader.processor, reader.convention, batch_size, 5)
        return [a.completion for a in measurer.measure(model, rows).greedy]

    assert texts(12) == texts(1)
