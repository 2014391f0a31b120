"""Articles and number of the labels of every detector vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest
import ultralytics
import yaml
from hypothesis import given
from hypothesis import strategies as st

from repic import config
from repic.captions.noun_phrases import has_determiner, is_plural, with_article, without_article
from repic.models import imagenet_nouns

DATASETS = Path(ultralytics.__file__).parent / "cfg" / "datasets"
EVERYDAY = Path(config.__file__).parent / "profiles" / "everyday.txt"
VOCABULARIES = ("everyday", "coco", "Objects365", "open-images-v7", "lvis", "VOC", "HomeObjects-3K")


def vocabulary(name: str) -> list[str]:
    if name == "everyday":
        lines = EVERYDAY.read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    names = yaml.safe_load((DATASETS / f"{name}.yaml").read_text(encoding="utf-8"))["names"]
    return [phrase for entry in names.values() for phrase in entry.split("/")]


@pytest.mark.parametrize(
    ("phrase", "written"),
    [
        ("dog", "a dog"),
        ("Egyptian cat", "an Egyptian cat"),
        ("Airedale", "an Airedale"),
        ("hourglass", "an hourglass"),
        ("honeycomb", "a honeycomb"),
        ("unicycle", "a unicycle"),
        ("umbrella", "an umbrella"),
        ("upright", "an upright"),
        ("European fire salamander", "a European fire salamander"),
        ("utility vehicle", "a utility vehicle"),
        ("ukulele", "a ukulele"),
        ("urn", "an urn"),
        ("one-piece swimsuit", "a one-piece swimsuit"),
        ("SUV", "an SUV"),
        ("UFO", "a UFO"),
        ("CD player", "a CD player"),
        ("LCD screen", "an LCD screen"),
        ("X-ray", "an X-ray"),
        ("T-shirt", "a T-shirt"),
        ("iPod", "an iPod"),
        ("English foxhound", "an English foxhound"),
        ("Scotch terrier", "a Scotch terrier"),
        ("Model T", "a Model T"),
        ("Great Pyrenees", "a Great Pyrenees"),
        ("Bouvier des Flandres", "a Bouvier des Flandres"),
        ("hippopotamus", "a hippopotamus"),
        ("lens cap", "a lens cap"),
        ("mantis", "a mantis"),
        ("triceratops", "a triceratops"),
        ("hen-of-the-woods", "a hen-of-the-woods"),
        ("magnetic compass", "a magnetic compass"),
        ("school bus", "a school bus"),
        ("sunglasses", "sunglasses"),
        ("binoculars", "binoculars"),
        ("swimming trunks", "swimming trunks"),
        ("parallel bars", "parallel bars"),
        ("scissors", "scissors"),
        ("skis", "skis"),
        ("pair of shoes", "a pair of shoes"),
        ("shoes in a box", "shoes in a box"),
        ("toilet tissue", "toilet tissue"),
        ("broccoli", "broccoli"),
        ("the old bear", "the old bear"),
        ("my mug", "my mug"),
        ("분홍 컵", "분홍 컵"),
        ("", ""),
    ],
)
def test_phrases_get_their_article(phrase: str, written: str) -> None:
    assert with_article(phrase) == written


def test_all_imagenet_nouns_get_the_right_article() -> None:
    """Every noun is of one of four kinds; the three unusual ones are listed completely."""
    nouns = set(imagenet_nouns.nouns()) | set(imagenet_nouns.broader())
    kinds: dict[str, set[str]] = {"a": set(), "an": set(), "": set()}
    for noun in nouns:
        article = with_article(noun).removesuffix(noun).strip()
        kinds[article].add(noun)
    plural = {noun for noun in kinds[""] if is_plural(noun)}
    assert plural == {"binoculars", "parallel bars", "sunglasses", "swimming trunks"}
    assert kinds[""] - plural == MASS
    assert {n for n in kinds["an"] if n[0].lower() not in "aeio"} == AN
    assert {n for n in kinds["a"] if n[0].lower() in "aeiou"} == A


_MASS_TEXT = """
bread, broccoli, carbonara, chain mail, chocolate sauce, consomme, coral fungus, corn, dough,
eggnog, espresso, face powder, fruit, guacamole, hair spray, hay, ice cream, mashed potato,
rapeseed, red wine, sunscreen, thatch, toilet tissue, velvet, wool
"""
MASS = {word.strip() for word in _MASS_TEXT.split(",")}
AN = {"hourglass", "umbrella", "upright"}
A = {"European fire salamander", "European gallinule", "unicycle"}


@pytest.mark.parametrize("name", VOCABULARIES)
def test_labels_of_other_detectors_have_articles_that_can_be_said(name: str) -> None:
    """`a` before a vowel letter and `an` before a consonant are the listed words only; a singular
    label with a final s ends in a listed word, and so does a plural or mass noun without one."""
    for phrase in vocabulary(name):
        written, first = with_article(phrase), phrase.casefold().split()[0]
        if has_determiner(phrase):
            assert written == phrase == "one dollar bill"
        elif written == phrase:
            assert is_plural(phrase) or phrase.casefold().split()[-1] in MASS_WORDS, phrase
            assert phrase.casefold() not in SINGULAR_LABELS
        else:
            odd = written.startswith("an ") != (phrase[0].lower() in "aeiou")
            assert odd == (first in ODD_SOUNDS), written
        if is_plural(phrase) and not phrase.endswith("s"):
            assert set(phrase.casefold().split()) & {"cattle", "dice", *BEFORE_OTHERS}, phrase


ODD_SOUNDS = {"ewer", "hourglass", "suv", "unicycle", "urinal"}
BEFORE_OTHERS = {"for", "and", "in", "of"}
SINGULAR_LABELS = {"bus", "tennis", "wine glass", "chest of drawers", "compass", "rhinoceros"}
_MASS_WORDS_TEXT = """
asparagus, beef, bread, broccoli, butter, celery, cheese, chicken, clothing, corn, cream, food,
footwear, fruit, furniture, garlic, guacamole, honey, jam, jewelry, lettuce, liquor, luggage,
mail, milk, money, paper, pasta, popcorn, potato, pottery, powder, rice, soap, spray, sushi,
tableware, tea, tissue, tofu, underwear, wine, yogurt
"""
MASS_WORDS = {word.strip() for word in _MASS_WORDS_TEXT.split(",")}


def test_more_than_200_labels_of_other_detectors_are_tested() -> None:
    assert len({label for name in VOCABULARIES for label in vocabulary(name)}) > 2000


@given(st.text(max_size=30))
def test_no_text_is_cut_inside_a_word(text: str) -> None:
    rest = without_article(text)
    assert text.endswith(rest)
    removed = text.removesuffix(rest) if rest else text
    assert removed.strip().casefold() in {"", "the", "a", "an", "one"} or not rest


@given(st.sampled_from(imagenet_nouns.nouns()))
def test_an_article_can_be_taken_away_again(noun: str) -> None:
    assert without_article(with_article(noun)) == noun == without_article(f"the {noun}")
