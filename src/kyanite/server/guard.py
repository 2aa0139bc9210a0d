"""What no request gets past, whatever it asks for: the host it names, and where a browser says it comes from.

A page of any web site can make a browser send requests to loopback addresses, under a name that it resolves to
127.0.0.1 if need be. So hosts are an allow-list, and only the safe methods may come from another origin; no CORS
header is ever sent, so the page cannot read those answers either (reliability reference 5 and 6).
"""

from __future__ import annotations

from collections.abc import Callable

from kyanite.errors import KyaniteError
from kyanite.server.http import Request, split_host

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OWN_SITES = frozenset({"same-origin", "none"})


class Refused(KyaniteError):
    """A request the guard does not let in."""

    code = "Forbidden"
    status = 403


class Misdirected(Refused):
    """A request for a host that this server is not: a name that somebody made lead to a loopback address."""

    code = "MisdirectedRequest"
    status = 421


class BadMethod(KyaniteError):
    """A method no service knows."""

    code = "UnsupportedHttpVerb"
    status = 405


def check(request: Request, is_own_host: Callable[[str], bool]) -> None:
    """Refused or BadMethod unless the request may be looked at; `is_own_host` knows the Azure names that are ours."""
    if request.method not in METHODS:
        raise BadMethod(f"The method {request.method[:20]!r} is not supported.")
    if request.host not in _LOOPBACK and not is_own_host(request.host):
        raise Misdirected("The request names a host that is not this server's.", cure="Use 127.0.0.1 or localhost.")
    if request.method in _SAFE:
        return
    origin = request.headers.get("origin")
    if origin is not None and not _same_origin(request, origin):
        raise Refused("Requests from the pages of another origin are refused.")
    if request.headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        raise Refused("Requests from the pages of another site are refused.")


def _same_origin(request: Request, origin: str) -> bool:
    scheme, separator, rest = origin.partition("://")
    if not separator:
        return False
    return (scheme.lower(), *split_host(rest)) == (request.scheme, request.host, request.port)
