"""Mining of positive pairs (one object in two photos) and hard negative pairs (look-alikes).

Arrays in, arrays out: unit vectors of n objects, the photo of each object, that photo's
near-duplicate group and, where known, the object's identity::

    analysis = analyze(vectors, photo, duplicate, identity)  # of all pairs
    analysis.group                                           # the unit of splits
    positives = choose(all_positives(analysis), 4, key)
    others = negatives(analysis, label, split, key, hard=2, medium=1, easy=1)

`clustering` explains how positives are mined and `negatives` how false negatives are avoided;
`benchmarks/mining_quality.py` measures both. Results are the same to the bit on every machine
(see `grid`). `search` finds nearest neighbors. Memory is O(n) in addition to the vectors.
"""

from repic.mining.duplicates import near_duplicates
from repic.mining.negatives import negatives
from repic.mining.neighbors import Analysis, Search, analyze, analyze_grid
from repic.mining.pairs import BANDS, EASY, HARD, MEDIUM, ObjectPairs, joined
from repic.mining.positives import all_positives, choose
from repic.mining.similarity import on_grid
from repic.mining.spread import Spread, several_groups

__all__ = [
    "BANDS",
    "EASY",
    "HARD",
    "MEDIUM",
    "Analysis",
    "ObjectPairs",
    "Search",
    "Spread",
    "all_positives",
    "analyze",
    "analyze_grid",
    "choose",
    "joined",
    "near_duplicates",
    "negatives",
    "on_grid",
    "several_groups",
]
