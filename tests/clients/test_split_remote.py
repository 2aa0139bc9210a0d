"""Splits of blobs in an account that is only reached over HTTP: whole row groups are copied by the service itself."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.connections import azure_blocks, object_store
from kyanite.errors import StorageError
from kyanite.movement.split import split
from kyanite.runtime.workspace import open_workspace
from server_kit import live_server


@pytest.fixture
def far(tmp_path):
    workspace = open_workspace(tmp_path / "far", create=True)
    account = workspace.accounts.create("farbox")
    account.create_container("data")
    table = pa.table({"n": range(60_000), "t": [f"a text that is longer {n * 7919 % 10_007}" for n in range(60_000)]})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=5_000, compression="none", use_dictionary=False)
    with account.open_write("data", "in.parquet") as writer:
        writer.write((tmp_path / "in.parquet").read_bytes())
        writer.commit()
    with live_server(workspace) as server:
        yield account, f"{server.http_url}/farbox/data", tmp_path / "in.parquet"
    workspace.close()


def read(account, folder):
    parts = sorted((account.folder / "data" / folder).glob("*.parquet"))
    return [n for part in parts for n in pq.read_table(part).column("n").to_pylist()]


def test_the_service_copies_whole_row_groups(far, tmp_path, monkeypatch):
    account, base, file = far
    monkeypatch.setattr(azure_blocks, "COPIED_FROM_BYTES", 10_000)
    copied = []
    real = azure_blocks.BlockWriter.commit
    monkeypatch.setattr(azure_blocks.BlockWriter, "commit", lambda self: (real(self), copied.append(self.copied)))
    size = file.stat().st_size
    result = split(
        f"{base}/in.parquet", f"{base}/out/", max_size=size // 4, credential=account.keys[0], home=tmp_path / "none"
    )
    assert result.rows_out == 60_000
    assert read(account, "out") == list(range(60_000))
    assert sum(copied) > 0.5 * size
    manifest = json.loads((account.folder / "data" / "out" / "_kyanite_split.json").read_text())
    assert all(part["checksum"].startswith("etag:") for part in manifest["parts"])


def test_a_checksum_of_all_bytes_wants_all_bytes_here(far, tmp_path):
    account, base, file = far
    result = split(
        f"{base}/in.parquet",
        f"{base}/out/",
        max_size=file.stat().st_size // 3,
        credential=account.keys[0],
        home=tmp_path / "none",
        checksum="sha256",
    )
    assert {part.checksum[:7] for part in result.parts} == {"sha256:"}
    assert read(account, "out") == list(range(60_000))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (501, "NotImplemented"),
        (400, "CannotVerifyCopySource"),
        (403, "AuthenticationFailed"),
        (409, "InvalidOperation"),
    ],
)
def test_a_store_that_copies_nothing_is_sent_everything(far, tmp_path, monkeypatch, status, code):
    account, base, file = far
    monkeypatch.setattr(azure_blocks, "COPIED_FROM_BYTES", 10_000)
    real = azure_blocks.BlockWriter._ask

    def refuse(self, query, body, headers):
        if "x-ms-copy-source" in headers:
            return status, {}, f"<Error><Code>{code}</Code></Error>"
        return real(self, query, body, headers)

    monkeypatch.setattr(azure_blocks.BlockWriter, "_ask", refuse)
    result = split(
        f"{base}/in.parquet",
        f"{base}/out/",
        max_size=file.stat().st_size // 3,
        credential=account.keys[0],
        home=tmp_path / "none",
    )
    assert all(part.checksum.startswith("crc32:") for part in result.parts)
    assert read(account, "out") == list(range(60_000))


def test_ranges_of_one_store_are_copied_those_of_another_are_sent(far, tmp_path, monkeypatch):
    """Whether the service takes ranges is asked once for each server that the inputs come from."""
    account, base, _file = far
    monkeypatch.setattr(azure_blocks, "COPIED_FROM_BYTES", 10_000)
    other = base.replace("127.0.0.1", "localhost")
    assert other != base
    real, hosts = azure_blocks.BlockWriter._ask, []

    def refuse(self, query, body, headers):
        source = headers.get("x-ms-copy-source", "")
        if source:
            hosts.append(source.split("/")[2].split(":")[0])
        if "localhost" in source:
            return 400, {}, "<Error><Code>CannotVerifyCopySource</Code></Error>"
        return real(self, query, body, headers)

    monkeypatch.setattr(azure_blocks.BlockWriter, "_ask", refuse)
    result = split(
        [f"{base}/in.parquet", f"{other}/in.parquet"],
        f"{base}/out/",
        parts=1,
        credential=account.keys[0],
        home=tmp_path / "none",
    )
    assert result.rows_out == 120_000
    assert read(account, "out") == [*range(60_000), *range(60_000)]
    assert hosts.count("localhost") == 1 < hosts.count("127.0.0.1")


def test_a_store_without_etags_gives_no_checksum(far, tmp_path, monkeypatch):
    account, base, _ = far
    monkeypatch.setattr(azure_blocks, "COPIED_FROM_BYTES", 10_000)
    real = azure_blocks.BlockWriter._ask

    def without(self, *request):
        status, headers, text = real(self, *request)
        return status, {name: value for name, value in headers.items() if name != "etag"}, text

    monkeypatch.setattr(azure_blocks.BlockWriter, "_ask", without)
    result = split(f"{base}/in.parquet", f"{base}/out/", parts=2, credential=account.keys[0], home=tmp_path / "none")
    assert [part.checksum for part in result.parts] == [None, None]


def test_a_wrong_key_is_told_before_anything_is_written(far, tmp_path):
    account, base, file = far
    with pytest.raises(StorageError) as caught:
        split(file, f"{base}/out/", parts=2, credential="d3Jvbmc=", home=tmp_path / "none")
    assert caught.value.error_code == "AuthenticationFailed"
    assert not (account.folder / "data" / "out").exists()


def test_behind_a_proxy_nothing_is_asked_directly(monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert not azure_blocks.is_proxied("https://box.blob.core.windows.net")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert azure_blocks.is_proxied("https://box.blob.core.windows.net")
    monkeypatch.setenv("no_proxy", "core.windows.net")
    assert not azure_blocks.is_proxied("https://box.blob.core.windows.net")


def test_a_folder_of_blobs(far, tmp_path):
    """Listings and headers write the same ETag differently: the files have not changed."""
    account, base, _ = far
    result = split(f"{base}/", f"{base}/out/", parts=3, credential=account.keys[0], home=tmp_path / "none")
    assert result.rows_out == 60_000
    again = split(f"{base}/out/", tmp_path / "back", parts=2, credential=account.keys[0], home=tmp_path / "none")
    assert again.rows_out == 60_000
    assert split(
        f"{base}/out/", tmp_path / "back", parts=2, credential=account.keys[0], home=tmp_path / "none"
    ).up_to_date


@pytest.mark.parametrize(
    ("told", "etag"), [('"0x1"', '"0x1"'), ("0x1", '"0x1"'), ('W/"1"', 'W/"1"'), (None, None), ("", "")]
)
def test_an_etag_is_the_same_in_listings_and_headers(told, etag):
    meta = {"path": "a", "size": 1, "last_modified": None, "e_tag": told}
    assert object_store._entry(meta).etag == etag
