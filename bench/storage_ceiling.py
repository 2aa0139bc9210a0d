"""About what a client of blob storage can get: a server that keeps bytes in memory and looks at nothing else.

A thread per connection reads requests from its socket. No signature, no property, no condition, no disk, no framework;
GET is `sendfile` from memory. It shows about where the client, the loopback and the machine end. It proves no limit:
its threads share Python's lock, and kyanite's large GET was quicker in some runs.
"""

from __future__ import annotations

import os
import socket
import threading

_HEAD = b'HTTP/1.1 %s\r\ncontent-length: %d\r\netag: "0x1"\r\nlast-modified: Sun, 22 Nov 2026 00:00:00 GMT\r\n%s\r\n'
_ITEM = (
    "<Blob><Name>{}</Name><Properties><Last-Modified>Sun, 22 Nov 2026 00:00:00 GMT</Last-Modified><Etag>0x1</Etag>"
    "<Content-Length>4096</Content-Length><Content-Type>a/b</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>"
)
_PIECE = 1 << 20


class _Blob:
    """Bytes in a file of memory."""

    def __init__(self) -> None:
        self.file = os.memfd_create("blob")
        self.size = 0


class _Connection:
    """Requests of one client, one after the other."""

    def __init__(self, sock: socket.socket, blobs: dict[str, list[_Blob]], blocks: dict[str, list[tuple[str, _Blob]]]):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock, self._blobs, self._blocks = sock, blobs, blocks
        self._read = b""

    def serve(self) -> None:
        """Until the client goes."""
        with self._sock:
            while self._request():
                pass

    def _request(self) -> bool:
        while (end := self._read.find(b"\r\n\r\n")) < 0:
            more = self._sock.recv(65536)
            if not more:
                return False
            self._read += more
        head, self._read = self._read[:end], self._read[end + 4 :]
        line, *fields = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        path, _, query = target.partition("?")
        if method == "PUT":
            if headers.get("expect", "").lower() == "100-continue":
                self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._put(path, query, self._body(int(headers.get("content-length", 0))))
        elif "comp=list" in query:
            self._list()
        else:
            self._get(path, headers.get("x-ms-range") or headers.get("range", ""))
        return True

    def _body(self, left: int) -> _Blob:
        blob = _Blob()
        blob.size = left
        begin, self._read = self._read[:left], self._read[left:]
        if begin:
            os.write(blob.file, begin)
        left -= len(begin)
        room = memoryview(bytearray(min(_PIECE, left)))
        while left:
            count = self._sock.recv_into(room[: min(len(room), left)])
            if not count:
                raise ConnectionError
            os.write(blob.file, room[:count])
            left -= count
        return blob

    def _put(self, path: str, query: str, blob: _Blob) -> None:
        if "comp=blocklist" in query:
            self._blobs[path] = [block for _, block in sorted(self._blocks.pop(path, []), key=lambda each: each[0])]
        elif "comp=block" in query:
            self._blocks.setdefault(path, []).append((query, blob))
        elif "restype=container" not in query:
            self._blobs[path] = [blob]
        self._sock.sendall(_HEAD % (b"201 Created", 0, b""))

    def _get(self, path: str, asked: str) -> None:
        parts = self._blobs[path]
        size = sum(part.size for part in parts)
        low, _, high = asked.removeprefix("bytes=").partition("-")
        first, last = int(low or 0), min(int(high or size - 1), size - 1)
        span = b"content-range: bytes %d-%d/%d\r\n" % (first, last, size) if asked else b""
        self._sock.sendall(_HEAD % (b"206 Partial Content" if asked else b"200 OK", last - first + 1, span))
        for part in parts:
            begin, end = max(0, first), min(part.size, last + 1)
            while begin < end:
                begin += os.sendfile(self._sock.fileno(), part.file, begin, end - begin)
            first, last = first - part.size, last - part.size

    def _list(self) -> None:
        names = sorted(path.split("/", 3)[3] for path in self._blobs if "/s/" in path)
        body = f'<?xml version="1.0"?><EnumerationResults><Blobs>{"".join(map(_ITEM.format, names))}</Blobs>'
        raw = f"{body}<NextMarker/></EnumerationResults>".encode()
        self._sock.sendall(_HEAD % (b"200 OK", len(raw), b"content-type: application/xml\r\n") + raw)


def serve(port: int) -> None:
    """Answer on this port of the loopback until the process is ended."""
    blobs: dict[str, list[_Blob]] = {}
    blocks: dict[str, list[tuple[str, _Blob]]] = {}
    with socket.create_server(("127.0.0.1", port), backlog=64) as server:
        while True:
            sock, _ = server.accept()
            threading.Thread(target=_Connection(sock, blobs, blocks).serve, daemon=True).start()
