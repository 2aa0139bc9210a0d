"""Shared access signatures: what a token's query says, and the text that was signed for each version.

https://learn.microsoft.com/rest/api/storageservices/create-service-sas (account SAS, user delegation SAS likewise)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

from kyanite.server.http import Query
from kyanite.server.storage.refusal import AccessRefused

_OVERRIDES = {
    "rscc": "cache-control",
    "rscd": "content-disposition",
    "rsce": "content-encoding",
    "rscl": "content-language",
    "rsct": "content-type",
}
_RESOURCES = frozenset({"b", "bs", "bv", "c", "d"})
_SERVICES = frozenset("bfqt")
_ONCE = frozenset({"se", "si", "sig", "sip", "sp", "spr", "sr", "srt", "ss", "st", "sv"})
_FORMATS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Sas:
    """A token as it came in a query; values as they were signed."""

    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    @property
    def is_account(self) -> bool:
        """An account SAS, as against one for a container, directory or blob."""
        return "ss" in self.values or "srt" in self.values

    @property
    def is_delegated(self) -> bool:
        """Signed with a user delegation key."""
        return "skoid" in self.values

    @property
    def resource(self) -> str:
        """`b`, `c`, `d`, `bs` or `bv`."""
        return self["sr"]

    @property
    def signature(self) -> str:
        """Base64."""
        return self["sig"].replace(" ", "+")


@dataclass(frozen=True)
class AccessPolicy:
    """A stored access policy of a container: what a SAS that names it need not say itself."""

    start: str = ""
    expiry: str = ""
    permissions: str = ""


def read_sas(query: Query) -> Sas | None:
    """The token in a query; None when there is none, AccessRefused when it misses what every token has."""
    if "sig" not in query:
        return None
    values: dict[str, str] = {}
    for name, value in query.pairs:
        key = name.lower()
        if key in values and key in _ONCE:
            raise malformed(f"{key} is given twice")
        values.setdefault(key, value)
    sas = Sas(values)
    if not sas["sv"]:
        raise malformed("sv is mandatory. Cannot be empty")
    if sas.is_account:
        missing = next((name for name in ("sp", "ss", "srt", "se") if not sas[name]), None)
        if missing or not set(sas["ss"]) <= _SERVICES or not set(sas["srt"]) <= set("sco"):
            raise malformed(f"{missing or 'ss or srt'} is missing or not valid")
    elif sas.resource not in _RESOURCES:
        raise malformed("sr is mandatory and must be b, bs, bv, c or d")
    return sas


def overrides(query: Query) -> dict[str, str]:
    """Response headers that a SAS sets on what it gives out; header name -> value."""
    if "sig" not in query:
        return {}
    found = {header: query.get(name) for name, header in _OVERRIDES.items() if query.get(name)}
    if any(not value.isprintable() for value in found.values()):  # a line break would begin another header
        raise malformed("a response header has control characters")
    return found


# ---- what was signed


def account_text(sas: Sas, account: str) -> str:
    """The string to sign of an account SAS."""
    names = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]
    if sas["sv"] >= "2020-12-06":
        names.append("ses")
    return "\n".join((account, *(sas[name] for name in names))) + "\n"


def service_text(sas: Sas, resource: str) -> str:
    """The string to sign of a SAS for a container, directory or blob; `resource` is `/account/container/path`."""
    version = sas["sv"]
    lines = [sas["sp"], sas["st"], sas["se"], f"/blob{resource}" if version >= "2015-02-21" else resource, sas["si"]]
    if version >= "2015-04-05":
        lines += [sas["sip"], sas["spr"]]
    lines.append(version)
    if version >= "2018-11-09":
        lines += [sas["sr"], _moment(sas)]
    if version >= "2020-12-06":
        lines.append(sas["ses"])
    if version >= "2013-08-15":
        lines += [sas[name] for name in _OVERRIDES]
    return "\n".join(lines)


def delegation_text(sas: Sas, resource: str, headers: Mapping[str, str], query: Query) -> str:
    """The string to sign of a SAS made with a user delegation key (version 2018-11-09 and later)."""
    version = sas["sv"]
    lines = [sas["sp"], sas["st"], sas["se"], f"/blob{resource}"]
    lines += [sas[name] for name in ("skoid", "sktid", "skt", "ske", "sks", "skv")]
    if version >= "2020-02-10":
        lines += [sas["saoid"], sas["suoid"], sas["scid"]]
    if version >= "2025-07-05":
        lines += [sas["skdutid"], sas["sduoid"]]
    lines += [sas["sip"], sas["spr"], version, sas["sr"], _moment(sas)]
    if version >= "2020-12-06":
        lines.append(sas["ses"])
    if version >= "2026-04-06":
        lines += list(_required(sas, headers, query))
    lines += [sas[name] for name in _OVERRIDES]
    return "\n".join(lines)


def _required(sas: Sas, headers: Mapping[str, str], query: Query) -> Iterator[str]:
    """Headers and parameters that the request must carry, each as a line `name:value`."""
    names = [unquote(name) for name in sas["srh"].split(",") if name]
    yield "".join(f"{name}:{headers.get(name.lower(), '')}\n" for name in names)
    names = [unquote(name) for name in sas["srq"].split(",") if name]
    yield "".join(f"\n{name}:{query.get(name.lower())}" for name in names)


def _moment(sas: Sas) -> str:
    return sas["snapshot"] if sas.resource == "bs" else sas["versionid"] or sas["snapshot"]


def resources(sas: Sas, account: str, container: str, paths: Sequence[str]) -> list[str]:
    """What the token can have been signed for, if it covers these spellings of a path: `/account/container/path`."""
    if sas.resource == "c":
        return [f"/{account}/{container}"]
    if sas.resource == "d":
        return list(dict.fromkeys(folder for path in paths for folder in _folders(sas, account, container, path)))
    return [f"/{account}/{container}/{path}" for path in dict.fromkeys(paths)]


def _folders(sas: Sas, account: str, container: str, path: str) -> list[str]:
    depth = sas["sdd"]
    if not (depth.isascii() and depth.isdigit() and len(depth) < 4):
        raise malformed("sdd is mandatory for a directory and must be a number")
    parts = [part for part in path.split("/") if part]
    if len(parts) < int(depth):
        raise AccessRefused("AuthorizationPermissionMismatch")
    root = f"/{account}/{container}"
    return ["/".join((root, *parts[: int(depth)]))] if int(depth) else [root, f"{root}/", f"{root}//"]


# ---- what it allows


def check_conditions(sas: Sas, policy: AccessPolicy | None, *, scheme: str, client: str, now: datetime) -> None:
    """AccessRefused unless the token is valid now, for this protocol and from this address."""
    start = _one_of(sas["st"], policy.start if policy else "", "st")
    expiry = _one_of(sas["se"], policy.expiry if policy else "", "se")
    if not expiry:
        raise malformed("se is mandatory. Cannot be empty")
    begins, ends = _time(start, "st") if start else None, _time(expiry, "se")
    if now >= ends or (begins is not None and now < begins):
        raise AccessRefused(
            "AuthenticationFailed",
            f"Signature not valid in the specified time frame: Start [{start}] - Expiry [{expiry}]"
            f" - Current [{now:%a, %d %b %Y %H:%M:%S} GMT]",
        )
    if sas["spr"] not in ("", "https", "https,http", "http,https"):
        raise malformed("spr is not valid")
    if sas["spr"] == "https" and scheme != "https":
        raise AccessRefused("AuthorizationProtocolMismatch")
    if sas["sip"] and not _in_range(client, sas["sip"]):
        raise AccessRefused("AuthorizationSourceIPMismatch")


def permissions(sas: Sas, policy: AccessPolicy | None) -> str:
    """The letters that the token or its stored policy gives."""
    return _one_of(sas["sp"], policy.permissions if policy else "", "sp")


def malformed(reason: str) -> AccessRefused:
    """What a token that cannot be read is answered with."""
    return AccessRefused("AuthenticationFailed", f"Signature fields not well formed: {reason}.")


def _one_of(own: str, stored: str, name: str) -> str:
    if own and stored:
        raise malformed(f"{name} is given by the signature and by its stored access policy")
    return own or stored


def _time(text: str, name: str) -> datetime:
    if "." in text:  # up to seven digits of a second, Python takes six
        whole, _, fraction = text.removesuffix("Z").partition(".")
        text = f"{whole}.{fraction[:6]}Z"
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise malformed(f"{name} is not a valid time")


def _in_range(client: str, text: str) -> bool:
    first, _, last = text.partition("-")
    try:
        low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address((last or first).strip())
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    return low.version == address.version == high.version and int(low) <= int(address) <= int(high)
