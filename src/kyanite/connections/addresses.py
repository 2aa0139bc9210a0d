"""Addresses as people write them - URLs and file paths - opened as a connection and a path in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from kyanite.connections.connection import Connection
from kyanite.connections.local_folder import LocalFolder
from kyanite.errors import UnsupportedError, UserError
from kyanite.storage.model import join, normalise

if TYPE_CHECKING:
    from kyanite.storage import StorageAccounts

_FORMS = (
    "https://ACCOUNT.blob.core.windows.net/container/path",
    "abfss://container@ACCOUNT.dfs.core.windows.net/path",
    "wasbs://container@ACCOUNT.blob.core.windows.net/path",
    "s3://bucket/path",
    "a file path",
)


def open_url(url: str, accounts: StorageAccounts | None, credential: str | None = None) -> tuple[Connection, str]:
    """The connection of an address and the path in it (`container/dir/file`, or the path below `/` for files).

    `credential` is an account key, or a SAS when it looks like one; an account of the workspace checks it.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    match scheme:
        case "":
            return _open_file(url)
        case "file":
            return _open_file(unquote(urlsplit(url).path))
        case "http" | "https" | "abfs" | "abfss" | "wasb" | "wasbs":
            from kyanite.connections.azure_addresses import open_azure_url

            return open_azure_url(url, scheme, accounts, credential)
        case "s3" | "s3a":
            from kyanite.connections.object_store import open_bucket

            bucket, _, rest = url.partition("://")[2].partition("/")
            return open_bucket(bucket), join(bucket, rest)
    raise UnsupportedError(f"`{scheme}://` addresses are not known.", cure=f"Known are {', '.join(_FORMS)}.")


def is_local(url: str) -> bool:
    """Whether an address is a file path of this machine."""
    return "://" not in url or url.lower().startswith("file://")


def _open_file(path: str) -> tuple[Connection, str]:
    if not path:
        raise UserError("The path is empty.")
    return LocalFolder(Path("/")), normalise(os.path.realpath(Path(path).expanduser()))
