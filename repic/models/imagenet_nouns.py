"""The classes of ImageNet as English nouns, and broader everyday nouns for sets of classes.

A classifier is often sure that it sees a dog and unsure of the breed. Psychology calls nouns like
dog, chair and shoe the basic level (Rosch et al., Cognitive Psychology 8, 1976): what people say
first. The probability of a broader noun is the sum of the probabilities of its classes.
"""

from __future__ import annotations

from functools import cache

import numpy as np

_RENAMED = {
    "EntleBucher": "Entlebucher",
    "Loafer": "loafer",
    "sunglass": "sunglasses",
}
"""ImageNet's spelling -> the noun; all other names are lower-cased where they are common nouns."""

# Noun -> its classes, separated by commas; `A .. B` are all classes from A to B.
_BROADER = {
    "airplane": "airliner, warplane",
    "antelope": "hartebeest .. gazelle",
    "bag": "backpack, mailbag, plastic bag, purse",
    "ball": "baseball, basketball, croquet ball, golf ball, ping-pong ball, rugby ball, "
    "soccer ball, tennis ball, volleyball",
    "barrel": "barrel, rain barrel",
    "basket": "hamper, shopping basket",
    "bear": "brown bear .. sloth bear",
    "bird": "cock .. great grey owl, black grouse .. black swan, white stork .. albatross",
    "boat": "canoe, catamaran, fireboat, gondola, lifeboat, schooner, speedboat, trimaran, yawl",
    "bottle": "beer bottle, pill bottle, pop bottle, water bottle, wine bottle",
    "bowl": "mixing bowl, soup bowl",
    "box": "carton, chest, crate",
    "bread": "French loaf, bagel, pretzel",
    "bridge": "steel arch bridge, suspension bridge, viaduct",
    "building": "barn, boathouse, castle, church, greenhouse, monastery, mosque, palace, prison",
    "bus": "minibus, school bus, trolleybus",
    "butterfly": "admiral .. lycaenid",
    "cabinet": "china cabinet, medicine chest",
    "camera": "Polaroid camera, reflex camera",
    "car": "beach wagon, cab, convertible, jeep, limousine, minivan, Model T, racer, sports car",
    "cat": "tabby .. cheetah",
    "chair": "barber chair, folding chair, rocking chair, throne",
    "clock": "analog clock, digital clock, wall clock",
    "coat": "fur coat, lab coat, trench coat",
    "computer": "desktop computer, hand-held computer, laptop, notebook",
    "crab": "Dungeness crab .. king crab, hermit crab",
    "cup": "coffee mug, cup, measuring cup",
    "curtain": "shower curtain, theater curtain",
    "dog": "Chihuahua .. Mexican hairless",
    "drum": "drum, steel drum",
    "elephant": "tusker, Indian elephant, African elephant",
    "fence": "chainlink fence, picket fence, worm fence",
    "fish": "tench .. stingray, barracouta .. puffer",
    "flower": "rapeseed, daisy, yellow lady's slipper",
    "fox": "red fox .. grey fox",
    "frog": "bullfrog .. tailed frog",
    "fruit": "Granny Smith .. pomegranate",
    "glass": "beer glass, goblet",
    "guitar": "acoustic guitar, electric guitar",
    "gun": "assault rifle, revolver, rifle",
    "hat": "bearskin, bonnet, cowboy hat, mortarboard, sombrero",
    "helmet": "crash helmet, football helmet, pickelhaube",
    "horse": "sorrel",
    "insect": "tiger beetle .. damselfly",
    "jug": "pitcher, water jug, whiskey jug",
    "keyboard": "computer keyboard, typewriter keyboard",
    "knife": "cleaver, letter opener",
    "lamp": "lampshade, table lamp",
    "lizard": "banded gecko .. Komodo dragon",
    "lobster": "American lobster, spiny lobster",
    "mask": "gasmask, mask, oxygen mask, ski mask",
    "monkey": "guenon .. squirrel monkey",
    "motorbike": "moped, motor scooter",
    "mushroom": "mushroom, coral fungus .. bolete",
    "pan": "frying pan, wok",
    "pen": "ballpoint, fountain pen, quill",
    "phone": "cellular telephone, dial telephone, pay-phone",
    "piano": "grand piano, upright",
    "pig": "hog .. warthog",
    "pot": "caldron, coffeepot, Crock Pot, Dutch oven, pot, teapot",
    "rabbit": "wood rabbit, Angora",
    "rug": "doormat, prayer rug",
    "screen": "monitor, screen, television",
    "sheep": "ram, bighorn",
    "ship": "aircraft carrier, container ship, liner, pirate",
    "shoe": "clog, cowboy boot, Loafer, running shoe, sandal",
    "shop": "bakery, barbershop, bookshop, butcher shop, confectionery, grocery store, shoe shop, "
    "tobacco shop, toyshop",
    "skirt": "hoopskirt, miniskirt, overskirt",
    "snake": "thunder snake .. sidewinder",
    "spider": "black and gold garden spider .. wolf spider",
    "spoon": "ladle, wooden spoon",
    "sunglasses": "sunglass, sunglasses",
    "swimsuit": "bikini, maillot, maillot tank suit",
    "tie": "bolo tie, bow tie, Windsor tie",
    "tool": "chain saw, hammer, hatchet, power drill, screwdriver, shovel",
    "toy": "jigsaw puzzle, pinwheel, teddy",
    "train": "bullet train, electric locomotive, freight car, passenger car, steam locomotive",
    "truck": "fire engine, garbage truck, moving van, pickup, tow truck, trailer truck",
    "turtle": "loggerhead .. box turtle",
    "vegetable": "head cabbage .. cardoon",
    "watch": "digital watch, stopwatch",
    "whale": "grey whale, killer whale",
    "wolf": "timber wolf .. red wolf",
}


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
    index = {name: i for i, name in enumerate(classes())}
    result = list(nouns())
    for noun, members in _BROADER.items():
        for member in members.split(", "):
            first, _, last = member.partition(" .. ")
            for i in range(index[first], index[last or first] + 1):
                result[i] = noun
    return tuple(result)


def describe() -> list[str]:
    """What this module adds to a result, for a fingerprint; does not import torch."""
    return [f"{noun}: {members}" for noun, members in (_RENAMED | _BROADER).items()]


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
