"""Programs that use storage accounts: rclone where it is installed, and the Azure command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from storage_server import ROOT, Endpoint, host_style, path_style

AZ = ROOT / "bench" / ".venv" / "clients-az" / "bin" / "az"
RCLONE = shutil.which("rclone")


@pytest.mark.peers
@pytest.mark.parametrize("style", ["key", "sas"])
def test_rclone(tmp_path: Path, style: str) -> None:
    if RCLONE is None:
        pytest.skip("needs rclone, which Debian and Ubuntu have as a package")
    local = tmp_path / "local"
    (local / "sub").mkdir(parents=True)
    (local / "a.txt").write_text("hello")
    (local / "sub" / "large").write_bytes(bytes(range(256)) * 40_000)
    with (path_style if style == "sas" else host_style)(tmp_path / "home") as endpoint:
        remote = _rclone_remote(endpoint)

        def run(*arguments: str) -> str:
            options = (
                "--config",
                "",
                "--azureblob-chunk-size",
                "4M",
                "--azureblob-upload-cutoff",
                "4M",
                "--retries",
                "1",
            )
            return endpoint.run(RCLONE, *options, *arguments)

        run("mkdir", f"{remote}files")
        run("copy", str(local), f"{remote}files/dir")
        assert {
            each["Path"]: each["Size"] for each in json.loads(run("lsjson", "-R", "--files-only", f"{remote}files"))
        } == {
            "dir/a.txt": 5,
            "dir/sub/large": 10_240_000,
        }
        assert run("cat", f"{remote}files/dir/a.txt") == "hello"
        run("check", str(local), f"{remote}files/dir")
        run("moveto", f"{remote}files/dir/a.txt", f"{remote}files/b.txt")
        run("sync", f"{remote}files", str(tmp_path / "back"))
        assert (tmp_path / "back" / "b.txt").read_text() == "hello"
        run("purge", f"{remote}files")


def _rclone_remote(endpoint: Endpoint) -> str:
    if not endpoint.url:
        return f":azureblob,account={endpoint.account},key='{endpoint.key}':"
    from datetime import UTC, datetime, timedelta

    from azure.storage.blob import generate_account_sas

    until = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_account_sas(endpoint.account, endpoint.key, "sco", "rwdlac", until, services="b")
    return f":azureblob,sas_url='{endpoint.url}/{endpoint.account}?{sas}':"


@pytest.mark.az
@pytest.mark.parametrize("style", [path_style, host_style])
def test_az_storage(tmp_path: Path, style) -> None:
    if not AZ.exists():
        pytest.fail("az is missing: python3 bench/environment.py clients-az")
    file = tmp_path / "a.txt"
    file.write_text("hello")
    with style(tmp_path / "home") as endpoint:

        def az(*arguments: str | Path) -> object:
            told = endpoint.run(AZ, "storage", *arguments, *_az_account(endpoint, arguments[0]), "--output", "json")
            return json.loads(told) if told.strip() else None

        endpoint.environment["AZURE_CONFIG_DIR"] = str(tmp_path / "config")
        endpoint.environment["AZURE_CORE_COLLECT_TELEMETRY"] = "no"
        assert az("container", "create", "--name", "data") == {"created": True}
        az("blob", "upload", "--container-name", "data", "--name", "dir/a.txt", "--file", file)
        listed = az("blob", "list", "--container-name", "data", "--query", "[?properties.contentLength!=`0`].name")
        assert listed == ["dir/a.txt"]
        az("blob", "download", "--container-name", "data", "--name", "dir/a.txt", "--file", tmp_path / "back.txt")
        assert (tmp_path / "back.txt").read_text() == "hello"
        az("fs", "directory", "create", "--file-system", "data", "--name", "made")
        az("fs", "file", "upload", "--file-system", "data", "--path", "made/b.txt", "--source", file)
        az("fs", "directory", "move", "--file-system", "data", "--name", "made", "--new-directory", "data/moved")
        listed = az("fs", "file", "list", "--file-system", "data", "--query", "[].name")
        assert listed == ["dir", "dir/a.txt", "moved", "moved/b.txt"]
        access = az("fs", "access", "show", "--file-system", "data", "--path", "moved")
        assert access["permissions"] == "rwxr-x---"
        az("fs", "directory", "delete", "--file-system", "data", "--name", "moved", "--yes")
        assert az("blob", "exists", "--container-name", "data", "--name", "moved/b.txt") == {"exists": False}
        sas = az("container", "generate-sas", "--name", "data", "--permissions", "rl", "--expiry", "2035-01-01")
        assert "sig=" in sas
        assert az("container", "delete", "--name", "data") == {"deleted": True}


def _az_account(endpoint: Endpoint, group: str) -> list[str]:
    if not endpoint.url:
        return ["--account-name", endpoint.account, "--account-key", endpoint.key]
    address = f"{endpoint.url}/{endpoint.account}"
    text = f"DefaultEndpointsProtocol=http;AccountName={endpoint.account};AccountKey={endpoint.key};"
    return ["--connection-string", f"{text}BlobEndpoint={address};DfsEndpoint={address};"]
