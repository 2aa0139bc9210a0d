""".NET date formats, culture en-US: one-letter standard formats and patterns."""

from __future__ import annotations

import re
from functools import lru_cache

from kyanite.errors import ExpressionError
from kyanite.expressions.timestamps import MONTHS, TICKS_PER_SECOND, WEEKDAYS, Timestamp

STANDARD = {
    "D": "dddd, MMMM d, yyyy",
    "F": "dddd, MMMM d, yyyy h:mm:ss tt",
    "G": "M/d/yyyy h:mm:ss tt",
    "M": "MMMM d",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "T": "h:mm:ss tt",
    "U": "dddd, MMMM d, yyyy h:mm:ss tt",
    "Y": "MMMM yyyy",
    "d": "M/d/yyyy",
    "f": "dddd, MMMM d, yyyy h:mm tt",
    "g": "M/d/yyyy h:mm tt",
    "m": "MMMM d",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "t": "h:mm tt",
    "u": "yyyy-MM-dd HH:mm:ss'Z'",
    "y": "MMMM yyyy",
}
LONGEST = 1000
_FRACTION_DIGITS = 7
_PIECE = re.compile(
    r"(?P<run>(?P<letter>[dfFghHKmMstyz])(?P=letter)*+)"
    r"|(?P<quoted>'[^'\\]*+(?:\\.[^'\\]*+)*+'|\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\")"
    r"|\\(?P<escaped>.)"
    r"|%(?P<forced>[^%])"
    r"|(?P<plain>[^'\"\\%])",
    re.DOTALL,
)


def format_timestamp(moment: Timestamp, form: str) -> str:
    """The text of a timestamp; raises ExpressionError for an unknown single letter or a broken pattern."""
    if len(form) == 1:
        if form not in STANDARD:
            raise ExpressionError(
                f"The format '{form}' is not one of the standard formats {' '.join(STANDARD)}.",
                cure=f"For the letter alone in a pattern write '%{form}'.",
            )
        form = STANDARD[form]
    if len(form) > LONGEST:
        raise ExpressionError(f"The format is longer than {LONGEST} characters.")
    pieces: list[str] = []
    for letter, text in _parts(form):
        if letter:
            text = _run(letter, len(text), moment)
            if letter == "F" and not text and pieces and pieces[-1] == ".":
                pieces.pop()
        pieces.append(text)
    return "".join(pieces)


@lru_cache(maxsize=512)
def _parts(form: str) -> tuple[tuple[str, str], ...]:
    """Runs of a pattern letter as (letter, run), all else as ('', text)."""
    parts: list[tuple[str, str]] = []
    position = 0
    while position < len(form):
        match = _PIECE.match(form, position)
        if match is None:
            raise ExpressionError(f"The format has a quote, '\\' or '%' without what must follow, at {position}.")
        position = match.end()
        if match["run"]:
            parts.append((match["letter"], match["run"]))
        elif match["quoted"]:
            parts.append(("", re.sub(r"\\(.)", r"\1", match["quoted"][1:-1], flags=re.DOTALL)))
        elif match["forced"]:
            position -= 1  # `%` only says that the letter after it begins a pattern
        else:
            parts.append(("", match["escaped"] or match["plain"]))
    return tuple(parts)


def _run(letter: str, count: int, moment: Timestamp) -> str:
    clock = moment.clock
    match letter:
        case "d":
            return _date_part(clock.day, count, WEEKDAYS[moment.weekday])
        case "M":
            return _date_part(clock.month, count, MONTHS[clock.month - 1])
        case "y":
            return f"{clock.year:0{count}}" if count > 2 else f"{clock.year % 100:0{count}}"
        case "h":
            return _padded((clock.hour + 11) % 12 + 1, count)
        case "H":
            return _padded(clock.hour, count)
        case "m":
            return _padded(clock.minute, count)
        case "s":
            return _padded(clock.second, count)
        case "t":
            return ("AM" if clock.hour < 12 else "PM")[: min(count, 2)]
        case "g":
            return "A.D."
        case "K":
            return moment.zone * count
        case "z":
            return ("+0", "+00", "+00:00")[min(count, 3) - 1]
        case _:
            return _fraction(letter, count, moment)


def _date_part(number: int, count: int, name: str) -> str:
    if count <= 2:
        return _padded(number, count)
    return name[:3] if count == 3 else name


def _padded(number: int, count: int) -> str:
    return str(number) if count == 1 else f"{number:02}"


def _fraction(letter: str, count: int, moment: Timestamp) -> str:
    if count > _FRACTION_DIGITS:
        raise ExpressionError(f"The format has more than {_FRACTION_DIGITS} '{letter}' in a row.")
    digits = f"{moment.ticks % TICKS_PER_SECOND:07}"[:count]
    return digits.rstrip("0") if letter == "F" else digits
