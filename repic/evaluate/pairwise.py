"""Which of two models a judge prefers, caption by caption.

The judge is that of the rewards, `repic.rewards.judge`: each pair is shown in both orders, and
counts only where both verdicts agree.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

from repic.config import JudgeSettings
from repic.errors import CaptionError
from repic.evaluate.intervals import gather, intervals
from repic.evaluate.metrics import Score
from repic.evaluate.records import Record
from repic.rewards.judge import compare


def preference(first: Iterable[Record], second: Iterable[Record], settings: JudgeSettings) -> Score:
    """Share of pairs in which the second model's caption is preferred; a tie counts half.

    `n` counts the pairs that were judged alike in both orders, the others are left out.

    Raises:
        CaptionError: no judge is configured, nothing can be paired, or it never gave a verdict.
    """
    if not settings.url:
        raise CaptionError("no judge is configured; set rewards.judge.url or give --judge URL")
    waiting: dict[object, deque[Record]] = defaultdict(deque)
    for record in first:
        waiting[record.task].append(record)
    rows = []
    pairs = 0
    for record in second:
        if not waiting[record.task]:
            continue
        other = waiting[record.task].popleft()
        row = {"scene": record.scene or other.scene}
        pairs += 1
        verdict = compare(record.caption, other.caption, row, settings)
        if verdict is not None:
            rows.append((record.photo, (verdict,), (1.0,)))
    if not pairs:
        raise CaptionError("the two files share no task; judge captions of the same photos")
    if not rows:
        raise CaptionError(
            f"the judge at {settings.url} gave no verdict that holds in both orders; check that it "
            "answers, and with a label or `tie` alone"
        )
    sums = gather(rows, 1)
    low, high = intervals(sums)[0] if len(sums.photos) > 1 else (None, None)
    return Score(sums.ratios[0], low, high, len(rows), "judged pair")
