"""Choose items of several kinds by shares, where some kinds have too few."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from repic.objectives.corpus import Ints


def by_shares(items: Mapping[str, Ints], shares: Mapping[Any, float], wanted: int) -> Ints:
    """The wanted number of items: the first ones of each kind, by the shares of the kinds.

    What a kind with too few items leaves goes to the others. A kind without a share gives none.

    Args:
        items: Kind -> its items, best first. Of kinds with equal claims, the first one goes first.
    """
    taken = {kind: 0 for kind in items if len(items[kind]) and shares.get(kind, 0) > 0}
    open_kinds = list(taken)
    while (missing := wanted - sum(taken.values())) > 0 and open_kinds:
        share_sum = sum(shares[kind] for kind in open_kinds)
        for kind in open_kinds:
            left = wanted - sum(taken.values())
            take = min(left, missing, max(1, round(missing * shares[kind] / share_sum)))
            taken[kind] = min(len(items[kind]), taken[kind] + take)
        open_kinds = [kind for kind in open_kinds if taken[kind] < len(items[kind])]
    first = [items[kind][:count] for kind, count in taken.items()]
    return np.concatenate([np.zeros(0, np.int64), *first])
