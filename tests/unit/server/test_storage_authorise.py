"""Requests signed by the official clients' own signers: accepted as they are, refused once anything is altered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from azure.storage.blob import (
    UserDelegationKey,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from azure.storage.filedatalake import generate_directory_sas, generate_file_sas
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import UserError
from kyanite.secrets import Vault
from kyanite.server.http import Query, Request
from kyanite.server.storage.authorise import Authority, Need
from kyanite.server.storage.delegation import make_key
from kyanite.server.storage.refusal import AccessRefused
from kyanite.server.storage.sas import AccessPolicy, overrides
from kyanite.server.tokens import Identity, issue_token
from kyanite.storage import StorageAccount, StorageAccounts

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DATE = "Wed, 04 Mar 2026 05:06:07 GMT"
LATER = NOW + timedelta(hours=1)
READ = Need("r", "o", "data", "dir/a b.txt")


class Door:
    """An account with its authority, and requests to it."""

    def __init__(self, root: Path) -> None:
        self.vault = Vault()
        self.account: StorageAccount = StorageAccounts(root, self.vault).create("acct")
        self.policies: dict[str, AccessPolicy] = {}
        self.now = NOW
        self.authority = Authority(self.vault, lambda: self.now, lambda account, container: self.policies)

    @property
    def key(self) -> str:
        return self.account.keys[0]

    def refusal(self, asked: Request, *needs: Need) -> AccessRefused:
        with pytest.raises(AccessRefused) as caught:
            self.authority.authorise(asked, self.account, *needs)
        return caught.value

    def allows(self, asked: Request, *needs: Need) -> Identity:
        identity = self.authority.authorise(asked, self.account, *needs)
        assert asked.identity is identity
        return identity


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


async def _nothing() -> Any:
    raise AssertionError


def request(
    path: str = "/acct/data/dir/a%20b.txt",
    query: str = "",
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    *,
    host_style: bool = False,
    scheme: str = "http",
) -> Request:
    return Request(
        method=method,
        scheme=scheme,
        host="acct.blob.core.windows.net" if host_style else "127.0.0.1",
        port=8080,
        raw_path=path,
        query=Query(query),
        headers=dict(headers or {}),
        client="127.0.0.1",
        receive=_nothing,
        account="acct",
        host_style=host_style,
    )


def signed(door: Door, asked: Request, *, key: str | None = None, signer: type = SharedKeyCredentialPolicy) -> Request:
    """The request with the Authorization header that the official client would give it."""
    pairs = asked.query.raw.split("&") if asked.query.raw else []
    sent = SimpleNamespace(
        method=asked.method,
        url=f"http://host{asked.raw_path}",
        headers=dict(asked.headers),
        query=dict(pair.partition("=")[::2] for pair in pairs),
    )
    signer("acct", key or door.key).on_request(_context(sent))
    asked.headers = {**asked.headers, "authorization": sent.headers["Authorization"]}
    return asked


def _context(sent: Any) -> Any:
    return SimpleNamespace(http_request=sent, context=SimpleNamespace(transport=None))


class BlobSigner(SharedKeyCredentialPolicy):
    """The blob client's policy: which headers it signs stands in its `on_request`."""

    def on_request(self, request: Any) -> None:
        names = "content-encoding content-language content-length content-md5 content-type date if-modified-since"
        names += " if-match if-none-match if-unmodified-since byte_range"
        text = self._get_verb(request) + self._get_headers(request, names.split())
        text += self._get_canonicalized_headers(request) + self._get_canonicalized_resource(request)
        self._add_authorization_header(request, text + self._get_canonicalized_resource_query(request))


HEADERS = {
    "x-ms-date": DATE,
    "x-ms-version": "2026-10-06",
    "x-ms-meta-a1": "one",
    "x-ms-meta-a_b": "two",
    "x-ms-blob-type": "BlockBlob",
    "content-type": "text/plain",
    "content-length": "12",
    "if-match": '"0x1"',
}


# ---- shared key


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("path", "query", "host_style"),
    [
        ("/acct/data/dir/a%20b.txt", "", False),
        ("/acct/data", "restype=container&comp=list&prefix=a%2Fb&include=metadata%2Ctags", False),
        ("/acct", "comp=list", False),
        ("/data/d%C3%A9j%C3%A0.txt", "timeout=30&comp=block&blockid=YWI%3D", True),
        ("/", "comp=properties&restype=service", True),
    ],
)
def test_the_signature_of_the_official_client_is_right(
    door: Door, path: str, query: str, host_style: bool, which: int
) -> None:
    asked = request(path, query, HEADERS, "PUT", host_style=host_style)
    identity = door.allows(signed(door, asked, key=door.account.keys[which], signer=BlobSigner), READ)
    assert (identity.kind, identity.name) == ("sharedKey", "acct")


def test_a_length_of_zero_is_signed_as_nothing(door: Door) -> None:
    door.allows(signed(door, request(headers={**HEADERS, "content-length": "0"}), signer=BlobSigner))


def test_the_older_form_of_a_path_is_accepted_too(door: Door) -> None:
    asked = request(headers=HEADERS)
    text = "\n".join(("GET", "", "", "12", "", "text/plain", "", "", '"0x1"', "", "", ""))
    text += "\nx-ms-blob-type:BlockBlob\nx-ms-date:" + DATE + "\nx-ms-meta-a1:one\nx-ms-meta-a_b:two\n"
    text += "x-ms-version:2026-10-06\n/acct/data/dir/a%20b.txt"
    asked.headers = {**HEADERS, "authorization": f"SharedKey acct:{_sign(text, door.key)}"}
    door.allows(asked)


def test_shared_key_lite(door: Door) -> None:
    asked = request(query="comp=metadata&timeout=5", headers={"date": DATE, "content-type": "a/b", "x-ms-version": "1"})
    text = f"GET\n\na/b\n{DATE}\nx-ms-version:1\n/acct/acct/data/dir/a%20b.txt?comp=metadata"
    asked.headers = {**asked.headers, "authorization": f"SharedKeyLite acct:{_sign(text, door.key)}"}
    door.allows(asked)
    asked.query = Query("comp=lease&timeout=5")
    assert door.refusal(asked).error_code == "AuthenticationFailed"


def _sign(text: str, key: str) -> str:
    from kyanite.server.storage.shared_key import sign

    return sign(text, key)


CHANGES = [*HEADERS, "path", "query", "method", "x-ms-new", "authorization", "content-md5", "range", "key"]


@given(st.sampled_from(CHANGES), st.sampled_from(["x", "Wed, 04 Mar 2026 05:06:08 GMT"]))
def test_altering_any_signed_part_fails(tmp_path_factory: pytest.TempPathFactory, part: str, value: str) -> None:
    door = Door(tmp_path_factory.mktemp("door"))
    asked = signed(door, request(query="comp=list&prefix=p", headers=HEADERS, method="PUT"), signer=BlobSigner)
    door.allows(asked)
    match part:
        case "path":
            asked.raw_path += value[:1]
        case "query":
            asked.query = Query("comp=list&prefix=q")
        case "method":
            asked.method = "DELETE"
        case "key":
            asked = signed(door, request(headers=HEADERS), key=door.key[:-4] + "AAA=", signer=BlobSigner)
        case "authorization":
            scheme, _, signature = asked.headers[part].rpartition(":")
            asked.headers = {**asked.headers, part: f"{scheme}:{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"}
        case _:
            asked.headers = {**asked.headers, part: value}
    assert door.refusal(asked, READ).error_code == "AuthenticationFailed"


def test_an_old_request_is_refused(door: Door) -> None:
    asked = signed(door, request(headers=HEADERS), signer=BlobSigner)
    for minutes, fine in ((14, True), (16, False), (-14, True), (-16, False)):
        door.now = NOW + timedelta(minutes=minutes)
        if fine:
            door.allows(asked)
        else:
            assert "Date header" in (door.refusal(asked).detail or "")


def test_the_detail_names_the_text_but_no_secret(door: Door) -> None:
    headers = {**HEADERS, "x-ms-copy-source": "http://127.0.0.1/acct/c/b?sv=1&sig=VeryVerySecretSignature"}
    asked = signed(door, request(headers=headers), key="AAAA", signer=BlobSigner)
    refused = door.refusal(asked)
    assert "x-ms-version:2026-10-06\\n" in (refused.detail or "")
    assert "VeryVerySecret" not in (refused.detail or "")
    assert door.key not in (refused.detail or "")


@pytest.mark.parametrize("text", ["SharedKey", "SharedKey acct", "SharedKey :x", "Basic YTpi", "nonsense"])
def test_a_broken_header(door: Door, text: str) -> None:
    refused = door.refusal(request(headers={**HEADERS, "authorization": text}))
    assert (refused.error_code, refused.http_status) == ("InvalidAuthenticationInfo", 400)


def test_another_account(door: Door) -> None:
    refused = door.refusal(request(headers={**HEADERS, "authorization": "SharedKey other:AAAA"}))
    assert refused.error_code == "AuthenticationFailed"


def test_nobody(door: Door) -> None:
    refused = door.refusal(request(), READ)
    assert (refused.error_code, refused.http_status) == ("NoAuthenticationInformation", 401)
    assert "authorization_uri=" in (refused.challenge or "")


# ---- bearer


def test_roles(door: Door) -> None:
    write = Need("cw", "o", "data", "x")
    for role, writes in (("reader", False), ("operator", True), ("author", True), ("admin", True)):
        identity = Identity("somebody", "user", frozenset({role}))
        token = issue_token(door.vault, identity, audience="https://storage.azure.com", seconds=60, now=NOW)
        asked = request(headers={"authorization": f"Bearer {token}"})
        assert door.allows(asked, READ).name == "somebody"
        if writes:
            door.allows(asked, write)
        else:
            assert door.refusal(asked, write).error_code == "AuthorizationPermissionMismatch"


def test_a_token_that_is_not_ours(door: Door) -> None:
    refused = door.refusal(request(headers={"authorization": "Bearer abc.def.ghi"}), READ)
    assert (refused.error_code, refused.http_status) == ("InvalidAuthenticationInfo", 401)


# ---- account SAS


def account_sas(door: Door, permission: str = "rwdlac", types: str = "sco", **options: Any) -> str:
    from azure.storage.blob import ResourceTypes

    return generate_account_sas("acct", door.key, ResourceTypes.from_string(types), permission, LATER, **options)


def test_account_sas(door: Door) -> None:
    asked = request(query=account_sas(door))
    assert door.allows(asked, READ, Need("l", "c", "data")).kind == "sas"
    door.allows(asked, Need("c", "c", "new", service_sas=False))


@pytest.mark.parametrize(
    ("permission", "types", "need", "code"),
    [
        ("r", "sco", Need("w", "o", "data", "x"), "AuthorizationPermissionMismatch"),
        ("rwdl", "o", Need("l", "c", "data"), "AuthorizationResourceTypeMismatch"),
        ("rwdl", "co", Need("l", "s"), "AuthorizationResourceTypeMismatch"),
    ],
)
def test_what_an_account_sas_does_not_allow(door: Door, permission: str, types: str, need: Need, code: str) -> None:
    assert door.refusal(request(query=account_sas(door, permission, types)), need).error_code == code


def test_another_service(door: Door) -> None:
    from azure.storage.blob import Services

    query = account_sas(door, services=Services(queue=True))
    assert door.refusal(request(query=query), READ).error_code == "AuthorizationServiceMismatch"


# ---- service SAS


def blob_sas(door: Door, **options: Any) -> str:
    given = {"permission": "r", "expiry": LATER, **options}
    return generate_blob_sas("acct", "data", "dir/a b.txt", account_key=door.key, **given)


def test_blob_sas_is_for_that_blob(door: Door) -> None:
    asked = request(query=blob_sas(door))
    door.allows(asked, READ)
    other = door.refusal(asked, Need("r", "o", "data", "dir/other.txt"))
    assert (other.error_code, other.detail) == ("AuthenticationFailed", "Signature did not match.")
    assert door.refusal(asked, Need("l", "c", "data")).error_code == "AuthenticationFailed"
    assert door.refusal(asked, Need("w", "o", "data", "dir/a b.txt")).error_code == "AuthorizationPermissionMismatch"


def test_container_sas_is_for_all_in_it(door: Door) -> None:
    query = generate_container_sas("acct", "data", door.key, permission="rl", expiry=LATER)
    door.allows(request(query=query), READ, Need("l", "c", "data"))
    assert door.refusal(request(query=query), Need("r", "o", "other", "x")).error_code == "AuthenticationFailed"
    refused = door.refusal(request(query=query), Need("l", "c", "data", service_sas=False))
    assert refused.error_code == "AuthorizationFailure"
    assert door.refusal(request(query=query), Need("l", "s")).error_code == "AuthorizationFailure"


def test_directory_sas_is_for_all_below_it(door: Door) -> None:
    query = generate_directory_sas("acct", "data", "dir/sub", door.key, permission="rl", expiry=LATER)
    asked = request(query=query)
    door.allows(asked, Need("r", "o", "data", "dir/sub/x/y"), Need("l", "c", "data", "dir/sub"))
    door.allows(asked, Need("r", "o", "data", "/dir//sub/x"))
    assert door.refusal(asked, Need("r", "o", "data", "dir/subtle/x")).error_code == "AuthenticationFailed"
    assert door.refusal(asked, Need("r", "o", "data", "dir")).error_code == "AuthorizationPermissionMismatch"
    root = generate_directory_sas("acct", "data", "/", door.key, permission="rl", expiry=LATER)
    assert "sdd=" in root


def test_file_sas_of_the_data_lake_client(door: Door) -> None:
    query = generate_file_sas("acct", "data", "dir", "a b.txt", door.key, permission="r", expiry=LATER)
    door.allows(request(query=query), READ)


@pytest.mark.parametrize(
    "version", ["2012-02-12", "2013-08-15", "2015-02-21", "2015-04-05", "2018-03-28", "2020-02-10"]
)
def test_older_versions(door: Door, version: str) -> None:
    lines = ["r", "", "2026-03-04T06:06:07Z", "/acct/data/dir/a b.txt", ""]
    if version >= "2015-02-21":
        lines[3] = f"/blob{lines[3]}"
    if version >= "2015-04-05":
        lines += ["", "https,http"]
    lines.append(version)
    if version >= "2018-11-09":
        lines += ["b", ""]
    if version >= "2013-08-15":
        lines += ["", "", "", "", "text/csv"]
    values = {"sv": version, "sr": "b", "sp": "r", "se": lines[2], "sig": _sign("\n".join(lines), door.key)}
    if version >= "2015-04-05":
        values["spr"] = "https,http"
    if version >= "2013-08-15":
        values["rsct"] = "text/csv"
    asked = request(query=urlencode(values))
    door.allows(asked, READ)
    assert overrides(asked.query) == ({"content-type": "text/csv"} if version >= "2013-08-15" else {})


ALTERATIONS = {
    "sp": "rw",
    "se": "2027-01-01T00:00:00Z",
    "st": "2020-01-01T00:00:00Z",
    "sip": "127.0.0.1",
    "spr": "https,http",
}
ALTERATIONS |= {
    "sv": "2020-12-06",
    "sr": "c",
    "snapshot": "x",
    "ses": "scope",
    "rsct": "text/html",
    "rscd": "inline",
    "sig": "AAAA",
}


@given(st.sampled_from(sorted(ALTERATIONS)), st.booleans())
def test_altering_any_part_of_a_sas_fails(tmp_path_factory: pytest.TempPathFactory, name: str, delegated: bool) -> None:
    door = Door(tmp_path_factory.mktemp("door"))
    options = {"permission": "r", "expiry": LATER, "start": NOW, "protocol": "https,http", "ip": "127.0.0.0-127.0.0.9"}
    options |= {"cache_control": "no-store", "content_type": "text/csv"}
    credential: Any = {"user_delegation_key": delegation_key(door)} if delegated else {"account_key": door.key}
    query = generate_blob_sas("acct", "data", "dir/a b.txt", snapshot="s", **options, **credential)
    query += "&snapshot=s"  # part of the request, not of the token
    door.allows(request(query=query), READ)
    values = dict(parse_qsl(query))
    altered = {**values, name: ALTERATIONS[name] if values.get(name) != ALTERATIONS[name] else "y"}
    assert door.refusal(request(query=urlencode(altered)), READ).error_code == "AuthenticationFailed"
    left_out = {key: value for key, value in values.items() if key != name}
    if left_out != values:
        refused = door.refusal(request(query=urlencode(left_out)), READ)
        assert refused.error_code in ("AuthenticationFailed", "NoAuthenticationInformation")


@pytest.mark.parametrize("name", ["sig", "SIG", "sp", "se"])
def test_a_part_given_twice_is_refused(door: Door, name: str) -> None:
    query = blob_sas(door)
    given = dict(parse_qsl(query))[name.lower()]
    for altered in (f"{query}&{urlencode({name: given})}", f"{query}&{name}=x", f"{name}=x&{query}"):
        assert door.refusal(request(query=altered), READ).error_code == "AuthenticationFailed"


def test_times(door: Door) -> None:
    query = blob_sas(door, start=NOW - timedelta(minutes=5))
    for at, fine in ((NOW, True), (LATER, False), (NOW - timedelta(minutes=6), False)):
        door.now = at
        if fine:
            door.allows(request(query=query), READ)
        else:
            assert "time frame" in (door.refusal(request(query=query), READ).detail or "")


@pytest.mark.parametrize("expiry", ["2026-03-05", "2026-03-04T07:00Z", "2026-03-04T07:00:00.1234567Z"])
def test_forms_of_a_time(door: Door, expiry: str) -> None:
    door.allows(request(query=blob_sas(door, expiry=expiry)), READ)


def test_a_time_that_is_none(door: Door) -> None:
    assert "se is not a valid time" in (door.refusal(request(query=blob_sas(door, expiry="soon")), READ).detail or "")


def test_protocol_and_address(door: Door) -> None:
    only_https = blob_sas(door, protocol="https")
    assert door.refusal(request(query=only_https), READ).error_code == "AuthorizationProtocolMismatch"
    door.allows(request(query=only_https, scheme="https"), READ)
    elsewhere = blob_sas(door, ip="10.0.0.1-10.0.0.9")
    assert door.refusal(request(query=elsewhere), READ).error_code == "AuthorizationSourceIPMismatch"


def test_stored_access_policy(door: Door) -> None:
    query = generate_container_sas("acct", "data", door.key, policy_id="weekly")
    assert "does not exist" in (door.refusal(request(query=query), READ).detail or "")
    door.policies["weekly"] = AccessPolicy(expiry="2026-03-05", permissions="r")
    door.allows(request(query=query), READ)
    assert (
        door.refusal(request(query=query), Need("w", "o", "data", "x")).error_code == "AuthorizationPermissionMismatch"
    )
    both = generate_container_sas("acct", "data", door.key, policy_id="weekly", permission="rw")
    assert "stored access policy" in (door.refusal(request(query=both), READ).detail or "")


def test_a_response_header_cannot_begin_another_one() -> None:
    with pytest.raises(AccessRefused):
        overrides(Query("sig=x&rsct=a%0d%0aset-cookie:b"))


# ---- user delegation


def delegation_key(door: Door, role: str = "admin", name: str = "somebody") -> UserDelegationKey:
    identity = Identity(name, "user", frozenset({role}))
    made = make_key(door.vault, "acct", identity, start=NOW, expiry=LATER, version="2026-10-06", now=NOW)
    key = UserDelegationKey()
    for field in (
        "signed_oid",
        "signed_tid",
        "signed_start",
        "signed_expiry",
        "signed_service",
        "signed_version",
        "value",
    ):
        setattr(key, field, getattr(made, field))
    return key


def delegated(door: Door, key: UserDelegationKey, **options: Any) -> str:
    given = {"permission": "rw", "expiry": LATER, **options}
    return generate_blob_sas("acct", "data", "dir/a b.txt", user_delegation_key=key, **given)


def test_user_delegation_sas(door: Door) -> None:
    write = Need("w", "o", "data", "dir/a b.txt")
    asked = request(query=delegated(door, delegation_key(door)))
    door.allows(asked, READ, write)
    of_a_reader = request(query=delegated(door, delegation_key(door, "reader")))
    door.allows(of_a_reader, READ)
    assert door.refusal(of_a_reader, write).error_code == "AuthorizationPermissionMismatch"
    door.now = LATER
    assert door.refusal(asked, READ).error_code == "AuthenticationFailed"


def test_a_delegated_directory(door: Door) -> None:
    query = generate_directory_sas("acct", "data", "dir", delegation_key(door), permission="r", expiry=LATER)
    door.allows(request(query=query), READ)


@pytest.mark.parametrize("version", ["2018-11-09", "2020-02-10", "2020-12-06", "2025-07-05", "2026-04-06"])
def test_user_delegation_of_older_versions(door: Door, version: str) -> None:
    key = delegation_key(door)
    values = {"sp": "r", "se": "2026-03-04T06:06:07Z", "skoid": key.signed_oid, "sktid": key.signed_tid}
    values |= {"skt": key.signed_start, "ske": key.signed_expiry, "sks": "b", "skv": key.signed_version}
    lines = ["r", "", values["se"], "/blob/acct/data/dir/a b.txt", *list(values.values())[2:]]
    lines += ["", "", ""] if version >= "2020-02-10" else []
    lines += ["", ""] if version >= "2025-07-05" else []
    lines += ["", "", version, "b", ""]
    lines += [""] if version >= "2020-12-06" else []
    lines += ["", ""] if version >= "2026-04-06" else []
    lines += ["", "", "", "", ""]
    signature = _sign("\n".join(lines), key.value)
    asked = request(query=urlencode({**values, "sv": version, "sr": "b", "sig": signature}))
    door.allows(asked, READ)
    assert door.refusal(asked, Need("r", "o", "data", "x")).error_code == "AuthenticationFailed"


def test_headers_and_parameters_that_a_sas_demands(door: Door) -> None:
    query = delegated(
        door, delegation_key(door), request_headers={"x-a": "1", "x-b": "2"}, request_query_params={"q": "3"}
    )
    door.allows(request(query=f"{query}&q=3", headers={"x-a": "1", "x-b": "2"}), READ)
    refused = door.refusal(request(query=f"{query}&q=3", headers={"x-a": "1", "x-b": "x"}), READ)
    assert refused.error_code == "AuthenticationFailed"
    assert (
        door.refusal(request(query=query, headers={"x-a": "1", "x-b": "2"}), READ).error_code == "AuthenticationFailed"
    )


def test_a_sas_for_one_user_needs_that_user(door: Door) -> None:
    friend = Identity("friend", "user", frozenset())
    query = delegated(door, delegation_key(door), user_delegation_oid=friend.id)
    assert door.refusal(request(query=query), READ).error_code == "AuthenticationFailed"
    for who, fine in ((friend, True), (Identity("other", "user", frozenset()), False)):
        token = issue_token(door.vault, who, audience="https://storage.azure.com", seconds=60, now=NOW)
        asked = request(query=query, headers={"authorization": f"Bearer {token}"})
        if fine:
            door.allows(asked, READ)
        else:
            assert door.refusal(asked, READ).error_code == "AuthenticationFailed"


@pytest.mark.parametrize(("start", "expiry"), [(0, 0), (0, -1), (0, 8 * 24), (2, 1)])
def test_the_time_of_a_key(door: Door, start: int, expiry: int) -> None:
    hours = [NOW + timedelta(hours=each) for each in (start, expiry)]
    identity = Identity("somebody", "user", frozenset({"admin"}))
    with pytest.raises(UserError):
        make_key(door.vault, "acct", identity, start=hours[0], expiry=hours[1], version="1", now=NOW)


def test_the_source_of_a_copy_has_its_own_sas(door: Door) -> None:
    asked = signed(door, request(headers=HEADERS), signer=BlobSigner)
    own = door.authority.enter(asked, door.account)
    assert door.authority.enter_source(asked, door.account, Query(""), own) is own
    source = door.authority.enter_source(asked, door.account, Query(blob_sas(door)), own)
    source.require("r", container="data", path="dir/a b.txt")
    with pytest.raises(AccessRefused):
        source.require("r", container="data", path="dir/x")
