"""The client that activities use."""

from __future__ import annotations

import pytest

from kyanite.batch.client import open_client
from kyanite.batch.model import PoolSpec, TaskSpec
from kyanite.batch.service import BatchService
from kyanite.database import Database
from kyanite.errors import BatchError
from kyanite.secrets import Vault


@pytest.fixture
def service(tmp_path):
    database = Database(None)
    service = BatchService(database, tmp_path / "batch", Vault(), None, home=tmp_path)
    service.create_account("delabbatch1")
    service.create_pool("delabbatch1", PoolSpec("delabadfpool1"))
    yield service
    service.close()
    database.close()


def test_both_keys_open_the_account_and_so_does_none(service):
    keys = service.keys("delabbatch1")
    assert len(set(keys.values())) == 2
    for key in [*keys.values(), None]:
        assert open_client(service, "DelabBatch1", key).account.name == "delabbatch1"


@pytest.mark.parametrize("key", ["", "wrong", "***", "ключ"])
def test_a_wrong_key_is_refused(service, key):
    with pytest.raises(BatchError, match="Cannot access user batch account") as caught:
        open_client(service, "delabbatch1", key)
    assert caught.value.error_code == "AuthenticationFailed"
    assert key == "" or key not in str(caught.value)


def test_unknown_names_are_answered_with_near_ones(service):
    with pytest.raises(BatchError, match="Did you mean 'delabbatch1'") as caught:
        open_client(service, "delabbatch2", None)
    assert caught.value.error_code == "AccountNotFound"
    client = open_client(service, "delabbatch1", None)
    with pytest.raises(BatchError, match="Did you mean 'delabadfpool1'") as caught:
        client.ensure_job("adfv2-delabadfpol", "delabadfpol")
    assert caught.value.error_code == "PoolNotFound"


def test_a_task_from_end_to_end(service):
    client = open_client(service, "delabbatch1", None)
    job = client.ensure_job("adfv2-delabadfpool1", client.pool("DELABADFPOOL1").id)
    assert client.ensure_job("adfv2-delabadfpool1", "delabadfpool1") == job
    client.add_task(job.id, TaskSpec("guid-1", "cmd /c echo hello"))
    states = []
    task = client.wait_task(job.id, "guid-1", timeout=30, progress=lambda task: states.append(task.state.value))
    assert (task.exit_code, states[0], states[-1]) == (0, "active", "completed")
    assert client.read_file(job.id, "guid-1", "stdout.txt") == b"hello\n"
    assert [entry.name for entry in client.list_files(job.id, "guid-1")] == ["stderr.txt", "stdout.txt", "wd"]
    with pytest.raises(BatchError):
        client.terminate_task(job.id, "guid-1")


def test_resource_files_come_from_a_storage_account_of_the_workspace(tmp_path):
    from kyanite.batch.model import ResourceFile
    from kyanite.storage import StorageAccounts

    vault, database = Vault(), Database(None)
    accounts = StorageAccounts(tmp_path / "storage", vault)
    account = accounts.create("delabstorage1")
    account.create_container("batchstorage")
    with account.open_write("batchstorage", "code/main.py") as out:
        out.write(b"print('staged')")
        out.commit()
    service = BatchService(database, tmp_path / "batch", vault, accounts, home=tmp_path)
    service.create_account("b")
    service.create_pool("b", PoolSpec("p"))
    service.ensure_job("b", "j", "p")
    url = "https://delabstorage1.blob.core.windows.net/batchstorage/code/"
    files = (ResourceFile("main.py", http_url=url + "main.py"),)
    service.add_task("b", "j", TaskSpec("good", "python main.py", files))
    service.add_task("b", "j", TaskSpec("bad", "true", (ResourceFile("x", http_url=url + "none.py"),)))
    assert service.wait_task("b", "j", "good", timeout=30).exit_code == 0
    assert service.read_file("b", "j", "good", "stdout.txt") == b"staged\n"
    assert service.wait_task("b", "j", "bad", timeout=30).failure_info.code == "BlobNotFound"
    service.close()
    database.close()
