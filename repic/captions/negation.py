"""Negated and hedged names, and words that occur only after a negation.

Reads plain English forms, and a few negating words of other European languages before a name. Time
is linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# Possessive quantifiers: what follows a run of names never starts with a name, so backtracking into
# the run cannot help.
_NAMES = r"@\d++(?: (?:(?:,|and|or|nor|&) ){0,2}+@\d++){0,8}+"
_SEE = r"(?:see|find|spot|recogni[sz]e|identify|show|contain|include|feature|depict|have|notice)"
_NOT = (
    r"(?:not|never|cannot|can't|don't|doesn't|didn't|couldn't|isn't|aren't|wasn't|weren't|hasn't|"
    r"won't|no longer)"
)
_FRAME = r"(?:picture|photo|photograph|image|scene|frame|shot|view|it)\b"
_BE = r"(?:is|are|was|were)"
_FILL = r"(?: (?:be|been|to|really|even|actually|currently|anywhere|at|all|any|longer)){0,3}"
_SEEN = (
    r"(?:here|present|visible|shown|seen|pictured|depicted|appear|appears|included|there|found|"
    r"photographed)"
)
_NEGATED = re.compile(
    r"(?:\b(?:no|(?<!, )not(?: even| really| quite| actually| exactly)?|never|no longer|without|"
    r"neither|nor|lacks?|lacking|isn't|aren't|wasn't|minus|sans|senza|ohne|keine?|sin|pas de|"
    r"(?:absence|sign|trace|glimpse) of|in place of|anything but|far from being|non)"
    r"|\b(?:nobody|nothing|none|no one|no-one)(?: \w+){0,3} "
    rf"(?:named|called|{_BE}|like|resembles)"
    rf"|\b{_NOT} (?:{_SEE}(?: any(?: of)?)?|any)"
    rf"|\b(?:missing|absent|{_NOT} {_SEEN})(?: :| is| are)) (?P<before>{_NAMES})"
    rf"|(?P<after>{_NAMES}) (?:"
    rf"(?:[,:?(] )?(?:(?:{_BE}|does|do|did|has|have|can|could)(?: in fact| in truth| actually)? )?"
    rf"{_NOT}{_FILL} "
    rf"(?:{_SEEN}|(?:in|of|among|on) (?:\w+ ){{0,2}}{_FRAME})"
    r"|: (?:absent|missing|gone|nowhere|elsewhere)\b"
    r"|(?:is|are|was|were|seems?|remains?) (?:(?!far )\w+ )?(?:absent|nowhere|elsewhere|gone|"
    r"(?:missing|away)(?! (?:an?|its|his|her|their|the|one|some|from|nothing)\b))"
    rf"|{_BE} out of (?:the )?(?:frame|shot|view|sight|picture)"
    rf"|ha(?:s|ve|d) left (?:\w+ )?{_FRAME}"
    r"|(?:did not|didn't|could not|couldn't) (?:come|make it|attend|join|show up))"
)
# A comparison or an exception negates a name only if nothing else affirms it: "Ann, unlike Bob, is
# red" may be true of both.
_SET_APART = re.compile(
    r"(?:\b(?:unlike|except(?: for)?|excluding|instead of|(?:rather|other) than|"
    r"(?:all|any(?:one|body)|everyone|everything|everybody) but|"
    r"(?:some(?:one|body|thing)|thing|one) (?:like|resembling|similar to)|"
    r"(?:lookalike|look-alike|imitation|copy) of|so-called|fake)"
    rf"|, not(?: even| really| quite| actually| exactly)?) (?P<before>{_NAMES})"
)
_HINTS = """
no not never cannot without neither nor non except excluding unlike lack lacks lacking absent
absence missing nowhere elsewhere than instead sign trace glimpse nobody nothing none minus sans
senza ohne kein keine sin pas place left like resembling similar copy lookalike look-alike
imitation so-called fake if but far gone away out did could or either whether maybe perhaps
possibly probably presumably supposedly allegedly likely apparently seemingly may might no-one ?
"""
_HINT_WORDS = frozenset(_HINTS.split())
_CONTRACTION = re.compile("n['\u2019]t", re.IGNORECASE)


def may_negate(text: str, tokens: Sequence[str]) -> bool:
    """Whether a text may hold a negation or a hedge: a fast check before the slow patterns."""
    return not _HINT_WORDS.isdisjoint(tokens) or _CONTRACTION.search(text) is not None


_DOUBT = (
    r"(?:maybe|perhaps|possibly|probably|presumably|supposedly|allegedly|likely|apparently|"
    r"seemingly)"
)
_OTHER = r"(?:some(?:one|body|thing)|not|(?:an?|the|another|its|his|her) \w+)"
_HEDGED = re.compile(
    rf"\b(?:{_DOUBT}|either|whether(?: or not)?(?: (?:it|this|that) is)?"
    rf"|(?:could|might|may)(?: or may not| or might not| well| possibly| perhaps)? be)"
    rf"(?: (?:it|this|that) is| also)? (?P<before>{_NAMES})"
    rf"|(?P<after>{_NAMES}) (?:"
    r"(?:may|might)(?: or may not| or might not)? (?:well )?(?:be|appear)\b"
    rf"|(?:[,(] )?(?:{_DOUBT}|or not)(?= *[,()]| *$)"
    rf"|(?:[,(] )?(?:and )?or {_OTHER}|(?:, )?if not\b"
    r"|\? (?:[,(]|(?:and|or|on|in|with|against)\b)|\( \? \))"
    r"|(?P<either>@\d++(?: , @\d++){0,8}+(?: ,)?(?: and)? or @\d++)"
)
_NAME_INDEX = re.compile(r"@(\d+)")
_CLAUSE = re.compile(r"[.!;\n\u3002\uff01]")

_NEGATIONS = """
no not never without neither nor nothing none lacks lacking cannot isn't aren't wasn't weren't
doesn't don't didn't hasn't haven't can't couldn't sans
"""
_RESUMPTIONS = """
but on in at by of with against near beside next behind above below under over from to only just yet
except merely however instead and while
"""
_FILLERS = "a an the any single even really see seen show shown there is are has"
_NEGATION_WORDS = frozenset(_NEGATIONS.split())
_RESUMPTION_WORDS = frozenset(_RESUMPTIONS.split())
_FILLER_WORDS = frozenset(_FILLERS.split())
_SCOPE = 3
"""Words that one negation covers: `no red mug`, `not a single cloudy sky`."""


def negated_and_hedged(
    tokens: Sequence[str], names: Sequence[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Names that are negated at least once, and names that are hedged or also affirmed.

    Args:
        tokens: Tokens of a caption, with `@0` for the first of `names`.
    """
    negated: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    hedged: set[str] = set()
    text = " ".join(tokens).replace("\u2019", "'")
    for clause in _CLAUSE.split(text):
        if "@" not in clause:
            continue
        for match in _NEGATED.finditer(clause):
            negated.update(_NAME_INDEX.findall(match["before"] or match["after"]))
        for match in _SET_APART.finditer(clause):
            apart.update(_NAME_INDEX.findall(match["before"]))
        for match in _HEDGED.finditer(clause):
            hedged.update(_NAME_INDEX.findall(match["before"] or match["after"] or match["either"]))
    mentions = Counter(token[1:] for token in tokens if token[0] == "@")
    for index, count in apart.items():
        if negated[index] or mentions[index] <= count:
            negated[index] += count
    negated = +negated
    # "neither Ann nor Bob or Carl": negated alternatives are negated, not hedged.
    hedged -= negated.keys()
    hedged.update(index for index in negated if mentions[index] > negated[index])
    return (
        frozenset(names[int(index)] for index in negated),
        frozenset(names[int(index)] for index in hedged),
    )


def negated_words(tokens: Sequence[str]) -> frozenset[str]:
    """Words that occur only within `_SCOPE` words after a negation.

    `no red mug on sand` negates `red` and `mug`; `nothing but sand` and `not only sand` negate
    nothing.
    """
    inside: set[str] = set()
    outside: set[str] = set()
    remaining = 0
    for token in tokens:
        word = token.replace("\u2019", "'")
        if word in _NEGATION_WORDS:
            remaining = _SCOPE
        elif not token[0].isalnum() or word in _RESUMPTION_WORDS:
            remaining = 0
        elif remaining:
            remaining -= word not in _FILLER_WORDS
            inside.add(token)
        else:
            outside.add(token)
    return frozenset(inside - outside)
