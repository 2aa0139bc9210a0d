"""Splits from and to Azurite: the requests that a real storage account would get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient
from azurite_server import PROGRAM, azurite

from kyanite.connections.azure_blocks import BlockWriter
from kyanite.errors import StorageError
from kyanite.movement.split import SplitResult, split

pytestmark = pytest.mark.azurite
ROWS = 300_000
MOST = 4_000_000


@dataclass
class Container:
    """A container with `in.parquet` in it, and the same file on this machine."""

    client: ContainerClient
    url: str
    key: str
    file: Path

    def split(self, source: str | Path, folder: str = "out/", **more: object) -> SplitResult:
        options = {"max_size": MOST, "credential": self.key, **more}
        return split(str(source), f"{self.url}/{folder}", **options)

    def names(self, folder: str = "out/") -> list[str]:
        return sorted(blob.name for blob in self.client.list_blobs(name_starts_with=folder))

    def tables(self, folder: str = "out/") -> pa.Table:
        parts = [name for name in self.names(folder) if name.endswith(".parquet")]
        return pa.concat_tables(
            pq.read_table(pa.BufferReader(self.client.download_blob(name).readall())) for name in parts
        )


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    if not PROGRAM.exists():
        pytest.fail("Azurite is missing: npm install --prefix bench/.venv/azurite azurite@3.35.0")
    table = pa.table({"n": range(ROWS), "t": [f"a text that is longer {n * 7919 % 10_007}" for n in range(ROWS)]})
    file = tmp_path / "in.parquet"
    pq.write_table(table, file, row_group_size=50_000, compression="none", use_dictionary=False)
    folder = tmp_path / "azurite"
    folder.mkdir()
    with azurite(folder) as endpoint:
        service = BlobServiceClient(f"{endpoint.url}/{endpoint.account}", endpoint.key)
        with service, service.get_container_client("data") as client:
            client.create_container()
            client.upload_blob("in.parquet", file.read_bytes())
            yield Container(client, f"{endpoint.url}/{endpoint.account}/data", endpoint.key, file)


@pytest.mark.parametrize("workers", [1, 3])
def test_from_blob_to_blobs(container: Container, workers: int) -> None:
    result = container.split(f"{container.url}/in.parquet", workers=workers, verify="deep")
    assert result.rows_out == ROWS
    assert container.tables().equals(pq.read_table(container.file))
    assert all(part.bytes <= MOST for part in result.parts)
    manifest = json.loads(container.client.download_blob("out/_kyanite_split.json").readall())
    sizes = {blob.name: blob.size for blob in container.client.list_blobs(name_starts_with="out/")}
    assert {f"out/{part['name']}": part["bytes"] for part in manifest["parts"]}.items() <= sizes.items()
    assert container.names() == sorted(["out/_kyanite_split.json", *(f"out/{part.name}" for part in result.parts)])


def test_from_a_file_and_back(container: Container, tmp_path: Path) -> None:
    container.split(container.file)
    back = split(f"{container.url}/out/", tmp_path / "back", parts=2, credential=container.key)
    assert back.rows_out == ROWS
    tables = [pq.read_table(path) for path in sorted((tmp_path / "back").glob("*.parquet"))]
    assert pa.concat_tables(tables).equals(pq.read_table(container.file))


def test_again_and_over(container: Container) -> None:
    container.split(f"{container.url}/in.parquet")
    assert container.split(f"{container.url}/in.parquet").up_to_date
    over = container.split(f"{container.url}/in.parquet", max_size=2 * MOST, overwrite=True)
    assert container.names() == sorted(["out/_kyanite_split.json", *(f"out/{part.name}" for part in over.parts)])
    assert container.tables().equals(pq.read_table(container.file))


def test_an_upload_that_fails_leaves_nothing(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    real, commits = BlockWriter.commit, []

    def fail_at_the_third(writer: BlockWriter) -> None:
        commits.append(writer)
        if len(commits) == 3:
            raise StorageError("The store is too busy or fails.", code="ServerBusy")
        real(writer)

    monkeypatch.setattr(BlockWriter, "commit", fail_at_the_third)
    with pytest.raises(StorageError):
        container.split(f"{container.url}/in.parquet")
    assert container.names() == []


def test_a_wrong_key(container: Container) -> None:
    with pytest.raises(StorageError) as caught:
        container.split(container.file, credential="d3Jvbmc=")
    assert caught.value.error_code in ("AuthenticationFailed", "AuthorizationFailure")
    assert container.names() == []
