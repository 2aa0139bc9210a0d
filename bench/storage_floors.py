"""What a Python program has to do at least to pass for blob storage: bytes to files and back, names to XML.

No signature, no condition, no property, no metadata, no checksum. `starlette` is the least Starlette app, as one writes
it; `bare` the same without any framework. Both run on uvicorn with httptools and uvloop.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

ACCOUNT = "devstoreaccount1"
PIECE_BYTES = 1 << 20
_KNOWN = {"etag": '"0x1"', "last-modified": "Sun, 22 Nov 2026 00:00:00 GMT"}


class Files:
    """Blobs as files of one folder, named by their paths."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blocks: dict[str, list[tuple[str, Path]]] = {}

    async def put(self, path: str, query: str, body: AsyncIterator[bytes]) -> None:
        """Put Blob, Put Block, Put Block List and Create Container."""
        file = self._folder / path.replace("/", "!")
        if "comp=block&" in f"{query}&":
            part = file.with_name(f"{file.name}.{len(self._blocks.setdefault(path, []))}")
            self._blocks[path].append((query, part))
            await self._write(body, part)
        elif "comp=blocklist" in query:
            await self._write(body, self._folder / "list")
            with file.open("wb", buffering=0) as out:
                for _, part in sorted(self._blocks.pop(path, [])):
                    with part.open("rb") as piece:
                        while os.copy_file_range(piece.fileno(), out.fileno(), 1 << 30):
                            pass
                    part.unlink()
        elif "restype=container" not in query:
            beside = self._folder / f"new-{time.monotonic_ns()}"
            await self._write(body, beside)
            beside.replace(file)

    async def _write(self, body: AsyncIterator[bytes], path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            async for piece in body:
                file.write(piece)

    def open(self, path: str) -> Any:
        """The file of a blob."""
        return (self._folder / path.replace("/", "!")).open("rb", buffering=0)

    def listing(self) -> bytes:
        """List Blobs of all that begin with `s/`."""
        items = []
        names = sorted(path.name for path in self._folder.iterdir() if path.name.startswith("box!s!"))
        for name in names:
            size = (self._folder / name).stat().st_size
            items.append(
                f"<Blob><Name>{name[4:].replace('!', '/')}</Name><Properties><Last-Modified>"
                "Sun, 22 Nov 2026 00:00:00 GMT</Last-Modified><Etag>0x1</Etag>"
                f"<Content-Length>{size}</Content-Length><Content-Type>a/b</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>"
            )
        blobs = f"<Blobs>{''.join(items)}</Blobs><NextMarker/>"
        return f'<?xml version="1.0"?><EnumerationResults>{blobs}</EnumerationResults>'.encode()


def asked(size: int, wanted: str) -> tuple[int, int, dict[str, str]]:
    """The first and the last byte of a range header, and what an answer tells of them."""
    first, last = 0, size - 1
    if wanted:
        low, _, high = wanted.removeprefix("bytes=").partition("-")
        first, last = int(low), min(int(high or last), last)
    return first, last, {"content-length": str(last - first + 1), "content-range": f"bytes {first}-{last}/{size}"}


def bare(folder: Path) -> Any:
    """An ASGI application without any framework."""
    files = Files(folder)

    async def pieces(receive: Any) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await receive()
            yield message.get("body", b"")
            more = message.get("more_body", False)

    async def start(send: Any, status: int, headers: dict[str, str]) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})

    async def reply(send: Any, status: int, headers: dict[str, str], data: bytes = b"") -> None:
        await start(send, status, {**headers, "content-length": str(len(data))})
        await send({"type": "http.response.body", "body": data})

    async def get(path: str, headers: dict[bytes, bytes], send: Any) -> None:
        with files.open(path) as file:
            wanted = (headers.get(b"x-ms-range") or headers.get(b"range", b"")).decode()
            first, last, told = asked(os.fstat(file.fileno()).st_size, wanted)
            await start(send, 206 if wanted else 200, {**_KNOWN, **told})
            while first <= last:
                piece = os.pread(file.fileno(), min(PIECE_BYTES, last - first + 1), first)
                first += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def application(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix(f"/{ACCOUNT}/")
        query = scope["query_string"].decode()
        if scope["method"] == "PUT":
            await files.put(path, query, pieces(receive))
            await reply(send, 201, dict(_KNOWN))
        elif "comp=list" in query:
            await reply(send, 200, {"content-type": "application/xml"}, files.listing())
        else:
            await get(path, dict(scope["headers"]), send)

    return application


def starlette(folder: Path) -> Any:
    """The least Starlette application."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    files = Files(folder)

    async def put(request: Request) -> Response:
        await files.put(request.path_params["path"], request.url.query, request.stream())
        return Response(status_code=201, headers=_KNOWN)

    async def get(request: Request) -> Response:
        if request.query_params.get("comp") == "list":
            return Response(files.listing(), media_type="application/xml")
        file = files.open(request.path_params["path"])
        wanted = request.headers.get("x-ms-range") or request.headers.get("range", "")
        first, last, told = asked(os.fstat(file.fileno()).st_size, wanted)

        async def pieces(first: int) -> AsyncIterator[bytes]:
            with file:
                while first <= last:
                    piece = os.pread(file.fileno(), min(PIECE_BYTES, last - first + 1), first)
                    first += len(piece)
                    yield piece

        return StreamingResponse(pieces(first), 206 if wanted else 200, {**_KNOWN, **told})

    path = f"/{ACCOUNT}/{{path:path}}"
    return Starlette(routes=[Route(path, put, methods=["PUT"]), Route(path, get, methods=["GET"])])


def serve(application: Any, port: int) -> None:
    """Answer on this port of the loopback until the process is ended."""
    import uvicorn

    uvicorn.run(application, port=port, http="httptools", loop="uvloop", log_level="error", lifespan="off")
