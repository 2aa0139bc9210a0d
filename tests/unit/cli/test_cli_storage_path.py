"""Places in storage accounts as they are typed."""

from __future__ import annotations

import click
import pytest

from kyanite.cli.storage_path import StoragePath, parse_storage_path


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("acc", StoragePath("acc")),
        ("acc/c", StoragePath("acc", "c")),
        ("acc/c/", StoragePath("acc", "c", folder=True)),
        ("acc/c/a/b.txt", StoragePath("acc", "c", "a/b.txt")),
        ("acc//c//a/", StoragePath("acc", "c", "a", folder=True)),
        ("https://acc.blob.core.windows.net/c/a%20b.txt", StoragePath("acc", "c", "a b.txt")),
        ("https://acc.dfs.core.windows.net/c/d/", StoragePath("acc", "c", "d", folder=True)),
        ("https://ACC.blob.core.windows.net", StoragePath("acc")),
        ("abfss://c@acc.dfs.core.windows.net/d/e", StoragePath("acc", "c", "d/e")),
    ],
)
def test_places(text: str, place: StoragePath) -> None:
    assert parse_storage_path(text) == place


@pytest.mark.parametrize("text", ["", "/", "/acc/c", "./acc", "../x", "https://example.org/c", "s3://bucket/x"])
def test_what_is_no_place_is_wrong_usage(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_storage_path(text)


def test_a_name_joins_a_folder() -> None:
    assert str(StoragePath("a", "c").join("x")) == "a/c/x"
    assert str(StoragePath("a", "c", "d", folder=True).join("x/y")) == "a/c/d/x/y"
