"""Programs written for Azure, unmodified, under `kyanite exec`: they reach the workspace and nothing else."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.cli.exec import ProgramError, run_program
from kyanite.runtime.workspace import open_workspace
from kyanite.server.keys import make_keys

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests" / "clients"
OLD_PYTHON = ROOT / "bench" / ".venv" / "clients-old" / "bin" / "python"
KYANITE = [sys.executable, "-m", "kyanite"]
ROWS = 1000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gateway") / "home"
    with open_workspace(made, create=True) as workspace:
        make_keys(workspace)
        workspace.accounts.create("raw")
    return made


@pytest.fixture(scope="module")
def key(home: Path) -> str:
    with open_workspace(home) as workspace:
        account = workspace.accounts.get("raw")
        assert account is not None
        return account.keys[0]


def run(
    home: Path, *line: object, check: bool = True, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command = [*KYANITE, "--home", str(home), "exec", *options, "--", *map(str, line)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, done.stderr[-2000:]
    return done


def test_todays_clients_as_their_documentation_begins(home: Path, key: str) -> None:
    secret = (home / "token").read_text().strip()
    done = run(home, sys.executable, CLIENTS / "new" / "gateway_matrix.py", "raw", key, secret)
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "blob": "hello",
        "blob_aio": ["box"],
        "datalake": ["folder", "folder/one.txt"],
        "adlfs_files": ["box/folder/one.txt"],
        "pyarrow_files": ["box/folder", "box/folder/one.txt"],
        "obstore_files": ["folder/one.txt"],
        "datafactory": [],
        "client_secret": True,
    }
    assert (home / "storage" / "raw" / "box" / "folder" / "one.txt").read_bytes() == b"hello"


def test_a_script_of_the_time_of_the_tutorial(home: Path, key: str) -> None:
    if not OLD_PYTHON.exists() and not os.environ.get("CI"):
        pytest.skip("`python bench/environment.py install clients-old` makes the environment")
    source = home / "storage" / "raw" / "filestorage" / "source"
    source.mkdir(parents=True)
    pq.write_table(pa.table({"number": list(range(ROWS))}), source / "all.parq")
    script = CLIENTS / "old" / "gateway_split.py"
    done = run(home, OLD_PYTHON, script, "raw", key, "filestorage", "/target/", "/source/all.parq", 4)
    assert done.stdout.splitlines() == [
        "/target/part0000.parq 250 True",
        "/target/part0001.parq 250 True",
        "/target/part0002.parq 250 True",
        "/target/part0003.parq 247 True",
    ]
    parts = sorted((source.parent / "target").iterdir())
    assert sum(pq.read_metadata(part).num_rows for part in parts) == ROWS - 3  # it is the script's own fault


def test_curl(home: Path) -> None:
    url = "https://raw.blob.core.windows.net/none/such"
    done = run(home, "curl", "-sS", "-o", os.devnull, "-w", "%{http_code} %{ssl_verify_result}", url)
    assert done.stdout == "401 0"


def test_other_hosts_are_refused_and_the_program_is_told_why(home: Path) -> None:
    program = "import urllib.request as u\ntry: u.urlopen('https://pypi.org')\nexcept OSError as e: print(e)"
    assert (
        "403 kyanite: pypi.org is not in this workspace (--allow-network"
        in run(home, sys.executable, "-c", program).stdout
    )


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, int]]:
    """Says hello to whoever connects."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                client.sendall(b"hello from elsewhere")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


TUNNEL = """
import base64, os, socket, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
secret = base64.b64encode(urllib.parse.unquote(f"{proxy.username}:{proxy.password}").encode()).decode()
with socket.create_connection((proxy.hostname, proxy.port)) as plain:
    plain.sendall(f"CONNECT {sys.argv[1]} HTTP/1.1\\r\\nProxy-Authorization: Basic {secret}\\r\\n\\r\\n".encode())
    print(b"".join(iter(lambda: plain.recv(4096), b"")))
"""


def test_the_network_is_open_only_when_allowed(home: Path, elsewhere: tuple[str, int]) -> None:
    ask = partial(run, home, sys.executable, "-c", TUNNEL, f"localhost:{elsewhere[1]}")
    assert "403 kyanite" in ask().stdout
    assert "hello from elsewhere" in ask(options=("--allow-network",)).stdout


def test_the_exit_code_is_the_programs_own(home: Path) -> None:
    assert run(home, "sh", "-c", "exit 7", check=False).returncode == 7
    for line, code in (("exit 0", 0), ("kill -9 $$", 137), ("kill -15 $$", 143)):
        assert run_program(["sh", "-c", line], os.environ) == code


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ProgramError, match="no program 'no-such-program'") as caught:
        run_program(["no-such-program"], os.environ)
    assert caught.value.exit_code == 127
    with pytest.raises(ProgramError, match="cannot be started") as caught:
        run_program([str(ROOT)], os.environ)
    assert caught.value.exit_code == 126


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_program(number: signal.Signals) -> None:
    line = f"trap 'echo caught; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    ours = "import os, sys; from kyanite.cli.exec import run_program; sys.exit(run_program(sys.argv[1:], os.environ))"
    command = [sys.executable, "-c", ours, "sh", "-c", line]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.communicate(timeout=30)[0] == "caught\n"
    assert process.returncode == 5


def test_real_credentials_of_the_person_are_not_passed_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "real-secret")
    assert "real-secret" not in run(home, "env").stdout


def test_a_shell_can_be_told_the_same(home: Path, key: str) -> None:
    line = shlex.join([*KYANITE, "--home", str(home), "env", "--account", "raw"])
    script = f'set -eu; eval "$({line} 2>/dev/null)"; python -c "import os, json; print(json.dumps(dict(os.environ)))"'
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment, check=True, timeout=60)
    told = json.loads(done.stdout)
    assert told["AZURE_STORAGE_CONNECTION_STRING"].startswith(
        f"DefaultEndpointsProtocol=https;AccountName=raw;AccountKey={key}"
    )
    assert told["HTTPS_PROXY"] == told["https_proxy"]
    assert told["KYANITE_HOME"] == str(home)
    assert told["REQUESTS_CA_BUNDLE"].startswith(str(home))
    port = json.loads((home / "gateway.json").read_text())["proxy"]
    assert told["IDENTITY_ENDPOINT"] == f"http://127.0.0.1:{port}/msi/token"
