"""Blob requests made of pieces that make little sense together: each one is answered in the service's shape, no 500."""

from __future__ import annotations

import random
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from kyanite.runtime.workspace import open_workspace
from server_kit import LiveServer, live_server
from storage_client import Answer, StorageClient

REQUESTS = 1000
METHODS = ("GET", "HEAD", "PUT", "PUT", "PUT", "POST", "DELETE", "OPTIONS")
PATHS = (
    "/",
    "/box",
    "/box/",
    "/box/f",
    "/box/d/e",
    "/box/f/g",
    "/box//f",
    "/box/log",
    "/Box",
    "/b",
    "/box/%00",
    "/box/%FF%FE",
    "/box/%ED%A0%80",
    "/box/" + "x" * 300,
    "/box/" + "d/" * 300,
    "/box/a%5Cb",
    "/box/%2e%2e/%2e%2e/etc",
    "/box/.kyanite~x",
    "/.staging/x",
    "/.properties/box",
    "/%24root/x",
    "/file",
)
QUERIES: dict[str, tuple[str, ...]] = {
    "restype": ("container", "service", "account", "", "x"),
    "comp": (
        "list",
        "metadata",
        "acl",
        "lease",
        "block",
        "blocklist",
        "appendblock",
        "properties",
        "tags",
        "tier",
        "batch",
        "copy",
        "seal",
        "snapshot",
        "userdelegationkey",
        "blobs",
        "stats",
        "x",
    ),
    "blockid": ("YWFh", "!!", "", "YQ==", "A" * 200),
    "blocklisttype": ("all", "committed", "x"),
    "prefix": ("d", "d/", "/", "%C3%A4", "%00"),
    "delimiter": ("/", "x", "//"),
    "marker": ("f", "2!!!", "2!ZA==", "2!w4Q="),
    "maxresults": ("1", "0", "-1", "x", "99999999999999999999"),
    "include": ("metadata", "tags,copy", "uncommittedblobs", "x", ","),
    "snapshot": ("2026-01-01T00:00:00Z", ""),
    "copyid": ("x",),
    "where": ("a=%27b%27", "%22a%22%3E%27%27+and+@container=%27box%27", "a", "%00", "(" * 5000, "@container<%27x%27"),
}
HEADERS: dict[str, tuple[str, ...]] = {
    "x-ms-blob-type": ("BlockBlob", "AppendBlob", "PageBlob", "x"),
    "x-ms-lease-action": ("acquire", "renew", "change", "release", "break", "x"),
    "x-ms-lease-duration": ("-1", "15", "0", "x", "99999999999999"),
    "x-ms-lease-id": ("ca761232-ed42-11ce-bacd-00aa0057b223", "x", ""),
    "x-ms-proposed-lease-id": ("ca761232-ed42-11ce-bacd-00aa0057b223", "x"),
    "x-ms-lease-break-period": ("0", "-1", "61", "x"),
    "x-ms-range": ("bytes=0-3", "bytes=9-", "bytes=-2", "bytes=5-2", "x", "bytes=0-99999999999999999999"),
    "range": ("bytes=0-0,2-3",),
    "if-match": ("*", '"0x1"', "x"),
    "if-none-match": ("*", '"0x1"'),
    "if-modified-since": ("Sun, 22 Nov 2026 00:00:00 GMT", "x", "Sun, 99 Nov 99999 00:00:00 GMT"),
    "if-unmodified-since": ("Sun, 22 Nov 2020 00:00:00 GMT", "0"),
    "content-md5": ("AAAA", "1B2M2Y8AsgTpgAmY7PhCfg=="),
    "x-ms-blob-content-md5": ("1B2M2Y8AsgTpgAmY7PhCfg==", "?"),
    "x-ms-meta-a": ("b", "\u00e4", "x" * 9000),
    "x-ms-meta-": ("b",),
    "x-ms-meta-a-b": ("c",),
    "x-ms-tags": ("a=b", "a=%3C", "=", "&&&"),
    "x-ms-access-tier": ("Hot", "Archive", "x"),
    "x-ms-copy-source": (
        "{url}/box/f",
        "{url}/other/f",
        "http://169.254.169.254/",
        "ftp://x",
        "",
        "http://[::1",
        "{url}/",
    ),
    "x-ms-source-range": ("bytes=0-1", "bytes=99-"),
    "x-ms-requires-sync": ("true",),
    "x-ms-blob-condition-appendpos": ("0", "x"),
    "x-ms-blob-condition-maxsize": ("1",),
    "x-ms-range-get-content-md5": ("true",),
    "x-ms-blob-public-access": ("blob",),
    "x-ms-delete-snapshots": ("include", "only", "x"),
    "x-ms-encryption-key": ("x",),
    "x-ms-if-tags": ("a", "a='b'", "\"a\"<>'c' or (a > '')", "((", "\u00e4='1'"),
    "x-ms-source-if-tags": ("a='b'", "a"),
    "x-ms-content-crc64": ("AAAAAAAAAAA=", "x"),
    "x-ms-source-content-crc64": ("AAAAAAAAAAA=",),
    "x-ms-range-get-content-crc64": ("true",),
    "x-ms-structured-body": ("XSM/1.0; properties=crc64", "XSM/2.0"),
    "x-ms-structured-content-length": ("4", "x", "-1", "99999999999999999999"),
    "x-ms-copy-source-tag-option": ("COPY", "x"),
    "x-ms-copy-source-authorization": ("Bearer x", "x"),
    "content-type": ("multipart/mixed; boundary=b", "multipart/mixed", "application/xml"),
    "x-ms-version": ("2019-02-02", "x", "2099-01-01"),
    "x-ms-client-request-id": ("abc", "x" * 2000),
    "expect": ("100-continue",),
}
BODIES = (
    b"",
    b"data",
    b"<BlockList><Latest>YWFh</Latest></BlockList>",
    b"<BlockList><Latest>!!</Latest><x/></BlockList>",
    b"<Tags><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tags>",
    b"<SignedIdentifiers><SignedIdentifier><Id>a</Id></SignedIdentifier></SignedIdentifiers>",
    b"<StorageServiceProperties><Cors/></StorageServiceProperties>",
    b"<KeyInfo><Start>x</Start></KeyInfo>",
    b'<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>',
    b"<a" + b"<a>" * 2000,
    b"\xff\xfe\x00",
    b"--b\r\nContent-Type: application/http\r\n\r\nDELETE /box/f HTTP/1.1\r\n\r\n\r\n--b--",
    b"\x01" + (39).to_bytes(8, "little") + b"\x01\x00\x01\x00\x01\x00" + bytes(24),
    b"\x01" + bytes(50),
    b"--b\r\n\r\nGET / HTTP/1.1\r\n\r\n--b\r\nx\r\n--b--",
    b"x" * 300_000,
)


@pytest.fixture(params=["folders", "flat"])
def server(request: pytest.FixtureRequest, tmp_path) -> Iterator[LiveServer]:
    workspace = open_workspace(tmp_path / "home", create=True)
    workspace.accounts.create("acct", hierarchical=request.param == "folders")
    with live_server(workspace) as live:
        yield live
    workspace.close()


@pytest.mark.parametrize("requests", [REQUESTS, pytest.param(5000, marks=pytest.mark.slow)])
def test_every_answer_has_the_shape_of_the_service(server, requests, tmp_path):
    chance = random.Random(44)
    account = server.context.workspace.accounts.get("acct")
    client = StorageClient(server.http_url, "acct", account.keys[0])
    url = f"{server.http_url}/acct"
    statuses: set[int] = set()
    for number in range(requests):
        if number % 50 == 0:
            client.send("PUT", "/box", "restype=container")
            client.send("PUT", "/box/f", body=b"0123456789", x_ms_blob_type="BlockBlob")
            client.send("PUT", "/box/log", x_ms_blob_type="AppendBlob")
        method, path = chance.choice(METHODS), f"/acct{chance.choice(PATHS)}"
        query = "&".join(f"{name}={chance.choice(QUERIES[name])}" for name in some(chance, list(QUERIES), 3))
        headers = {}
        for name in some(chance, list(HEADERS), 4):
            headers[name] = chance.choice(HEADERS[name]).replace("{url}", url).encode().decode("latin-1")
        signed = chance.random() < 0.95
        sent = (method, path, query, chance.choice(BODIES), headers)
        answer = client.send_raw(*sent[:4], signed=signed, headers=headers)
        statuses.add(answer.status)
        check(answer, method, sent)
    assert {200, 201, 202, 400, 403, 404, 409, 412} <= statuses
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    assert not any((account.folder / ".staging").iterdir())


def some(chance: random.Random, names: list[str], most: int) -> list[str]:
    return chance.sample(names, chance.randint(0, most))


def check(answer: Answer, method: str, sent: object) -> None:
    assert answer.status < 500 or answer.code == "NotImplemented", (answer, sent)
    assert "x-ms-request-id" in answer.headers and "x-ms-version" in answer.headers, (answer, sent)
    if answer.status >= 400:
        assert answer.code, (answer, sent)
        if method != "HEAD" and answer.headers["content-type"] == "application/xml":
            assert ElementTree.fromstring(answer.body).findtext("Code") == answer.code
    elif answer.headers.get("content-type") == "application/xml" and answer.body.startswith(b"<?xml"):
        ElementTree.fromstring(answer.body)
