"""The small Batch client against a server that checks every signature as ours does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest

from kyanite import limits
from kyanite.batch.remote_rest import RemoteBatch, Unreachable, segment
from kyanite.errors import BatchError
from kyanite.server.batch.shared_key import Signed, check_signature

KEY = "a2V5LW9mLXRoZS1hY2NvdW50"
Reply = tuple[int, object]


@contextmanager
def far_side(answer: Callable[[str, str, bytes], Reply], *, drops: int = 0) -> Iterator[tuple[str, list[str]]]:
    """A server that refuses wrong signatures; its address and the requests it saw. `drops`: connections cut first."""
    seen: list[str] = []
    left = [drops]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            path, _, query = self.path.partition("?")
            headers = {name.lower(): value for name, value in self.headers.items()}
            pairs = parse_qsl(query, keep_blank_values=True)
            check_signature(Signed(self.command, path, headers, pairs), [KEY], datetime.now(UTC))
            seen.append(f"{self.command} {self.path.partition('?')[0]}")
            if left[0]:
                left[0] -= 1
                self.close_connection = True
                return
            status, document = answer(self.command, self.path, body)
            content = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = do_PATCH = handle_one

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/batch/far", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refused(code: str, text: str = "No.\nRequestId:1") -> object:
    return {"code": code, "message": {"lang": "en-US", "value": text}}


def test_requests_are_signed_over_the_path_and_query_as_sent() -> None:
    def answer(method: str, path: str, body: bytes) -> Reply:
        return 200, {"method": method, "path": path, "body": json.loads(body) if body else None}

    with far_side(answer) as (url, seen):
        client = RemoteBatch(url, "far", KEY)
        path = f"/jobs/j/tasks/t/files/{segment('wd/out dir/a.txt')}"
        found = client.get(path, {"ocp-range": "bytes=0-9"}, **{"$filter": "state eq 'active'"}).json()
        assert found["path"].startswith(f"/batch/far{path}?%24filter=state%20eq%20%27active%27&api-version=")
        assert client.post("/jobs", {"id": "ü"}).json()["body"] == {"id": "ü"}
        assert client.post("/jobs/j/tasks/t/terminate").json()["body"] is None
        client.send("DELETE", "/jobs/j")
        client.close()
    assert [line.split()[0] for line in seen] == ["GET", "POST", "POST", "DELETE"]


def test_a_wrong_key_is_refused_by_the_far_side() -> None:
    with far_side(lambda *_: (200, {})) as (url, _), pytest.raises(BatchError):
        RemoteBatch(url, "far", "d3Jvbmc=").get("/jobs")


def test_refusals_keep_code_and_first_line() -> None:
    with far_side(lambda *_: (404, refused("PoolNotFound", "There is no such pool.\nRequestId:1"))) as (url, _):
        client = RemoteBatch(url, "far", KEY)
        with pytest.raises(BatchError, match=r"^There is no such pool\.$") as caught:
            client.get("/pools/p")
        client.close()
    assert caught.value.error_code == "PoolNotFound"


def test_an_answer_that_is_no_error_document_is_named_by_its_status() -> None:
    with far_side(lambda *_: (502, ["bad gateway"])) as (url, _):
        client = RemoteBatch(url, "far", KEY)
        with pytest.raises(BatchError, match="status 502") as caught:
            client.get("/pools/p")
        client.close()
    assert caught.value.error_code == "Status502"


def test_every_page_is_followed() -> None:
    def answer(method: str, path: str, body: bytes) -> Reply:
        asked = dict(parse_qsl(urlsplit(path).query))
        page = int(asked.get("$skiptoken", "0"))
        following = f"{here[0]}/jobs?$skiptoken={page + 1}&api-version={asked['api-version']}"
        return 200, {"value": [{"id": page}]} | ({"odata.nextLink": following} if page < 3 else {})

    here: list[str] = []
    with far_side(answer) as (url, _):
        here.append(url)
        client = RemoteBatch(url, "far", KEY)
        assert [item["id"] for item in client.pages("/jobs")] == [0, 1, 2, 3]
        client.close()


def test_a_busy_endpoint_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMOTE_WAIT_SECONDS", 0.0)
    replies = [503, 429, 200]
    with far_side(lambda *_: ((status := replies.pop(0)), refused("ServerBusy") if status > 200 else {})) as (
        url,
        seen,
    ):
        client = RemoteBatch(url, "far", KEY)
        client.get("/jobs")
        client.close()
    assert len(seen) == 3


def test_an_endpoint_that_stays_busy_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMOTE_WAIT_SECONDS", 0.0)
    with far_side(lambda *_: (503, refused("ServerBusy"))) as (url, seen):
        client = RemoteBatch(url, "far", KEY)
        with pytest.raises(BatchError) as caught:
            client.get("/jobs")
        client.close()
    assert caught.value.error_code == "ServerBusy"
    assert len(seen) == limits.REMOTE_TRIES


def test_a_connection_that_was_cut_while_idle_is_replaced() -> None:
    with far_side(lambda *_: (200, {})) as (url, seen):
        client = RemoteBatch(url, "far", KEY)
        client.get("/jobs")
        client._idle[0].sock.close()
        client.get("/jobs")
        client.close()
    assert len(seen) == 2


def test_a_cut_answer_is_unreachable() -> None:
    with far_side(lambda *_: (200, {}), drops=1) as (url, _):
        client = RemoteBatch(url, "far", KEY)
        with pytest.raises(Unreachable):
            client.get("/jobs")
        client.close()


def test_nobody_there_is_unreachable_and_names_the_endpoint() -> None:
    with far_side(lambda *_: (200, {})) as (url, _):
        gone = url
    with pytest.raises(Unreachable) as caught:
        RemoteBatch(gone, "far", KEY).get("/jobs")
    assert gone in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["", "far.batch.azure.com", "ftp://far", "https://"])
def test_what_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(BatchError, match="is not a Batch endpoint"):
        RemoteBatch(endpoint, "far", KEY)
