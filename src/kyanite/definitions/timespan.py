"""Time spans as definitions write them: `d.hh:mm:ss` or `hh:mm:ss`."""

from __future__ import annotations

import re

from kyanite.errors import DefinitionError

# The service's own pattern lets 60 pass for minutes and seconds; its published templates also have one-digit parts.
_TIMESPAN = re.compile(r"(?:(\d{1,8})\.)?(\d\d?):(60|[0-5]?\d):(60|[0-5]?\d)(\.\d{1,7})?\Z")


def parse_timespan(text: str) -> float:
    """The seconds of `7.00:00:00` or `00:10:00`; anything else is a DefinitionError."""
    match = _TIMESPAN.match(text.strip())
    if match is None:
        raise DefinitionError(
            f"{text[:60]!r} is not a time span.", cure="Write d.hh:mm:ss or hh:mm:ss, for example 0.12:00:00."
        )
    days, hours, minutes, seconds, fraction = match.groups()
    return int(days or 0) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + int(seconds) + float(fraction or 0)
