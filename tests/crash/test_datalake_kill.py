"""A server killed in the middle of appends, flushes and renames leaves whole files, and goes on with them later."""

from __future__ import annotations

import http.client
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storage_client import StorageClient

PROGRAM = Path(__file__).parent / "datalake_program.py"
PIECES = 4
PIECE = 256 * 1024


def content(version: int) -> bytes:
    return bytes([version % 251]) * (PIECES * PIECE)


def write_versions(lake: StorageClient, first: int) -> int:
    """Write versions of one file, each under its own name first, until the server is gone; the last one answered."""
    version, done = first, 0
    try:
        while True:
            name = f"/data/new{version}"
            assert lake.send("PUT", name, "resource=file").status == 201
            whole = content(version)
            for start in range(0, len(whole), PIECE):
                piece = whole[start : start + PIECE]
                assert lake.send("PATCH", name, f"action=append&position={start}", piece).status == 202
            assert lake.send("PATCH", name, f"action=flush&position={len(whole)}&close=true").status == 200
            assert lake.send("PUT", "/data/file", x_ms_rename_source=name).status == 201
            done = version
            version += 1
    except (OSError, http.client.HTTPException):
        return done


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_kills(tmp_path: Path, kills: int) -> None:
    chance = random.Random(47)
    answered = 0
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, PROGRAM, tmp_path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        url, key = process.stdout.readline().split()
        lake = StorageClient(url, "acct", key, "acct.dfs.core.windows.net")
        lake.send("PUT", "/data", "resource=filesystem")
        check(lake, answered)
        killer = threading.Timer(chance.uniform(0.02, 0.4), process.kill)
        killer.start()
        answered = max(answered, write_versions(lake, answered + 1))
        killer.join()
        process.wait()
        process.stdout.close()
        left_behind(tmp_path / "storage" / "acct")
    assert answered > 0


def check(lake: StorageClient, answered: int) -> None:
    """The file is a whole version, not older than the last one that was answered; what was begun can be done again."""
    found = lake.send("GET", "/data/file")
    if found.status == 404:
        assert answered <= 1
        return
    version = found.body[0]
    assert found.body == bytes([version]) * (PIECES * PIECE)
    assert version in {number % 251 for number in (answered - 1, answered, answered + 1)}
    for each in lake.send("GET", "/data", "resource=filesystem&recursive=true").json["paths"]:
        assert int(each["contentLength"]) in (0, PIECES * PIECE)
        if each["name"].startswith("new"):
            assert lake.send("DELETE", f"/data/{each['name']}", "recursive=false").status == 200


def left_behind(account: Path) -> None:
    """In the container are only the files that were made; all else stands beside it."""
    names = {each.name for each in (account / "data").iterdir()}
    assert {name for name in names if not name.startswith("new")} <= {"file"}
