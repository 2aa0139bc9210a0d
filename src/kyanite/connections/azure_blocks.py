"""A blob written as blocks: bytes that we send, and ranges of other blobs that the service copies on its own side.

Both sides are asked with signed addresses (shared access signatures): the key itself is in no request.
Put Block, Put Block From URL and Put Block List: https://learn.microsoft.com/rest/api/storageservices/put-block-list
"""

from __future__ import annotations

import base64
import contextlib
import re
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast
from urllib.parse import quote, urlsplit

from kyanite.errors import StorageError
from kyanite.limits import OBJECT_STORE_REQUEST_SECONDS, OBJECT_STORE_RETRIES
from kyanite.storage.uncommitted import UncommittedFile

if TYPE_CHECKING:
    import http.client  # when it is needed: splits on this machine begin sooner without

BLOCK_BYTES = 8 * 1024 * 1024
COPIED_BLOCK_BYTES = 100 * 1024 * 1024  # the most that Put Block From URL takes
COPIED_FROM_BYTES = 1024 * 1024  # smaller ranges are sent: a request costs more than they do
AT_ONCE = 4
VERSION = "2021-12-02"
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,80})</Code>")


class Addressed(Protocol):
    """A file being read whose store can be asked by others."""

    def signed_url(self) -> str:
        """An address that lets its holder read the file for a while."""
        ...

    @property
    def etag(self) -> str | None:
        """The version that is read."""
        ...


def is_proxied(url: str) -> bool:
    """Whether the environment wants requests to this address to go through a proxy, which BlockWriter does not use."""
    from urllib.request import getproxies, proxy_bypass

    address = urlsplit(url)
    return address.scheme in getproxies() and not proxy_bypass(address.netloc)


class BlockWriter(UncommittedFile):
    """A new blob of blocks; it appears when `commit` lists them. `target` is its address, signed for writing."""

    def __init__(self, target: str, where: str) -> None:
        self._target = target
        self._where = where
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._pending: deque[Future[None]] = deque()
        self._blocks: list[str] = []
        self._buffer = bytearray()
        self._written = 0
        self._idle: list[http.client.HTTPConnection] = []
        self._copies_from: dict[str, bool] = {}  # servers -> whether ours takes ranges from there
        self.copied = 0  # bytes that never came here
        self.etag: str | None = None
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; how many these were."""
        self._check_open()
        view = memoryview(data).cast("B")
        self._buffer += view
        while len(self._buffer) >= BLOCK_BYTES:
            self._send(bytes(self._buffer[:BLOCK_BYTES]))
            del self._buffer[:BLOCK_BYTES]
        self._written += len(view)
        return len(view)

    def copy_range(self, file: object, start: int, size: int) -> int:
        """Let the service append up to `size` bytes of another blob from byte `start` on; how many, -1 if it cannot."""
        if size < COPIED_FROM_BYTES or not hasattr(file, "signed_url"):
            return -1
        self._check_open()
        source = cast(Addressed, file)
        address = source.signed_url()
        server = urlsplit(address).netloc
        if not self._copies_from.get(server, True):
            return -1
        self.flush()
        count = min(size, COPIED_BLOCK_BYTES)
        headers = {
            "x-ms-copy-source": address,
            "x-ms-source-range": f"bytes={start}-{start + count - 1}",
            "content-length": "0",
        }
        if source.etag:
            headers["x-ms-source-if-match"] = source.etag
        block = self._next_block()
        if server not in self._copies_from:  # the first one tells whether this service takes it from there
            try:
                self._put(f"comp=block&blockid={quote(block)}", b"", headers)
            except StorageError:  # whatever the reason, the bytes go the ordinary way, and errors there are told
                self._copies_from[server] = False
                self._blocks.pop()
                return -1
            self._copies_from[server] = True
        else:
            self._begin(lambda: self._put(f"comp=block&blockid={quote(block)}", b"", headers))
        self.copied += count
        self._written += count
        return count

    def tell(self) -> int:
        """Bytes written so far."""
        return self._written

    def flush(self) -> None:
        """Send what is buffered as a block."""
        if self._buffer:
            pending, self._buffer = bytes(self._buffer), bytearray()
            self._send(pending)

    def read_back(self) -> BinaryIO | None:
        """None: a blob shows nothing before its blocks are listed."""
        return None

    def commit(self) -> None:
        """List the blocks; the blob is visible from now on, and `etag` is known."""
        self._check_open()
        try:
            self.flush()
            self._wait(0)
            listed = "".join(f"<Latest>{block}</Latest>" for block in self._blocks)
            body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
            answer = self._put("comp=blocklist", body, {"content-type": "application/xml"})
            self.etag = answer.get("etag", "").strip('"') or None
        except BaseException:
            self.abort()
            raise
        self._close()

    def abort(self) -> None:
        """Drop the blocks; the service forgets them after a week. Harmless after a commit."""
        if not self.closed:
            self._close()

    def _check_open(self) -> None:
        if self.closed:
            raise StorageError("The file is no longer open for writing.", where=self._where, code="InvalidOperation")

    def _next_block(self) -> str:
        self._blocks.append(base64.b64encode(b"%08d" % len(self._blocks)).decode())
        return self._blocks[-1]

    def _send(self, data: bytes) -> None:
        block = self._next_block()
        self._begin(lambda: self._put(f"comp=block&blockid={quote(block)}", data, {}))

    def _begin(self, work: Callable[[], Any]) -> None:
        self._wait(AT_ONCE - 1)
        self._pending.append(self._pool.submit(work))

    def _wait(self, most: int) -> None:
        try:
            while len(self._pending) > most:
                self._pending.popleft().result()
        except BaseException:
            self.abort()
            raise

    def _put(self, query: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
        from http.client import HTTPException

        for attempt in range(OBJECT_STORE_RETRIES + 1):
            try:
                status, answer, text = self._ask(query, body, headers)
            except (OSError, HTTPException):
                if attempt == OBJECT_STORE_RETRIES:
                    raise StorageError(
                        "The store cannot be reached.",
                        where=self._where,
                        cure="Check the address and the network.",
                        code="Unreachable",
                    ) from None
            else:
                if status < 300:
                    return answer
                if (status != 429 and (status < 500 or status == 501)) or attempt == OBJECT_STORE_RETRIES:
                    raise self._refusal(status, text)
            time.sleep(0.2 * 2**attempt)
        raise AssertionError

    def _ask(self, query: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
        address = urlsplit(self._target)
        connection = self._connection(address.scheme, address.hostname or "", address.port)
        try:
            target = f"{address.path}?{address.query}&{query}"
            connection.request("PUT", target, body=body, headers={"x-ms-version": VERSION, **headers})
            answer = connection.getresponse()
            text = answer.read(64 * 1024).decode(errors="replace")
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        import http.client
        import ssl

        if scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=OBJECT_STORE_REQUEST_SECONDS, context=context)
        return http.client.HTTPConnection(host, port, timeout=OBJECT_STORE_REQUEST_SECONDS)

    def _close(self) -> None:
        self.closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    def _refusal(self, status: int, text: str) -> StorageError:
        found = _CODE.search(text)
        code = found[1] if found else f"HTTP{status}"
        if status == 501:
            code = "NotImplemented"
        return StorageError(f"The store refused the request ({code}).", where=self._where, code=code)
