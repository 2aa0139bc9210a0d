"""Blobs found by tags on disk: pages that end early, containers that cannot have any, files that changed since."""

from __future__ import annotations

import pytest

from kyanite.secrets import Vault
from kyanite.server.storage import find_blobs
from kyanite.storage import StorageAccounts, containers
from kyanite.storage.properties import Properties
from kyanite.storage.tag_query import read_search


@pytest.fixture(params=[True, False], ids=["folders", "flat"])
def store(request, tmp_path):
    made = StorageAccounts(tmp_path / "storage", Vault()).create("acct", hierarchical=request.param).blobs
    for name in ("aaa", "bbb", "ccc"):
        containers.create(made, name)
    return made


def put(store, container, path, **tags):
    with store.stage() as staged:
        staged.write(b"x")
        store.publish(staged, container, path, Properties(tags=tags))


def pages(store, where, *, container="", most=10):
    marker = "first"
    while marker:
        found, marker = find_blobs.find(store, read_search(where), container, marker.removeprefix("first"), most)
        yield [f"{blob.container}/{blob.path}" for blob in found]


def test_pages_go_on_over_names_and_containers(store, monkeypatch):
    expected = []
    for container in ("aaa", "ccc"):
        for number in range(9):
            put(store, container, f"d/{number}", even=str(number % 2 == 0))
            if number % 2 == 0:
                expected.append(f"{container}/d/{number}")
    put(store, "bbb", "untagged")
    where = "even = 'True'"
    for most, looked_at in ((100, 100), (1, 100), (4, 100), (100, 1), (3, 4)):
        monkeypatch.setattr(find_blobs, "TAG_SEARCH_BLOBS", looked_at)
        found = list(pages(store, where, most=most))
        assert [name for page in found for name in page] == expected
        assert all(len(page) <= most for page in found)
    monkeypatch.undo()
    assert [len(page) for page in pages(store, where, container="ccc", most=3)] == [3, 2]
    assert list(pages(store, "even = 'True' and @container='ccc'")) == [expected[5:]]


def test_containers_without_matching_tags_are_not_walked(store, monkeypatch):
    put(store, "aaa", "x", kind="one")
    put(store, "bbb", "x", kind="two")
    walked = []
    real = find_blobs.listing.walk
    monkeypatch.setattr(
        find_blobs.listing, "walk", lambda *given, **more: walked.append(given[1]) or real(*given, **more)
    )
    assert list(pages(store, "kind='two'")) == [["bbb/x"]] and walked == ["bbb"]


def test_records_are_looked_at_a_part_at_a_time(store, monkeypatch):
    for number in range(7):
        put(store, "aaa", str(number), kind=str(number))
    for at_once in (1, 3, 7, 100):
        monkeypatch.setattr("kyanite.storage.properties.RECORDS_SWEPT_AT_ONCE", at_once)
        assert sorted(tags["kind"] for tags in store.records("aaa").tags()) == list("0123456")


def test_a_file_that_was_edited_by_hand_has_no_tags_any_more(store):
    put(store, "aaa", "x", kind="one")
    (store.folder / "aaa" / "x").write_bytes(b"edited")
    assert list(pages(store, "kind='one'")) == [[]]
    store.change("aaa", "x", lambda properties: Properties(tags={"kind": "two"}), quietly=True)
    assert list(pages(store, "kind='two'")) == [["aaa/x"]] and list(pages(store, "kind='one'")) == [[]]
