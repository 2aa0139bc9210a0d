"""Azurite, Microsoft's storage emulator: `npm install --prefix bench/.venv/azurite azurite`."""

from __future__ import annotations

import base64
import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from storage_server import ROOT, Endpoint

PROGRAM = ROOT / "bench" / ".venv" / "azurite" / "node_modules" / ".bin" / "azurite-blob"
KEY = base64.b64encode(bytes(range(64))).decode()
START_SECONDS = 30


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[Endpoint]:
    """Azurite's blob service on a loopback port of its own, with an account `acct`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(PROGRAM), "--location", str(folder), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    environment = {"AZURITE_ACCOUNTS": f"acct:{KEY}", "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait(port, process)
            yield Endpoint("acct", KEY, f"http://127.0.0.1:{port}", {})
        finally:
            process.terminate()
            process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("Azurite did not start")
