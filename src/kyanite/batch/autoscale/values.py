"""The values of a formula and what its operators do with them.

A double is a float, a doubleVec a tuple of floats; times are counted in units of 100 ns, as the service does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from kyanite.batch.autoscale.metrics import Metric

TICKS = 10_000_000  # in a second
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST_TICK = 3_155_378_975_999_999_999  # the end of the year 9999
_LONGEST = 2**63 - 1


class ValueProblem(Exception):
    """An operation that its values do not allow; the message is one sentence."""


class Deallocation(Enum):
    """What happens to running tasks when their node is removed; written as a bare word in a formula."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    TASK_COMPLETION = "taskcompletion"
    RETAINED_DATA = "retaineddata"


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """A timeinterval."""

    ticks: int

    @property
    def seconds(self) -> float:
        """The interval in seconds."""
        return self.ticks / TICKS


@dataclass(frozen=True, order=True, slots=True)
class Timestamp:
    """A timestamp, counted from the beginning of the year 1, UTC."""

    ticks: int

    @property
    def moment(self) -> datetime:
        """The timestamp to the microsecond."""
        return _FIRST + timedelta(microseconds=self.ticks // 10)


Vector: TypeAlias = tuple[float, ...]
Value: TypeAlias = "float | Vector | str | Interval | Timestamp | Deallocation | Metric"

INTERVALS = {
    "TimeInterval_Zero": Interval(0),
    "TimeInterval_100ns": Interval(1),
    "TimeInterval_Microsecond": Interval(10),
    "TimeInterval_Millisecond": Interval(10_000),
    "TimeInterval_Second": Interval(TICKS),
    "TimeInterval_Minute": Interval(60 * TICKS),
    "TimeInterval_Hour": Interval(3_600 * TICKS),
    "TimeInterval_Day": Interval(86_400 * TICKS),
    "TimeInterval_Week": Interval(7 * 86_400 * TICKS),
    "TimeInterval_Year": Interval(365 * 86_400 * TICKS),
}
MEMBERS: dict[str, Callable[[datetime], int]] = {
    "year": lambda at: at.year,
    "month": lambda at: at.month,
    "day": lambda at: at.day,
    "weekday": lambda at: at.isoweekday(),
    "hour": lambda at: at.hour,
    "minute": lambda at: at.minute,
    "second": lambda at: at.second,
}
_COMPARISONS: dict[str, Callable[[float], bool]] = {  # of the sign of left - right
    "<": lambda sign: sign < 0,
    "<=": lambda sign: sign <= 0,
    "==": lambda sign: sign == 0,
    "!=": lambda sign: sign != 0,
    ">=": lambda sign: sign >= 0,
    ">": lambda sign: sign > 0,
}
_W3C = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,7})\d{0,5})?)?([Zz]|[+-]\d\d:?\d\d)?)?)?)?"
)
_RFC_1123 = re.compile(r"(?:[A-Za-z]{3}, )?(\d\d?) ([A-Za-z]{3}) (\d{4}) (\d\d):(\d\d)(?::(\d\d))? (?:GMT|UTC|Z)")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def kind(value: Value) -> str:
    """The type's name as the service writes it."""
    match value:
        case float():
            return "double"
        case tuple():
            return "doubleVec"
        case str():
            return "string"
        case Interval():
            return "timeinterval"
        case Timestamp():
            return "timestamp"
        case Deallocation():
            return "deallocation option"
        case _:
            return f"metric {value.name}"


def interval(ticks: float) -> Interval:
    """An interval of so many ticks, or ValueProblem when it is none."""
    if not math.isfinite(ticks) or abs(ticks) > _LONGEST:
        raise ValueProblem("The time interval is too long.")
    return Interval(round(ticks))


def timestamp(ticks: int) -> Timestamp:
    """The moment, or ValueProblem outside the years 1 to 9999."""
    if not 0 <= ticks <= _LAST_TICK:
        raise ValueProblem("The time is outside the years 1 to 9999.")
    return Timestamp(ticks)


def timestamp_of(moment: datetime) -> Timestamp:
    """An aware moment as a timestamp."""
    return Timestamp((moment - _FIRST) // timedelta(microseconds=1) * 10)


def read_time(text: str) -> Timestamp:
    """Read W3C-DTF or RFC 1123; a time without a zone is UTC."""
    try:
        if match := _W3C.fullmatch(text):
            return _w3c(match)
        if (match := _RFC_1123.fullmatch(text)) and match[2].lower() in _MONTHS:
            month = _MONTHS.index(match[2].lower()) + 1
            clock = (int(match[4]), int(match[5]), int(match[6] or 0))
            return timestamp_of(datetime(int(match[3]), month, int(match[1]), *clock, tzinfo=UTC))
    except ValueError as error:
        raise ValueProblem(f'"{text[:60]}" is no time: {error}.') from None
    raise ValueProblem(f'"{text[:60]}" is no time: write it as 2026-01-31T08:30:00Z.')


def _w3c(match: re.Match[str]) -> Timestamp:
    day = datetime(int(match[1]), int(match[2] or 1), int(match[3] or 1), tzinfo=UTC)
    clock = day.replace(hour=int(match[4] or 0), minute=int(match[5] or 0), second=int(match[6] or 0))
    ticks = timestamp_of(clock).ticks + int((match[7] or "").ljust(7, "0"))
    zone = match[8] or "Z"
    if zone not in "Zz":
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        ticks -= (minutes if zone[0] == "+" else -minutes) * 60 * TICKS
    return timestamp(ticks)


def arithmetic(operator: str, left: Value, right: Value) -> Value:
    """`+ - * /` of two values; ValueProblem for types that have no such operation."""
    match left, right:
        case float(), float():
            return _double(operator, left, right)
        case tuple(), float():
            return tuple(_double(operator, item, right) for item in left)
        case float(), tuple():
            return tuple(_double(operator, left, item) for item in right)
        case tuple(), tuple():
            if len(left) != len(right):
                raise ValueProblem(f"The vectors differ in length: {len(left):,} and {len(right):,}.")
            return tuple(_double(operator, one, other) for one, other in zip(left, right, strict=True))
        case _:
            return _time_arithmetic(operator, left, right)


def _time_arithmetic(operator: str, left: Value, right: Value) -> Value:
    match left, operator, right:
        case (float(), "*", Interval()):
            return interval(left * right.ticks)
        case (Interval(), "*" | "/", float()):
            return interval(_double(operator, float(left.ticks), right))
        case (Interval(), "+" | "-", Interval()):
            return interval(left.ticks + (right.ticks if operator == "+" else -right.ticks))
        case (Interval(), "+", Timestamp()):
            return timestamp(left.ticks + right.ticks)
        case (Timestamp(), "+", Interval()):
            return timestamp(left.ticks + right.ticks)
        case (Timestamp(), "-", Interval()):
            return timestamp(left.ticks - right.ticks)
        case (Timestamp(), "-", Timestamp()):
            return Interval(left.ticks - right.ticks)
        case _:
            raise ValueProblem(f"There is no {kind(left)} {operator} {kind(right)}.")


def _double(operator: str, left: float, right: float) -> float:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            if right == 0:
                raise ValueProblem("Division by zero.")
            return left / right


def compare(operator: str, left: Value, right: Value) -> float:
    """1 or 0; ValueProblem unless both are doubles, strings, timestamps or timeintervals."""
    match left, right:
        case (float(), float()):
            if math.isnan(left) or math.isnan(right):
                return float(operator == "!=")
            sign = (left > right) - (left < right)
        case (str(), str()) | (Timestamp(), Timestamp()) | (Interval(), Interval()):
            sign = (left > right) - (left < right)  # type: ignore[operator]
        case _:
            raise ValueProblem(f"A {kind(left)} and a {kind(right)} cannot be compared.")
    return float(_COMPARISONS[operator](sign))


def text_of(value: Value) -> str:
    """A value as the service's results show it."""
    match value:
        case float():
            return _number_text(value)
        case tuple():
            return f"[{','.join(_number_text(item) for item in value)}]"
        case str():
            return value
        case Interval():
            return _interval_text(value.ticks)
        case Timestamp():
            return value.moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.ticks // 10_000 % 1000:03}Z"
        case Deallocation():
            return value.value
        case _:
            return text_of(value.newest() if value.values else math.nan)


def _number_text(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(value).upper()


def _interval_text(ticks: int) -> str:
    seconds, rest = divmod(abs(ticks), TICKS)
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    text = f"{hours:02}:{seconds // 60:02}:{seconds % 60:02}" + (f".{rest:07}" if rest else "")
    return ("-" if ticks < 0 else "") + (f"{days}." if days else "") + text
