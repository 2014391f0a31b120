"""The classes of ImageNet as English nouns, and broader everyday nouns for sets of classes.

A classifier is often sure that it sees a dog and unsure of the breed. Psychology calls nouns like
dog, chair and shoe the basic level (Rosch et al., Cognitive Psychology 8, 1976): what people say
first. The probability of a broader noun is the sum of the probabilities of its classes.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from repic.captions.nouns import BROADER, broader_nouns

_RENAMED = {
    "EntleBucher": "Entlebucher",
    "Loafer": "loafer",
    "sunglass": "sunglasses",
}
"""ImageNet's spelling -> the noun; all other names are lower-cased where they are common nouns."""


@cache
def classes() -> tuple[str, ...]:
    """ImageNet's own names of the 1000 classes, in the order of the classifier's outputs."""
    from torchvision.models import EfficientNet_B0_Weights

    return tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])


@cache
def nouns() -> tuple[str, ...]:
    """The noun of each class. The two classes for sunglasses have the same one."""
    return tuple(_RENAMED.get(name, name) for name in classes())


@cache
def broader() -> tuple[str, ...]:
    """The everyday noun of each class: its own noun where no broader one is listed."""
    return tuple(_RENAMED.get(noun, noun) for noun in broader_nouns([*classes()]))


def describe() -> list[str]:
    """What this module adds to a result, for a fingerprint; does not import torch."""
    return [f"{noun}: {members}" for noun, members in (_RENAMED | BROADER).items()]


def sums_of(probabilities: np.ndarray, names: tuple[str, ...]) -> list[tuple[str, float]]:
    """Probability of each distinct name, most probable first.

    Args:
        probabilities: One per class, (1000,).
        names: The noun of each class: `nouns()` or `broader()`.
    """
    distinct, of_class = _grouped(names)
    sums = np.bincount(of_class, weights=probabilities, minlength=len(distinct))
    order = np.argsort(-sums, kind="stable")
    return [(distinct[i], float(sums[i])) for i in order]


@cache
def _grouped(names: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    distinct = tuple(dict.fromkeys(names))
    index = {name: i for i, name in enumerate(distinct)}
    return distinct, np.array([index[name] for name in names])
