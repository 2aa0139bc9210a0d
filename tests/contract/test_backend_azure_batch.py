"""The contract of pool backends, held by a pool at another Batch endpoint: a server of ours on a second workspace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from backend_contract import BackendContract, World

from kyanite import limits
from kyanite.batch.model import TaskState
from kyanite.batch.pools import Key, Place, Room, open_backend
from kyanite.batch.pools.azure_batch import container_name, key_name
from kyanite.batch.remote_link import RemoteLink
from kyanite.batch.specs import PoolSpec, ResourceFile
from kyanite.errors import BatchError
from kyanite.runtime.workspace import Workspace, open_workspace
from kyanite.secrets import Vault
from server_kit import live_server


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Workspace, str]]:
    """The other side: a workspace with a running scheduler, and its address."""
    for name, seconds in (
        ("KILL_GRACE_SECONDS", 0.5),
        ("NODE_IDLE_SECONDS", 1.0),
        ("NODE_LOOK_SECONDS", 0.2),
        ("REMOTE_LOOK_SECONDS", 0.05),
        ("REMOTE_RESIZE_PAUSE_SECONDS", 0.1),
    ):
        monkeypatch.setattr(limits, name, seconds)
    with open_workspace(tmp_path / "far", create=True) as workspace:
        workspace.batch.create_account("faracct")
        workspace.batch.run_in_background()
        with live_server(workspace) as server:
            yield workspace, f"{server.http_url}/batch/faracct"
            for pool in list(workspace.batch.list_pools("faracct")):
                workspace.batch.delete_pool("faracct", pool.id)
            wait_until(lambda: not list(workspace.batch.list_pools("faracct")))


def wait_until(condition, seconds: float = 30.0) -> None:
    import time

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@pytest.fixture
def world(far: tuple[Workspace, str], tmp_path: Path) -> Iterator[World]:
    workspace, url = far
    home, folder = tmp_path / "home", tmp_path / "seen"
    home.mkdir()
    folder.mkdir()
    Vault(home / "secrets.json").put(key_name("faracct"), workspace.batch.keys("faracct")["primary"])
    metadata = [{"name": "kyanite.endpoint", "value": url}, {"name": "kyanite.account", "value": "faracct"}]

    def spec(name: str, **changes: object) -> PoolSpec:
        return PoolSpec(name, **{"backend": "azure_batch", "document": {"metadata": metadata}, **changes})

    made = World(home, folder, "azure_batch", spec)
    yield made
    made.end()


class TestAzureBatch(BackendContract):
    pass


# ---- what is particular to a pool elsewhere


def test_a_pool_without_an_address_or_a_key_is_refused_by_name(world: World) -> None:
    backend = open_backend("azure_batch", Room(world.home / "batch", world.home, lambda url: (None, url)))
    with pytest.raises(BatchError, match=r"needs the metadata item kyanite\.endpoint"):
        backend.ensure_pool("acct", PoolSpec("p", backend="azure_batch"))
    backend.close()


def test_files_too_large_to_carry_need_a_container(world: World) -> None:
    world.pool()
    task = world.run("true", resource_files=(ResourceFile("big", content=b"x" * 40_000),))
    assert task.failure_info is not None
    assert (task.exit_code, task.failure_info.code) == (None, "ResourceFileWriteFailed")
    assert "storage container" in task.failure_info.message


def test_files_go_through_a_container_when_there_is_one(world: World, far: tuple[Workspace, str]) -> None:
    workspace, url = far
    account = workspace.accounts.create("farstore")
    account.create_container("inputs")
    signature = generate_container_sas(
        "farstore",
        "inputs",
        account_key=account.keys[0],
        permission=ContainerSasPermissions(read=True, write=True, create=True, delete=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    base = url.removesuffix("/batch/faracct")
    Vault(world.home / "secrets.json").put(container_name("faracct"), f"{base}/farstore/inputs?{signature}")
    world.pool()
    content = bytes(range(256)) * 400
    (world.folder / "local.bin").write_bytes(content)
    files = (
        ResourceFile("deep/big.bin", content=content, mode=0o640),
        ResourceFile("local.bin", source_path=str(world.folder / "local.bin")),
    )
    assert world.run("cmp deep/big.bin local.bin", resource_files=files).exit_code == 0
    held = [entry.path for entry in account.list("inputs", "", recursive=True) if not entry.is_folder]
    assert len(held) == 2
    world.service.delete_task("acct", "pool", "t")
    world.until(lambda: not [entry for entry in account.list("inputs", "", recursive=True) if not entry.is_folder])


def test_output_files_are_uploaded_by_the_far_side(world: World, far: tuple[Workspace, str]) -> None:
    workspace, _ = far
    account = workspace.accounts.create("farstore")
    account.create_container("results")
    world.pool()
    output = {
        "filePattern": "*.txt",
        "destination": {"container": {"containerUrl": "https://farstore.blob.core.windows.net/results", "path": "run"}},
        "uploadOptions": {"uploadCondition": "tasksuccess"},
    }
    document = {"id": "t", "commandLine": "/bin/sh -c 'echo 42 > n.txt'", "outputFiles": [output]}
    world.service.add_task("acct", "pool", document)
    task = world.wait()
    assert (task.exit_code, task.failure_info) == (0, None)
    with account.open_read("results", "run/n.txt") as file:
        assert file.read() == b"42\n"
    output["destination"]["container"]["containerUrl"] = "https://farstore.blob.core.windows.net/none"
    world.service.add_task("acct", "pool", document | {"id": "u"})
    task = world.wait("u")
    assert task.failure_info is not None
    assert (task.exit_code, task.result, task.failure_info.code[:10]) == (0, "failure", "FileUpload")


def test_an_attempt_that_is_fenced_never_runs_there(world: World, far: tuple[Workspace, str]) -> None:
    world.pool()
    world.run("true")
    backend = world.service._backend("azure_batch")
    key = Key(Place("acct", "pool", "tvm-0001"), 4711)
    wait_until(lambda: backend.poll([key])[4711].status == "unclaimed")
    assert backend.fence(key)
    assert backend.fence(key)
    wait_until(lambda: backend.poll([key])[4711].status == "fenced")
    workspace, _ = far
    (job,) = workspace.batch.jobs("faracct")
    tasks = {task.id: task for task in workspace.batch.list_tasks("faracct", job.id)}
    assert (tasks["a4711"].state, tasks["a4711"].exit_code) == (TaskState.COMPLETED, None)
    first = Key(Place("acct", "pool", "tvm-0001"), 1 if "a1" in tasks else int(min(set(tasks) - {"a4711"})[1:]))
    assert not backend.fence(first)


def test_a_pool_that_was_there_before_stays_as_it_is(world: World, far: tuple[Workspace, str]) -> None:
    workspace, _ = far
    workspace.batch.add_pool("faracct", {"id": "pool", "vmSize": "local", "targetDedicatedNodes": 1})
    world.pool(target_nodes=3)
    assert world.run("true").exit_code == 0
    assert workspace.batch.get_pool("faracct", "pool").spec.dedicated_nodes == 1
    world.service.delete_job("acct", "pool")
    world.service.delete_pool("acct", "pool")
    world.until(lambda: not world.service.pools("acct"))
    assert [pool.id for pool in workspace.batch.list_pools("faracct")] == ["pool"]


def test_our_pool_goes_with_ours(world: World, far: tuple[Workspace, str]) -> None:
    workspace, _ = far
    world.pool()
    assert world.run("true").exit_code == 0
    world.service.delete_pool("acct", "pool")
    world.until(lambda: not world.service.pools("acct"))
    world.until(lambda: not list(workspace.batch.list_pools("faracct")))


def test_nothing_secret_is_in_the_far_pool(world: World, far: tuple[Workspace, str]) -> None:
    workspace, _ = far
    world.pool()
    world.run("true")
    document = workspace.batch.get_pool("faracct", "pool").spec.document
    assert {item["name"] for item in document["metadata"]} == {"kyanite.workspace"}


def test_an_endpoint_that_does_not_answer_disturbs_nothing_else(world: World) -> None:
    """Tasks of its pool wait; a pool on this machine goes on."""
    world.pool()
    world.run("true")
    (link,) = world.service._backend("azure_batch")._links.values()
    client = link.client
    port, client._port = client._port, 9
    client.close()
    world.add("true", "later")
    world.service.create_pool("acct", PoolSpec("near"))
    world.service.ensure_job("acct", "near", "near")
    assert world.run("echo here", "t", "near").exit_code == 0
    for _ in range(20):
        world.service.pump()
    assert world.task("later").state is not TaskState.COMPLETED
    client._port = port
    assert world.wait("later").exit_code == 0
    assert world.task("later").loss_count == 0


def test_a_pool_whose_endpoint_never_answered_waits_too(world: World) -> None:
    dead = [
        {"name": "kyanite.endpoint", "value": "http://127.0.0.1:9"},
        {"name": "kyanite.account", "value": "faracct"},
    ]
    world.pool(document={"metadata": dead})
    world.patience = 0  # what was sent there never ends
    world.add("true")
    world.service.create_pool("acct", PoolSpec("near"))
    world.service.ensure_job("acct", "near", "near")
    assert world.run("echo here", "t", "near").exit_code == 0
    world.until(lambda: world.task().state is TaskState.RUNNING)
    health = world.service._backend("azure_batch").health(Place("acct", "pool", "tvm-0001"))
    assert "http" not in health.reason and "does not answer" in health.reason


def test_a_wrong_key_is_said_where_the_task_waits(world: World) -> None:
    Vault(world.home / "secrets.json").put(key_name("faracct"), "d3JvbmcgYnV0IGxvbmcgZW5vdWdo")
    world.pool()
    world.add("true")
    world.until(lambda: world.service.explain("acct", "pool", "t")[0].hopeless)
    (reason,) = world.service.explain("acct", "pool", "t")
    assert "failed to authenticate" in reason.message
    assert "d3JvbmcgYnV0IGxvbmcgZW5vdWdo" not in reason.message


def test_an_older_size_never_follows_a_newer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The far side is being resized when the older one is sent; the newer one is wanted before it is sent again."""
    monkeypatch.setattr(limits, "REMOTE_RESIZE_PAUSE_SECONDS", 0)
    sent = []

    class Busy:
        def post(self, path: str, size: dict[str, int]) -> None:
            sent.append((path, size))
            link.size = {"targetDedicatedNodes": 1}
            raise BatchError("The pool is being resized.", code="PoolBeingResized")

        def close(self) -> None: ...

    link = RemoteLink(Busy(), lambda _keys: {}, lambda _over: None)
    older = link.size = {"targetDedicatedNodes": 0}
    world.service._backend("azure_batch")._resize(link, "/pools/p", older)
    link.close()
    assert sent == [("/pools/p/resize", {"targetDedicatedNodes": 0})]
