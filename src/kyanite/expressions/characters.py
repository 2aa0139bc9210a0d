"""Texts as .NET counts and changes them: UTF-16 units, invariant case, white space, UTF-8."""

from __future__ import annotations

import re

# .NET's white space; Python's own strip() would take four control characters more
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_SURROGATE = re.compile("[\ud800-\udfff]")
_WIDE = re.compile("[\U00010000-\U0010ffff]")


def utf8_text(content: bytes) -> str:
    """UTF-8 bytes as text; broken sequences become U+FFFD, as in .NET."""
    return content.decode("utf-8", "replace")


def utf8_bytes(text: str) -> bytes:
    """Text as UTF-8; half surrogate pairs become U+FFFD, as in .NET."""
    return whole_characters(text).encode("utf-8")


def whole_characters(text: str) -> str:
    """Join surrogate pairs and replace half ones by U+FFFD, so that the text can be stored anywhere."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def length(text: str) -> int:
    """Length in UTF-16 units, as .NET counts: an emoji is 2."""
    return len(text) if text.isascii() else len(text) + len(_WIDE.findall(text))


def cut(text: str, start: int, stop: int) -> str:
    """The UTF-16 units `start` to `stop`; half an emoji becomes U+FFFD."""
    if text.isascii() or not _WIDE.search(text):
        return text[start:stop]
    return text.encode("utf-16-le", "surrogatepass")[2 * start : 2 * stop].decode("utf-16-le", "replace")


def unit_offset(text: str, offset: int) -> int:
    """The offset in UTF-16 units of the character at `offset`, or -1 for -1."""
    return offset if offset < 0 else length(text[:offset])


def upper(text: str) -> str:
    """Invariant upper case, one character for one (`ß` stays)."""
    if text.isascii():
        return text.upper()
    return "".join(changed if len(changed := letter.upper()) == 1 else letter for letter in text)


def lower(text: str) -> str:
    """Invariant lower case, one character for one."""
    if text.isascii():
        return text.lower()
    return "".join(changed if len(changed := letter.lower()) == 1 else letter for letter in text)
