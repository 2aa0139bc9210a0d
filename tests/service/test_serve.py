"""`kyanite serve` as a person runs it: where it listens, what it tells whom, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from kyanite.cli.main import main
from kyanite.runtime.workspace import open_workspace
from kyanite.server.places import PATHS
from kyanite.server.serving import read_addresses


class Served:
    """A running `kyanite serve` of a workspace."""

    def __init__(self, home: Path, *options: str) -> None:
        command = [sys.executable, "-m", "kyanite", "--home", str(home), "serve", "--port", "0", "--https-port", "0"]
        self.home = home
        self.process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        end = time.monotonic() + 60
        while (found := read_addresses(home)) is None or found.pid != self.process.pid:
            assert self.process.poll() is None and time.monotonic() < end, self.process.communicate()[0]
            time.sleep(0.02)
        self.addresses = found

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        try:
            with urlopen(Request(self.addresses.http + path, None, headers, method=method), timeout=20) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("serve") / "home"
    assert main(["init", "--home", str(made), "--account", "raw"]) == 0
    return made


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Served]:
    made = Served(home)
    yield made
    if made.process.poll() is None:
        made.end()


def owner(home: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {(home / 'token').read_text().strip()}"}


def test_init_makes_keys_for_its_owner_alone(home: Path) -> None:
    for name in ("token", "secrets.json", "tls/ca.pem", "tls/ca-key.pem"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_it_listens_to_this_machine_only(served: Served) -> None:
    listening = [
        each.laddr.ip for each in psutil.Process(served.process.pid).net_connections() if each.status == "LISTEN"
    ]
    assert len(listening) == 3
    assert set(listening) == {"127.0.0.1"}


def test_the_address_file_is_private_and_true(served: Served) -> None:
    assert stat.S_IMODE((served.home / "serve.json").stat().st_mode) == 0o600
    assert served.ask("/healthz") == (200, "ok")
    port = int(served.addresses.https.rpartition(":")[2])
    context = ssl.create_default_context(cafile=served.addresses.ca_file)
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"ok"
    connection.close()


def test_figures_need_a_token_and_are_prometheus_text(served: Served) -> None:
    assert served.ask("/metrics")[0] == 401
    assert served.ask("/metrics", Authorization="Bearer guess")[0] == 401
    status, text = served.ask("/metrics", **owner(served.home))
    assert status == 200
    values: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    assert values['kyanite_requests_total{service="status",method="GET",status="401"}'] >= 2
    buckets = [
        value for name, value in values.items() if name.startswith('kyanite_request_seconds_bucket{service="status"')
    ]
    assert buckets == sorted(buckets) and buckets[-1] == values['kyanite_request_seconds_count{service="status"}']
    assert values["kyanite_process_resident_bytes{}".removesuffix("{}")] > 10_000_000


OPEN = {"healthz"}  # and documents in which clients find the token endpoint:
DOCUMENTS = {"metadata", "common", "organizations"}


@pytest.mark.parametrize("first", sorted(PATHS))
def test_no_route_does_anything_without_a_token(served: Served, first: str) -> None:
    below = ("", "/x", "/x/y", "/endpoints", "/healthz", "/health", "/ready", "/..;/healthz", "/v2.0/metadata")
    for path in [f"/{first}{rest}" for rest in below] + [f"/{first.upper()}"]:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            status, body = served.ask(f"{path}?api-version=2018-06-01", method)
            if status >= 400:
                assert status != 500, (method, path, body)
                continue
            assert method in ("GET", "HEAD", "OPTIONS"), (method, path)
            assert path.strip("/") in OPEN or first in DOCUMENTS or method == "OPTIONS", (method, path)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "raw.blob.core.windows.net.evil.example", ""]
)
def test_other_hosts_are_not_answered(served: Served, host: str) -> None:
    assert served.ask("/healthz", Host=host)[0] in (400, 421)


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_pages_of_other_origins_change_nothing(served: Served, headers: dict[str, str]) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        status, body = served.ask("/subscriptions", method, **owner(served.home), **headers)
        assert status == 403 and "another" in body


def test_a_second_server_is_refused(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(served.home), "serve"]) == 1
    assert "served already by the process" in capsys.readouterr().err


def test_a_named_port_that_is_taken_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--home", str(tmp_path / "home"), "init"]) == 0
        assert main(["--home", str(tmp_path / "home"), "serve", "--port", port]) == 1
    assert f"Port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err


def test_programs_use_the_server_that_runs(served: Served) -> None:
    command = [sys.executable, "-m", "kyanite", "--home", str(served.home), "exec", "--"]
    line = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "https://raw.blob.core.windows.net/?comp=list"]
    assert subprocess.run([*command, *line], capture_output=True, text=True, check=True).stdout == "401"
    status, text = served.ask("/metrics", **owner(served.home))
    assert status == 200 and 'kyanite_requests_total{service="storage",method="GET",status="401"}' in text


def test_logs_for_programs_and_a_clean_end(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert main(["init", "--home", str(home), "--account", "raw"]) == 0
    served = Served(home, "--log-format", "json", "--log-requests")
    with open_workspace(home) as workspace:
        account = workspace.accounts.get("raw")
        assert account is not None
        secrets = [*account.keys, (home / "token").read_text().strip()]
    served.ask(f"/raw/box/blob?sig=abcdefghijk&x={secrets[0]}", **owner(home))
    served.ask("/healthz\x1b[31m".replace("\x1b", "%1b"))
    code, out = served.end()
    assert code == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert {"time", "level", "logger", "message"} <= lines[0].keys()
    requests = [line for line in lines if line["logger"] == "kyanite.requests"]
    assert next((line["method"], line["path"]) for line in requests) == ("GET", "/raw/box/blob")
    assert lines[-1]["message"] == "stopped"
    assert not any(secret in out for secret in secrets)
    assert "abcdefghijk" not in out and "\x1b" not in out
    assert not (home / "serve.json").exists()


def test_it_goes_on_after_being_killed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert main(["init", "--home", str(home)]) == 0
    served = Served(home)
    first = served.addresses.proxy
    served.process.kill()
    served.process.communicate()
    again = Served(home)
    assert again.addresses.proxy == first
    assert again.ask("/healthz") == (200, "ok")
    assert again.end(signal.SIGINT)[0] == 0
