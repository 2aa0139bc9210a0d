"""Markers: where the next page of a listing begins, as text that clients hand back untouched."""

from __future__ import annotations

import base64
import binascii
import re

from kyanite.errors import UserError

_FORM = "2!"
_PLAIN = re.compile(r"[A-Za-z0-9$][A-Za-z0-9/._-]*\Z")


def write_marker(name: str) -> str:
    """The marker for the page after this name: the name itself where an address can hold it."""
    if _PLAIN.match(name):
        return name
    return _FORM + base64.urlsafe_b64encode(name.encode("utf-8", "surrogatepass")).decode()


def read_marker(marker: str) -> str:
    """The name a page begins after; empty for the first page. A bare name is taken as it is.

    UserError `OutOfRangeQueryParameterValue` for a marker that was changed on its way.
    """
    if not marker.startswith(_FORM):
        return marker
    try:
        return base64.b64decode(marker[len(_FORM) :], altchars=b"-_", validate=True).decode("utf-8")
    except (ValueError, binascii.Error) as problem:
        raise UserError("The marker is not one that was given out.", code="OutOfRangeQueryParameterValue") from problem
