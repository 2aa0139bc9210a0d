"""Real object stores - Azure Blob and Data Lake accounts, S3 buckets - through obstore."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, cast
from urllib.parse import quote

import obstore
from obstore import exceptions
from obstore.store import AzureStore, S3Store

from kyanite.connections.azure_blocks import BlockWriter, is_proxied
from kyanite.connections.linked_service import AccountAddress
from kyanite.connections.object_files import PART_BYTES, ObjectSet, ObjectWriter, open_ranges
from kyanite.errors import StorageError, UnsupportedError
from kyanite.limits import OBJECT_STORE_CONNECT_SECONDS, OBJECT_STORE_REQUEST_SECONDS, OBJECT_STORE_RETRIES
from kyanite.storage import Entry
from kyanite.storage.model import split_container

_FOLDER_TIME = datetime.fromtimestamp(0, UTC)
_ANSWER_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,80})</Code>")
_ANSWER_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_UNREACHABLE = ("kind: Connect", "kind: Timeout", "error sending request")
SIGNED_FOR = timedelta(days=3)  # one transfer
_RETRY: Any = {
    "max_retries": OBJECT_STORE_RETRIES,
    "retry_timeout": timedelta(seconds=OBJECT_STORE_REQUEST_SECONDS),
}
_CLIENT: Any = {
    "connect_timeout": timedelta(seconds=OBJECT_STORE_CONNECT_SECONDS),
    "timeout": timedelta(seconds=OBJECT_STORE_REQUEST_SECONDS),
}


class ObjectStoreConnection:
    """Connection over obstore; `open_container` gives the store of one container or bucket.

    Folders exist only as far as files lie below them, and a set of files is committed one file after the other.
    """

    def __init__(
        self,
        kind: str,
        base_url: str,
        open_container: Callable[[str], Any],
        sign: Callable[[Any, str, str, str], str] | None = None,
    ) -> None:
        self._kind = kind
        self._sign = sign
        self._base_url = base_url
        self._open_container = open_container
        self._stores: dict[str, Any] = {}

    @property
    def kind(self) -> str:
        """The linked service type, such as `AzureBlobStorage`."""
        return self._kind

    def list(self, folder: str, *, recursive: bool = True) -> Iterator[Entry]:
        """Entries in path order; a folder with nothing below it does not exist."""
        container, inside = self._split(folder)
        with self._errors(folder):
            entries = self._listing(container, inside, recursive)
        if not entries and inside:
            raise StorageError("There is no such folder.", where=self.url(folder), code="PathNotFound")
        for entry in entries:
            yield replace(entry, path=f"{container}/{entry.path}")

    def stat(self, path: str) -> Entry | None:
        """The file at a path, else the folder when files lie below it, else None."""
        container, inside = self._split(path)
        if inside:
            with contextlib.suppress(MissingError), self._errors(path):
                return replace(_entry(obstore.head(self._store(container), inside)), path=f"{container}/{inside}")
        try:
            with self._errors(path):
                first = next(iter(self._stream(container, inside, chunk_size=1)), None)
        except MissingError:
            return None
        if not first and inside:
            return None
        return Entry(f"{container}/{inside}".rstrip("/"), 0, _FOLDER_TIME, is_folder=True)

    def open_read(self, path: str) -> BinaryIO:
        """A seekable file that reads ranges of the version it was opened at."""
        container, inside = self._split(path)
        return open_ranges(
            self._store(container), inside, lambda: self._errors(path), lambda: self.signed_url(path, "GET")
        )

    def open_write(self, path: str) -> ObjectWriter:
        """A writer that uploads in parts; the object appears when the upload is completed by `commit`."""
        container, inside = self._split(path)
        if not inside:
            raise StorageError("A file needs a name.", where=self.url(path), code="InvalidUri")
        with self._errors(path):
            writer = obstore.open_writer(self._store(container), inside, buffer_size=PART_BYTES)
        return ObjectWriter(writer, lambda: self._errors(path))

    def open_blocks(self, path: str) -> BlockWriter | None:
        """A writer into which the service can copy ranges of other blobs itself; None where there is no such thing."""
        _, inside = self._split(path)
        if self._sign is None or not inside or is_proxied(self._base_url):
            return None
        return BlockWriter(self.signed_url(path, "PUT"), self.url(path))

    def signed_url(self, path: str, method: str) -> str:
        """An address that lets its holder read (GET) or write (PUT) one file for a few days."""
        container, inside = self._split(path)
        if self._sign is None:
            raise UnsupportedError("The store gives no signed addresses.", where=self.url(path))
        with self._errors(path):
            return self._sign(self._store(container), inside, self.url(path), method)

    def open_set(self, folder: str, replaces: Callable[[str], bool], *, is_synced: bool = True) -> ObjectSet:
        """Files committed one after the other, then the rest of the older set removed: not atomic."""
        return ObjectSet(self, folder, replaces)

    def delete(self, path: str) -> None:
        """Remove an object, or everything below a folder."""
        container, inside = self._split(path)
        entry = self.stat(path)
        if entry is None:
            raise StorageError("There is no such file or folder.", where=self.url(path), code="BlobNotFound")
        with self._errors(path):
            paths = [one.path for one in self._listing(container, inside, True)] if entry.is_folder else [inside]
            for start in range(0, len(paths), 1000):
                obstore.delete(self._store(container), paths[start : start + 1000])

    def copy(self, source: str, target: str) -> None:
        """Copy one object on the server's side."""
        container, inside = self._split(source)
        target_container, target_inside = self._split(target)
        with self._errors(source):
            if container == target_container:
                obstore.copy(self._store(container), inside, target_inside)
                return
        with self.open_read(source) as reader, self.open_write(target) as writer:
            while chunk := reader.read(PART_BYTES):
                writer.write(chunk)
            writer.commit()

    def url(self, path: str) -> str:
        """The object's address."""
        return f"{self._base_url}/{quote('/'.join(self._split(path)))}".rstrip("/")

    def check(self) -> None:
        """Ask for a container that need not exist: any answer but a refusal shows that address and key are right."""
        with contextlib.suppress(MissingError), self._errors(""):
            next(iter(obstore.list(self._store("kyanite-test-connection"), chunk_size=1)), None)

    def _store(self, container: str) -> Any:
        if container not in self._stores:
            self._stores[container] = self._open_container(container)
        return self._stores[container]

    def _split(self, path: str) -> tuple[str, str]:
        container, inside = split_container(path)
        if not container and path.strip("/"):
            raise StorageError("The path names no container.", code="InvalidUri")
        return container, inside

    def _stream(self, container: str, inside: str, chunk_size: int = 1000) -> Any:
        if not container:
            raise UnsupportedError("Listing the containers of a real account is not supported.", cure="Name one.")
        return obstore.list(self._store(container), f"{inside}/" if inside else None, chunk_size=chunk_size)

    def _listing(self, container: str, inside: str, recursive: bool) -> tuple[Entry, ...]:
        if recursive:
            found = [_entry(meta) for chunk in self._stream(container, inside) for meta in chunk]
        else:
            level = obstore.list_with_delimiter(self._store(container), f"{inside}/" if inside else None)
            found = [_entry(meta) for meta in level["objects"]]
            found += [Entry(prefix, 0, _FOLDER_TIME, is_folder=True) for prefix in level["common_prefixes"]]
        # the marker blobs that hierarchical accounts keep for folders come back as empty blobs of the folder's name
        folders = {entry.path.rpartition("/")[0] for entry in found} | {inside}
        kept = [entry for entry in found if entry.is_folder or entry.size or entry.path not in folders]
        return tuple(sorted(kept, key=lambda entry: entry.path))

    @contextlib.contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except (exceptions.BaseError, OSError) as problem:
            raise _told(problem, self.url(path)) from None


class MissingError(StorageError):
    """The store says that there is no such container or object."""

    code = "BlobNotFound"
    status = 404


def _told(problem: Exception, where: str) -> StorageError:
    """The store's refusal in our words; obstore's own text is not passed on, it may hold a signed address."""
    text = str(problem)
    answer, number = _ANSWER_CODE.search(text), _ANSWER_STATUS.search(text)
    code, status = answer[1] if answer else "", int(number[1]) if number else 0
    if isinstance(problem, FileNotFoundError) or status == 404:
        if code in ("ContainerNotFound", "NoSuchBucket", "FilesystemNotFound"):
            return MissingError("There is no such container.", where=where, code="ContainerNotFound")
        return MissingError("There is no such file.", where=where)
    message, known, cure = _refusal(problem, text, status, code)
    return StorageError(message, where=where, cure=cure, code=known)


def _refusal(problem: Exception, text: str, status: int, code: str) -> tuple[str, str, str | None]:
    """Message, code and cure for everything but a missing thing."""
    if status == 401 or code in ("AuthenticationFailed", "SignatureDoesNotMatch") or "Access Key" in text:
        return "The store does not accept the given credentials.", "AuthenticationFailed", None
    if status == 403 and not code:
        # an answer to HEAD has no body that tells which of the two it is
        message = "The store does not accept the given credentials, or they do not allow this."
        return message, "AuthenticationFailed", None
    if status == 403:
        return "The credentials do not allow this.", code, None
    if status == 412 or isinstance(problem, exceptions.PreconditionError):
        return "The file changed while it was read.", "ConditionNotMet", None
    if status == 429 or status >= 500:
        return "The store is too busy or fails.", code or "ServerBusy", "Try again later."
    if not status and any(sign in text for sign in _UNREACHABLE):
        return "The store cannot be reached.", "Unreachable", "Check the address and the network."
    told = code or (f"HTTP {status}" if status else type(problem).__name__)
    return f"The store refused the request ({told}).", code or "StorageError", None


def _entry(meta: Any) -> Entry:
    etag = meta["e_tag"]
    if etag and not etag.endswith('"'):
        etag = f'"{etag}"'  # Azure's listings leave the quotes out that its headers have
    return Entry(meta["path"], meta["size"], meta["last_modified"], etag=etag)


def open_azure(address: AccountAddress, *, kind: str, given_in: str) -> ObjectStoreConnection:
    """The real storage account at an address, with its key, SAS, or anonymously."""
    base = address.endpoint or f"https://{address.account}.blob.core.windows.net"
    options: dict[str, Any] = {"account_name": address.account}
    if address.endpoint:
        options["endpoint"] = address.endpoint
    if address.key is not None:
        options["account_key"] = address.key
    elif address.sas is not None:
        options["sas_key"] = address.sas.lstrip("?")
    else:
        options["skip_signature"] = True
    client: Any = {**_CLIENT, "allow_http": base.startswith("http://")}

    def open_container(container: str) -> Any:
        try:
            return AzureStore(container, **options, client_options=client, retry_config=_RETRY)
        except exceptions.BaseError:
            # obstore names the broken character of the key; its text is not passed on
            raise StorageError(
                f"The account key given in {given_in} is no valid key (base64).", code="AuthenticationFailed"
            ) from None

    def sign(store: Any, path: str, url: str, method: str) -> str:
        if address.sas is not None and address.key is None:
            return f"{url}?{address.sas.lstrip('?')}"
        return str(obstore.sign(store, cast(Any, method), path, SIGNED_FOR))

    may_sign = address.key is not None or address.sas is not None
    return ObjectStoreConnection(kind, base.rstrip("/"), open_container, sign if may_sign else None)


def open_bucket(bucket: str) -> ObjectStoreConnection:
    """An S3 bucket with the credentials of the environment (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT`, ...).

    Without encryption (`http://`) only when the environment names such an endpoint.
    """
    endpoint = os.environ.get("AWS_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL") or ""
    client: Any = {**_CLIENT, "allow_http": endpoint.startswith("http://")}

    def open_container(name: str) -> Any:
        return S3Store(name, client_options=client, retry_config=_RETRY)

    return ObjectStoreConnection("AmazonS3", "s3:/", open_container)
