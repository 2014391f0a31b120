"""What a caption says is not there, or perhaps there: names and words that it does not affirm.

Only plain forms of English are read, and the little words of its neighbours before a name. Time is
linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# Possessive: a run of names never gives one back, as nothing that follows it begins with a name.
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
# What sets a name apart from others, or likens something to it, denies it only where nothing else
# affirms it: "Ann, unlike Bob, is red" is honest about both.
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
HINTS = frozenset(_HINTS.split())
_SHORTENED = re.compile("n['\u2019]t", re.IGNORECASE)


def may_doubt(text: str, said: Sequence[str]) -> bool:
    """A quick look before the slow ones: whether a text may hold a denial or a doubt at all."""
    return not HINTS.isdisjoint(said) or _SHORTENED.search(text) is not None


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
_PLACE = re.compile(r"@(\d+)")
_CLAUSE = re.compile(r"[.!;\n\u3002\uff01]")

_DENYING = """
no not never without neither nor nothing none lacks lacking cannot isn't aren't wasn't weren't
doesn't don't didn't hasn't haven't can't couldn't sans
"""
_RESUMING = """
but on in at by of with against near beside next behind above below under over from to only just yet
except merely however instead and while
"""
_FILLING = "a an the any single even really see seen show shown there is are has"
_DENIERS = frozenset(_DENYING.split())
_RESUMES = frozenset(_RESUMING.split())
_SKIPPED = frozenset(_FILLING.split())
REACH = 3
"""Words that one negation denies: `no red mug`, `not a single cloudy sky`."""


def doubts(said: Sequence[str], names: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Names that are negated at least once, and those that are hedged or also affirmed.

    Args:
        said: Tokens of a caption, `@0` for the first of `names`.
    """
    negated: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    hedged: set[str] = set()
    text = " ".join(said).replace("\u2019", "'")
    for clause in _CLAUSE.split(text):
        if "@" not in clause:
            continue
        for match in _NEGATED.finditer(clause):
            negated.update(_PLACE.findall(match["before"] or match["after"]))
        for match in _SET_APART.finditer(clause):
            apart.update(_PLACE.findall(match["before"]))
        for match in _HEDGED.finditer(clause):
            hedged.update(_PLACE.findall(match["before"] or match["after"] or match["either"]))
    mentions = Counter(token[1:] for token in said if token[0] == "@")
    for place, count in apart.items():
        if negated[place] or mentions[place] <= count:
            negated[place] += count
    negated = +negated
    # "neither Ann nor Bob or Carl": a negated alternative is a negation and no doubt.
    hedged -= negated.keys()
    hedged.update(place for place in negated if mentions[place] > negated[place])
    return (
        frozenset(names[int(place)] for place in negated),
        frozenset(names[int(place)] for place in hedged),
    )


def denied(said: Sequence[str]) -> frozenset[str]:
    """Words that stand only after a negation, at most `REACH` of them after each.

    `no red mug on sand` denies `red` and `mug`; `nothing but sand` and `not only sand` deny
    nothing.
    """
    inside: set[str] = set()
    outside: set[str] = set()
    left = 0
    for token in said:
        word = token.replace("\u2019", "'")
        if word in _DENIERS:
            left = REACH
        elif not token[0].isalnum() or word in _RESUMES:
            left = 0
        elif left:
            left -= word not in _SKIPPED
            inside.add(token)
        else:
            outside.add(token)
    return frozenset(inside - outside)
