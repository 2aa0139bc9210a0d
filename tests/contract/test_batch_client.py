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
