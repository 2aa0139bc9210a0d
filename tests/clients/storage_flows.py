"""What official storage clients do, step by step, unmodified, against any endpoint. Run as a program of its own:

    python storage_flows.py CLIENT...   with STORAGE_ACCOUNT, STORAGE_KEY, and STORAGE_URL for the account in the path
                                        (without it: https://ACCOUNT.blob.core.windows.net)

Prints one JSON object: for each client its version, and for each step "ok" or what went wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import io
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

ACCOUNT = os.environ.get("STORAGE_ACCOUNT", "")
KEY = os.environ.get("STORAGE_KEY", "")
URL = os.environ.get("STORAGE_URL", "")
BLOB = f"{URL}/{ACCOUNT}" if URL else f"https://{ACCOUNT}.blob.core.windows.net"
DFS = f"{URL}/{ACCOUNT}" if URL else f"https://{ACCOUNT}.dfs.core.windows.net"
LARGE = bytes(range(256)) * 20_000  # 5 MB
results: dict[str, str] = {}


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """One thing a client does; the next ones are tried whatever comes of it."""
    try:
        yield
        results[name] = "ok"
    except Exception as problem:  # noqa: BLE001
        code = getattr(problem, "error_code", None)
        text = str(code) if code else f"{type(problem).__name__}: {problem}".split("\n")[0]
        results[name] = text[:200]


def fails(call: Callable[[], object], code: str) -> None:
    """The call must be refused with the service's code."""
    try:
        call()
    except Exception as problem:  # noqa: BLE001
        answer = getattr(problem, "response", None)
        found = getattr(problem, "error_code", None) or (answer and answer.headers.get("x-ms-error-code"))
        assert str(getattr(found, "value", found)) == code, f"{found} instead of {code}"
        return
    raise AssertionError(f"it was not refused with {code}")


def connection_string() -> str:
    if not URL:
        return f"DefaultEndpointsProtocol=https;AccountName={ACCOUNT};AccountKey={KEY};EndpointSuffix=core.windows.net"
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={BLOB};"


def name() -> str:
    return f"c{uuid.uuid4().hex[:12]}"


# ---- azure-storage-blob


def blob() -> None:
    from azure.storage import blob as sdk

    service = sdk.BlobServiceClient.from_connection_string(
        connection_string(),
        max_block_size=1024 * 1024,
        max_single_put_size=1024 * 1024,
        max_single_get_size=1024 * 1024,
        max_chunk_get_size=1024 * 1024,
    )
    container = service.get_container_client(name())
    with step("make a container"):
        container.create_container(metadata={"team": "a"})
        assert container.exists()
        fails(container.create_container, "ContainerAlreadyExists")
    with step("containers"):
        found = {each.name: each.metadata for each in service.list_containers(include_metadata=True)}
        assert found[container.container_name] == {"team": "a"}
    with step("put and get"):
        container.upload_blob("dir/a b.txt", b"hello", metadata={"k": "v"})
        assert container.download_blob("dir/a b.txt").readall() == b"hello"
        fails(lambda: container.upload_blob("dir/a b.txt", b"x"), "BlobAlreadyExists")
    with step("blocks and ranges"):
        container.upload_blob("large", LARGE, overwrite=True, max_concurrency=4)
        assert container.download_blob("large", max_concurrency=4).readall() == LARGE
        assert container.download_blob("large", offset=300, length=500).readall() == LARGE[300:800]
        blocks, _ = container.get_blob_client("large").get_block_list("all")
        assert len(blocks) == 5
    with step("list"):
        container.upload_blob("dir/sub/c", b"1")
        assert [each.name for each in container.list_blobs("dir/")] in (
            ["dir/a b.txt", "dir/sub/c"],
            ["dir/a b.txt", "dir/sub", "dir/sub/c"],
        )
        assert sorted(each.name for each in container.walk_blobs("dir/")) == ["dir/a b.txt", "dir/sub/"]
        pages = container.list_blobs(results_per_page=1).by_page()
        assert next(pages) is not None
    one = container.get_blob_client("dir/a b.txt")
    with step("properties and metadata"):
        one.set_http_headers(sdk.ContentSettings(content_type="text/csv", cache_control="no-store"))
        one.set_blob_metadata({"x": "1"})
        found = one.get_blob_properties()
        assert (found.content_settings.content_type, found.metadata, found.size) == ("text/csv", {"x": "1"}, 5)
    with step("tags"):
        one.set_blob_tags({"project": "kyanite"})
        assert one.get_blob_tags() == {"project": "kyanite"}
        assert one.get_blob_tags(if_tags_match_condition="project > 'a' AND project <> 'b'")
        fails(lambda: one.set_blob_metadata({}, if_tags_match_condition="project='b'"), "ConditionNotMet")
        assert [each.name for each in container.find_blobs_by_tags("project='kyanite'")] == ["dir/a b.txt"]
    with step("conditions"):
        etag = one.get_blob_properties().etag
        fails(lambda: one.upload_blob(b"x", overwrite=True, etag="0x1", match_condition=_matches()), "ConditionNotMet")
        one.upload_blob(b"hello", overwrite=True, etag=etag, match_condition=_matches())
    with step("copy"):
        copy = container.get_blob_client("copy")
        assert copy.start_copy_from_url(one.url)["copy_status"] == "success"
        assert copy.download_blob().readall() == b"hello"
    with step("copy from a URL with SAS"):
        token = sdk.generate_blob_sas(
            ACCOUNT, container.container_name, "large", account_key=KEY, permission="r", expiry=_soon()
        )
        container.get_blob_client("large2").upload_blob_from_url(f"{container.get_blob_client('large').url}?{token}")
        assert container.get_blob_client("large2").get_blob_properties().size == len(LARGE)
    with step("append blob"):
        log = container.get_blob_client("log")
        log.create_append_blob()
        log.append_block(b"one,")
        log.append_block(b"two")
        assert log.download_blob().readall() == b"one,two"
    with step("lease"):
        lease = one.acquire_lease(15)
        fails(lambda: one.delete_blob(), "LeaseIdMissing")
        lease.release()
    with step("account SAS"):
        token = sdk.generate_account_sas(ACCOUNT, KEY, "sco", "rl", _soon(), services="b")
        reader = sdk.BlobServiceClient(BLOB, credential=token)
        assert reader.get_blob_client(container.container_name, "copy").download_blob().readall() == b"hello"
        fails(lambda: reader.create_container(name()), "AuthorizationPermissionMismatch")
    with step("container SAS and stored policy"):
        container.set_container_access_policy(
            {"p": sdk.AccessPolicy("rl", _soon(), datetime.now(UTC) - timedelta(hours=1))}
        )
        token = sdk.generate_container_sas(ACCOUNT, container.container_name, KEY, policy_id="p")
        reader = sdk.ContainerClient(BLOB, container.container_name, credential=token)
        assert "copy" in [each.name for each in reader.list_blobs()]
        fails(lambda: reader.upload_blob("x", b"x"), "AuthorizationPermissionMismatch")
        assert container.get_container_access_policy()["signed_identifiers"][0].id == "p"
    with step("blob SAS that has expired"):
        token = sdk.generate_blob_sas(
            ACCOUNT, container.container_name, "copy", account_key=KEY, permission="r", expiry=_soon(-1)
        )
        late = sdk.BlobClient(BLOB, container.container_name, "copy", credential=token)
        fails(late.download_blob, "AuthenticationFailed")
    with step("a wrong key"):
        other = sdk.ContainerClient(
            BLOB, container.container_name, credential={"account_name": ACCOUNT, "account_key": "AAAA"}
        )
        fails(lambda: list(other.list_blobs()), "AuthenticationFailed")
    with step("batch delete"):
        for each in ("b1", "b2"):
            container.upload_blob(each, b"x")
        answers = list(container.delete_blobs("b1", "b2"))
        assert [each.status_code for each in answers] == [202, 202]
    with step("account information"):
        assert service.get_account_information()["account_kind"]
    with step("delete"):
        one.delete_blob()
        assert not one.exists()
        container.delete_container()
        assert not container.exists()


async def _blob_async() -> None:
    from azure.storage.blob.aio import BlobServiceClient

    async with BlobServiceClient.from_connection_string(connection_string()) as service:
        container = service.get_container_client(name())
        with step("asynchronous: put, get, list"):
            await container.create_container()
            await asyncio.gather(*(container.upload_blob(f"b/{number:03}", b"x" * number) for number in range(50)))
            assert len([each async for each in container.list_blobs("b/", results_per_page=7)]) == 50
            assert await (await container.download_blob("b/007")).readall() == b"x" * 7
        await container.delete_container()


def blob_async() -> None:
    asyncio.run(_blob_async())


def user_delegation() -> None:
    """Needs a token (DefaultAzureCredential) and so https."""
    from azure.identity import DefaultAzureCredential
    from azure.storage import blob as sdk
    from azure.storage.filedatalake import DataLakeServiceClient

    credential = DefaultAzureCredential()
    service = sdk.BlobServiceClient(BLOB, credential=credential)
    container = service.get_container_client(name())
    with step("with a token"):
        container.create_container()
        container.upload_blob("d/a", b"hello")
        assert container.download_blob("d/a").readall() == b"hello"
        lake = DataLakeServiceClient(DFS, credential=credential).get_file_system_client(container.container_name)
        assert [each.name for each in lake.get_paths()] == ["d", "d/a"]
    with step("user delegation SAS"):
        key = service.get_user_delegation_key(datetime.now(UTC) - timedelta(minutes=1), _soon())
        token = sdk.generate_blob_sas(
            ACCOUNT, container.container_name, "d/a", user_delegation_key=key, permission="r", expiry=_soon()
        )
        reader = sdk.BlobClient(BLOB, container.container_name, "d/a", credential=token)
        assert reader.download_blob().readall() == b"hello"
        fails(lambda: reader.upload_blob(b"x", overwrite=True), "AuthorizationPermissionMismatch")
    container.delete_container()


# ---- azure-storage-file-datalake


def datalake() -> None:
    from azure.storage import filedatalake as sdk

    service = sdk.DataLakeServiceClient(DFS, credential={"account_name": ACCOUNT, "account_key": KEY})
    lake = service.get_file_system_client(name())
    with step("make a filesystem"):
        lake.create_file_system(metadata={"team": "a"})
        assert lake.get_file_system_properties().metadata == {"team": "a"}
        fails(lake.create_file_system, "ContainerAlreadyExists")
    with step("upload and download"):
        file = lake.get_file_client("dir/sub/a.bin")
        file.upload_data(LARGE, overwrite=True, chunk_size=1024 * 1024, metadata={"k": "v"})
        assert file.download_file().readall() == LARGE
        assert file.get_file_properties().metadata == {"k": "v"}
    with step("create, append, flush"):
        file = lake.create_file("dir/log")
        file.append_data(b"world", 6)
        file.append_data(b"hello ", 0)
        file.flush_data(11)
        assert file.download_file().readall() == b"hello world"
        file.append_data(b"!", 11, flush=True)
        assert file.download_file(offset=6, length=6).readall() == b"world!"
        fails(lambda: file.flush_data(99), "InvalidFlushPosition")
    with step("a leading and a doubled slash"):
        lake.get_file_client("/source//NewFile.parq").upload_data(b"x", overwrite=True)
        assert "source/NewFile.parq" in [each.name for each in lake.get_paths()]
    with step("list"):
        found = {each.name: each.is_directory for each in lake.get_paths("dir", recursive=True)}
        assert found == {"dir/log": False, "dir/sub": True, "dir/sub/a.bin": False}
        assert [each.name for each in lake.get_paths(recursive=False, max_results=1)] == ["dir", "source"]
        assert next(iter(lake.get_paths("dir"))).content_length == 12
    with step("rename a file"):
        moved = lake.get_file_client("dir/log").rename_file(f"{lake.file_system_name}/dir/log2")
        assert moved.download_file().readall() == b"hello world!"
    with step("rename over a file"):
        lake.get_file_client("dir/other").upload_data(b"other", overwrite=True)
        lake.get_file_client("dir/other").rename_file(f"{lake.file_system_name}/dir/log2")
        assert lake.get_file_client("dir/log2").download_file().readall() == b"other"
    with step("rename a folder"):
        lake.get_directory_client("dir").rename_directory(f"{lake.file_system_name}/moved")
        assert {each.name for each in lake.get_paths("moved")} == {"moved/log2", "moved/sub", "moved/sub/a.bin"}
        fails(lambda: list(lake.get_paths("dir")), "PathNotFound")
    with step("rename to another filesystem"):
        other = service.create_file_system(name())
        lake.get_directory_client("moved").rename_directory(f"{other.file_system_name}/here")
        assert other.get_file_client("here/sub/a.bin").get_file_properties().size == len(LARGE)
        other.get_directory_client("here").rename_directory(f"{lake.file_system_name}/dir")
        other.delete_file_system()
    with step("access control"):
        folder = lake.get_directory_client("dir")
        folder.set_access_control(permissions="rwxr-x--x", owner="me")
        assert folder.get_access_control()["permissions"] == "rwxr-x--x"
        counted = folder.update_access_control_recursive("user:abc:r-x", batch_size=2)
        assert (counted.counters.directories_successful, counted.counters.files_successful) == (2, 2)
        assert folder.get_directory_properties().permissions.startswith("rwxr-x--x")
        assert "user:abc:r-x" in folder.get_file_client("log2").get_access_control()["acl"]
        assert folder.remove_access_control_recursive("user:abc").counters.failure_count == 0
    with step("properties of a folder"):
        folder = lake.create_directory("made/below", metadata={"m": "1"})
        assert folder.get_directory_properties().metadata["m"] == "1"
        folder.set_metadata({"m": "2"})
        assert folder.get_directory_properties().metadata["m"] == "2"
        folder.create_sub_directory("child")
        assert folder.exists()
    with step("lease"):
        file = lake.get_file_client("dir/log2")
        lease = file.acquire_lease(15)
        fails(lambda: file.append_data(b"x", 5), "LeaseIdMissing")
        file.append_data(b"x", 5, lease=lease, flush=True)
        lease.release()
    with step("directory SAS"):
        token = sdk.generate_directory_sas(ACCOUNT, lake.file_system_name, "dir", KEY, permission="rl", expiry=_soon())
        reader = sdk.FileSystemClient(DFS, lake.file_system_name, credential=token)
        assert {each.name for each in reader.get_paths("dir", recursive=False)} == {"dir/log2", "dir/sub"}
        assert reader.get_file_client("dir/log2").download_file().readall() == b"otherx"
        fails(lambda: list(reader.get_paths("made")), "AuthenticationFailed")
        fails(lambda: reader.get_file_client("dir/new").create_file(), "AuthorizationPermissionMismatch")
    with step("rename with SAS"):
        lake.get_file_client("dir/by").upload_data(b"x", overwrite=True)
        token = sdk.generate_file_system_sas(ACCOUNT, lake.file_system_name, KEY, permission="racwdlm", expiry=_soon())
        mover = sdk.DataLakeFileClient(DFS, lake.file_system_name, "dir/by", credential=token)
        mover.rename_file(f"{lake.file_system_name}/dir/by2")
        reader = sdk.generate_file_system_sas(ACCOUNT, lake.file_system_name, KEY, permission="rl", expiry=_soon())
        client = sdk.DataLakeFileClient(DFS, lake.file_system_name, "dir/by2", credential=reader)
        fails(lambda: client.rename_file(f"{lake.file_system_name}/dir/by3"), "AuthorizationPermissionMismatch")
    with step("the same file as a blob"):
        from azure.storage.blob import BlobServiceClient

        file = lake.get_file_client("dir/by2")
        file.set_metadata({"k": "v"})
        as_blob = BlobServiceClient(BLOB, credential={"account_name": ACCOUNT, "account_key": KEY}).get_blob_client(
            lake.file_system_name, "dir/by2"
        )
        assert as_blob.get_blob_properties().metadata == {"k": "v"}
        as_blob.upload_blob(b"from there", overwrite=True)
        assert file.download_file().readall() == b"from there"
        lake.set_file_system_access_policy({"p": sdk.AccessPolicy(sdk.FileSystemSasPermissions(read=True), _soon())})
        assert [each.id for each in lake.get_file_system_access_policy()["signed_identifiers"]] == ["p"]
    with step("delete"):
        fails(lambda: _delete_path(lake, "dir"), "DirectoryNotEmpty")
        lake.delete_file("dir/log2")
        lake.delete_directory("dir")
        fails(lambda: list(lake.get_paths("dir")), "PathNotFound")
        lake.delete_file_system()


def _delete_path(lake: object, path: str) -> None:
    client = lake.get_directory_client(path)
    client._client.path.delete(recursive=False)


# ---- file systems for Python


def adlfs() -> None:
    from adlfs import AzureBlobFileSystem

    system = AzureBlobFileSystem(connection_string=connection_string(), use_listings_cache=False)
    _fsspec_flow(system, name())


def fsspec() -> None:
    import fsspec as library

    container = name()
    options = {"connection_string": connection_string()}
    library.filesystem("abfs", **options).mkdir(container)
    with step("open by URL"):
        with library.open(f"abfs://{container}/dir/text.txt", "wt", **options) as file:
            file.write("hello")
        with library.open(f"abfs://{container}/dir/text.txt", "rt", **options) as file:
            assert file.read() == "hello"
        with library.open_files(f"abfs://{container}/dir/*.txt", "rb", **options)[0] as file:
            assert file.read() == b"hello"
    with step("cached"):
        cached = library.filesystem("simplecache", target_protocol="abfs", target_options=options)
        assert cached.cat(f"{container}/dir/text.txt") == b"hello"
    library.filesystem("abfs", **options).rm(container, recursive=True)


def _fsspec_flow(system: object, container: str) -> None:
    with step("make a container"):
        system.mkdir(container)
        assert system.exists(container)
    with step("write and read"):
        with system.open(f"{container}/dir/large", "wb", block_size=2**20) as file:
            file.write(LARGE)
        assert system.cat(f"{container}/dir/large") == LARGE
        assert system.cat_file(f"{container}/dir/large", 300, 800) == LARGE[300:800]
        assert system.info(f"{container}/dir/large")["size"] == len(LARGE)
    with step("list"):
        system.pipe(f"{container}/dir/sub/b", b"1")
        assert sorted(system.ls(f"{container}/dir", detail=False)) == [f"{container}/dir/large", f"{container}/dir/sub"]
        assert sorted(system.find(f"{container}")) == [f"{container}/dir/large", f"{container}/dir/sub/b"]
        assert system.glob(f"{container}/dir/*/b") == [f"{container}/dir/sub/b"]
        assert system.isdir(f"{container}/dir/sub")
    with step("append"):
        with system.open(f"{container}/log", "ab") as file:
            file.write(b"one,")
        with system.open(f"{container}/log", "ab") as file:
            file.write(b"two")
        assert system.cat(f"{container}/log") == b"one,two"
    with step("move and copy"):
        system.mv(f"{container}/dir/sub/b", f"{container}/dir/c")
        system.copy(f"{container}/dir/c", f"{container}/dir/d")
        assert not system.exists(f"{container}/dir/sub/b")
        assert system.cat(f"{container}/dir/d") == b"1"
    with step("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"a": list(range(1000))})
        pq.write_table(table, f"{container}/t/x.parquet", filesystem=system)
        assert pq.read_table(f"{container}/t", filesystem=system).equals(table)
    with step("delete"):
        system.rm(f"{container}/dir", recursive=True)
        assert not system.exists(f"{container}/dir/large")
        system.rm(container, recursive=True)


def pyarrow() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import fs

    options = {}
    if URL:
        authority = URL.partition("://")[2]
        options = {"blob_storage_authority": authority, "dfs_storage_authority": authority}
        options |= {"blob_storage_scheme": "http", "dfs_storage_scheme": "http"}
    system = fs.AzureFileSystem(ACCOUNT, account_key=KEY, **options)
    container = name()
    with step("make a container"):
        system.create_dir(container)
        assert system.get_file_info(container).type == fs.FileType.Directory
    with step("write and read"):
        system.create_dir(f"{container}/dir/sub", recursive=True)
        with system.open_output_stream(f"{container}/dir/large") as file:
            file.write(LARGE)
        with system.open_input_file(f"{container}/dir/large") as file:
            assert file.read_at(500, 300) == LARGE[300:800]
            assert file.size() == len(LARGE)
        with system.open_input_stream(f"{container}/dir/large") as file:
            assert file.read() == LARGE
    with step("list"):
        with system.open_output_stream(f"{container}/dir/sub/b") as file:
            file.write(b"1")
        found = system.get_file_info(fs.FileSelector(container, recursive=True))
        assert sorted(each.path for each in found) == [
            f"{container}/dir",
            f"{container}/dir/large",
            f"{container}/dir/sub",
            f"{container}/dir/sub/b",
        ]
        found = system.get_file_info(fs.FileSelector(f"{container}/dir"))
        assert sorted(each.base_name for each in found) == ["large", "sub"]
    with step("append"):
        with system.open_append_stream(f"{container}/dir/sub/b") as file:
            file.write(b"2")
        with system.open_input_stream(f"{container}/dir/sub/b") as file:
            assert file.read() == b"12"
    with step("move a file"):
        system.move(f"{container}/dir/sub/b", f"{container}/dir/c")
        assert system.get_file_info(f"{container}/dir/sub/b").type == fs.FileType.NotFound
    with step("move a folder"):
        system.move(f"{container}/dir", f"{container}/moved")
        assert system.get_file_info(f"{container}/moved/c").size == 2
    with step("move over a filled folder"):
        system.create_dir(f"{container}/full/x", recursive=True)
        try:
            system.move(f"{container}/moved", f"{container}/full")
        except OSError:
            pass
        else:
            raise AssertionError("it was not refused")
    with step("copy"):
        with system.open_output_stream(f"{container}/original") as file:
            file.write(b"12")
        system.copy_file(f"{container}/original", f"{container}/copy")
        assert system.get_file_info(f"{container}/copy").size == 2
    with step("dataset"):
        table = pa.table({"a": list(range(1000)), "p": [number % 3 for number in range(1000)]})
        pq.write_to_dataset(table, f"{container}/set", filesystem=system, partition_cols=["p"])
        assert pq.read_table(f"{container}/set", filesystem=system).num_rows == 1000
    with step("delete"):
        system.delete_file(f"{container}/copy")
        system.delete_dir(f"{container}/set")
        system.delete_dir_contents(container)
        assert system.get_file_info(fs.FileSelector(container)) == []
        system.delete_dir(container)
        assert system.get_file_info(container).type == fs.FileType.NotFound


def obstore() -> None:
    import obstore as sdk
    from azure.storage.blob import ContainerClient
    from obstore.store import AzureStore

    container = ContainerClient.from_connection_string(connection_string(), name())
    container.create_container()
    options = {"account_name": ACCOUNT, "account_key": KEY}
    client = {"allow_http": True} if URL else {}
    if URL:
        options["endpoint"] = BLOB
    store = AzureStore(container.container_name, config=options, client_options=client)
    with step("put and get"):
        put = sdk.put(store, "dir/a b.txt", b"hello")
        assert bytes(sdk.get(store, "dir/a b.txt").bytes()) == b"hello"
        assert sdk.head(store, "dir/a b.txt")["e_tag"] == put["e_tag"]
    with step("multipart"):
        sdk.put(store, "large", io.BytesIO(LARGE), chunk_size=1024 * 1024, use_multipart=True)
        assert bytes(sdk.get_range(store, "large", start=300, length=500)) == LARGE[300:800]
        parts = sdk.get_ranges(store, "large", starts=[0, 4_000_000], lengths=[10, 10])
        assert bytes(parts[1]) == LARGE[4_000_000:4_000_010]
    with step("put only when new"):
        try:
            sdk.put(store, "large", b"x", mode="create")
        except sdk.exceptions.AlreadyExistsError:
            pass
        else:
            raise AssertionError("it was not refused")
    with step("list"):
        sdk.put(store, "dir/sub/b", b"1")
        found = [each["path"] for page in sdk.list(store, "dir") for each in page]
        assert sorted(found) == ["dir/a b.txt", "dir/sub/b"]
        level = sdk.list_with_delimiter(store, "dir")
        assert ([each["path"] for each in level["objects"]], level["common_prefixes"]) == (["dir/a b.txt"], ["dir/sub"])
    with step("copy and rename"):
        sdk.copy(store, "dir/sub/b", "copy")
        sdk.rename(store, "copy", "renamed")
        assert bytes(sdk.get(store, "renamed").bytes()) == b"1"
    with step("delete"):
        sdk.delete(store, ["renamed", "large", "dir/a b.txt", "dir/sub/b"])
        assert [each["path"] for page in sdk.list(store) for each in page] == []
    container.delete_container()


def _soon(hours: float = 1) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


def _matches() -> object:
    from azure.core import MatchConditions

    return MatchConditions.IfNotModified


FLOWS: dict[str, tuple[str, Callable[[], None]]] = {
    "adlfs": ("adlfs", adlfs),
    "blob": ("azure-storage-blob", blob),
    "blob_async": ("azure-storage-blob", blob_async),
    "datalake": ("azure-storage-file-datalake", datalake),
    "fsspec": ("fsspec", fsspec),
    "obstore": ("obstore", obstore),
    "pyarrow": ("pyarrow", pyarrow),
    "user_delegation": ("azure-storage-blob", user_delegation),
}


def main() -> None:
    told = {}
    for client in sys.argv[1:]:
        package, flow = FLOWS[client]
        results.clear()
        with step("the rest"):
            flow()
        if results["the rest"] == "ok":
            del results["the rest"]
        told[client] = {"version": f"{package} {importlib.metadata.version(package)}", "steps": dict(results)}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
