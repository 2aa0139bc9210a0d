"""Listings of a hierarchical namespace: files and folders alike, in the order of their paths, from anywhere on."""

from __future__ import annotations

from collections.abc import Iterator

from kyanite.storage import names
from kyanite.storage.blobs import BlobStore
from kyanite.storage.listing import children, look
from kyanite.storage.properties import Blob


def paths(
    store: BlobStore, container: str, folder: str = "", *, recursive: bool, after: str = ""
) -> Iterator[tuple[str, Blob]]:
    """What is in a folder as (key, file or folder), a folder before what is in it; only what comes after a key.

    Keys are paths, those of folders with a slash at the end, and come in text order.
    """
    yield from _below(store, container, names.stored_parts(folder), f"{folder}/" if folder else "", recursive, after)


def _below(
    store: BlobStore, container: str, stored: tuple[str, ...], base: str, recursive: bool, after: str
) -> Iterator[tuple[str, Blob]]:
    for child in children(store, container, stored):
        key = base + child.key
        place = (*stored, *child.stored)
        if key > after:
            found = look(store, container, place, base + child.name)
            if found is None:
                continue
            yield key, found
        if child.is_folder and recursive and (key > after or after.startswith(key)):
            yield from _below(store, container, place, key, recursive, after)
