"""A server killed in the middle of puts, commits, appends, renames and deletions: a blob is old or new, never half."""

from __future__ import annotations

import base64
import http.client
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kyanite.runtime.workspace import open_workspace
from kyanite.server.storage.service import tidy
from kyanite.storage import StorageAccount
from kyanite.storage.properties import Records
from kyanite.storage.sweeping import sweep_records
from storage_client import StorageClient

PROGRAM = Path(__file__).parent / "datalake_program.py"  # serves, and waits to be killed
BLOCK = 200 * 1024


def content(version: int, blocks: int) -> bytes:
    return bytes([version % 251]) * (blocks * BLOCK)


def write_versions(blobs: StorageClient, first: int, answered: dict[str, int], tried: dict[str, int]) -> None:
    """Write versions of four blobs until the server is gone; notes which were tried and which were answered."""
    version = first
    try:
        while True:
            tried["put"] = version
            put = blobs.send(
                "PUT", "/box/put", body=content(version, 1), x_ms_blob_type="BlockBlob", x_ms_meta_v=str(version)
            )
            assert put.status == 201
            answered["put"] = version
            ids = [base64.b64encode(f"{number:04}".encode()).decode() for number in range(3)]
            for each in ids:
                query = f"comp=block&blockid={each.replace('=', '%3D')}"
                assert blobs.send("PUT", "/box/blocks", query, content(version, 1)).status == 201
            listed = "".join(f"<Latest>{each}</Latest>" for each in ids)
            body = f"<BlockList>{listed}</BlockList>".encode()
            tried["blocks"] = version
            assert blobs.send("PUT", "/box/blocks", "comp=blocklist", body, x_ms_meta_v=str(version)).status == 201
            answered["blocks"] = version
            appended = blobs.send("PUT", "/box/log", "comp=appendblock", content(version, 1))
            assert appended.status == 201
            answered["log"] = int(appended.headers["x-ms-blob-append-offset"]) // BLOCK + 1
            move(blobs, version, answered, tried)
            blobs.send("PUT", "/box/gone", body=b"x", x_ms_blob_type="BlockBlob")
            assert blobs.send("DELETE", "/box/gone").status == 202
            version += 1
    except (OSError, http.client.HTTPException):
        return


def move(blobs: StorageClient, version: int, answered: dict[str, int], tried: dict[str, int]) -> None:
    """Renames that Blob clients see: a file over the one before it, and a folder with blobs in it to and fro."""
    named = {"x_ms_blob_type": "BlockBlob", "x_ms_meta_v": str(version)}
    assert blobs.send("PUT", "/box/new", body=content(version, 1), **named).status == 201
    tried["moved"] = version
    assert blobs.send("PUT", "/box/moved", x_ms_rename_source="/box/new").status == 201
    answered["moved"] = version
    if "left" not in answered:
        for number in range(3):
            put = blobs.send("PUT", f"/box/left/{number}", body=content(number, 1), x_ms_blob_type="BlockBlob")
            assert put.status == 201
        answered["left"] = 1
    for source, target in (("left", "right"), ("right", "left")):
        assert blobs.send("PUT", f"/box/{target}", x_ms_rename_source=f"/box/{source}").status == 201


def check_folder(blobs: StorageClient) -> None:
    """The folder is whole, under one of its names, and back under the first."""
    found = {name: blobs.send("HEAD", f"/box/{name}").status for name in ("left", "right")}
    assert sorted(found.values()) == [200, 404]
    if found["right"] == 200:
        assert blobs.send("PUT", "/box/left", x_ms_rename_source="/box/right").status == 201
    for number in range(3):
        assert blobs.send("GET", f"/box/left/{number}").body == content(number, 1)


def check(blobs: StorageClient, answered: dict[str, int], tried: dict[str, int]) -> None:
    if "left" in answered:
        check_folder(blobs)
    for name, blocks in (("put", 1), ("blocks", 3), ("moved", 1)):
        found = blobs.send("GET", f"/box/{name}")
        if found.status == 404:
            assert name not in answered
            continue
        version = int(found.headers["x-ms-meta-v"])
        assert answered.get(name, 0) <= version <= tried[name]
        assert found.body == content(version, blocks)
    log = blobs.send("GET", "/box/log")
    assert log.headers["x-ms-blob-type"] == "AppendBlob"
    count = int(log.headers["x-ms-blob-committed-block-count"])
    assert len(log.body) == count * BLOCK and count in (answered.get("log", 0), answered.get("log", 0) + 1)
    for start in range(0, len(log.body), BLOCK):
        assert log.body.count(log.body[start], start, start + BLOCK) == BLOCK


def blobs_of(account: StorageAccount) -> set[str]:
    return {path.name for path in (account.folder / "box").iterdir()}


@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_kills(tmp_path: Path, kills: int) -> None:
    chance = random.Random(51)
    answered: dict[str, int] = {}
    tried: dict[str, int] = {}
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, PROGRAM, tmp_path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        url, key = process.stdout.readline().split()
        blobs = StorageClient(url, "acct", key)
        if blobs.send("PUT", "/box", "restype=container").status == 201:
            assert blobs.send("PUT", "/box/log", x_ms_blob_type="AppendBlob").status == 201
        check(blobs, answered, tried)
        found = blobs.send("HEAD", "/box/put")
        first = int(found.headers.get("x-ms-meta-v", "0")) + 1
        found = blobs.send("HEAD", "/box/log")
        answered["log"] = int(found.headers["x-ms-blob-committed-block-count"])
        killer = threading.Timer(chance.uniform(0.02, 0.4), process.kill)
        killer.start()
        write_versions(blobs, first, answered, tried)
        killer.join()
        process.wait()
        process.stdout.close()
    account = open_workspace(tmp_path).accounts.get("acct")
    assert account is not None
    tidy(account)
    assert not any((account.folder / ".staging").iterdir())
    assert answered["put"] > 1 and answered["blocks"] > 0 and answered["log"] > 0 and answered["moved"] > 0
    time.sleep(0.05)  # a sweep removes nothing while a folder changes
    assert sweep_records(account.blobs, "box", time.time_ns()) <= 70 * kills  # what one process drops at once, and some
    assert len(Records(account.folder, "box").keys()) < 20
    assert blobs_of(account) <= {"put", "blocks", "log", "gone", "moved", "new", "left", "right"}
