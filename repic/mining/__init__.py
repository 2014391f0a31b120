"""Mining: which objects in different photos are the same, and which look alike but are not.

Arrays in, arrays out. Of n objects there are vectors (unit length), the photo that each is in,
that photo's near-duplicate group, and where known the identity::

    found = survey(vectors, photo, duplicate, identity)   # one pass over all similarities
    found.group                                           # what to split by
    positives = choose(all_positives(found), 4, key)
    others = negatives(found, label, split, key, hard=2, medium=1, easy=1)

`groups` and `cut` say how mined positives are found, `negatives` what keeps false negatives out,
`benchmarks/mining_quality.py` how well both work. Everything is deterministic, to the bit, on every
machine (`similarity`), and uses O(n) memory beside the vectors.
"""

from repic.mining.duplicates import near_duplicates
from repic.mining.negatives import negatives
from repic.mining.neighbors import Analysis, analyze
from repic.mining.pairs import BANDS, EASY, HARD, MEDIUM, ObjectPairs
from repic.mining.positives import all_positives, choose

__all__ = [
    "BANDS",
    "EASY",
    "HARD",
    "MEDIUM",
    "Analysis",
    "ObjectPairs",
    "all_positives",
    "analyze",
    "choose",
    "near_duplicates",
    "negatives",
]
