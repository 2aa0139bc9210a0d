"""The Data Lake service as its requests and answers look on the wire."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kyanite.runtime.workspace import open_workspace
from kyanite.storage import events
from server_kit import LiveServer, live_server
from storage_client import Answer, StorageClient


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    workspace = open_workspace(tmp_path_factory.mktemp("home"), create=True)
    workspace.accounts.create("acct")
    workspace.accounts.create("flat", hierarchical=False)
    with live_server(workspace) as running:
        yield running
    workspace.close()


@pytest.fixture
def lake(server: LiveServer, request: pytest.FixtureRequest) -> Iterator[StorageClient]:
    """A client, and a filesystem `data` that is empty."""
    client = client_of(server, "acct")
    client.send("DELETE", "/data", "resource=filesystem")
    assert client.send("PUT", "/data", "resource=filesystem").status == 201
    yield client


def client_of(server: LiveServer, account: str) -> StorageClient:
    keys = server.context.workspace.accounts.get(account).keys
    return StorageClient(server.http_url, account, keys[0], f"{account}.dfs.core.windows.net")


def put(lake: StorageClient, path: str, content: bytes = b"", filesystem: str = "data") -> Answer:
    assert lake.send("PUT", f"/{filesystem}/{path}", "resource=file").status == 201
    if content:
        assert lake.send("PATCH", f"/{filesystem}/{path}", "action=append&position=0", content).status == 202
    return lake.send("PATCH", f"/{filesystem}/{path}", f"action=flush&position={len(content)}&close=true")


def read(lake: StorageClient, path: str) -> bytes:
    answer = lake.send("GET", f"/data/{path}")
    assert answer.status == 200, answer.body
    return answer.body


def names(lake: StorageClient, query: str = "recursive=true") -> list[str]:
    answer = lake.send("GET", "/data", f"resource=filesystem&{query}")
    assert answer.status == 200, answer.body
    return [each["name"] for each in answer.json["paths"]]


def folder_of(server: LiveServer) -> Path:
    folder: Path = server.context.workspace.accounts.get("acct").folder
    return folder


# ---- filesystems


def test_filesystems(lake: StorageClient) -> None:
    metadata = f"Team={base64.b64encode('größe'.encode('latin-1')).decode()}"
    assert lake.send("PATCH", "/data", "resource=filesystem", x_ms_properties=metadata).status == 200
    found = lake.send("HEAD", "/data", "resource=filesystem")
    assert found.headers["x-ms-properties"] == metadata
    assert found.headers["x-ms-namespace-enabled"] == "true"
    assert lake.send("PUT", "/data", "resource=filesystem").code == "FilesystemAlreadyExists"
    assert lake.send("GET", "/", "resource=account&prefix=da").json["filesystems"][0]["name"] == "data"
    assert lake.send("DELETE", "/data", "resource=filesystem").status == 202
    gone = lake.send("GET", "/data", "resource=filesystem&recursive=true")
    assert (gone.status, gone.code, gone.json["error"]["code"]) == (404, "FilesystemNotFound", "FilesystemNotFound")


def test_pages_of_filesystems(lake: StorageClient) -> None:
    for name in ("page1", "page2", "page3"):
        lake.send("PUT", f"/{name}", "resource=filesystem")
    first = lake.send("GET", "/", "resource=account&prefix=page&maxResults=2")
    rest = lake.send("GET", "/", f"resource=account&prefix=page&continuation={first.headers['x-ms-continuation']}")
    assert [each["name"] for each in (*first.json["filesystems"], *rest.json["filesystems"])] == [
        "page1",
        "page2",
        "page3",
    ]
    assert "x-ms-continuation" not in rest.headers


# ---- writing


def test_create_append_flush_read(lake: StorageClient, server: LiveServer) -> None:
    assert lake.send("PUT", "/data/dir/a b.txt", "resource=file").status == 201
    assert read(lake, "dir/a b.txt") == b""
    pieces = {0: b"hello ", 11: b"!", 6: b"world"}  # in any order
    for position, piece in pieces.items():
        assert lake.send("PATCH", "/data/dir/a b.txt", f"action=append&position={position}", piece).status == 202
    assert read(lake, "dir/a b.txt") == b""
    flushed = lake.send("PATCH", "/data/dir/a b.txt", "action=flush&position=12")
    assert flushed.status == 200
    answer = lake.send("GET", "/data/dir/a b.txt")
    assert (answer.body, answer.headers["etag"]) == (b"hello world!", flushed.headers["etag"])
    assert (folder_of(server) / "data/dir/a b.txt").read_bytes() == b"hello world!"
    assert not list((folder_of(server) / ".appends").iterdir())


def test_more_is_appended_to_what_is_there(lake: StorageClient) -> None:
    put(lake, "log", b"one,")
    assert lake.send("PATCH", "/data/log", "action=append&position=4&flush=true", b"two").status == 202
    assert read(lake, "log") == b"one,two"
    assert lake.send("PATCH", "/data/log", "action=append&position=3", b"x").code == "InvalidQueryParameterValue"


@pytest.mark.parametrize("position", [1, 5, 99])
def test_a_flush_beyond_what_arrived(lake: StorageClient, position: int) -> None:
    lake.send("PUT", "/data/f", "resource=file")
    lake.send("PATCH", "/data/f", "action=append&position=2", b"ab")
    refused = lake.send("PATCH", "/data/f", f"action=flush&position={position}")
    assert (refused.status, refused.code) == (400, "InvalidFlushPosition")
    assert read(lake, "f") == b""


def test_bytes_beyond_the_flush_are_kept_when_asked_for(lake: StorageClient) -> None:
    lake.send("PUT", "/data/f", "resource=file")
    lake.send("PATCH", "/data/f", "action=append&position=0", b"abcdef")
    assert lake.send("PATCH", "/data/f", "action=flush&position=3&retainUncommittedData=true").status == 200
    assert read(lake, "f") == b"abc"
    assert lake.send("PATCH", "/data/f", "action=flush&position=6").status == 200
    assert read(lake, "f") == b"abcdef"
    lake.send("PATCH", "/data/f", "action=append&position=6", b"ghi")
    lake.send("PATCH", "/data/f", "action=flush&position=7")
    assert lake.send("PATCH", "/data/f", "action=flush&position=9").code == "InvalidFlushPosition"


def test_appended_bytes_follow_a_renamed_file(lake: StorageClient) -> None:
    lake.send("PUT", "/data/f", "resource=file")
    lake.send("PATCH", "/data/f", "action=append&position=0", b"abc")
    assert lake.send("PUT", "/data/g", x_ms_rename_source="/data/f").status == 201
    assert lake.send("PATCH", "/data/g", "action=flush&position=3").status == 200
    assert read(lake, "g") == b"abc"


def test_a_file_made_anew_forgets_what_was_appended(lake: StorageClient) -> None:
    lake.send("PUT", "/data/f", "resource=file")
    lake.send("PATCH", "/data/f", "action=append&position=0", b"abc")
    lake.send("PUT", "/data/f", "resource=file")
    assert lake.send("PATCH", "/data/f", "action=flush&position=3").code == "InvalidFlushPosition"


def test_many_append_at_once(lake: StorageClient) -> None:
    lake.send("PUT", "/data/f", "resource=file")
    pieces = [bytes([number]) * 10_000 for number in range(32)]

    def send(number: int) -> int:
        return lake.send("PATCH", "/data/f", f"action=append&position={number * 10_000}", pieces[number]).status

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(send, reversed(range(32)))) == {202}
        flushes = {answer.status for answer in pool.map(lambda _: flush(lake, 320_000), range(8))}
    assert flushes == {200}
    assert read(lake, "f") == b"".join(pieces)


def flush(lake: StorageClient, position: int) -> Answer:
    return lake.send("PATCH", "/data/f", f"action=flush&position={position}")


def test_content_that_was_damaged_on_the_way(lake: StorageClient) -> None:
    lake.send("PUT", "/data/f", "resource=file")
    wrong = base64.b64encode(b"0" * 16).decode()
    assert lake.send("PATCH", "/data/f", "action=append&position=0", b"abc", content_md5=wrong).code == "Md5Mismatch"
    assert lake.send("PATCH", "/data/f", "action=flush&position=3").code == "InvalidFlushPosition"


def test_create_only_when_there_is_nothing(lake: StorageClient) -> None:
    put(lake, "f", b"abc")
    refused = lake.send("PUT", "/data/f", "resource=file", if_none_match="*")
    assert (refused.status, refused.code) == (409, "PathAlreadyExists")
    assert lake.send("PUT", "/data/f/g", "resource=file").code == "PathConflict"
    assert lake.send("PUT", "/data/f", "resource=directory").code == "PathConflict"
    assert lake.send("PUT", "/data/d", "resource=directory").status == 201
    assert lake.send("PUT", "/data/d", "resource=directory").status == 201
    assert lake.send("PUT", "/data/d", "resource=directory", if_none_match="*").code == "PathAlreadyExists"
    assert lake.send("PUT", "/data/d", "resource=file").code == "PathConflict"
    assert read(lake, "f") == b"abc"


def test_an_event_is_told_when_the_file_is_closed(lake: StorageClient, server: LiveServer) -> None:
    events.listen(folder_of(server))
    try:
        lake.send("PUT", "/data/f", "resource=file")
        lake.send("PATCH", "/data/f", "action=append&position=0&flush=true", b"abc")
        assert events.noted(folder_of(server)) == []
        lake.send("PATCH", "/data/f", "action=flush&position=3&close=true")
        assert [(note.kind, note.container, note.paths) for note in events.noted(folder_of(server))] == [
            ("created", "data", ("f",))
        ]
    finally:
        events.stop_listening(folder_of(server))


# ---- reading


def test_ranges(lake: StorageClient) -> None:
    put(lake, "f", b"0123456789")
    part = lake.send("GET", "/data/f", range="bytes=2-4")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert lake.send("GET", "/data/f", x_ms_range="bytes=8-").body == b"89"
    assert lake.send("GET", "/data/f", range="bytes=10-11").status == 416


def test_properties(lake: StorageClient) -> None:
    metadata = f"a={base64.b64encode(b'1').decode()},b={base64.b64encode(b'2').decode()}"
    made = {"x-ms-content-type": "text/csv", "x-ms-cache-control": "no-store", "x-ms-properties": metadata}
    lake.send("PUT", "/data/f", "resource=file", **made)
    found = lake.send("HEAD", "/data/f", "action=getStatus").headers
    assert (found["x-ms-resource-type"], found["content-type"]) == ("file", "text/csv")
    assert "x-ms-properties" not in found
    lake.send("PATCH", "/data/f", "action=setProperties", x_ms_content_type="text/plain")
    whole = lake.send("GET", "/data/f").headers
    assert (whole["content-type"], whole["cache-control"], whole["x-ms-properties"]) == (
        "text/plain",
        "no-store",
        metadata,
    )
    assert lake.send("HEAD", "/data/nothing", "action=getStatus").code == "PathNotFound"


def test_conditions(lake: StorageClient) -> None:
    etag = put(lake, "f", b"abc").headers["etag"]
    assert lake.send("GET", "/data/f", if_none_match=etag).status in (200, 304)
    assert lake.send("HEAD", "/data/f", "action=getStatus", if_none_match=etag).status == 304
    assert lake.send("PATCH", "/data/f", "action=setProperties", if_match='"0x1"').code == "ConditionNotMet"
    assert lake.send("DELETE", "/data/f", "recursive=false", if_match=etag).status == 200


# ---- listing


def test_listing(lake: StorageClient) -> None:
    for path in ("a/b/c", "a.txt", "a/b.txt", "z"):
        put(lake, path, b"x")
    everything = ["a.txt", "a", "a/b.txt", "a/b", "a/b/c", "z"]
    assert names(lake) == everything
    assert names(lake, "recursive=false") == ["a.txt", "a", "z"]
    assert names(lake, "recursive=false&directory=/a//") == ["a/b.txt", "a/b"]
    assert names(lake, "recursive=true&directory=a/b") == ["a/b/c"]
    pages, after = [], ""
    while True:
        answer = lake.send("GET", "/data", f"resource=filesystem&recursive=true&maxResults=1&continuation={after}")
        pages += [each["name"] for each in answer.json["paths"]]
        after = answer.headers.get("x-ms-continuation", "")
        if not after:
            break
    assert pages == everything
    item = lake.send("GET", "/data", "resource=filesystem&recursive=false").json["paths"][1]
    assert (item["isDirectory"], item["permissions"], item["owner"]) == ("true", "rwxr-x---", "$superuser")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("recursive=true&directory=nothing", "PathNotFound"),
        ("recursive=perhaps", "InvalidQueryParameterValue"),
        ("recursive=true&maxResults=0", "InvalidQueryParameterValue"),
        ("recursive=true&continuation=%21%21", "InvalidQueryParameterValue"),
        ("recursive=true&directory=../up", "InvalidUri"),
        ("", "InvalidQueryParameterValue"),
    ],
)
def test_listings_that_make_no_sense(lake: StorageClient, query: str, code: str) -> None:
    assert lake.send("GET", "/data", f"resource=filesystem&{query}".rstrip("&")).code == code


def test_slashes_collapse(lake: StorageClient) -> None:
    assert lake.send("PUT", "/data//source//NewFile.parq", "resource=file").status == 201
    assert names(lake) == ["source", "source/NewFile.parq"]
    assert lake.send("HEAD", "/data/source/NewFile.parq", "action=getStatus").status == 200


# ---- moving


def test_rename_a_file_over_another(lake: StorageClient) -> None:
    put(lake, "old", b"old")
    put(lake, "new", b"new")
    assert lake.send("PUT", "/data/new", "mode=legacy", x_ms_rename_source="/data/old").status == 201
    assert (read(lake, "new"), names(lake)) == (b"old", ["new"])


def test_rename_a_folder_to_another_filesystem(lake: StorageClient) -> None:
    put(lake, "d/x/y", b"1")
    lake.send("PATCH", "/data/d/x/y", "action=setProperties", x_ms_properties="k=dg==")
    lake.send("PUT", "/other", "resource=filesystem")
    lake.send("DELETE", "/other/e", "recursive=true")
    assert lake.send("PUT", "/other/e", x_ms_rename_source="/data/d").status == 201
    assert names(lake) == []
    assert lake.send("HEAD", "/other/e/x/y", "action=getStatus").status == 200
    assert lake.send("GET", "/other/e/x/y", "action=read").code == "InvalidQueryParameterValue"


def test_renames_that_cannot_be(lake: StorageClient) -> None:
    put(lake, "d/f", b"1")
    put(lake, "full/x", b"1")

    def move(target: str, source: str, **headers: str) -> tuple[int, str]:
        answer = lake.send("PUT", target, x_ms_rename_source=source, **headers)
        return answer.status, answer.code

    assert move("/data/g", "/data/nothing") == (404, "SourcePathNotFound")
    assert move("/data/no/parent", "/data/d/f") == (404, "RenameDestinationParentPathNotFound")
    assert move("/data/d/e", "/data/d") == (409, "InvalidRenameSourcePath")
    assert move("/data/full", "/data/d") == (409, "PathAlreadyExists")
    assert move("/data/full", "/data/d/f") == (409, "InvalidSourceOrDestinationResourceType")
    assert move("/data/full/x", "/data/d") == (409, "InvalidSourceOrDestinationResourceType")
    assert move("/nothing/x", "/data/d/f") == (404, "FilesystemNotFound")
    assert move("/data/full/x", "/data/d/f", if_none_match="*") == (409, "PathAlreadyExists")
    assert move("/data/g", "/data/d/f", x_ms_source_if_match='"0x1"')[0] == 412
    assert move("/data/g", "d/f") == (400, "InvalidSourceUri")
    assert names(lake) == ["d", "d/f", "full", "full/x"]


def test_delete(lake: StorageClient) -> None:
    put(lake, "d/f", b"1")
    assert lake.send("DELETE", "/data/d", "recursive=false").code == "DirectoryNotEmpty"
    assert lake.send("DELETE", "/data/d", "recursive=true").status == 200
    assert lake.send("DELETE", "/data/d", "recursive=true").code == "PathNotFound"
    assert lake.send("DELETE", "/data/", "recursive=true").code == "InvalidUri"
    assert names(lake) == []


# ---- access control


def access(lake: StorageClient, path: str) -> tuple[str, str]:
    headers = lake.send("HEAD", f"/data/{path}", "action=getAccessControl").headers
    return headers["x-ms-permissions"], headers["x-ms-acl"]


def test_access_control(lake: StorageClient) -> None:
    put(lake, "d/f", b"1")
    assert access(lake, "") == ("rwxr-x---", "user::rwx,group::r-x,other::---")
    assert access(lake, "d/f") == ("rw-r-----", "user::rw-,group::r--,other::---")
    lake.send(
        "PATCH", "/data/d/f", "action=setAccessControl", x_ms_permissions="0755", x_ms_owner="me", x_ms_group="us"
    )
    headers = lake.send("HEAD", "/data/d/f", "action=getAccessControl").headers
    assert (headers["x-ms-permissions"], headers["x-ms-owner"], headers["x-ms-group"]) == ("rwxr-xr-x", "me", "us")
    acl = "user::rwx,user:abc:r-x,group::r-x,other::--x,default:user::rwx,default:group::r--,default:other::---"
    assert lake.send("PATCH", "/data/d", "action=setAccessControl", x_ms_acl=acl).status == 200
    assert access(lake, "d")[0] == "rwxr-x--x+"
    assert "mask::r-x" in access(lake, "d")[1]
    put(lake, "d/new", b"")
    assert access(lake, "d/new")[1] == "user::rwx,group::r--,other::---"


def test_access_control_of_a_tree(lake: StorageClient) -> None:
    for path in ("d/f1", "d/f2", "d/e/f3"):
        put(lake, path, b"1")
    query = "action=setAccessControlRecursive&mode=modify&maxRecords=2"
    counts, after = {"directoriesSuccessful": 0, "filesSuccessful": 0}, ""
    while True:
        answer = lake.send("PATCH", "/data/d", f"{query}&continuation={after}", x_ms_acl="user:abc:rwx")
        assert answer.json["failureCount"] == 0
        counts = {name: counts[name] + answer.json[name] for name in counts}
        after = answer.headers.get("x-ms-continuation", "")
        if not after:
            break
    assert counts == {"directoriesSuccessful": 2, "filesSuccessful": 3}
    assert "user:abc:rwx" in access(lake, "d/e/f3")[1]
    removed = lake.send("PATCH", "/data/d", "action=setAccessControlRecursive&mode=remove", x_ms_acl="user:abc")
    assert removed.json["filesSuccessful"] == 3
    assert "abc" not in access(lake, "d/e/f3")[1]


@pytest.mark.parametrize("header", ["x_ms_acl", "x_ms_permissions"])
@pytest.mark.parametrize("value", ["nonsense", "user:rwx", "user::rwz,group::r--,other::---", "9999"])
def test_access_control_that_cannot_be_read(lake: StorageClient, header: str, value: str) -> None:
    put(lake, "f", b"1")
    refused = lake.send("PATCH", "/data/f", "action=setAccessControl", **{header: value})
    assert (refused.status, refused.code) == (400, "InvalidInput")


def test_check_access(lake: StorageClient) -> None:
    put(lake, "f", b"1")
    assert lake.send("HEAD", "/data/f", "action=checkAccess&fsAction=rw-").status == 200
    assert lake.send("HEAD", "/data/f", "action=checkAccess&fsAction=all").status == 400
    assert lake.send("HEAD", "/data/g", "action=checkAccess&fsAction=r--").status == 404


# ---- leases


def test_leases(lake: StorageClient) -> None:
    put(lake, "f", b"1")
    lease = "11111111-2222-3333-4444-555555555555"
    asked = {"x_ms_lease_action": "acquire", "x_ms_lease_duration": "-1", "x_ms_proposed_lease_id": lease}
    taken = lake.send("POST", "/data/f", **asked)
    assert (taken.status, taken.headers["x-ms-lease-id"]) == (201, lease)
    assert lake.send("HEAD", "/data/f", "action=getStatus").headers["x-ms-lease-state"] == "leased"
    assert lake.send("PATCH", "/data/f", "action=setProperties").code == "LeaseIdMissing"
    assert lake.send("DELETE", "/data/f", "recursive=false").code == "LeaseIdMissing"
    assert lake.send("PATCH", "/data/f", "action=append&position=1", b"x").code == "LeaseIdMissing"
    assert lake.send("PATCH", "/data/f", "action=append&position=1&flush=true", b"x", x_ms_lease_id=lease).status == 202
    assert lake.send("PUT", "/data/g", x_ms_rename_source="/data/f").status == 412
    assert lake.send("PUT", "/data/g", x_ms_rename_source="/data/f", x_ms_source_lease_id=lease).status == 201
    assert read(lake, "g") == b"1x"


def test_leases_that_come_with_the_bytes(lake: StorageClient) -> None:
    put(lake, "f")
    lease = "11111111-2222-3333-4444-555555555555"
    taken = {"x_ms_lease_action": "acquire", "x_ms_lease_duration": "15", "x_ms_proposed_lease_id": lease}
    first = lake.send("PATCH", "/data/f", "action=append&position=0", b"ab", **taken)
    assert (first.status, first.headers["x-ms-lease-id"]) == (202, lease)
    assert lake.send("PATCH", "/data/f", "action=append&position=2", b"c").code == "LeaseIdMissing"
    held = {"x_ms_lease_id": lease}
    renewed = lake.send("PATCH", "/data/f", "action=append&position=2", b"c", x_ms_lease_action="auto-renew", **held)
    assert renewed.headers["x-ms-lease-renewed"] == "true"
    done = lake.send("PATCH", "/data/f", "action=flush&position=3", x_ms_lease_action="release", **held)
    assert done.status == 200, done.body
    assert lake.send("HEAD", "/data/f", "action=getStatus").headers["x-ms-lease-state"] == "available"
    once = {**taken, "x_ms_lease_action": "acquire-release"}
    assert lake.send("PATCH", "/data/f", "action=append&position=3&flush=true", b"d", **once).status == 202
    assert lake.send("HEAD", "/data/f", "action=getStatus").headers["x-ms-lease-state"] == "available"
    assert read(lake, "f") == b"abcd"


# ---- one address for this service and Blob


def test_the_account_in_the_path(lake: StorageClient, server: LiveServer) -> None:
    both = StorageClient(server.http_url, "acct", lake.key)
    put(both, "d/f", b"abc")
    assert names(both) == ["d", "d/f"]
    assert both.send("PUT", "/data/d/g", "mode=legacy", x_ms_rename_source="/data/d/f").status == 201
    assert both.send("HEAD", "/data/d/g", "action=getAccessControl").headers["x-ms-owner"] == "$superuser"
    assert both.send("DELETE", "/data/d", "recursive=true").status == 200
    assert names(both) == []


def test_a_rename_whose_client_lost_the_account(lake: StorageClient, server: LiveServer) -> None:
    put(lake, "f", b"abc")
    both = StorageClient(server.http_url, "acct", lake.key)
    moved = both.send_raw("PUT", "/data/g", "mode=legacy", b"", headers={"x-ms-rename-source": "/acct/data/f"})
    assert moved.status == 201, moved.body
    assert names(lake) == ["g"]
    assert both.send_raw("PUT", "/data/h", "resource=file", b"", headers={}).status == 403


# ---- refused by name


def test_a_flat_account(server: LiveServer) -> None:
    flat = client_of(server, "flat")
    refused = flat.send("HEAD", "/data/", "action=getAccessControl")
    assert (refused.status, refused.code) == (400, "HierarchicalNamespaceNotEnabled")


def test_what_is_not_here(lake: StorageClient) -> None:
    put(lake, "f", b"1")
    undelete = lake.send("PUT", "/data/f", "comp=undelete", x_ms_undelete_source="f?deletionid=1")
    assert (undelete.status, undelete.code) == (501, "NotImplemented")
    assert "soft delete" in undelete.json["error"]["message"]
    assert lake.send("PUT", "/data/f", "resource=file", x_ms_encryption_key="AAAA").code == "UnsupportedHeader"
    assert lake.send("PATCH", "/data/f", "action=explode").code == "InvalidQueryParameterValue"
    assert lake.send("PUT", "/data/f", "resource=link").code == "InvalidQueryParameterValue"
    assert lake.send("PUT", "/data/f", "resource=file", signed=False).status == 401
