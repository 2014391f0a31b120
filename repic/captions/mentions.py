"""Who is named in a caption, and what it says beside the names.

A name counts at token boundaries, alone or as `<Name>`, whatever its case; a possessive, a French
elision and a Korean particle may be attached, and Chinese text has no spaces to bound it. A mention
that is negated ("Ann is not in the picture", "without Ann") names nobody. One that is hedged
("maybe Ann", "Ann or Bob"), contradicted, or spelled to look like a name without being it, claims
both ways at once and counts as wrong, whoever is there. Time is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import eq

from repic.captions.negation import denied, doubts, may_doubt
from repic.captions.tokens import ITEM, composed, is_han, plain_words

_QUOTED = re.compile(r"^[ \t]*> ", re.MULTILINE)
"""A mark of a quotation, which is no broken tag."""

_APOSTROPHE = re.compile("['\u2019]")
_ENGLISH_ENDINGS = frozenset(("s", "ll", "d", "re", "ve"))
_FRENCH_ELISIONS = frozenset(("d", "l", "qu"))
_PARTICLES = re.compile(
    "(?:이|씨|님|양|군)?(?:가|는|은|을|를|의|와|과|도|만|에게|한테|께|께서|랑|이랑|하고|까지|부터|로|으로|"
    "에|에서|처럼|보다|야|아|여|라고|이다|이고|이며|입니다|이에요|예요|네|들)?"
)

_MARKS = frozenset(",.!?;:()\n")
# ITEM of a text in ASCII, whole, so that what is plain letters need not be looked at one by one.
_PLAIN = re.compile(r"<[^<>\n]{1,60}>|\w+(?:['-]\w+)*|[,.!?;:()\n]", re.ASCII)
_ENDS_SENTENCE = frozenset(".!?;:\n\u3002\uff01\uff1f")
GRAM = 4
"""Words in a row that count as copied when the prompt has them in a row as well."""

_LONGEST_DISGUISE = 200

RUN = 6
"""Words in a row that count as repetition; "with white dots and a" comes twice in honest ones."""

FREE_REPETITION = 0.2
"""Share of such runs that may come again."""

# Letters of other scripts that look like Latin ones (a part of Unicode's confusables.txt).
_LOOK_ALIKES = str.maketrans(
    "абвгеёзіјкмнорстухуѕԁһⅼαβγεηικνορτυχϲ", "abbreeзijkmhopctyxysdhlabyenikvoptuxc"
)


@dataclass(frozen=True)
class Reading:
    """What a caption says.

    Attributes:
        named: Names that it uses of something in the picture, in the order of first use.
        negated: Names that it says are not there.
        hedged: Names that it claims both ways: with a doubt, as alternatives, and with its denial
            elsewhere. They are not in `named`.
        strangers: Tags `<...>` that hold none of the names, look-alikes of a name, broken tags.
        words: Distinct words, casefolded, that are no names or tags; each Han character is one.
        length: How many words there are, repeated ones too.
        new_words: Those of `words` that are not in a passage copied from the prompt.
        claimed: Those of `words` that are not only said to be absent, as in "no clouds".
        said: All tokens in order: `@0` for the first name, marks, casefolded words.
        repeated: Share of its tokens that stammer, or repeat a sentence or a run of `RUN` of its
            own, or one of `GRAM` of the request; 0 to 1.
    """

    named: tuple[str, ...]
    negated: tuple[str, ...]
    hedged: tuple[str, ...]
    strangers: tuple[str, ...]
    words: frozenset[str]
    length: int
    new_words: frozenset[str]
    claimed: frozenset[str]
    said: tuple[str, ...]
    repeated: float


def read(
    text: str, names: Sequence[str], prompt: str = "", request: str = "", names_only: bool = False
) -> Reading:
    """Read a caption.

    Args:
        text: The caption; the caller limits its length.
        names: Names of the references, without brackets; none is another's prefix.
        prompt: Text that the caption may have copied from.
        request: The part of it that asks; repeating it is repetition.
        names_only: Do not look for repetition, which takes time: `repeated` is then 0.
    """
    text = composed(text)
    # Lower case and not casefolded: that would take a long s, a ligature or a sharp s for letters.
    known = {unicodedata.normalize("NFC", name).lower(): name for name in names}
    places = {name: f"@{place}" for place, name in enumerate(known.values())}
    is_plain = text.isascii()
    said: list[str] = []
    mentioned: dict[str, None] = {}
    strangers: dict[str, None] = {}
    words: list[str] = []
    tags = 0

    def take(tag: str, word: str) -> None:
        """A tag, or a word that is more than letters or may be a name."""
        nonlocal tags
        tags += bool(tag)
        token = (tag or word).casefold()
        shown = token if is_plain else (tag or word).lower()
        found = _named_by(shown.strip(" ") if tag else shown.strip("_") or shown, known)
        if tag and (len(found) != 1 or shown.strip(" ") not in known):
            strangers[tag] = None
            said.append("<>")
        elif found:
            mentioned.update(dict.fromkeys(found))
            said.extend(places[name] for name in found)
            if word and is_han(word):  # it stands in a run without spaces; the rest are words
                for name in found:
                    word = word.replace(name, "")
                words.extend(word)
        else:
            is_latin = is_plain or token.isascii()
            if (not is_latin or "-" in token) and _is_disguised(shown, known):
                strangers[token] = None
            said.append(token)
            words.extend(token if not is_latin and is_han(token) else (token,))

    if is_plain:
        start, low = 0, _PLAIN.findall(text.lower())
        items = _PLAIN.findall(text) if "<" in text else low
        odd = {
            t for t in {*low} if t[0] == "<" or (not t.isalnum() and t not in _MARKS) or t in known
        }
        for place in [k for k, t in enumerate(low) if t in odd] if odd else ():
            said += low[start:place]
            words += [t for t in low[start:place] if t not in _MARKS]
            item, start = items[place], place + 1
            take(item[1:-1], "") if item[0] == "<" else take("", item)
        said += low[start:]
        words += [t for t in low[start:] if t not in _MARKS]
    else:
        for tag, word, mark in ITEM.findall(text):
            low = word.lower()
            if mark:
                said.append(mark)
            elif word.isascii() and word.isalnum() and low not in known:
                said.append(low)
                words.append(low)
            else:
                take(tag, word)
    strangers.update(dict.fromkeys(_glued(text, known)))
    if text.count("<") != tags or text.count(">") - len(_QUOTED.findall(text)) != tags:
        strangers["<"] = None
    negated, hedged = frozenset[str](), frozenset[str]()
    is_doubtful = may_doubt(text, said)
    if mentioned and is_doubtful:
        negated, hedged = doubts(said, list(known.values()))
    copied = _copied(words, _grams(prompt)) if prompt else frozenset()
    distinct = frozenset(words)
    return Reading(
        tuple(n for n in mentioned if n not in negated and n not in hedged),
        tuple(name for name in mentioned if name in negated),
        tuple(name for name in mentioned if name in hedged),
        tuple(strangers),
        distinct,
        len(words),
        distinct - copied if copied else distinct,
        distinct - denied(said) if is_doubtful else distinct,
        tuple(said),
        0.0 if names_only else _repeated(said, _grams(request) if request else ()),
    )


def _named_by(word: str, known: dict[str, str]) -> Sequence[str]:
    """Names that a casefolded token mentions: usually none or one."""
    if word in known:
        return (known[word],)
    if word.isascii() and "'" not in word:
        return ()
    parts = _APOSTROPHE.split(word)
    if len(parts) == 2:
        first, last = parts
        if first in known and last in _ENGLISH_ENDINGS:
            return (known[first],)
        if last in known and first in _FRENCH_ELISIONS:
            return (known[last],)
    if "\uac00" <= word[0] <= "\ud7a3":
        return [
            name
            for key, name in known.items()
            if word.startswith(key) and _PARTICLES.fullmatch(word, len(key))
        ]
    if is_han(word):
        return [name for key, name in known.items() if is_han(key) and key in word]
    return ()


def _is_disguised(token: str, known: Collection[str]) -> bool:
    """Whether a token is no name, but looks like one or like `N-a-m-e`."""
    if len(token) > _LONGEST_DISGUISE:
        return False
    shown = unicodedata.normalize("NFKC", token).casefold()
    shown = "".join(
        c
        for c in shown
        # zero-width characters, and marks that strike through or enclose a letter
        if c != "-"
        and unicodedata.category(c) not in ("Cf", "Me")
        and not "\u0334" <= c <= "\u0338"
    )
    return shown in known or shown.translate(_LOOK_ALIKES) in known


_ENTITY = re.compile(r"&(?:lt|gt|shy|zwn?j|#[0-9]{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)
_JOINTS = re.compile(r"[@/\\=&]")


def _glued(text: str, known: Collection[str]) -> list[str]:
    """Names in addresses (`ann@x.org`, `x.org/Ann`), and escaped letters or brackets.

    Han and Hangul names that touch Latin letters or a combining mark: there they end at no
    boundary.
    """
    found: list[str] = []
    if _JOINTS.search(text):
        listed = "|".join(map(re.escape, known))
        if listed:
            joined = rf"[@/\\=]<?(?:{listed})(?!\w)|(?<!\w)(?:{listed})>?[@/\\=]"
            found += re.findall(joined, text, re.IGNORECASE)
        found += _ENTITY.findall(text)
    touched = [name for name in known if name[0] >= "\u3040" and _touches(text, name)]
    if names := "|".join(map(re.escape, touched)):
        found += re.findall(
            rf"[A-Za-z0-9_](?:{names})|(?:{names})[A-Za-z0-9_\u0300-\u036f\u200b-\u200f\u20d0-\u20ff]",
            text,
        )
    return found


def _touches(text: str, name: str) -> bool:
    """Whether the name stands somewhere beside a character that is no space, bracket or stop.

    A quick look; what exactly it touches is asked by who calls.
    """
    name, other = re.escape(name), r"[^ <>(),.!?\n]"
    return re.search(f"{name}{other}|{other}{name}", text) is not None


@lru_cache(maxsize=4096)
def _grams(text: str) -> frozenset[tuple[str, ...]]:
    words = plain_words(text)
    return frozenset(zip(*(words[i:] for i in range(GRAM)), strict=False))


def _copied(words: Sequence[str], grams: Collection[tuple[str, ...]]) -> frozenset[str]:
    """Words that stand only in passages copied from the prompt."""
    runs = zip(*(words[i:] for i in range(GRAM)), strict=False)
    starts = [start for start, run in enumerate(runs) if run in grams]
    if not starts:
        return frozenset()
    inside = bytearray(len(words))
    for start in starts:
        inside[start : start + GRAM] = b"\1" * GRAM
    own = {word for word, flag in zip(words, inside, strict=True) if not flag}
    return frozenset(word for word, flag in zip(words, inside, strict=True) if flag) - own


def _said_again(said: Sequence[str]) -> int:
    """Tokens in sentences of three or more that were there before; these may be short."""
    if _ENDS_SENTENCE.isdisjoint(said[:-1]):
        return 0
    seen: set[tuple[str, ...]] = set()
    count = 0
    for is_end, group in groupby(said, key=_ENDS_SENTENCE.__contains__):
        sentence = tuple(group)
        if is_end or len(sentence) < 3:
            continue
        count += len(sentence) if sentence in seen else 0
        seen.add(sentence)
    return count


def _repeated(said: Sequence[str], request: Collection[tuple[str, ...]]) -> float:
    tokens = [token for token in said if token[0] == "@" or token[0].isalnum()]
    if len(tokens) < 2:
        return 0.0
    stammers = sum(map(eq, tokens, tokens[1:]))
    runs = list(zip(*(tokens[i:] for i in range(RUN)), strict=False))
    share = (len(runs) - len(set(runs))) / max(1, len(runs)) + 2 * stammers / len(tokens)
    share = max(share, _said_again(said) / len(tokens))
    if request:
        copied = list(zip(*(tokens[i:] for i in range(GRAM)), strict=False))
        share += sum(run in request for run in copied) / max(1, len(copied))
    return min(1.0, share)
