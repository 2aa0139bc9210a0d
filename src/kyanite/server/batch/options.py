"""The query and header options of an operation: which it takes, conditions, and pages of lists."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from kyanite import limits
from kyanite.batch.conditions import NO_CONDITIONS, Conditions
from kyanite.errors import BatchError
from kyanite.server.batch.filters import FILTERS, Condition, FilterProblem, parse_filter, read_moment
from kyanite.server.batch.protocol import Call, NotModified, Reply, wrong_header, wrong_query
from kyanite.server.http import Request

COMMON = frozenset({"api-version", "timeout"})
LIST = frozenset({"maxresults", "$skiptoken"})
_CONDITION_HEADERS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.\d{1,3}\.\d{1,3})?(-preview)?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]*(/[A-Za-z][A-Za-z0-9_.]*)*")
_NUMBER = re.compile(r"[0-9]{1,10}")
_SCANNED = 20_000  # objects looked at for one page; a filter that finds less gives a short page with a link


def check_query(request: Request, allowed: frozenset[str]) -> None:
    """MissingRequiredQueryParameter without an api-version, UnsupportedQueryParameter for an unknown name."""
    version = request.query.get("api-version")
    if not version:
        details = (("QueryParameterName", "api-version"),)
        raise BatchError(
            "A query parameter that's mandatory for this request is not specified.",
            code="MissingRequiredQueryParameter",
            values=details,
        )
    if not _VERSION.fullmatch(version):
        raise wrong_query("api-version", version, "It is a date such as 2025-06-01 or 2024-02-01.19.0.")
    for name, value in request.query.pairs:
        if name.lower() not in COMMON and name.lower() not in allowed:
            reason = f"The operation takes {', '.join(sorted(COMMON | allowed))}."
            raise wrong_query(name[:100], value, reason, "UnsupportedQueryParameter")
    timeout = request.query.get("timeout")
    if timeout and not _NUMBER.fullmatch(timeout):
        raise wrong_query("timeout", timeout, "It is a number of seconds.")


def conditions_of(call: Call) -> Conditions:
    """The condition of a call."""
    return read_conditions(call.request.headers)


def read_conditions(headers: Mapping[str, str]) -> Conditions:
    """The condition of a request. MultipleConditionHeadersNotSupported, InvalidHeaderValue."""
    given = [name for name in _CONDITION_HEADERS if headers.get(name)]
    if not given:
        return NO_CONDITIONS
    if len(given) > 1:
        raise BatchError(
            f"Only one condition header may be given, not {', '.join(given)}.",
            code="MultipleConditionHeadersNotSupported",
        )
    name, value = given[0], headers[given[0]].strip()
    if name.endswith("match"):
        tag = value.removeprefix("W/").strip('"')
        return Conditions(if_match=tag) if name == "if-match" else Conditions(if_none_match=tag)
    moment = read_moment(value)
    if moment is None:
        raise wrong_header(name, value, "It is an RFC 1123 date.")
    if name == "if-modified-since":
        return Conditions(if_modified_since=moment)
    return Conditions(if_unmodified_since=moment)


def check_read(conditions: Conditions, document: Mapping[str, Any]) -> None:
    """For a read: NotModified (304) when the client has this version already, ConditionNotMet (412) for the others."""
    moment = read_moment(str(document.get("lastModified") or ""))
    if conditions == NO_CONDITIONS or moment is None:
        return
    if conditions.holds(str(document.get("eTag", "")), moment):
        return
    if conditions.if_none_match is not None or conditions.if_modified_since is not None:
        raise NotModified("The condition specified using HTTP conditional header(s) is not met.")
    conditions.check(str(document.get("eTag", "")), moment)


def one(call: Call, document: Mapping[str, Any], kind: str) -> Reply:
    """The answer to a GET or HEAD of one object: conditions, $select, $expand."""
    check_read(conditions_of(call), document)
    if call.request.method == "HEAD":
        return Reply(None, document)
    return Reply(_chosen(call)(document), document, kind=f"{kind}/@Element")


def page(
    call: Call,
    kind: str,
    listed: Callable[[str | None], Iterable[Any]],
    document: Callable[[Any], Mapping[str, Any]],
    cursor: Callable[[Any], str],
    filters: str = "",
) -> Reply:
    """One page of a list.

    `listed` gives the objects after a cursor in a stable order, `document` the JSON of one, `cursor` where it stands.
    """
    most = _page_size(call)
    condition = read_filter(call, filters)
    choose = _chosen(call)
    found: list[Mapping[str, Any]] = []
    last: str | None = None
    more = False
    for number, item in enumerate(listed(read_token(call.query("$skiptoken")))):
        if len(found) == most or number == _SCANNED:
            more = True
            break
        last = cursor(item)
        each = document(item)
        if condition is None or condition.matches(each):
            found.append(choose(each))
    reply: dict[str, Any] = {"value": found}
    if more and last is not None:
        reply["odata.nextLink"] = next_link(call, last)
    return Reply(reply, {}, kind=kind)


def next_link(call: Call, cursor: str) -> str:
    """The absolute address of the page after a cursor, with all that this request asked for."""
    kept = [(name, value) for name, value in call.request.query.pairs if name.lower() != "$skiptoken"]
    pairs = [*kept, ("$skiptoken", make_token(cursor))]
    query = "&".join(f"{quote(name, safe='$-')}={quote(value, safe='')}" for name, value in pairs)
    return f"{call.base}{call.request.rest}?{query}"


def make_token(cursor: str) -> str:
    """A cursor as the opaque text of a `$skiptoken`."""
    return base64.urlsafe_b64encode(f"1:{cursor}".encode()).decode().rstrip("=")


def read_token(text: str) -> str | None:
    """The cursor of a `$skiptoken`; None for the first page. InvalidQueryParameterValue for one we did not give."""
    if not text:
        return None
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        data = ""
    if not data.startswith("1:"):
        raise wrong_query("$skiptoken", text, "It is not a token of this service.")
    return data[2:]


def _page_size(call: Call) -> int:
    text = call.query("maxresults")
    if not text:
        return limits.BATCH_PAGE
    if not _NUMBER.fullmatch(text):
        raise wrong_query("maxresults", text, "It is a whole number.")
    if not 1 <= int(text) <= limits.BATCH_PAGE:
        raise wrong_query(
            "maxresults", text, f"It is between 1 and {limits.BATCH_PAGE}.", "OutOfRangeQueryParameterValue"
        )
    return int(text)


def read_filter(call: Call, filters: str) -> Condition | None:
    """The `$filter` of a list, None without one. InvalidQueryParameterValue."""
    text = call.query("$filter")
    if not text.strip():
        return None
    try:
        return parse_filter(text, FILTERS[filters])
    except FilterProblem as problem:
        raise wrong_query("$filter", text, str(problem)) from None


def _chosen(call: Call) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """What $select and $expand leave of an object."""
    expand = call.query("$expand").strip()
    if expand not in ("", "stats"):
        raise wrong_query("$expand", expand, "Only stats can be expanded.")
    names = [name.strip() for name in call.query("$select").split(",") if name.strip()]
    for name in names:
        if len(name) > 100 or not _NAME.fullmatch(name):
            raise wrong_query("$select", name, "It is a list of property names.")
    wanted = {name.partition("/")[0] for name in names}
    if expand and wanted:
        wanted.add("stats")

    def choose(document: Mapping[str, Any]) -> Mapping[str, Any]:
        if wanted:
            return {name: value for name, value in document.items() if name in wanted}
        return document if expand else {name: value for name, value in document.items() if name != "stats"}

    return choose
