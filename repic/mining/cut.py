"""The cut: which disjoint nodes of a tree of candidate groups are one thing each.

Three kinds of evidence, added as logarithms of odds:

- *Closedness* of a node: a group that only knows itself, or a ball cut out of a continuum.
- *Height* of each join in a node. A thing is closed, but so is a pair of look-alikes, a category,
  and everything there is. What tells them apart is that joins within things are high, and the next
  join above a thing is clearly lower. A join counts from +`HEIGHT`, as high as the usual join
  within a thing, to -`HEIGHT`, as low as the usual join that was refused. So whoever joins two
  closed groups must earn it.
- *Size*: how usual groups of this size are here. It keeps two look-alikes with five photos each
  from becoming one thing with ten, where everything else comes in fives.

Both the usual heights and the size profile are learned from the cut, and the cut is made again,
until they agree. They agree at any clear level, of things or of categories, so the start decides:
it takes each branch of the tree, from the leaves up, to the first join that is lower than `FALL`
times a join below it. That is the finest clear level, and what is learned from there on stays
there.
"""

from __future__ import annotations

import math

import numpy as np

from repic.mining.linkage import Forest

CLOSED, OPEN = 0.95, 0.6
"""Expected closedness of a group and of a ball out of a continuum."""

WEIGHT = 4.0
"""Neighbours per member that count as independent evidence, beside one draw from the profile."""

HEIGHT = 5.0
"""Most that the height of a join counts, in nats; 4 to 7 do equally well."""

FALL = 0.65
"""A join that is lower than this share of one below it is taken, to start with, for one between
things. Within things nearly all are higher, above them most are lower; 0.6 to 0.7 do equally well.
"""

UNSEEN = 0.05
"""Share of the size profile that is spread evenly, for sizes that the last cut did not have."""

ROUNDS = 20
"""Most times that the cut is made; it agrees with what is learned from it after three or four."""


def cut(forest: Forest, closedness: np.ndarray, largest: int) -> list[int]:
    """Most probable disjoint nodes that cover all objects, in order.

    Args:
        closedness: float (nodes,), 0 to 1 above chance; nan where a node can not be a group.
        largest: Most members of a node.
    """
    sizes = [len(members) for members in forest.members]
    closed = [_of_closedness(s, c) for s, c in zip(sizes, closedness.tolist(), strict=True)]
    usual = _first_falls(forest)
    profile = np.full(largest + 1, 1 / largest)
    chosen: list[int] = []
    for _ in range(ROUNDS):
        prior = np.log(profile).tolist()
        joins = _of_joins(forest, *usual)
        previous = chosen
        chosen = _best(
            forest,
            [c + j + s * prior[s] for c, j, s in zip(closed, joins, sizes, strict=True)],
        )
        if chosen == previous:
            break
        usual = _usual(forest, chosen)
        seen = np.bincount([sizes[t] for t in chosen], minlength=largest + 1)
        seen = seen * np.arange(largest + 1)
        profile = (1 - UNSEEN) * seen / seen.sum() + UNSEEN / largest
    return chosen


def _of_closedness(size: int, closedness: float) -> float:
    """Evidence for a group of this size, in nats."""
    if size == 1:
        return 0.0
    if math.isnan(closedness):
        return -math.inf
    gain, loss = math.log(CLOSED / OPEN), math.log((1 - CLOSED) / (1 - OPEN))
    return WEIGHT * (size - 1) * (closedness * gain + (1 - closedness) * loss)


def _of_joins(forest: Forest, within: float, refused: float) -> list[float]:
    """Evidence for each node by the heights of all joins in it, in nats."""
    middle, half = (within + refused) / 2, max(1.0, (within - refused) / 2)
    total: list[float] = []
    for (a, b), height in zip(forest.children, forest.height, strict=True):
        if a < 0:
            total.append(0.0)
        else:
            share = min(1.0, max(-1.0, (height - middle) / half))
            total.append(total[a] + total[b] + HEIGHT * share)
    return total


def _first_falls(forest: Forest) -> tuple[float, float]:
    """Mean height of the joins below the first fall, and of those that fall first."""
    within, refused = [], []
    whole: list[bool] = []
    for (a, b), height in zip(forest.children, forest.height, strict=True):
        if a < 0:
            whole.append(True)
            continue
        below = [forest.height[c] for c in (a, b) if forest.children[c][0] >= 0]
        falls = bool(below) and height < FALL * min(below)
        whole.append(whole[a] and whole[b] and not falls)
        if whole[-1]:
            within.append(height)
        elif whole[a] or whole[b]:
            refused.append(height)
    return _mean(within), _mean(refused)


def _usual(forest: Forest, chosen: list[int]) -> tuple[float, float]:
    """Mean height of the joins in chosen nodes, and of those right above; 0 where there is none."""
    inside = set(chosen)
    joined = {child for both in forest.children for child in both}
    refused = [0.0 for node in chosen if node not in joined and forest.children[node][0] >= 0]
    for node in range(len(forest.children) - 1, -1, -1):
        a, b = forest.children[node]
        if a < 0:
            break
        if node in inside:
            inside.update((a, b))
        elif a in inside or b in inside:
            refused.append(forest.height[node])
    within = [forest.height[node] for node in inside if forest.children[node][0] >= 0]
    return _mean(within), _mean(refused)


def _mean(heights: list[float]) -> float:
    return math.fsum(heights) / max(1, len(heights))


def _best(forest: Forest, score: list[float]) -> list[int]:
    """Disjoint nodes of highest total score that cover all leaves; ties go to the larger parts."""
    best = list(score)
    split = [False] * len(score)
    root = [True] * len(score)
    for node, (a, b) in enumerate(forest.children):
        if a < 0:
            continue
        root[a] = root[b] = False
        if best[a] + best[b] > best[node]:
            best[node], split[node] = best[a] + best[b], True
    waiting = [node for node in range(len(score)) if root[node]]
    chosen = []
    while waiting:
        node = waiting.pop()
        if split[node]:
            waiting.extend(forest.children[node])
        else:
            chosen.append(node)
    return sorted(chosen)
