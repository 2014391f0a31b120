"""Whether the name of a folder says when its photos were made."""

from __future__ import annotations

import re

_YEAR = r"(?:19|20)\d\d"
_MONTH = (
    "(?:jan(?:uary|uar|vier|eiro)?|ene(?:ro)?|gen(?:naio)?|"
    "feb(?:ruary|ruar|rero|braio|ruari)?|fév(?:rier)?|fev(?:ereiro)?|"
    "mar(?:ch|s|zo|ço)?|märz?|maart|mrt|apr(?:il|ile)?|avr(?:il)?|abr(?:il)?|"
    "may(?:o)?|mai(?:o)?|mag(?:gio)?|mei|june?|juni(?:o)?|juin|junho|giu(?:gno)?|"
    "july?|juli(?:o)?|juil(?:let)?|julho|lug(?:lio)?|aug(?:ust|ustus)?|août|ago(?:sto)?|"
    "sept?(?:ember|embre|iembre)?|set(?:embre|embro)?|o[ck]t(?:ober|obre|ubre)?|out(?:ubro)?|"
    "ott(?:obre)?|nov(?:ember|embre|iembre|embro)?|de[cz](?:ember|embro)?|dic(?:iembre|embre)?|"
    "déc(?:embre)?)"
)
_OF = r"(?: ?de)?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_PERIOD = r"(?:spring|summer|autumn|fall|winter|q[1-4]|week ?\d\d?|w\d\d)"
_IN_NUMBERS = rf"{_YEAR} ?(?:0[1-9]|1[0-2]) ?(?:0[1-9]|[12]\d|3[01])"
_IN_WORDS = (
    rf"(?:{_DAY}{_OF} {_MONTH}{_OF} {_YEAR}|{_MONTH} {_DAY} {_YEAR}|{_YEAR} {_MONTH} {_DAY})"
)
_DATE = re.compile(
    rf"{_YEAR}(?: ?(?:0[1-9]|1[0-2])(?: [a-z])?)?"  # 2024, 2024-05, 202405, 202405_a of iOS
    rf"|{_IN_NUMBERS}(?!\d).*|.*(?<!\d){_IN_NUMBERS}"  # 2024-05-17 birthday, birthday 20240517
    rf"|\d\d? \d\d? {_YEAR}(?!\d).*"  # 17.05.2024
    rf"|(?:.* )?{_IN_WORDS}|{_IN_WORDS} .*"  # Berlin, May 17, 2024; 17. Mai 2024
    rf"|{_MONTH}{_OF} {_YEAR}|{_YEAR} {_MONTH}"  # May 2024
    rf"|{_PERIOD} {_YEAR}|{_YEAR} ?{_PERIOD}|(?:19|20)?\d0'?s"  # Summer 2023, 2023-Q1, 1980s
    rf"|{_YEAR} ?年.*"  # 2024年5月17日
    rf"|photos from {_YEAR}"
)
_PART = re.compile(rf"\d\d?|(?:0[1-9]|[12]\d|3[01]) .*|(?:\d\d? )?{_MONTH}(?: \d\d?)?")


def is_date(name: str) -> bool:
    """Whether the name says a year, a part of one, or a day with its year.

    Args:
        name: In lower case, with single spaces for `-`, `_`, `.` and `,`.
    """
    return bool(_DATE.fullmatch(name))


def is_part(name: str) -> bool:
    """Whether the name is a month, or a day perhaps with an event, below a folder of a date."""
    return bool(_PART.fullmatch(name))
