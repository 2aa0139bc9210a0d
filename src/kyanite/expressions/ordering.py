"""Text order as a culture has it: Unicode collation, root locale, lower before upper case.

Letters compare first without case and accents (blanks and punctuation, then digits, then letters); equal ones put no
accent before an accent, then lower before upper case.
"""

from __future__ import annotations

import unicodedata

# CLDR root order of the ASCII characters that are no letters
_ASCII_ORDER = "\t\n\v\f\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"
_RANKS: dict[int, str | None] = dict.fromkeys((*range(32), 127))
_RANKS |= {ord(mark): chr(rank + 1) for rank, mark in enumerate(_ASCII_ORDER)}


def order_key(text: str) -> tuple[str, str, str]:
    """A key that sorts texts as the service's engine compares them."""
    if text.isascii():
        return text.lower().translate(_RANKS), "", text.swapcase()
    decomposed = unicodedata.normalize("NFD", text)
    accents = "".join(mark for mark in decomposed if unicodedata.combining(mark))
    bare = "".join(mark for mark in decomposed if not unicodedata.combining(mark))
    return "".join(map(_primary, bare.casefold())), accents, bare.swapcase()


def _primary(letter: str) -> str:
    if letter.isascii():
        rank = _RANKS.get(ord(letter), letter)
        return rank or ""
    category = unicodedata.category(letter)
    if category[0] in "ZPSC":
        return "\x01" if category[0] == "Z" else "\x26" + letter
    if category == "Nd":
        return _RANKS[ord(str(unicodedata.digit(letter)))] or letter
    return letter
