"""azure-mgmt-batch 19, unmodified, over https: accounts, keys, pools in Resource Manager's body, applications."""

from __future__ import annotations

import io
import urllib.request
import zipfile
from collections.abc import Iterator

import pytest
from azure.batch import BatchClient
from azure.batch.models import BatchJobCreateOptions, BatchPoolInfo
from azure.core import MatchConditions
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.batch import BatchManagementClient
from azure.mgmt.batch import models as m

from batch_server import ACCOUNT, BatchServer, batch_server, wait_until
from kyanite.server.tokens import admin_key

GROUP = "somegroup"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


class OwnerCredential:
    """The workspace owner's key as a token."""

    def __init__(self, key: str) -> None:
        self._key = key

    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        return AccessToken(self._key, 2**33)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchServer]:
    with batch_server(tmp_path_factory.mktemp("management") / "home", tls=True) as made:
        yield made


@pytest.fixture(scope="module")
def client(server: BatchServer) -> Iterator[BatchManagementClient]:
    credential = OwnerCredential(admin_key(server.workspace.vault))
    with BatchManagementClient(
        credential,
        SUBSCRIPTION,
        base_url=server.live.https_url,
        connection_verify=str(server.live.ca_file),
        retry_total=0,
        polling_interval=0,
    ) as made:
        yield made


def test_accounts_and_keys(server, client):
    accounts = client.batch_account
    made = accounts.begin_create(
        GROUP, "second", m.BatchAccountCreateParameters(location="westeurope", tags={"a": "b"})
    ).result()
    assert (made.name, made.location, made.tags) == ("second", "westeurope", {"a": "b"})
    assert made.properties.provisioning_state == "Succeeded"
    assert made.properties.account_endpoint.endswith("/batch/second")
    assert "://" not in made.properties.account_endpoint
    assert sorted(each.name for each in accounts.list()) == [ACCOUNT, "second"]
    assert [each.tags for each in accounts.list_by_resource_group(GROUP) if each.name == "second"] == [{"a": "b"}]
    assert accounts.update(GROUP, "second", m.BatchAccountUpdateParameters(tags={"c": "d"})).tags == {"c": "d"}
    keys = accounts.get_keys(GROUP, "second")
    assert {"primary": keys.primary, "secondary": keys.secondary} == server.workspace.batch.keys("second")
    fresh = accounts.regenerate_key(
        GROUP, "second", m.BatchAccountRegenerateKeyParameters(key_name=m.AccountKeyType.PRIMARY)
    )
    assert fresh.primary != keys.primary
    assert fresh.secondary == keys.secondary
    accounts.begin_delete(GROUP, "second").result()
    with pytest.raises(ResourceNotFoundError) as caught:
        accounts.get(GROUP, "second")
    assert caught.value.error.code == "ResourceNotFound"


def test_names_and_quotas(client):
    assert client.location.get_quotas("westeurope").account_quota > 0
    parameters = m.CheckNameAvailabilityParameters(name=ACCOUNT, type="Microsoft.Batch/batchAccounts")
    taken = client.location.check_name_availability("westeurope", parameters)
    assert (taken.name_available, taken.reason) == (False, "AlreadyExists")
    parameters.name = "brandnew"
    assert client.location.check_name_availability("westeurope", parameters).name_available
    parameters.name = "No Such Name"
    assert client.location.check_name_availability("westeurope", parameters).reason == "Invalid"


def pool_of(settings: m.ScaleSettings, **more) -> m.Pool:
    machine = m.VirtualMachineConfiguration(
        image_reference=m.ImageReference(publisher="canonical", offer="ubuntu", sku="22_04-lts"),
        node_agent_sku_id="batch.node.ubuntu 22.04",
    )
    deployment = m.DeploymentConfiguration(virtual_machine_configuration=machine)
    return m.Pool(
        properties=m.PoolProperties(
            vm_size="STANDARD_D2S_V3", deployment_configuration=deployment, scale_settings=settings, **more
        )
    )


def test_pools(server, client):
    pools = client.pool
    fixed = m.ScaleSettings(fixed_scale=m.FixedScaleSettings(target_dedicated_nodes=1, target_low_priority_nodes=0))
    made = pools.create(GROUP, ACCOUNT, "arm", pool_of(fixed, task_slots_per_node=2, display_name="A pool"))
    assert (made.name, made.properties.display_name, made.properties.task_slots_per_node) == ("arm", "A pool", 2)
    machine = made.properties.deployment_configuration.virtual_machine_configuration
    assert machine.node_agent_sku_id == "batch.node.ubuntu 22.04"
    wait_until(lambda: pools.get(GROUP, ACCOUNT, "arm").properties.allocation_state == "Steady")
    assert pools.get(GROUP, ACCOUNT, "arm").properties.current_dedicated_nodes == 1

    two = m.ScaleSettings(fixed_scale=m.FixedScaleSettings(target_dedicated_nodes=2))
    pools.update(GROUP, ACCOUNT, "arm", m.Pool(properties=m.PoolProperties(scale_settings=two)))
    wait_until(lambda: pools.get(GROUP, ACCOUNT, "arm").properties.current_dedicated_nodes == 2)
    wait_until(lambda: pools.get(GROUP, ACCOUNT, "arm").properties.allocation_state == "Steady")

    auto = m.AutoScaleSettings(formula="$TargetDedicatedNodes = 2;")
    settings = m.ScaleSettings(auto_scale=auto)
    changed = pools.update(GROUP, ACCOUNT, "arm", m.Pool(properties=m.PoolProperties(scale_settings=settings)))
    assert changed.properties.scale_settings.auto_scale.formula == "$TargetDedicatedNodes = 2;"
    off = pools.disable_auto_scale(GROUP, ACCOUNT, "arm")
    assert off.properties.scale_settings.fixed_scale.target_dedicated_nodes == 2

    assert [each.name for each in pools.list_by_batch_account(GROUP, ACCOUNT)] == ["arm"]
    with pytest.raises(HttpResponseError) as caught:
        pools.create(GROUP, ACCOUNT, "arm", pool_of(two), match_condition=MatchConditions.IfMissing)
    assert caught.value.status_code == 412
    pools.begin_delete(GROUP, ACCOUNT, "arm").result()
    wait_until(lambda: not list(pools.list_by_batch_account(GROUP, ACCOUNT)))
    with pytest.raises(HttpResponseError) as caught:
        pools.create(GROUP, "nosuchaccount", "arm", pool_of(two))
    assert caught.value.status_code == 404


def test_applications(server, client):
    applications, packages = client.application, client.application_package
    made = applications.create(
        GROUP, ACCOUNT, "tool", m.Application(properties=m.ApplicationProperties(display_name="A tool"))
    )
    assert made.properties.display_name == "A tool"
    pending = packages.create(GROUP, ACCOUNT, "tool", "1.0")
    assert pending.properties.state == "Pending"
    with pytest.raises(HttpResponseError) as caught:
        packages.activate(GROUP, ACCOUNT, "tool", "1.0", m.ActivateApplicationPackageParameters(format="zip"))
    assert caught.value.error.code == "ApplicationPackageBlobNotFound"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("bin/hello.txt", "hello from the package\n")
    url = pending.properties.storage_url.replace(server.live.https_url, server.live.http_url)
    upload = urllib.request.Request(url, data.getvalue(), {"x-ms-blob-type": "BlockBlob"}, method="PUT")
    with urllib.request.urlopen(upload) as answer:
        assert answer.status == 201
    active = packages.activate(GROUP, ACCOUNT, "tool", "1.0", m.ActivateApplicationPackageParameters(format="zip"))
    assert active.properties.state == "Active"
    update = m.Application(properties=m.ApplicationProperties(default_version="1.0"))
    assert applications.update(GROUP, ACCOUNT, "tool", update).properties.default_version == "1.0"
    assert [each.name for each in packages.list(GROUP, ACCOUNT, "tool")] == ["1.0"]
    assert [each.name for each in applications.list(GROUP, ACCOUNT)] == ["tool"]

    service = server.workspace.batch
    reference = [{"applicationId": "tool"}]
    service.add_pool(ACCOUNT, {"id": "apps", "vmSize": "a1", "targetDedicatedNodes": 1})
    service.add_job(ACCOUNT, {"id": "apps", "poolInfo": {"poolId": "apps"}})
    command = "/bin/sh -c 'cat $AZ_BATCH_APP_PACKAGE_tool/bin/hello.txt'"
    task = {"id": "t", "commandLine": command, "applicationPackageReferences": reference}
    service.add_task(ACCOUNT, "apps", task)
    wait_until(lambda: service.get_task(ACCOUNT, "apps", "t").state == "completed")
    assert service.read_file(ACCOUNT, "apps", "t", "stdout.txt") == b"hello from the package\n"
    with pytest.raises(HttpResponseError):
        packages.delete(GROUP, ACCOUNT, "tool", "1.0")  # it is the default
    applications.create(GROUP, ACCOUNT, "tool", {"properties": {}})  # without one
    packages.delete(GROUP, ACCOUNT, "tool", "1.0")
    applications.delete(GROUP, ACCOUNT, "tool")
    with pytest.raises(HttpResponseError):
        applications.get(GROUP, ACCOUNT, "tool")


def test_the_data_plane_takes_the_token_too(server):
    credential = OwnerCredential(admin_key(server.workspace.vault))
    endpoint = f"{server.live.https_url}/batch/{ACCOUNT}"
    with BatchClient(endpoint, credential, connection_verify=str(server.live.ca_file), retry_total=0) as batch:
        batch.create_job(BatchJobCreateOptions(id="token", pool_info=BatchPoolInfo(pool_id="none")))
        assert batch.get_job("token").url.startswith(endpoint)


def test_what_is_not_there_is_refused_by_name(client):
    with pytest.raises(HttpResponseError) as caught:
        list(client.batch_account.list_detectors(GROUP, ACCOUNT))
    assert (caught.value.status_code, caught.value.error.code) == (501, "NotSupported")
