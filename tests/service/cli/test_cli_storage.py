"""`kyanite storage` as a person uses it, with good and bad input."""

import json
import os
from pathlib import Path

import pytest

from kyanite.cli import transfer
from kyanite.server.places import PATHS
from kyanite.storage.model import RESERVED_NAMES, is_account_name


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "d"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("alpha\n")
    (folder / "b.log").write_text("beta\n")
    (folder / "sub" / "c.txt").write_text("gamma\n")
    return folder


@pytest.fixture
def put(kyanite, files):
    assert kyanite("storage", "account", "create", "air").code == 0
    assert kyanite("storage", "put", files, "air/data/").code == 0
    return kyanite


def names(kyanite, place):
    rows = json.loads(kyanite("storage", "ls", "-r", place, "--json").out)
    return [row["name"] for row in rows]


def test_accounts(kyanite):
    assert json.loads(kyanite("storage", "account", "create", "air", "--json").out)["created"]
    assert "was there already" in kyanite("storage", "account", "create", "air").out
    assert "hierarchical" in kyanite("storage", "account", "create", "air", "--flat").err
    assert kyanite("storage", "account", "create", "logs", "--flat").code == 0
    listed = json.loads(kyanite("storage", "account", "list", "--json").out)
    assert [(one["name"], one["hierarchical"]) for one in listed] == [("air", True), ("logs", False)]
    keys = json.loads(kyanite("storage", "account", "keys", "air", "--json").out)
    text = kyanite("storage", "account", "connection-string", "air").out
    assert f"AccountKey={keys['key1']}" in text
    assert "BlobEndpoint=http://127.0.0.1:10010/air" in text
    assert (
        "EndpointSuffix=core.windows.net"
        in kyanite("storage", "account", "connection-string", "air", "--azure-names").out
    )


def test_an_account_cannot_have_the_name_of_another_service(kyanite):
    assert {name for name in PATHS if is_account_name(name)} == RESERVED_NAMES
    result = kyanite("storage", "account", "create", "jobs")
    assert result.code == 1
    assert "the server has another service at /jobs" in result.err


def test_what_is_no_file_is_left_out_and_named(put, files):
    os.mkfifo(files / "pipe")
    (files / "linked.txt").symlink_to("a.txt")
    (files / "loop").symlink_to(files)
    (files / "gone").symlink_to("nowhere")
    done = put("storage", "put", "-r", files, "air/all/")
    assert done.code == 0
    assert names(put, "air/all") == [f"air/all/d/{name}" for name in ("a.txt", "b.log", "linked.txt", "sub/c.txt")]
    said = ("loop is a link to a folder", "gone is a link to nothing", "pipe is neither a file nor a folder")
    assert [line.rpartition("/")[2] for line in done.err.splitlines()] == list(said)
    refused = put("storage", "put", files / "pipe", "air/all/")
    assert (refused.code, "neither a file nor a folder" in refused.err) == (1, True)


def test_a_name_that_no_blob_may_have_is_told_before_anything_is_sent(put, files):
    (files / os.fsdecode(b"b\xff.txt")).write_text("odd\n")
    result = put("storage", "put", files, "air/other/")
    assert result.code == 1
    assert "U+DCFF" in result.err
    assert names(put, "air/other/") == []


def test_a_folder_that_cannot_be_read_stops_the_upload(put, files, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    refused = put("storage", "put", files, "air/all/")
    assert refused.code == 1
    assert "sub" in refused.err
    assert "Traceback" not in refused.err
    assert names(put, "air/all") == []


def test_containers(put):
    assert put("storage", "container", "create", "air/one", "air/two").code == 0
    assert [row["name"] for row in json.loads(put("storage", "container", "list", "air", "--json").out)] == [
        "data", "one", "two",
    ]  # fmt: skip
    assert put("storage", "container", "delete", "air/one").code == 0
    refused = put("storage", "container", "delete", "air/data")
    assert (refused.code, "Add --yes" in refused.err) == (1, True)
    assert put("storage", "container", "delete", "air/data", "--yes").code == 0
    assert put("storage", "container", "delete", "air/data").code == 1


def test_copies_follow_the_rules_of_cp(put, tmp_path):
    assert put("storage", "cp", "-r", "air/data/d", "air/copy/").code == 0
    assert names(put, "air/copy") == ["air/copy/d/a.txt", "air/copy/d/b.log", "air/copy/d/sub/c.txt"]
    assert put("storage", "cp", "-r", "air/data/d", "air/copy/new").code == 0
    assert "air/copy/new/sub/c.txt" in names(put, "air/copy")
    assert put("storage", "cp", "air/data/d/a.txt", "air/copy/renamed.txt").code == 0
    assert put("storage", "cp", "air/data/d/**/*.txt", f"{tmp_path}/out/").code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt", "c.txt"]
    refused = put("storage", "cp", "air/data/d", "air/copy/again")
    assert (refused.code, "Add -r" in refused.err) == (1, True)
    assert put("storage", "cp", "air/data/d/a.txt", "air/data/d/a.txt").code == 1


def test_moves(put, tmp_path):
    assert put("storage", "mv", "air/data/d", "air/data/e").code == 0
    assert names(put, "air/data") == ["air/data/e/a.txt", "air/data/e/b.log", "air/data/e/sub/c.txt"]
    assert put("storage", "mv", "air/data/e/*.txt", "air/data/e/b.log", "air/seen/").code == 0
    assert names(put, "air/seen") == ["air/seen/a.txt", "air/seen/b.log"]
    assert put("storage", "mv", "air/seen/a.txt", f"{tmp_path}/a.txt").code == 0
    assert (tmp_path / "a.txt").read_text() == "alpha\n"
    assert names(put, "air/seen") == ["air/seen/b.log"]


def test_sums_and_contents(put):
    sums = json.loads(put("storage", "du", "air/data/d", "--json").out)
    assert (sums["files"], sums["bytes"]) == (3, 17)
    assert [item["name"] for item in sums["items"]] == ["air/data/d/a.txt", "air/data/d/b.log", "air/data/d/sub/"]
    assert put("storage", "cat", "air/data/d/missing").code == 1


def test_wildcards_in_ls_get_and_rm(put, tmp_path):
    assert names(put, "air/data/d/*.txt") == ["air/data/d/a.txt"]
    assert put("storage", "get", "air/data/d/*.txt", tmp_path).code == 0
    assert (tmp_path / "a.txt").exists()
    assert put("storage", "rm", "air/data/d/*.x").code == 1
    assert put("storage", "rm", "air/data/d/*").code == 1  # a folder is among them: nothing is deleted
    assert len(names(put, "air/data")) == 3
    assert put("storage", "rm", "-r", "air/data/d/*").code == 0
    assert names(put, "air/data") == []


def test_a_local_name_that_looks_like_an_account_is_explained(put, files, monkeypatch):
    monkeypatch.chdir(files)
    result = put("storage", "cp", "a.txt", "air/data/")
    assert (result.code, "./a.txt" in result.err) == (1, True)


@pytest.fixture
def stopping(monkeypatch):
    """Files of 1 MB count as large, and the next transfer stops after half of them."""
    monkeypatch.setattr(transfer, "KEPT_FROM_BYTES", 1_000_000)
    monkeypatch.setattr(transfer, "BLOCK_BYTES", 100_000)
    real = transfer.Moving.step

    def stop(self, count):
        real(self, count)
        if self._done >= 500_000:
            raise KeyboardInterrupt

    def stopped():
        monkeypatch.setattr(transfer.Moving, "step", stop)

    def goes_on():
        monkeypatch.setattr(transfer.Moving, "step", real)

    return stopped, goes_on


def test_interrupted_transfers_go_on(put, tmp_path, stopping):
    stop, go_on = stopping
    data = bytes(range(256)) * 4_000
    (tmp_path / "big").write_bytes(data)
    stop()
    assert put("storage", "put", tmp_path / "big", "air/data/big").code == 130
    assert "air/data/big" not in names(put, "air/data")
    go_on()
    sent = json.loads(put("storage", "put", tmp_path / "big", "air/data/big", "--json").out)
    assert sent[0]["resumed"] == 500_000
    stop()
    assert put("storage", "get", "air/data/big", tmp_path / "back").code == 130
    assert not (tmp_path / "back").exists()
    go_on()
    got = json.loads(put("storage", "get", "air/data/big", tmp_path / "back", "--json").out)
    assert got[0]["resumed"] == 500_000
    assert (tmp_path / "back").read_bytes() == data
    assert [path.name for path in tmp_path.glob(".back*")] == []


def test_what_has_arrived_is_not_trusted_when_the_source_changed(put, tmp_path, stopping):
    stop, go_on = stopping
    (tmp_path / "big").write_bytes(b"1" * 1_000_000)
    stop()
    assert put("storage", "put", tmp_path / "big", "air/data/big").code == 130
    go_on()
    (tmp_path / "big").write_bytes(b"2" * 1_000_000)
    assert "resumed" not in put("storage", "put", tmp_path / "big", "air/data/big", "--json").out
    assert put("storage", "get", "air/data/big", tmp_path / "back").code == 0
    assert (tmp_path / "back").read_bytes() == b"2" * 1_000_000
