"""Requests made of pieces that make little sense together: each one gets an answer in the service's shape, no 500."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from kyanite.runtime.workspace import open_workspace
from server_kit import LiveServer, live_server
from storage_client import Answer, StorageClient

REQUESTS = 500
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS")
PATHS = (
    "/",
    "/data",
    "/data/",
    "/data/f",
    "/data/d",
    "/data/d/e/f",
    "/data/f/g",
    "//data//d",
    "/data/../x",
    "/data/.",
    "/Data",
    "/a",
    "/data/%00",
    "/data/%FF%FE",
    "/data/%E2%82%AC",
    "/data/" + "x" * 300,
    "/data/" + "d/" * 300,
    "/data/a%5Cb",
    "/%24root/x",
    "/data/%2e%2e/%2e%2e/etc",
    "/data/.staging",
    "/.staging/x",
    "/.properties/data",
)
QUERIES: dict[str, tuple[str, ...]] = {
    "resource": ("file", "directory", "filesystem", "account", "link", ""),
    "action": (
        "append",
        "flush",
        "setProperties",
        "setAccessControl",
        "setAccessControlRecursive",
        "getStatus",
        "getAccessControl",
        "checkAccess",
        "x",
    ),
    "position": ("0", "3", "-1", "99999999999999999999", "1e3", "5497558138880"),
    "recursive": ("true", "false", "maybe"),
    "maxResults": ("1", "0", "-5", "100000", "x"),
    "maxRecords": ("1", "0", "9999999"),
    "continuation": ("", "!!", "AAAA", "/w==", "ZGF0YQ=="),
    "directory": ("d", "/", "..", "f", "%00", "nothing"),
    "mode": ("set", "modify", "remove", "legacy", "posix", "x"),
    "flush": ("true", "false", "x"),
    "close": ("true", "x"),
    "retainUncommittedData": ("true", "false"),
    "fsAction": ("rwx", "r--", "zzz", ""),
    "upn": ("true", "x"),
    "comp": ("undelete", "expiry", "list"),
    "restype": ("container",),
    "timeout": ("1", "x"),
}
HEADERS: dict[str, tuple[str, ...]] = {
    "x-ms-rename-source": ("/data/f", "/data/d", "data/f", "/nothing/x", "/data/f?sv=1&sig=x", "/", "/data/%00", ""),
    "x-ms-properties": ("a=MQ==", "a", "=", "a=%%", ",,", "a=" + "QUFB" * 4000),
    "x-ms-acl": ("user::rwx,group::r--,other::---", "user:abc:rwx", "x", "", ",", "default:::"),
    "x-ms-permissions": ("0777", "rwxr-x---", "rwxrwxrwt", "x", "99"),
    "x-ms-umask": ("0027", "x"),
    "x-ms-owner": ("me", "", "a b", "ü"),
    "x-ms-lease-action": ("acquire", "release", "renew", "break", "change", "auto-renew", "x"),
    "x-ms-lease-id": ("11111111-2222-3333-4444-555555555555", "x", ""),
    "x-ms-lease-duration": ("-1", "15", "0", "x", "99999999999"),
    "x-ms-proposed-lease-id": ("11111111-2222-3333-4444-555555555555", "x"),
    "x-ms-lease-break-period": ("0", "61", "x"),
    "if-match": ("*", '"0x1"', "x", ","),
    "if-none-match": ("*", '"0x1"'),
    "if-modified-since": ("Wed, 04 Mar 2026 05:06:07 GMT", "x", "-1"),
    "x-ms-source-if-match": ("*", "x"),
    "range": ("bytes=0-1", "bytes=5-1", "bytes=-", "x", "bytes=99999999999999999999-"),
    "content-md5": ("x", "AAAAAAAAAAAAAAAAAAAAAA=="),
    "x-ms-content-type": ("text/plain", "ü"),
    "x-ms-content-md5": ("x",),
    "x-ms-version": ("2021-01-01", "x", ""),
    "x-ms-client-request-id": ("1", "y" * 2000),
    "x-ms-encryption-key": ("AAAA",),
}
AUTHORISATIONS = (
    "",
    "SharedKey",
    "SharedKey acct",
    "SharedKey acct:",
    "SharedKey acct:AAAA",
    "SharedKey acct:%%%",
    "SharedKey x:AAAA",
    "SharedKey :",
    "SharedKeyLite acct:AAAA",
    "sharedkey acct:AAAA",
    "Bearer",
    "Bearer x",
    "Bearer a.b.c",
    "Bearer eyJ.eyJ.",
    "Basic YTpi",
    "\xff\xfe x:y",
    "SharedKey acct:" + "A" * 9000,
)
SAS: dict[str, tuple[str, ...]] = {
    "sv": ("2026-02-06", "2015-02-21", "", "x", "9999-99-99"),
    "sig": ("AAAA", "", "%%", "A" * 5000),
    "sp": ("r", "", "zz"),
    "se": ("2030-01-01", "x", "", "9999-99-99T99:99:99Z"),
    "st": ("x", "2020-01-01T00:00:00.123456789Z"),
    "sr": ("b", "c", "d", "x", ""),
    "sdd": ("0", "1", "-1", "x", "99999"),
    "si": ("x", ""),
    "sip": ("1.2.3.4", "x-y", "1.2.3.4-"),
    "spr": ("https", "x"),
    "ss": ("b", "bfqt", "x"),
    "srt": ("sco", "x", ""),
    "skoid": ("x", ""),
    "skt": ("x",),
    "ske": ("x", "9"),
    "sduoid": ("x",),
    "srh": ("a,b", "%ff"),
    "snapshot": ("x",),
    "rscc": ("x%0d%0ay",),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    workspace = open_workspace(tmp_path_factory.mktemp("home"), create=True)
    workspace.accounts.create("acct")
    with live_server(workspace) as running:
        yield running
    workspace.close()


def client(server: LiveServer) -> StorageClient:
    key = server.context.workspace.accounts.get("acct").keys[0]
    return StorageClient(server.http_url, "acct", key, "acct.dfs.core.windows.net")


def some(chance: random.Random, table: dict[str, tuple[str, ...]], most: int) -> dict[str, str]:
    return {name: chance.choice(table[name]) for name in chance.sample(sorted(table), chance.randint(0, most))}


def check(answer: Answer, asked: str) -> None:
    assert answer.status < 500 or answer.code in ("NotImplemented", "ServerBusy"), f"{asked}: {answer}"
    if answer.status < 400:
        return
    if answer.code and answer.body:
        assert set(answer.json["error"]) == {"code", "message"}, f"{asked}: {answer}"
        assert answer.json["error"]["code"] == answer.code, f"{asked}: {answer}"
    else:
        assert answer.code or answer.status in (400, 405), f"{asked}: {answer}"


def test_nonsense_that_is_signed(server: LiveServer) -> None:
    lake, chance = client(server), random.Random(46)
    seen = set()
    for _ in range(REQUESTS):
        if not chance.randrange(20):
            lake.send("PUT", "/data", "resource=filesystem")
            lake.send("PUT", "/data/f", "resource=file")
            lake.send("PUT", "/data/d/e", "resource=directory")
        method, path = chance.choice(METHODS), chance.choice(PATHS)
        query = "&".join(f"{name}={value}" for name, value in some(chance, QUERIES, 4).items())
        headers = some(chance, HEADERS, 3)
        body = chance.randbytes(chance.choice((0, 0, 3)))
        answer = lake.send_raw(method, path, query, body, headers=headers)
        check(answer, f"{method} {path}?{query} {headers}")
        seen.add(answer.status)
    assert {200, 201, 400, 404, 409} <= seen


def test_nobody_gets_in(server: LiveServer) -> None:
    lake, chance = client(server), random.Random(47)
    lake.send("PUT", "/data", "resource=filesystem")
    lake.send("PUT", "/data/f", "resource=file")
    for _ in range(REQUESTS):
        query = "&".join(f"{name}={value}" for name, value in some(chance, SAS, 8).items())
        headers = {"authorization": chance.choice(AUTHORISATIONS)}
        if not headers["authorization"]:
            del headers["authorization"]
        method = chance.choice(("GET", "HEAD", "PATCH"))
        query = f"{query}&action=getStatus".lstrip("&") if method == "HEAD" else query
        answer = lake.send_raw(method, "/data/f", query, b"", signed=False, headers=headers)
        asked = f"{method} {query} {headers}"
        check(answer, asked)
        assert answer.status in (400, 401, 403), f"{asked}: {answer}"
