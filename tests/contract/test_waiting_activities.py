"""Validation and WebHook through a real worker: what they wait for, what they give, how they end."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kyanite.definitions.load import load_documents
from kyanite.runtime.monitor import activity_runs
from kyanite.runtime.start import start_run
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import Workspace, open_workspace

LINKED = {"referenceName": "store", "type": "LinkedServiceReference"}
STORE = {
    "name": "store",
    "properties": {"type": "AzureBlobStorage", "typeProperties": {"connectionString": "AccountName=boxes"}},
}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(tmp_path / "home", create=True) as opened:
        opened.accounts.create("boxes").create_container("data")
        yield opened


def run_one(workspace: Workspace, activity: dict, file: str | None = "flag.txt") -> dict[str, Any]:
    location = {"type": "AzureBlobStorageLocation", "container": "data", "folderPath": "in"}
    properties = {"location": {**location, "fileName": file} if file else location}
    dataset = {
        "name": "flag",
        "properties": {"type": "Binary", "linkedServiceName": LINKED, "typeProperties": properties},
    }
    pipeline = {"name": "main", "properties": {"activities": [activity]}}
    documents = [("pipeline", pipeline), ("dataset", dataset), ("linkedService", STORE)]
    run_id = start_run(workspace, load_documents("f", documents), "main")
    Worker(workspace).run(run_id)
    return activity_runs(workspace, run_id)[-1]


def validation(**properties: Any) -> dict:
    reference = {"referenceName": "flag", "type": "DatasetReference"}
    return {"name": "V", "type": "Validation", "typeProperties": {"dataset": reference, "sleep": 1, **properties}}


def put(workspace: Workspace, path: str, content: bytes) -> None:
    account = workspace.accounts.get("boxes")
    assert account is not None
    with account.open_write("data", path) as out:
        out.write(content)
        out.commit()


def test_validation_finds_a_file(workspace: Workspace) -> None:
    put(workspace, "in/flag.txt", b"12345")
    row = run_one(workspace, validation(minimumSize=5))
    assert row["status"] == "Succeeded"
    expected = {"exists": True, "itemName": "flag.txt", "itemType": "File", "size": 5}
    assert {name: row["output"][name] for name in expected} == expected


def test_validation_waits_for_a_file_that_comes_later(workspace: Workspace) -> None:
    late = threading.Timer(0.4, put, args=(workspace, "in/flag.txt", b"now"))
    late.start()
    began = time.monotonic()
    assert run_one(workspace, validation(timeout="0.00:00:20"))["status"] == "Succeeded"
    assert time.monotonic() - began >= 0.4
    late.join()


def test_validation_fails_when_its_time_is_over(workspace: Workspace) -> None:
    put(workspace, "in/flag.txt", b"small")
    row = run_one(workspace, validation(timeout="0.00:00:01", minimumSize=100))
    assert (row["status"], row["error"]["errorCode"]) == ("Failed", "ActivityTimeout")
    assert "data/in/flag.txt" in row["error"]["message"]


@pytest.mark.parametrize(
    ("children", "filled", "status"),
    [
        (True, True, "Succeeded"),
        (True, False, "Failed"),
        (False, False, "Succeeded"),
        (False, True, "Failed"),
        (None, True, "Succeeded"),
    ],
)
def test_validation_of_a_folder_by_what_is_in_it(
    workspace: Workspace, children: bool | None, filled: bool, status: str
) -> None:
    account = workspace.accounts.get("boxes")
    assert account is not None
    account.make_folder("data", "in")
    if filled:
        put(workspace, "in/a.txt", b"x")
    more = {} if children is None else {"childItems": children}
    row = run_one(workspace, validation(timeout="0.00:00:01", **more), file=None)
    assert row["status"] == status
    if status == "Succeeded" and filled:
        assert row["output"]["childItems"] == [{"name": "a.txt", "type": "File"}]


class Target:
    """A server that a WebHook calls; `answer` says what to POST to the callback address, None for nothing."""

    def __init__(self, answer: Any, status: int = 200, location: str = "") -> None:
        self.bodies: list[dict] = []
        self.headers: list[dict] = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                target.headers.append(dict(self.headers))
                self.send_error(404)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                target.bodies.append(body)
                target.headers.append(dict(self.headers))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                if answer is not None and status == 200:
                    threading.Timer(0.1, target.call_back, args=(body["callBackUri"], answer)).start()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def call_back(self, address: str, answer: Any) -> None:
        request = urllib.request.Request(address, data=json.dumps(answer).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as reply:
            assert reply.status == 200

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(timeout=5)


def web_hook(target: Target, **properties: Any) -> dict:
    base = {"method": "POST", "url": target.url, "body": {"a": 1}, "timeout": "00:00:10"}
    return {"name": "W", "type": "WebHook", "typeProperties": {**base, **properties}}


def call(workspace: Workspace, target: Target, **properties: Any) -> dict[str, Any]:
    try:
        return run_one(workspace, web_hook(target, **properties))
    finally:
        target.close()


def test_a_web_hook_waits_for_its_callback(workspace: Workspace) -> None:
    target = Target({"Output": {"rows": 3}})
    password = {"type": "SecureString", "value": "open sesame"}
    authentication = {"type": "Basic", "username": "u", "password": password}
    row = call(workspace, target, authentication=authentication, headers={"X-Team": "t"})
    assert (row["status"], row["output"]) == ("Succeeded", {"rows": 3})
    assert target.bodies[0]["a"] == 1
    assert target.headers[0]["X-Team"] == "t" and target.headers[0]["Authorization"].startswith("Basic ")
    assert "open sesame" not in json.dumps(row)


def test_a_callback_can_report_a_failure(workspace: Workspace) -> None:
    answer = {"Output": {}, "Error": {"ErrorCode": "E7", "Message": "no room"}, "StatusCode": "403"}
    row = call(workspace, Target(answer), reportStatusOnCallBack=True)
    assert (row["status"], row["error"]["errorCode"], row["error"]["message"]) == ("Failed", "E7", "no room")
    assert call(workspace, Target(answer))["status"] == "Succeeded"


def test_a_callback_that_does_not_come(workspace: Workspace) -> None:
    row = call(workspace, Target(None), timeout="00:00:01")
    assert (row["status"], row["error"]["errorCode"]) == ("Failed", "ActivityTimeout")


def test_an_address_that_refuses(workspace: Workspace) -> None:
    row = call(workspace, Target(None, status=500))
    assert row["error"]["errorCode"] == "2108" and "500" in row["error"]["message"]


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "168.63.129.16"])
def test_addresses_of_metadata_are_refused(workspace: Workspace, host: str) -> None:
    target = Target(None)
    row = call(workspace, target, url=f"http://{host}/metadata")
    assert "link-local" in row["error"]["message"] and target.bodies == []


def test_the_address_that_is_really_connected_to_is_checked(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kyanite.activities.web_hook._refuse_internal", lambda url: None)
    monkeypatch.setattr("kyanite.activities.web_hook.METADATA", frozenset({"127.0.0.1"}))
    target = Target(None)
    row = call(workspace, target)
    assert "link-local" in row["error"]["message"] and target.bodies == []


def test_a_redirect_is_not_followed_with_the_credentials(workspace: Workspace) -> None:
    other = Target(None)
    target = Target(None, status=302, location=other.url)
    row = call(workspace, target, authentication={"type": "Basic", "username": "u", "password": "open sesame"})
    other.close()
    assert row["error"]["errorCode"] == "2108" and "302" in row["error"]["message"]
    assert other.headers == []


@pytest.mark.parametrize("url", ["http://[", "http://host:x/", "ftp://host/", ""])
def test_what_is_no_address_is_said_so(workspace: Workspace, url: str) -> None:
    row = call(workspace, Target(None), url=url)
    assert row["error"]["errorCode"] == "2108" and "Defect" not in row["error"]["message"]
