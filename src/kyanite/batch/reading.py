"""Values of wire documents, read leniently: numbers and truth values as text, any case of a word, padded durations.

Errors are the service's own: InvalidPropertyValue or MissingRequiredProperty with the property's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from kyanite.batch.codes import missing, wrong_value

Document = Mapping[str, Any]
NO_LIMIT = "P10675199DT2H48M5.4775807S"
FOREVER_SECONDS = 1_000 * 365 * 86_400
_DURATION = re.compile(
    r"(?P<sign>-)?P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)
_UNITS = {"weeks": 604_800, "days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
_WHOLE = re.compile(r"\s*[+-]?\d{1,15}\s*")


def part(document: Document, name: str) -> Document:
    """A member that is an object; an empty one when it is absent or null."""
    value = document.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong_value(name, value, "It must be an object.")
    return value


def items(document: Document, name: str, most: int | None = None) -> Sequence[Any]:
    """A member that is a list; empty when it is absent or null."""
    value = document.get(name)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise wrong_value(name, value, "It must be a list.")
    if most is not None and len(value) > most:
        raise wrong_value(name, f"{len(value)} items", f"At most {most} items are allowed.")
    return value


def objects(document: Document, name: str, most: int | None = None) -> list[Document]:
    """A member that is a list of objects."""
    found = items(document, name, most)
    for value in found:
        if not isinstance(value, Mapping):
            raise wrong_value(name, value, "Each item must be an object.")
    return list(found)


def text(document: Document, name: str, default: str | None = None) -> str | None:
    """A member that is text, or a number written as text."""
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, str) and isinstance(value, Mapping | list):
        raise wrong_value(name, value, "It must be text.")
    return str(value)


def required(document: Document, name: str) -> str:
    """A member that is text and must be there."""
    value = text(document, name)
    if not value:
        raise missing(name)
    return value


def whole(document: Document, name: str, default: int, least: int | None = None, most: int | None = None) -> int:
    """A member that is a whole number, perhaps written as text."""
    value = document.get(name)
    if value is None:
        return default
    number = _whole_number(value)
    if number is None:
        raise wrong_value(name, value, "It must be a whole number.")
    if (least is not None and number < least) or (most is not None and number > most):
        limits = f"at least {least}" if most is None else f"between {least} and {most}"
        raise wrong_value(name, value, f"It must be {limits}.")
    return number


def _whole_number(value: Any) -> int | None:
    """The number, at most 15 digits long; None for what is none."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if -(10**15) < value < 10**15 and value == int(value) else None


def truth(document: Document, name: str, default: bool) -> bool:
    """A member that is true or false, perhaps written as text."""
    value = document.get(name)
    if value is None:
        return default
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise wrong_value(name, value, "It must be true or false.")
    return value


def choice(document: Document, name: str, allowed: Sequence[str], default: str) -> str:
    """A member that is one of some words, in any case; lower case."""
    value = text(document, name)
    if value is None:
        return default
    if value.lower() not in allowed:
        raise wrong_value(name, value, f"It must be one of {', '.join(allowed)}.")
    return value.lower()


def seconds(document: Document, name: str, least: float = 0.0, most: float | None = None) -> float | None:
    """A member that is an ISO 8601 duration, in seconds; None when it is absent or without limit: the service's way to
    say so, or a thousand years, after which the calendar soon ends.
    """
    value = document.get(name)
    if value is None:
        return None
    found = duration_seconds(value) if isinstance(value, str) else None
    if found is None:
        raise wrong_value(name, value, "It must be an ISO 8601 duration such as PT15M.")
    if found >= FOREVER_SECONDS:
        return None
    if found < least or (most is not None and found > most):
        bounds = [f"at least {duration_text(least)}"]
        bounds += [f"at most {duration_text(most)}"] if most is not None else []
        raise wrong_value(name, value, f"It must be {' and '.join(bounds)}.")
    return found


def seconds_or(document: Document, name: str, default: float, least: float = 0.0) -> float:
    """The same with a default for one that is absent; FOREVER_SECONDS without limit."""
    found = seconds(document, name, least)
    if found is not None:
        return found
    return default if document.get(name) is None else FOREVER_SECONDS


@lru_cache(maxsize=1024)
def duration_seconds(value: str) -> float | None:
    """The seconds of an ISO 8601 duration of weeks, days, hours, minutes and seconds; None when it is none."""
    match = _DURATION.fullmatch(value.strip())
    if not match or not any(match[unit] for unit in _UNITS):
        return None
    total = sum(float(match[unit]) * size for unit, size in _UNITS.items() if match[unit])
    return -total if match["sign"] else total


@lru_cache(maxsize=1024)
def duration_text(value: float | None) -> str:
    """The ISO 8601 duration of so many seconds; the service's "no limit" for None."""
    if value is None or value >= FOREVER_SECONDS:
        return NO_LIMIT
    days, rest = divmod(round(value * 10_000_000), 864_000_000_000)
    hours, rest = divmod(rest, 36_000_000_000)
    minutes, rest = divmod(rest, 600_000_000)
    number = f"{rest / 10_000_000:.7f}".rstrip("0").rstrip(".")
    pieces = [(hours, "H"), (minutes, "M")]
    clock = "".join(f"{count}{unit}" for count, unit in pieces if count) + (f"{number}S" if rest else "")
    return ("P" + (f"{days}D" if days else "") + (f"T{clock}" if clock else "")) if days or clock else "PT0S"


def moment(document: Document, name: str) -> datetime | None:
    """A member that is a point in time, as UTC; without an offset it is taken as UTC."""
    value = document.get(name)
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(value)))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong_value(name, value, "It must be an ISO 8601 date and time.") from None


def moment_text(value: datetime) -> str:
    """A point in time as the service writes it: UTC with six digits of a second and a Z."""
    moment = value if value.tzinfo is UTC else value.astimezone(UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
