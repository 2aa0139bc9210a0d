from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import LimitError, UserError
from kyanite.storage.model import (
    check_account_name,
    check_container_name,
    is_account_name,
    join,
    listing_key,
    normalise,
    printable,
    split_container,
)


@pytest.mark.parametrize(
    ("path", "one_spelling"),
    [
        ("/source/NewFile.parq", "source/NewFile.parq"),
        ("/target/", "target"),
        ("//a///b", "a/b"),
        ("", ""),
        ("/", ""),
        ("a/./b/.", "a/b"),
        ("a/...", "a/..."),
        (" a / b ", " a / b "),
        ("Ünï/北.parq", "Ünï/北.parq"),
        ("a%2Fb", "a%2Fb"),
        ("C:/x", "C:/x"),
    ],
)
def test_normalise(path, one_spelling):
    assert normalise(path) == one_spelling


@pytest.mark.parametrize("path", ["..", "a/../b", "/../a", "a\0", "a\\b", "a\n", "\x7f", "\x85", "\ud800"])
def test_refused(path):
    with pytest.raises(UserError) as caught:
        normalise(path)
    str(caught.value).encode()
    assert caught.value.error_code == "InvalidUri"


def test_limits():
    assert normalise("a/" * 200 + "b")
    assert normalise("/".join(["é" * 100] * 10))
    assert normalise("a" * 255)
    for path in ("a" * 256, "é" * 128, "/".join(["a" * 200] * 6), "a/" * 254 + "b", "/" * 1025):
        with pytest.raises(LimitError):
            normalise(path)


parts = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/\\"), max_size=12)


@given(st.lists(parts | st.sampled_from(["", ".", "..", "a"]), max_size=8))
def test_normalise_against_a_naive_reference(pieces):
    path = "/".join(pieces)
    kept = [piece for piece in pieces if piece not in ("", ".")]
    if ".." in kept:
        with pytest.raises(UserError):
            normalise(path)
        return
    result = normalise(path)
    assert result == "/".join(kept)
    assert normalise(result) == result
    assert join("/", result, "") == result


@given(st.text(max_size=60))
def test_normalise_gives_a_safe_path_or_a_clear_error(path):
    try:
        result = normalise(path)
    except UserError as problem:
        str(problem).encode()
        return
    assert not result.startswith("/") and not result.endswith("/") and "//" not in result
    assert not {"..", "."} & set(result.split("/")) and "\\" not in result
    result.encode()


@given(st.lists(st.lists(st.sampled_from(["a", "a-b", "a.b", "b", "A"]), min_size=1, max_size=3), max_size=12))
def test_walking_by_listing_key_gives_full_path_order(files):
    paths = {"/".join(parts) for parts in files}
    paths = {p for p in paths if not any(other.startswith(f"{p}/") for other in paths)}

    def walk(folder):
        names = {p[len(folder) :].partition("/")[0] for p in paths if p.startswith(folder)}
        for name in sorted(names, key=lambda n: listing_key(n, f"{folder}{n}" not in paths)):
            if f"{folder}{name}" in paths:
                yield f"{folder}{name}"
            else:
                yield from walk(f"{folder}{name}/")

    assert list(walk("")) == sorted(paths)


@pytest.mark.parametrize("name", ["delabstorage1", "abc", "x" * 24, "012"])
def test_account_names(name):
    assert check_account_name(name) == name


@pytest.mark.parametrize("name", ["ab", "x" * 25, "Abc", "a-b-c", "abc\n", "äbc", ""])
def test_refused_account_names(name):
    assert not is_account_name(name)
    with pytest.raises(UserError, match="3 to 24"):
        check_account_name(name)


@pytest.mark.parametrize("name", ["filestorage", "a-b", "$root", "$web", "$logs", "0" * 63, "a1-b2-c3"])
def test_container_names(name):
    assert check_container_name(name) == name


@pytest.mark.parametrize("name", ["ab", "a" * 64, "-ab", "ab-", "a--b", "Abc", "a_b", "$x", ".staging", "..", "abc\n"])
def test_refused_container_names(name):
    with pytest.raises(UserError, match="3 to 63"):
        check_container_name(name)


def test_split_container():
    assert split_container("/box//a/b/") == ("box", "a/b")
    assert split_container("box") == ("box", "")
    assert split_container("") == ("", "")


def test_printable_escapes_and_cuts():
    assert printable("a\nb\x1b[0m\ud800") == "a\\nb\\x1b[0m\\ud800"
    assert len(printable("x" * 500)) == 201
