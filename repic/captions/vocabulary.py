"""Closed classes of English words by which captions are read."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENDS = _words(". ! ? ; \u3002 \uff01 \uff1f") | {"\n"}
"""Marks that end a clause."""

STOPS = _words(", ; : ( ) and or nor but while although though because since whereas so | #")
"""What ends a predicate, besides a name."""

JOINTS = _words(", and or nor &")
ALTERNATIVES = _words("or")

DETERMINERS = _words(
    "a an the this that these those any some another one its his her their our my your each both"
)
PREPOSITIONS = _words(
    """
    of in on at to from with by for near beside behind above below under over between among along
    against inside within beyond across around past through toward towards next beneath as like
    """
)
PICTURE = _words("picture photo photograph image scene frame shot view snapshot pic")
MODALS = _words("may might could would")
DOUBTS = _words(
    """
    maybe perhaps possibly probably presumably supposedly allegedly likely apparently seemingly
    """
)
DOUBTING = _words(
    "guess assume suppose doubt wonder bet claim claimed rumour rumor either unsure uncertain"
)
"""Words whose doubt is about all that follows, other than that of adverbs such as `perhaps`."""
SUPPOSING = _words("if whether unless")
NEGATIONS = _words(
    """
    no not never neither nor none nobody nothing cannot no-one without minus sans senza ohne kein
    keine sin pas hardly lack lacks lacking
    """
)
ABSENT = _words(
    """
    absent absence missing gone nowhere elsewhere invisible unseen excluded omitted deleted removed
    erased false untrue wrong invented incorrect fictional differs different opposite contrary fake
    """
)
EXCEPTIONS = _words("unlike except excepting excluding instead than but place")
"""Deny a name only if nothing else affirms it."""

EXCEPTION_AFTER = {
    "than": _words("other rather else"),
    "but": _words(
        "no none nobody nothing no-one anything anyone anybody everything everyone everybody all any"
    ),
    "place": _words("in"),
}
"""Words that are exceptions only after one of these."""

TRUTH = _words(
    "true false untrue wrong invented incorrect fictional correct real right accurate opposite lie"
)
LIKE = _words("like resembles resembling resemble similar lookalike look-alike imitation copy so-called")
SCENES = _words("look looks looked seem seems feel feels is was much")
"""Words that make `like` a comparison."""

UNREAL = _words(
    """
    believe imagine suppose pretend wish dream doubt expected hoped forget ignore deny deleted removed
    erased replaced if unless
    """
)
"""What follows in the same clause is not said to be there."""

OUTSIDE = _words(
    """
    copyright courtesy credit credits photographer photography author artist painter style
    collection property greetings regards love wishes dedicated
    dedication memory honor honour tribute mention mentioned mentions mentioning told tell ask asked
    say said says writes wrote title titled entitled chapter directed starring featuring feat ft
    hashtag hashtags tag tags keyword keywords correspondent reporter editor owner friend fan
    signed yours sincerely subscribe follow presents belongs belonging
    """
)
"""Words beside the name of somebody who need not be in the photo."""

ADDRESSING = _words("dear hello hi hey goodbye thanks thank congratulations welcome")
"""First words of a clause that speaks to somebody."""

CREDITED = _words(
    """
    taken made painted drawn captured sent posted shared uploaded written photographed shot produced
    gift card letter message poem song story album photo picture image drawing painting artwork
    film movie book
    """
)
NEUTRAL_LINKS = _words("by from for to")
SPEAKING = _words(
    "says said presents took asks asked told writes wrote painted made photographed captured sent"
)

FRAME = (
    DETERMINERS
    | PICTURE
    | MODALS
    | DOUBTS
    | DOUBTING
    | SUPPOSING
    | EXCEPTIONS
    | TRUTH
    | _words(
        """
        ones all every none everyone everything anything anybody anyone someone something thing things
        i we you it he she they me us there here who which what is are was were be been being am
        isn't has have had do does did will would can should must seem seems seemed appear appears
        appeared appearing see seen sees find finds found spot spotted recognize recognise recognized
        recognised identify identified show shows shown contain contains include includes included
        feature features featured depict depicts depicted notice notices noticed present visible
        pictured photographed match matches match count say tell know sure certain determine think
        confirm come attend join appear part trace sign glimpse object objects person figure subject
        name named called known reference references above following in on at of for from to by as
        within among anywhere really even actually currently any quite clearly now still also however
        honestly definitely certainly indeed fact truth longer rather other else only just merely
        left out sight near around way yes de case all at about of its itself that person
        """
    )
)
"""Words that say nothing about how something looks or what it does."""

RESUMPTIONS = _words(
    """
    but on in at by of with against near beside next behind above below under over from to only just
    yet except merely however instead and while is are was were stands lies sits
    """
)
HINTS = (
    NEGATIONS | ABSENT | EXCEPTIONS | DOUBTS | MODALS | SUPPOSING | LIKE | OUTSIDE | ADDRESSING | DOUBTING | UNREAL | TRUTH
    | SPEAKING | _words("by from for to or ? # left far out")
)  # fmt: skip
"""Without one of these, everything is affirmed."""
