"""What a caption says of who is there, held against the truth: our metric, without the loopholes.

Names are read by `repic.captions.mentions`, as in the reward: at token boundaries, whatever their
case, with possessives; a denied name names nobody; a doubtful one, and a tag that holds no known
name, count as wrong. Each caption has a set-precision, set-recall and set-F1 of the names that it
uses against those present, and the file has their means. Where nobody is present, naming nobody is
1 and anything else 0; where somebody is, naming nobody is 0. Every known name of the file that is
used and not true is an extra one, whether or not its reference was shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from repic.captions.claims import check_claims
from repic.captions.mentions import CaptionReading, read_caption
from repic.evaluate.name_index import Names, said_of
from repic.evaluate.records import Record, folded

MAX_CAPTION = 10_000
"""Longest caption that is read, in characters; a longer one counts as one wrong name and no other.
1,024 tokens are about 5,000."""

COLUMNS = ("precision", "recall", "f1", "exact", "extra_names", "false_mention", "binding")
"""Quantities, each a ratio of two sums over captions."""

UNITS = ("caption",) * 5 + ("absent-reference caption", "claim")
"""What the denominator of each counts."""

Counts = tuple[Sequence[float], Sequence[float]]
"""Numerators and denominators, one of each per column."""


def tally(record: Record, names: Names) -> Counts:
    """What one caption adds to each column.

    - exact: whether the set of names is the true one;
    - extra_names: how many names are wrong (not bounded by 1);
    - false_mention: whether a reference that was shown, but is absent, is named;
    - binding: claims about who is what, where `scene` is known (`repic.captions.claims`).
    """
    present = said_of(record.concepts)
    absent = said_of(record.given) - present
    reading, order = _read(record, names)
    if reading is None:
        named, wrong, false = set[str](), 1, set[str]()
    else:
        named = said_of(reading.named)
        false = (named | said_of(reading.hedged)) - present
        wrong = len(named - present) + len(reading.hedged) + len(reading.false_names)
    hits = len(named & present)
    missing = len(present) - hits
    precision = hits / (hits + wrong) if hits + wrong else float(not present)
    recall = hits / len(present) if present else float(not wrong)
    f1 = 2 * hits / (2 * hits + wrong + missing) if present else float(not wrong)
    right, claimed = _binding(record, reading, order)
    return (
        (precision, recall, f1, not wrong and not missing, wrong, bool(false & absent), right),
        (1, 1, 1, 1, 1, bool(absent), claimed),
    )


def _read(record: Record, names: Names) -> tuple[CaptionReading | None, list[str]]:
    if len(record.caption) > MAX_CAPTION:
        return None, []
    scene = [thing["name"] for thing in record.scene if thing["name"]]
    text, order = names.read_for(record.caption, (*record.concepts, *record.given, *scene))
    return read_caption(text, order, names_only=True), order


def _binding(record: Record, reading: CaptionReading | None, order: list[str]) -> tuple[int, int]:
    """Right claims and all claims."""
    if reading is None or not record.scene:
        return 0, 0
    shown = {folded(name): name for name in order}
    scene = [
        {**thing, "name": shown[folded(thing["name"])] if thing["name"] else None}
        for thing in record.scene
    ]
    checked = check_claims(
        reading.tokens, {"scene": scene, "references": [{"name": n} for n in order]}
    )
    return (checked.right, checked.right + checked.wrong) if checked else (0, 0)
