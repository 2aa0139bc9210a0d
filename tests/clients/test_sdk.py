"""`kyanite.sdk`: Azure's clients ready-made for a workspace whose server runs, and what is said when none does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kyanite.sdk as sdk
from kyanite.batch.model import PoolSpec
from kyanite.errors import NotFoundError, StateError, UserError
from kyanite.runtime.serve import RunPool
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import open_workspace
from kyanite.server.serving import ADDRESS_FILE, listening

WAIT = {"name": "w", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with open_workspace(tmp_path_factory.mktemp("sdk") / "home", create=True) as workspace:
        workspace.accounts.create("mystore")
        workspace.batch.create_account("mybatch")
        workspace.batch.create_pool("mybatch", PoolSpec("mypool", target_nodes=0))
        pool = RunPool(workspace, make_worker=lambda: Worker(workspace))
        try:
            with listening(workspace, pool, http_port=0, https_port=0):
                yield workspace.home
        finally:
            pool.stop()


def test_a_factory_is_written_and_run(home: Path) -> None:
    with sdk.data_factory_client(home) as client:
        client.factories.create_or_update("rg", "airline", {"location": "local"})
        client.pipelines.create_or_update("rg", "airline", "Hello", {"properties": {"activities": [WAIT]}})
        run = client.pipelines.create_run("rg", "airline", "Hello")
        assert client.pipeline_runs.get("rg", "airline", run.run_id).pipeline_name == "Hello"


def test_the_only_account_need_not_be_named(home: Path) -> None:
    with sdk.blob_service_client(home=home) as blobs:
        assert blobs.account_name == "mystore"
        blobs.create_container("things").upload_blob("a/one.txt", b"one")
    with sdk.data_lake_service_client("mystore", home) as lake:
        paths = lake.get_file_system_client("things").get_paths(recursive=True)
        assert [path.name for path in paths] == ["a", "a/one.txt"]
    with sdk.batch_client(home=home) as batch:
        assert [pool.id for pool in batch.list_pools()] == ["mypool"]


def test_management_clients(home: Path) -> None:
    with sdk.resource_client(home) as resources:
        assert "kyanite" in {group.name for group in resources.resource_groups.list()}
        assert {each.name for each in resources.resources.list_by_resource_group("kyanite")} >= {"mystore", "mybatch"}
    with sdk.storage_management_client(home) as storage:
        assert [account.name for account in storage.storage_accounts.list()] == ["mystore"]
    with sdk.batch_management_client(home) as batch:
        assert batch.batch_account.get("kyanite", "mybatch").name == "mybatch"
    with sdk.deployments_client(home) as deployments:
        assert list(deployments.deployments.list_by_resource_group("kyanite")) == []


def test_another_account_must_be_named_when_there_are_two(home: Path) -> None:
    with open_workspace(home) as workspace:
        workspace.accounts.create("another")
    with pytest.raises(UserError, match=r"2 storage accounts\. Name one of them: another, mystore\."):
        sdk.blob_service_client(home=home)


def test_the_credential_shows_no_key(home: Path) -> None:
    made = sdk.credential(home)
    key = (home / "token").read_text("ascii").strip()
    assert made.get_token("any").token == made.get_token_info("any").token == key
    assert key not in repr(made)


def test_no_server(tmp_path: Path) -> None:
    with open_workspace(tmp_path / "home", create=True) as workspace:
        with pytest.raises(StateError, match=r"No server runs for the workspace\. Start it with `kyanite serve`"):
            sdk.credential(workspace.home)
        gone = dict.fromkeys(("http", "proxy"), "http://127.0.0.1:1") | {"https": "https://localhost:1", "pid": 1}
        text = json.dumps(gone | {"token_file": "token", "ca_file": "ca.pem"})
        (workspace.home / ADDRESS_FILE).write_text(text, "utf-8")
        with pytest.raises(StateError, match="No server runs"):
            sdk.data_factory_client(workspace.home)


def test_a_missing_package_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.mgmt.datafactory", None)
    with pytest.raises(NotFoundError, match=r"azure-mgmt-datafactory is not installed.*kyanite\[sdk\]"):
        sdk.data_factory_client(home)


def test_nothing_of_azure_is_imported_before_it_is_used() -> None:
    program = "import sys, kyanite.sdk; print([name for name in sys.modules if name.split('.')[0] == 'azure'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
