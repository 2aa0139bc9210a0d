"""POSIX access control as the service writes and reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import StorageError
from kyanite.storage.access_control import (
    acl_text,
    inherited,
    permitted,
    read_acl,
    read_permissions,
    shown,
    symbols,
    with_acl,
    with_permissions,
)

RIGHTS = st.sampled_from([r + w + x for r in "r-" for w in "w-" for x in "x-"])
PRINCIPALS = st.sampled_from(["11111111-2222-3333-4444-555555555555", "somebody@example.com", "$superuser"])


@pytest.mark.parametrize(
    ("text", "shown_as"),
    [
        ("0755", "rwxr-xr-x"),
        ("640", "rw-r-----"),
        ("1777", "rwxrwxrwt"),
        ("1776", "rwxrwxrwT"),
        ("rwxr-x--T", "rwxr-x--T"),
        ("rwxrwxrwx", "rwxrwxrwx"),
    ],
)
def test_permissions(text: str, shown_as: str) -> None:
    acl, sticky = read_permissions(text)
    assert symbols(acl, sticky=sticky) == shown_as


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["", "default"]), st.sampled_from(["user", "group"]), PRINCIPALS), RIGHTS, max_size=6
    ),
    st.tuples(RIGHTS, RIGHTS, RIGHTS),
)
def test_a_list_reads_as_it_was_written(named: dict[tuple[str, str, str], str], base: tuple[str, str, str]) -> None:
    acl = {**named, **{("", kind, ""): own for kind, own in zip(("user", "group", "other"), base, strict=True)}}
    assert read_acl(acl_text(acl)) == acl
    kept = with_acl({}, acl, "set", is_folder=True)
    stored = read_acl(kept["acl"])
    assert {key: value for key, value in stored.items() if key[1] != "mask"} == acl
    for scope in ("", "default"):  # named entries never go without a mask
        assert any(key[0] == scope and key[2] for key in acl) == ((scope, "mask", "") in stored)


def test_the_mask_is_what_the_group_s_permissions_say() -> None:
    access = with_acl({}, read_acl("user::rwx,user:abc:rwx,group::r-x,other::---"), "set", is_folder=True)
    assert shown(access, is_folder=True)["permissions"] == "rwxrwx---+"
    access = with_permissions(access, "0740", is_folder=True)
    assert shown(access, is_folder=True)["permissions"] == "rwxr-----+"
    assert read_acl(access["acl"])["", "group", ""] == "r-x"
    assert read_acl(access["acl"])["", "mask", ""] == "r--"


def test_merging_and_removing() -> None:
    access = with_acl({}, read_acl("user:abc:r-x,default:user:abc:r--"), "modify", is_folder=True)
    assert {("", "user", "abc"), ("default", "user", "abc")} <= set(read_acl(access["acl"]))
    access = with_acl(access, read_acl("user:abc,user:", rights=False), "remove", is_folder=True)
    acl = read_acl(access["acl"])
    assert ("", "user", "abc") not in acl
    assert ("", "user", "") in acl  # the owner's own entry stays
    of_a_file = with_acl({}, read_acl("user:abc:r-x,default:user:abc:r--"), "modify", is_folder=False)
    assert not [key for key in read_acl(of_a_file["acl"]) if key[0]]


def test_what_a_child_gets() -> None:
    assert inherited({}, is_folder=True) == {}
    parent = {"acl": "user::rwx,group::r-x,other::---,default:user::rwx,default:group::---,default:other::r--"}
    assert inherited(parent, is_folder=False)["acl"] == "user::rwx,group::---,other::r--"
    assert inherited(parent, is_folder=True)["acl"].count("default:") == 3


@pytest.mark.parametrize(
    ("permissions", "umask", "is_folder", "found"),
    [
        ("0777", "0027", True, "rwxr-x---"),
        ("rw-rw-rw-", "0022", False, "rw-r--r--"),
        ("0777", "", False, "rwxrwxrwx"),
        ("", "0077", True, "rwx------"),
        ("", "0077", False, "rw-------"),
    ],
)
def test_permissions_of_something_new(permissions: str, umask: str, is_folder: bool, found: str) -> None:
    assert shown(permitted(permissions, umask, is_folder=is_folder), is_folder=is_folder)["permissions"] == found
    assert permitted("", "", is_folder=True) == {}


@pytest.mark.parametrize(
    "text", ["", "user", "user:a", "user::rw", "robot::rwx", "mask:a:rwx", "user:a b:rwx", "a:b:c:d"]
)
def test_lists_that_cannot_be_read(text: str) -> None:
    with pytest.raises(StorageError) as caught:
        read_acl(text)
    assert caught.value.error_code == "InvalidInput"
    with pytest.raises(StorageError):
        read_acl(",".join(f"user:{number}:rwx" for number in range(100)))
