"""Nouns for the same thing: synonyms of ImageNet's classes, and broader everyday nouns.

The synonyms are those of WordNet in the files of timm. A caption that calls a `Pembroke` a corgi or
a dog says what the label says.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from functools import cache, lru_cache
from pathlib import Path

from repic.captions.tokens import plain_words, stem

BROADER = {
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
"""Everyday noun -> its classes of ImageNet, separated by commas; `A .. B` are all from A to B."""

_SAME_FIRST_LEMMA = {134: "crane bird", 639: "maillot tank suit"}
"""Classes whose first synonym is that of another class: number -> name."""

_OTHER_NOUNS = {
    "dog": "puppy pup doggy hound",
    "cat": "kitten kitty",
    "shoe": "sneaker trainer boot footwear",
    "bag": "rucksack",
    "toy": "doll plush plushie figurine",
    "bottle": "flask",
    "car": "automobile vehicle",
    "clock": "timepiece",
    "sunglasses": "glasses eyewear",
    "bird": "birdie duckling",
    "cup": "mug",
    "bowl": "dish",
}
"""Everyday noun -> other words for it that WordNet's synonyms lack."""


@lru_cache(maxsize=4096)
def same_thing(label: str) -> frozenset[str]:
    """Stems of the nouns that a thing of this label may be called.

    The last words of the label, of its synonyms, of the broader noun and, if the label is a broader
    noun, of everything that it includes: `running shoe` may be a sneaker, `dog` a terrier.
    """
    label = label.casefold()
    nouns = {label}
    for broader, synonyms in _classes():
        if label == broader or label in synonyms:
            nouns.update((broader, *synonyms))
    nouns.update(word for noun in [*nouns] for word in _OTHER_NOUNS.get(noun, "").split())
    return frozenset(stem(words[-1]) for noun in nouns if (words := plain_words(noun)))


def calls_it(label: str, stems: Collection[str]) -> bool:
    """Whether one of the stems is that of a noun for a thing of this label."""
    return not same_thing(label).isdisjoint(stems)


@cache
def _classes() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The broader noun and the synonyms of each class of ImageNet, casefolded."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        return ()
    folder = Path(spec.origin).parent / "data" / "_info"
    lines = (folder / "imagenet_synset_to_lemma.txt").read_text("utf-8").splitlines()
    lemmas = dict(line.split("\t") for line in lines if "\t" in line)
    synsets = (folder / "imagenet_synsets.txt").read_text("utf-8").split()
    synonyms = [tuple(lemmas[synset].split(", ")) for synset in synsets]
    names = [_SAME_FIRST_LEMMA.get(i, words[0]) for i, words in enumerate(synonyms)]
    broader = broader_nouns(names)
    return tuple(
        (broader[i].casefold(), tuple(map(str.casefold, (names[i], *synonyms[i]))))
        for i in range(len(names))
    )


def broader_nouns(names: list[str]) -> list[str]:
    """The everyday noun of each class: its own name where no broader one is listed.

    Args:
        names: ImageNet's names of all classes, in its order.
    """
    index = {name: i for i, name in enumerate(names)}
    result = [*names]
    for noun, members in BROADER.items():
        for member in members.split(", "):
            first, _, last = member.partition(" .. ")
            for i in range(index[first], index[last or first] + 1):
                result[i] = noun
    return result
