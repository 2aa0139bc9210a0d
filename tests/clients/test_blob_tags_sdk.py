"""azure-storage-blob 12, unmodified: conditions on tags, and blobs found by their tags."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import HttpResponseError, ResourceModifiedError
from azure.storage.blob import BlobServiceClient, ContainerClient, generate_account_sas, generate_container_sas

from kyanite.runtime.workspace import open_workspace
from kyanite.storage import StorageAccount
from server_kit import live_server

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module", params=["folders", "flat"])
def account(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageAccount]:
    workspace = open_workspace(tmp_path_factory.mktemp("tags") / "home", create=True)
    made = workspace.accounts.create("acct", hierarchical=request.param == "folders")
    with live_server(workspace) as server:
        made.url = f"{server.http_url}/acct"
        yield made
    workspace.close()


@pytest.fixture
def service(account) -> Iterator[BlobServiceClient]:
    credential = {"account_name": "acct", "account_key": account.keys[0]}
    with BlobServiceClient(account.url, credential=credential, retry_total=0) as made:
        yield made


@pytest.fixture
def box(service) -> ContainerClient:
    return service.create_container(f"box{uuid.uuid4().hex[:8]}")


def not_met(action):
    with pytest.raises(ResourceModifiedError) as caught:
        action()
    assert caught.value.error_code == "ConditionNotMet"


def test_operations_that_depend_on_tags(box):
    blob = box.upload_blob("b", b"1", tags={"tag1 name": "my tag", "tag2": "secondtag"})
    yes = {"if_tags_match_condition": "\"tag1 name\"='my tag' AND (tag2='x' OR tag2<>'y')"}
    no = {"if_tags_match_condition": "\"tag1\"='first tag'"}
    for action in (
        lambda given: blob.get_blob_properties(**given),
        lambda given: blob.download_blob(**given).readall(),
        lambda given: blob.set_blob_metadata({"a": "b"}, **given),
        lambda given: blob.set_http_headers(**given),
        lambda given: blob.set_standard_blob_tier("Cool", **given),
        lambda given: blob.get_blob_tags(**given),
        lambda given: blob.set_blob_tags({"tag1 name": "my tag", "tag2": "z"}, **given),
        lambda given: blob.upload_blob(b"2", overwrite=True, tags={"tag1 name": "my tag", "tag2": "x"}, **given),
        lambda given: blob.commit_block_list([], tags={"tag1 name": "my tag", "tag2": "x"}, **given),
        lambda given: blob.get_block_list(**given),
        lambda given: blob.acquire_lease(15, **given).release(**given),
        lambda given: blob.start_copy_from_url(box.get_blob_client("b").url, tags=blob.get_blob_tags(), **given),
        lambda given: blob.delete_blob(**given),
    ):
        not_met(lambda action=action: action(no))
        action(yes)
    not_met(lambda: blob.upload_blob(b"", overwrite=True, **no))  # nothing is there, so nothing has the tag


def test_appends_and_sources_that_depend_on_tags(box):
    log = box.get_blob_client("log")
    log.create_append_blob(tags={"open": "yes"})
    not_met(lambda: log.append_block(b"x", if_tags_match_condition="open='no'"))
    log.append_block(b"x", if_tags_match_condition="open='yes'")
    copy = box.get_blob_client("copy")
    with pytest.raises(HttpResponseError) as caught:
        copy.start_copy_from_url(log.url, headers={"x-ms-source-if-tags": "open='no'"})
    assert caught.value.error_code == "SourceConditionNotMet" and not copy.exists()
    copy.start_copy_from_url(log.url, headers={"x-ms-source-if-tags": "open='yes'"})
    with pytest.raises(HttpResponseError) as caught:
        log.get_blob_properties(if_tags_match_condition="open=yes")
    assert caught.value.status_code == 400


def test_blobs_are_found_by_their_tags(service, box):
    other = service.create_container(f"other{uuid.uuid4().hex[:8]}")
    key = f"k{uuid.uuid4().hex[:8]}"
    for number in range(7):
        box.upload_blob(f"dir{number % 2}/{number}", b"", tags={key: f"{number:02}", "kind": "box"})
    other.upload_blob("ünd ein & <Name>", b"", tags={key: "03", "kind": "other"})
    other.upload_blob("untagged", b"")
    everywhere = list(service.find_blobs_by_tags(f"\"{key}\" = '03'"))
    assert [(each.container_name, each.name, each.tags) for each in everywhere] == [
        (box.container_name, "dir1/3", {key: "03"}),
        (other.container_name, "ünd ein & <Name>", {key: "03"}),
    ]
    in_order = ["dir0/2", "dir0/4", "dir1/3"]
    assert [each.name for each in box.find_blobs_by_tags(f"{key} >= '02' AND {key} < '05'")] == in_order
    pages = [
        [each.name for each in page]
        for page in service.find_blobs_by_tags(f"{key} >= '02' and {key} < '05'", results_per_page=1).by_page()
    ]
    assert [name for page in pages for name in page] == [*in_order, "ünd ein & <Name>"]
    assert all(len(page) <= 1 for page in pages)
    scoped = service.find_blobs_by_tags(f"@container = '{other.container_name}' AND {key}='03' AND kind='other'")
    assert [each.tags for each in scoped] == [{key: "03", "kind": "other"}]
    box.get_blob_client("dir1/3").set_blob_tags({key: "04"})
    box.delete_blob("dir0/4")
    assert [each.name for each in box.find_blobs_by_tags(f"{key}='04'")] == ["dir1/3"]
    assert list(box.find_blobs_by_tags(f"{key}='03'")) == []
    with pytest.raises(HttpResponseError, match="Error parsing query at or near character position 2") as caught:
        list(service.find_blobs_by_tags("a"))
    assert caught.value.error_code == "InvalidQueryParameterValue"


def test_a_signature_must_allow_the_search(account, service, box):
    box.upload_blob("b", b"", tags={"found": "yes"})
    key, later = account.keys[0], datetime.now(UTC) + HOUR

    def by_container(letters: str) -> list[str]:
        sas = generate_container_sas("acct", box.container_name, key, permission=letters, expiry=later)
        with ContainerClient.from_container_url(f"{box.url}?{sas}", retry_total=0) as client:
            return [each.name for each in client.find_blobs_by_tags("found='yes'")]

    def by_account(letters: str, types: str) -> list[str]:
        sas = generate_account_sas("acct", key, types, letters, later)
        with BlobServiceClient(account.url, sas, retry_total=0) as client:
            where = f"@container='{box.container_name}' and found='yes'"
            return [each.name for each in client.find_blobs_by_tags(where)]

    assert by_container("f") == by_account("f", "o") == ["b"]
    for action in (lambda: by_container("rwdlt"), lambda: by_account("rwdlt", "sco"), lambda: by_account("f", "sc")):
        with pytest.raises(HttpResponseError, match="not authorized") as caught:
            action()
        assert caught.value.status_code == 403


def test_a_signature_must_allow_tags_wherever_they_are_given_or_shown(account, service, box):
    source = box.upload_blob("b", b"", tags={"a": "b"})

    def client(letters: str) -> ContainerClient:
        later = datetime.now(UTC) + HOUR
        sas = generate_container_sas("acct", box.container_name, account.keys[0], permission=letters, expiry=later)
        return ContainerClient.from_container_url(f"{box.url}?{sas}", retry_total=0)

    def copy(on: ContainerClient) -> None:
        given = {"x-ms-copy-source-tag-option": "COPY", "x-ms-requires-sync": "true"}
        on.get_blob_client("copy").start_copy_from_url(f"{source.url}?{on.url.partition('?')[2]}", headers=given)

    with client("rwl") as without, client("rwlt") as allowed:
        assert [each.name for each in without.list_blobs()] == ["b"]
        for action in (
            lambda on: on.upload_blob("new", b"", tags={"a": "b"}),
            lambda on: list(on.list_blobs(include=["tags"])),
            copy,
        ):
            with pytest.raises(HttpResponseError) as caught:
                action(without)
            assert caught.value.status_code == 403
            action(allowed)
    assert box.get_blob_client("copy").get_blob_tags() == {"a": "b"}
