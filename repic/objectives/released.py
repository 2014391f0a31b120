"""The rewards that the paper's authors released, with their loopholes: the mode `paper`.

They know four kinds of questions: yes or no, a box, one name, and several names. The released data
has no caption row without a present name, and no `which` row; for these the mode has rules of its
own, see `names` and `repic.objectives.identify`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from repic.images.coordinates import Box, Convention
from repic.objectives.base import Reward
from repic.objectives.query_view import QueryView

IOU = 0.5
"""IoU from which a box is right."""

LENGTH = 100
"""Characters of a caption below which it earns nothing."""

_BOX = re.compile(r"\[(\d++)\s*+,\s*+(\d++)\s*+,\s*+(\d++)\s*+,\s*+(\d++)\]")


def yes_or_no(completion: str, row: Mapping[str, Any]) -> Reward:
    """1 if the first "yes" or "no" in the text is the answer, also within a word, in any case."""
    text = completion.lower()
    starts = {start: word for word in ("yes", "no") if (start := text.find(word)) >= 0}
    answer = starts[min(starts)] if starts else None
    right = float(answer == row["answer"])
    reason = "malformed" if answer is None else "right" if right else "wrong"
    components = {"correct": right, "format": float(answer is not None)}
    return Reward(right, components, reason, answer)


def box(completion: str, row: Mapping[str, Any], convention: Convention) -> Reward:
    """1 if the first box of four whole numbers in brackets has an IoU of at least `IOU`.

    There may be white space around the commas, but not after the bracket and not before the last.
    Boxes that share a strip of at most one pixel do not overlap, by its comparison of whole pixels.
    """
    match = _BOX.search(completion)
    if match is None:
        return Reward(0.0, {"iou": 0.0, "format": 0.0}, "missing")
    view = QueryView.of(row)
    values = [float(number) for number in match.groups()]
    found = view.to_photo(convention.to_pixels(values, view.width, view.height))
    truth = Box.of(row["box"])
    width = min(found.x2, truth.x2) - max(found.x1, truth.x1)
    height = min(found.y2, truth.y2) - max(found.y1, truth.y1)
    iou = found.iou(truth) if min(width, height) > 1 else 0.0
    hit = float(iou >= IOU)
    return Reward(hit, {"iou": iou, "format": 1.0}, "right" if hit else "wrong", found.as_list())


def names(completion: str, row: Mapping[str, Any]) -> Reward:
    """For one present name: 1 if the text has `<Name>` and no `</Name>`; for several: their share.

    A text of fewer than `LENGTH` characters earns 0. So does any text where nobody is present: the
    released rewards are not defined there, and its reason is `undefined`.
    """
    present = [r["name"] for r in row["references"] if r["present"]]
    if not present:
        return Reward(0.0, {"names": 0.0, "length": 0.0}, "undefined")
    named = [name for name in present if f"<{name}>" in completion]
    share = len(named) / len(present)
    if len(present) == 1 and f"</{present[0]}>" in completion:
        share = 0.0
    length = float(len(completion) >= LENGTH)
    reason = "thin" if not length else "right" if share == 1 else "missing_name"
    return Reward(share * length, {"names": share, "length": length}, reason, {"named": named})
