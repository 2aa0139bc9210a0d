"""azure-storage-blob 12, unmodified: each operation once, and what is refused, on both kinds of accounts."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import (
    AccessPolicy,
    BlobBlock,
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ContentSettings,
    CorsRule,
    StandardBlobTier,
    generate_blob_sas,
)

from kyanite.runtime.workspace import open_workspace
from kyanite.secrets import Vault
from kyanite.server.tokens import Identity, issue_token
from kyanite.storage import StorageAccount
from server_kit import live_server
from storage_client import StorageClient

MD5 = base64.b64encode(hashlib.md5(b"x", usedforsecurity=False).digest())


@pytest.fixture(scope="module", params=["folders", "flat"])
def account(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageAccount]:
    workspace = open_workspace(tmp_path_factory.mktemp("blob") / "home", create=True)
    made = workspace.accounts.create("acct", hierarchical=request.param == "folders")
    with live_server(workspace) as server:
        made.url, made.vault_of_workspace = server.http_url, workspace.vault
        yield made
    workspace.close()


@pytest.fixture(scope="module")
def service(account) -> BlobServiceClient:
    credential = {"account_name": "acct", "account_key": account.keys[0]}
    return BlobServiceClient(f"{account.url}/acct", credential=credential, retry_total=0)


@pytest.fixture
def vault(account) -> Vault:
    return account.vault_of_workspace


@pytest.fixture
def box(service) -> ContainerClient:
    return service.create_container(f"box{uuid.uuid4().hex[:8]}")


def refused(kind, code, action):
    with pytest.raises(kind) as caught:
        action()
    assert (
        caught.value.error_code.value if hasattr(caught.value.error_code, "value") else caught.value.error_code
    ) == code


def test_containers(service, account):
    box = service.create_container("first", metadata={"owner": "me"})
    refused(ResourceExistsError, "ContainerAlreadyExists", lambda: service.create_container("first"))
    refused(HttpResponseError, "InvalidResourceName", lambda: service.create_container("Not_a_name"))
    (account.folder / "by-hand").mkdir()
    names = [each.name for each in service.list_containers(results_per_page=1)]
    assert {"by-hand", "first"} <= set(names) and names == sorted(names)
    shown = {each.name: each.metadata for each in service.list_containers("fir", include_metadata=True)}
    assert shown == {"first": {"owner": "me"}}
    before = box.get_container_properties()
    box.set_container_metadata({"owner": "you"})
    after = box.get_container_properties()
    assert after.metadata == {"owner": "you"} and after.etag != before.etag
    policy = AccessPolicy("rl", expiry=datetime(2030, 1, 1, tzinfo=UTC))
    box.set_container_access_policy({"readers": policy})
    assert box.get_container_access_policy()["signed_identifiers"][0].id == "readers"
    refused(
        ResourceExistsError, "PublicAccessNotPermitted", lambda: service.create_container("open", public_access="blob")
    )
    lease = box.acquire_lease(15)
    refused(HttpResponseError, "LeaseIdMissing", box.delete_container)
    box.delete_container(lease=lease)
    refused(ResourceNotFoundError, "ContainerNotFound", box.get_container_properties)
    service.delete_container("by-hand")
    assert not (account.folder / "by-hand").exists()


def test_a_blob_is_an_ordinary_file_and_its_properties_are_beside(box, account):
    settings = ContentSettings(content_type="text/plain", content_language="de", cache_control="no-cache")
    blob = box.get_blob_client("dir/a b.txt")
    blob.upload_blob(b"hello", content_settings=settings, metadata={"Key": "wert"}, tags={"a": "1"})
    file = account.folder / box.container_name / "dir" / "a b.txt"
    assert file.read_bytes() == b"hello"
    assert [p.name for p in (account.folder / box.container_name).rglob("*")] == ["dir", "a b.txt"]
    found = blob.get_blob_properties()
    assert found.content_settings.content_type == "text/plain" and found.content_settings.content_language == "de"
    assert found.metadata == {"key": "wert"} and found.tag_count == 1 and found.size == 5
    assert bytes(found.content_settings.content_md5) == hashlib.md5(b"hello", usedforsecurity=False).digest()
    file.write_bytes(b"edited by hand")
    edited = blob.get_blob_properties()
    assert edited.metadata == {} and edited.content_settings.content_md5 is None and edited.etag != found.etag
    assert blob.download_blob().readall() == b"edited by hand"


def test_files_put_there_by_hand(box, account):
    folder = account.folder / box.container_name
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/x.csv").write_bytes(b"1,2")
    (folder / "deep/link").symlink_to("/etc/passwd")
    names = [each.name for each in box.list_blobs() if each.size]
    assert names == ["deep/er/x.csv"]
    blob = box.get_blob_client("deep/er/x.csv")
    assert blob.get_blob_properties().blob_type == "BlockBlob" and blob.download_blob().readall() == b"1,2"
    refused(HttpResponseError, "LinkRefused", lambda: box.download_blob("deep/link"))
    blob.set_blob_metadata({"now": "known"})
    (folder / "deep/er/x.csv").rename(folder / "moved.csv")
    assert box.get_blob_client("moved.csv").get_blob_properties().metadata == {"now": "known"}
    assert not blob.exists()


def test_ranges(box):
    data = os.urandom(3 * 1024 * 1024)
    blob = box.upload_blob("r", data)
    assert blob.download_blob().readall() == data
    assert blob.download_blob(offset=10, length=5).readall() == data[10:15]
    assert blob.download_blob(offset=2 * 1024 * 1024).readall() == data[2 * 1024 * 1024 :]
    assert blob.download_blob(offset=0, length=100, validate_content=True).readall() == data[:100]
    refused(HttpResponseError, "InvalidRange", lambda: blob.download_blob(offset=len(data) + 1, length=3).readall())
    assert box.upload_blob("empty", b"").download_blob().readall() == b""


def test_blocks(box):
    blob = box.get_blob_client("blocks")
    for name, data in (("aaa", b"1" * 10), ("bbb", b"2" * 5), ("ccc", b"3" * 3)):
        blob.stage_block(name, data)
    assert not blob.exists()
    assert {each.name for each in box.list_blobs(include=["uncommittedblobs"])} == {"blocks"}
    refused(HttpResponseError, "InvalidBlockList", lambda: blob.commit_block_list([BlobBlock("zzz")]))
    refused(HttpResponseError, "InvalidBlobOrBlock", lambda: blob.stage_block("longer", b"x"))
    blob.commit_block_list([BlobBlock("bbb"), BlobBlock("aaa")], metadata={"k": "v"})
    assert blob.download_blob().readall() == b"22222" + b"1" * 10
    committed, waiting = blob.get_block_list("all")
    assert [(each["id"], each["size"]) for each in committed] == [("bbb", 5), ("aaa", 10)] and waiting == []
    blob.set_blob_metadata({"other": "1"})
    blob.stage_block("ddd", b"4")
    blob.commit_block_list([BlobBlock("ddd"), BlobBlock("aaa")])
    assert blob.download_blob().readall() == b"4" + b"1" * 10
    blob.commit_block_list([])
    assert blob.download_blob().readall() == b""


def test_uploads_in_blocks(box):
    data = os.urandom(9 * 1024 * 1024 + 17)
    client = BlobServiceClient(
        box.url.rpartition("/")[0], credential=box.credential, max_single_put_size=1024, max_block_size=1024 * 1024
    )
    blob = client.get_blob_client(box.container_name, "large")
    blob.upload_blob(data, max_concurrency=4, overwrite=True)
    assert blob.download_blob(max_concurrency=3).readall() == data


def test_checksums(box):
    blob = box.get_blob_client("sum")
    blob.upload_blob(b"x" * 100, validate_content=True)
    wrong = partial(blob.upload_blob, b"x" * 100, overwrite=True, headers={"Content-MD5": MD5.decode()})
    refused(HttpResponseError, "Md5Mismatch", wrong)
    refused(HttpResponseError, "InvalidMd5", partial(wrong, headers={"Content-MD5": "AAAA"}))
    crc = {"x-ms-content-crc64": "AAAAAAAAAAA="}
    refused(HttpResponseError, "Crc64Mismatch", lambda: blob.upload_blob(b"x", overwrite=True, headers=crc))
    assert blob.download_blob().readall() == b"x" * 100


@pytest.mark.parametrize("size", [0, 1000, 3 * 1024 * 1024, 9 * 1024 * 1024 + 5])
def test_crc64_and_structured_messages(box, size):
    """validate_content="crc64" sends bytes with a CRC64, streams as messages, and downloads as messages."""
    data = os.urandom(size)
    for content in (data, io.BytesIO(data)):
        blob = box.upload_blob(f"crc{size}", content, length=size, overwrite=True, validate_content="crc64")
        assert blob.download_blob().readall() == data
        if size:  # the client leaves the connection of an empty message open
            assert blob.download_blob(validate_content="crc64").readall() == data
    blob.create_append_blob() if size < 4 * 1024 * 1024 else blob.stage_block("x", io.BytesIO(data), length=size)
    if 0 < size < 4 * 1024 * 1024:
        told = blob.append_block(io.BytesIO(data), length=size, validate_content="crc64")
        assert told["content_crc64"]
        assert blob.download_blob(offset=10, length=100, validate_content="crc64").readall() == data[10:110]


def test_a_checksum_is_told_of_blocks_and_ranges(box):
    blob = box.upload_blob("told", b"123456789")
    of_nine = "iJh5CoYUi64="
    staged = blob.stage_block("a", b"123456789")
    assert base64.b64encode(staged["content_crc64"]).decode() == of_nine and staged["content_md5"] is None
    assert blob.stage_block("b", b"x", validate_content=True)["content_md5"] is not None
    seen = []
    asked = {"x-ms-range-get-content-crc64": "true"}
    blob.download_blob(0, 9, headers=asked, raw_response_hook=lambda answer: seen.append(answer.http_response.headers))
    assert seen[0]["x-ms-content-crc64"] == of_nine
    source = {"x-ms-source-content-crc64": of_nine}
    blob.stage_block_from_url("c", blob.url, headers=source)
    source = {"x-ms-source-content-crc64": "AAAAAAAAAAA="}
    refused(HttpResponseError, "Crc64Mismatch", lambda: blob.stage_block_from_url("d", blob.url, headers=source))
    both = {"x-ms-content-crc64": of_nine, "Content-MD5": MD5.decode()}
    refused(HttpResponseError, "BothCrc64AndMd5HeaderPresent", lambda: blob.stage_block("e", b"x", headers=both))


def test_append(box):
    blob = box.get_blob_client("log")
    blob.create_append_blob(metadata={"a": "b"})
    first = blob.append_block(b"one ")
    assert (first["blob_append_offset"], first["blob_committed_block_count"]) == ("0", 1)
    blob.append_block(b"two ", appendpos_condition=4)
    refused(HttpResponseError, "AppendPositionConditionNotMet", lambda: blob.append_block(b"x", appendpos_condition=4))
    refused(HttpResponseError, "MaxBlobSizeConditionNotMet", lambda: blob.append_block(b"x", maxsize_condition=8))
    source = box.upload_blob("source", b"0123456789")
    blob.append_block_from_url(source.url, source_offset=2, source_length=3, source_authorization=None)
    assert blob.download_blob().readall() == b"one two 234"
    found = blob.get_blob_properties()
    assert (
        found.blob_type == "AppendBlob"
        and found.append_blob_committed_block_count == 3
        and found.metadata == {"a": "b"}
    )
    refused(HttpResponseError, "InvalidBlobType", lambda: blob.stage_block("aaa", b"x"))
    blob.seal_append_blob()
    refused(HttpResponseError, "BlobIsSealed", lambda: blob.append_block(b"more"))
    refused(HttpResponseError, "InvalidBlobType", lambda: source.append_block(b"x"))


def test_listing(box):
    names = ["a", "a-b", "dir/1", "dir/2", "dir/sub/3", "dira", "z ü &<>"]
    for name in names:
        box.upload_blob(name, name.encode())
    files = [each.name for each in box.list_blobs(results_per_page=2) if each.size]
    assert files == sorted(names)
    assert sorted(each.name for each in box.walk_blobs(results_per_page=2)) == ["a", "a-b", "dir/", "dira", "z ü &<>"]
    assert sorted(each.name for each in box.walk_blobs("dir/")) == ["dir/1", "dir/2", "dir/sub/"]
    assert [each.name for each in box.list_blobs("dir") if each.size] == ["dir/1", "dir/2", "dir/sub/3", "dira"]
    assert [each.name for each in box.list_blobs("nothing/")] == []
    by_letter = sorted(each.name for each in box.walk_blobs(delimiter="i"))
    assert by_letter == ["a", "a-b", "di", "z ü &<>"]
    with_all = {each.name: each for each in box.list_blobs("a", include=["metadata", "tags", "copy"])}
    assert with_all["a"].size == 1 and not with_all["a"].metadata


def test_folders_show_where_there_are_folders(box, account):
    box.upload_blob("dir/file", b"x")
    names = [each.name for each in box.list_blobs(include=["metadata"])]
    assert names == (["dir", "dir/file"] if account.hierarchical else ["dir/file"])
    if account.hierarchical:
        assert box.get_blob_client("dir").get_blob_properties().metadata["hdi_isfolder"] == "true"
        box.get_blob_client("made").upload_blob(b"", metadata={"hdi_isfolder": "true"})
        assert (account.folder / box.container_name / "made").is_dir()
    else:
        box.upload_blob("dir", b"a blob and a folder of one name")
        box.upload_blob("dir/file/below", b"y")
        assert [each.name for each in box.list_blobs()] == ["dir", "dir/file", "dir/file/below"]
        assert box.download_blob("dir").readall() == b"a blob and a folder of one name"
        assert box.download_blob("dir/file").readall() == b"x"
        box.delete_blobs("dir/file/below", "dir/file")
        assert [each.name for each in box.list_blobs()] == ["dir"]


def test_names_that_no_file_system_holds(box, account):
    long = "Ä" * 200 + "/" + "b" * 300
    names = [long, ".kyanite~x", "trailing.", "sp ace /x", "per%cent", "plus+"]
    if not account.hierarchical:
        names += ["double//slash", "end/", "a" * 1000]
    for name in names:
        try:
            box.upload_blob(name, name.encode())
        except HttpResponseError as problem:
            assert account.hierarchical and name == long, problem
            continue
        assert box.download_blob(name).readall() == name.encode()
    listed = [each.name for each in box.list_blobs() if each.size]
    assert listed == sorted(name for name in names if name in listed) and len(listed) >= len(names) - 1
    outside = [p.name for p in account.folder.iterdir() if not p.name.startswith((".", "box", "first"))]
    assert outside == []


def test_conditions(box):
    blob = box.upload_blob("c", b"1")
    first = blob.get_blob_properties()
    refused(ResourceExistsError, "BlobAlreadyExists", lambda: blob.upload_blob(b"2"))
    blob.upload_blob(b"2", overwrite=True, etag=first.etag, match_condition=MatchConditions.IfNotModified)
    stale = {"etag": first.etag, "match_condition": MatchConditions.IfNotModified}
    refused(ResourceModifiedError, "ConditionNotMet", lambda: blob.upload_blob(b"3", overwrite=True, **stale))
    refused(ResourceModifiedError, "ConditionNotMet", lambda: blob.delete_blob(**stale))
    now = blob.get_blob_properties()
    unchanged = {"etag": now.etag, "match_condition": MatchConditions.IfModified}
    with pytest.raises(HttpResponseError) as caught:
        blob.download_blob(**unchanged)
    assert caught.value.status_code == 304
    later = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(HttpResponseError) as caught:
        blob.get_blob_properties(if_modified_since=later)
    assert caught.value.status_code == 304
    refused(
        HttpResponseError,
        "ConditionNotMet",
        lambda: blob.set_blob_metadata({"a": "b"}, if_unmodified_since=later - timedelta(days=1)),
    )
    assert blob.download_blob().readall() == b"2"


def test_leases(box):
    blob = box.upload_blob("l", b"1")
    lease = blob.acquire_lease(15)
    assert blob.get_blob_properties().lease.state == "leased"
    refused(HttpResponseError, "LeaseIdMissing", lambda: blob.upload_blob(b"2", overwrite=True))
    refused(HttpResponseError, "LeaseIdMissing", blob.delete_blob)
    refused(ResourceExistsError, "LeaseAlreadyPresent", lambda: blob.acquire_lease(15))
    wrong = str(uuid.uuid4())
    refused(HttpResponseError, "LeaseIdMismatchWithBlobOperation", lambda: blob.delete_blob(lease=wrong))
    blob.upload_blob(b"2", overwrite=True, lease=lease)
    lease.renew()
    lease.change(str(uuid.uuid4()))
    blob.set_blob_metadata({"a": "b"}, lease=lease)
    assert 0 <= lease.break_lease(lease_break_period=5) <= 5
    assert blob.get_blob_properties().lease.state == "breaking"
    lease.release()
    assert blob.get_blob_properties().lease.state == "available"
    refused(HttpResponseError, "LeaseNotPresentWithBlobOperation", lambda: blob.delete_blob(lease=wrong))
    blob.delete_blob()


def test_properties_tags_and_tiers(box):
    blob = box.upload_blob("p", b"1", metadata={"a": "b"})
    before = blob.get_blob_properties()
    blob.set_http_headers(ContentSettings(content_type="a/b", content_disposition="inline"))
    after = blob.get_blob_properties()
    assert after.content_settings.content_type == "a/b" and after.metadata == {"a": "b"} and after.etag != before.etag
    assert after.creation_time == before.creation_time
    blob.set_http_headers()
    after = blob.get_blob_properties()
    assert not after.content_settings.content_type
    assert [each.content_settings.content_type for each in box.list_blobs()] == [None]
    blob.set_blob_tags({"one": "1", "two": "2"})
    assert blob.get_blob_tags() == {"one": "1", "two": "2"}
    assert blob.get_blob_properties().etag == after.etag
    refused(HttpResponseError, "InvalidTag", lambda: blob.set_blob_tags({"bad": "<>"}))
    blob.set_standard_blob_tier(StandardBlobTier.COOL)
    assert blob.get_blob_properties().blob_tier == "Cool"
    blob.set_standard_blob_tier(StandardBlobTier.ARCHIVE)
    refused(HttpResponseError, "BlobArchived", lambda: blob.download_blob())


def test_copies(box, account, service):
    source = box.upload_blob("s", b"0123456789", metadata={"m": "1"}, content_settings=ContentSettings("a/b"))
    target = box.get_blob_client("t")
    assert target.start_copy_from_url(source.url)["copy_status"] == "success"
    found = target.get_blob_properties()
    assert (
        found.metadata == {"m": "1"} and found.content_settings.content_type == "a/b" and found.copy.status == "success"
    )
    target.start_copy_from_url(source.url, requires_sync=True, metadata={"own": "2"})
    assert target.get_blob_properties().metadata == {"own": "2"}
    target.upload_blob_from_url(source.url, overwrite=True)
    blob = box.get_blob_client("parts")
    blob.stage_block_from_url("aaa", source.url, source_offset=2, source_length=4)
    blob.stage_block_from_url("bbb", source.url)
    blob.commit_block_list([BlobBlock("bbb"), BlobBlock("aaa")])
    assert blob.download_blob().readall() == b"01234567892345"
    missing = box.get_blob_client("missing").url
    refused(ResourceNotFoundError, "BlobNotFound", lambda: target.start_copy_from_url(missing))
    refused(HttpResponseError, "NoPendingCopyOperation", lambda: target.abort_copy(str(uuid.uuid4())))
    signature = generate_blob_sas(
        "acct",
        box.container_name,
        "s",
        account_key=account.keys[0],
        permission=BlobSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    target.start_copy_from_url(f"{source.url}?{signature}")
    elsewhere = source.url.replace("127.0.0.1", "127.0.0.2")  # another host's account of this name is not ours
    refused(ResourceNotFoundError, "CannotVerifyCopySource", lambda: target.start_copy_from_url(elsewhere))


def test_a_source_that_is_read_by_a_token(box, account, vault):
    source, target = box.upload_blob("s", b"0123456789"), box.get_blob_client("t")
    reader = Identity("reader", "workload", frozenset({"reader"}))
    now = datetime.now(UTC)
    token = issue_token(vault, reader, audience="https://storage.azure.com", seconds=60, now=now)
    target.stage_block_from_url("aaa", source.url, source_authorization=f"Bearer {token}")
    target.start_copy_from_url(source.url, requires_sync=True, source_authorization=f"Bearer {token}")
    assert target.download_blob().readall() == b"0123456789"
    wrong = {"source_authorization": "Bearer not-one"}
    refused(HttpResponseError, "CannotVerifyCopySource", lambda: target.stage_block_from_url("b", source.url, **wrong))
    elsewhere = source.url.replace("127.0.0.1", "127.0.0.2")
    refused(HttpResponseError, "UnsupportedHeader", lambda: target.stage_block_from_url("b", elsewhere, **wrong))


def test_copies_from_other_servers(box, tmp_path):
    (tmp_path / "file").write_bytes(b"from elsewhere")
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with HTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path))) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        target = box.get_blob_client("t")
        target.start_copy_from_url(f"http://127.0.0.1:{other.server_port}/file")
        nothing = f"http://127.0.0.1:{other.server_port}/nothing"
        refused(ResourceNotFoundError, "CannotVerifyCopySource", lambda: target.start_copy_from_url(nothing))
        other.shutdown()
        thread.join()
    assert target.download_blob().readall() == b"from elsewhere"
    for address in (
        "http://169.254.169.254/metadata",
        "http://[fe80::1]/x",
        "http://0.0.0.0/x",
        "http://168.63.129.16/",
    ):
        refused(HttpResponseError, "InvalidSourceUri", lambda address=address: target.start_copy_from_url(address))
    refused(HttpResponseError, "InvalidHeaderValue", lambda: target.start_copy_from_url("file:///etc/passwd"))


def test_batches(box):
    for name in ("1", "2", "3"):
        box.upload_blob(name, b"x")
    assert [each.status_code for each in box.delete_blobs("1", "2")] == [202, 202]
    answers = list(box.delete_blobs("3", "missing", raise_on_any_failure=False))
    assert [each.status_code for each in answers] == [202, 404]
    assert list(box.list_blobs()) == []


def test_a_batch_without_a_boundary_is_one_part_that_failed(account):
    client = StorageClient(account.url, "acct", account.keys[0])
    for given, code in (("multipart/mixed", "InvalidHeaderValue"), ("x; boundary=a; boundary=b", "InvalidInput")):
        found = client.send("POST", "/", "comp=batch", b"--a\r\n", content_type=given)
        assert found.status == 202 and found.body.count(b"HTTP/1.1 400") == 1 and code.encode() in found.body
    assert client.send("POST", "/", "comp=batch", b"--a\r\n").status == 400
    stats = client.send("GET", "/", "restype=service&comp=stats")
    assert (stats.status, stats.code) == (400, "InvalidQueryParameterValue")


def test_what_is_refused_is_named(box, service):
    blob = box.upload_blob("x", b"x")
    for action, words in (
        (blob.create_snapshot, "Snapshot Blob"),
        (lambda: blob.create_page_blob(512), "Page blobs"),
        (blob.undelete_blob, "Undelete Blob"),
        (lambda: service.set_service_properties(cors=[CorsRule(["*"], ["GET"])]), "Cors"),
        (lambda: blob.set_legal_hold(True), "Legal Hold"),
        (
            lambda: BlobClient.from_blob_url(blob.url, box.credential, snapshot="2026-01-01T00:00:00Z").download_blob(),
            "snapshot",
        ),
    ):
        with pytest.raises(HttpResponseError, match=words) as caught:
            action()
        assert caught.value.status_code in (400, 501)


def test_the_account(service, account):
    found = service.get_account_information()
    assert found["account_kind"] == "StorageV2" and found["is_hns_enabled"] is account.hierarchical
    assert service.get_service_properties()["cors"] == []
    service.set_service_properties(cors=[])


def test_sixty_four_writers_on_one_blob(box, account):
    sizes = [1000 + number for number in range(64)]
    blob = box.get_blob_client("shared")
    seen = []

    def write(size):
        blob.upload_blob(bytes([size % 251]) * size, overwrite=True, metadata={"size": str(size)})

    def look():
        for _ in range(40):
            if blob.exists():
                data = blob.download_blob().readall()
                seen.append(len(data) in sizes and data == bytes([len(data) % 251]) * len(data))

    with ThreadPoolExecutor(66) as pool:
        readers = [pool.submit(look), pool.submit(look)]
        list(pool.map(write, sizes))
        for reader in readers:
            reader.result()
    assert all(seen)
    found = blob.get_blob_properties()
    assert found.metadata == {"size": str(found.size)}
    with ThreadPoolExecutor(64) as pool:
        outcomes = list(pool.map(lambda number: create_only(box, number), range(64)))
    assert outcomes.count(True) == 1
    leftover = [path.name for path in (account.folder / ".staging").iterdir()]
    assert leftover == [] and len(account.blobs.records(box.container_name).keys()) == 2


def create_only(box, number):
    try:
        box.upload_blob("once", str(number).encode())
    except ResourceExistsError:
        return False
    return True


def test_etags_stay_over_a_restart(tmp_path: Path):
    etags = []
    for _ in range(2):
        workspace = open_workspace(tmp_path / "home", create=True)
        account = workspace.accounts.create("acct")
        with live_server(workspace) as server:
            credential = {"account_name": "acct", "account_key": account.keys[0]}
            box = ContainerClient(f"{server.http_url}/acct", "box", credential=credential)
            if not box.exists():
                box.create_container(metadata={"a": "b"})
                box.upload_blob("x", b"x", metadata={"c": "d"})
            blob = box.get_blob_client("x").get_blob_properties()
            etags.append((box.get_container_properties().etag, blob.etag, blob.metadata["c"]))
        workspace.close()
    assert etags[0] == etags[1]
