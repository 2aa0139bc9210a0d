"""azure-mgmt-datafactory 10.0, unmodified but for address and credential: the tutorial from nothing, sync and aio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import datafactory_documents as documents
import pytest
from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.mgmt.datafactory import models as typed
from azure.mgmt.datafactory.aio import DataFactoryManagementClient as AsyncClient
from datafactory_server import ROWS, DataFactoryServer, datafactory_server

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
FOREVER = 4_102_444_800
WITHIN = 60.0


class Key:
    """A credential that has the owner's key."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken(self._token, FOREVER)

    def get_token_info(self, *_scopes: str, **_options: Any) -> AccessTokenInfo:
        return AccessTokenInfo(self._token, FOREVER)


class AsyncKey:
    """The same for the asynchronous client."""

    def __init__(self, token: str) -> None:
        self._key = Key(token)

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return self._key.get_token(*scopes)

    async def get_token_info(self, *scopes: str, **options: Any) -> AccessTokenInfo:
        return self._key.get_token_info(*scopes)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> AsyncKey:
        return self

    async def __aexit__(self, *_details: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFactoryServer]:
    with datafactory_server(tmp_path_factory.mktemp("datafactory") / "home") as made:
        yield made
        assert [each for each in made.answered if each[2] >= 500 and each[2] != 501] == []


def client_of(server: DataFactoryServer, token: str | None = None, **more: Any) -> DataFactoryManagementClient:
    return DataFactoryManagementClient(
        Key(token or server.token),
        SUBSCRIPTION,
        base_url=server.url,
        connection_verify=str(server.ca_file),
        **more,
    )


def make_factory(client: DataFactoryManagementClient, server: DataFactoryServer, name: str) -> None:
    made = client.factories.create_or_update("rg", name, {"location": "westeurope"})
    assert (made.name, made.location, made.provisioning_state) == (name, "westeurope", "Succeeded")
    for service, document in documents.linked_services(server.storage_key, server.batch_key).items():
        assert client.linked_services.create_or_update("rg", name, service, document).name == service
    client.datasets.create_or_update("rg", name, "SourceParquet", documents.dataset("input"))
    client.datasets.create_or_update("rg", name, "TargetParquet", documents.dataset("source", "NewFile.parq"))
    client.pipelines.create_or_update("rg", name, "CopyParquet", documents.PIPELINE)
    client.pipelines.create_or_update("rg", name, "Quick", documents.QUICK)


def finished(client: DataFactoryManagementClient, factory: str, run_id: str) -> Any:
    end = time.monotonic() + WITHIN
    while time.monotonic() < end:
        run = client.pipeline_runs.get("rg", factory, run_id)
        if run.status not in ("Queued", "InProgress", "Canceling"):
            return run
        time.sleep(0.05)
    raise AssertionError(f"run {run_id} is {run.status} after {WITHIN} s")


def test_the_tutorial_from_nothing(server: DataFactoryServer) -> None:
    with client_of(server) as client:
        make_factory(client, server, "tutorial")
        run_id = client.pipelines.create_run("rg", "tutorial", "CopyParquet", parameters={"word": "greetings"}).run_id
        run = finished(client, "tutorial", run_id)
        assert (run.status, run.message, run.pipeline_name) == ("Succeeded", "", "CopyParquet")
        assert (dict(run.parameters), run.invoked_by.name) == ({"word": "greetings"}, "Manual")
        assert run.run_end > run.run_start
        assert run.duration_in_ms > 0
        copy, custom = client.activity_runs.query_by_pipeline_run("rg", "tutorial", run_id, documents.RANGE).value
        assert (copy.activity_name, copy.activity_type, copy.status) == ("CopyFile", "Copy", "Succeeded")
        assert (copy.output["rowsCopied"], copy.output["filesRead"], copy.output["filesWritten"]) == (2 * ROWS, 2, 1)
        assert copy.output.keys() | {"sourcePeakConnections"} >= documents.COPY_OUTPUT
        assert copy.error == {"errorCode": "", "message": "", "failureType": "", "target": "CopyFile"}
        assert (custom.activity_type, custom.output["exitcode"]) == ("Custom", 0)
        assert custom.output.keys() >= documents.CUSTOM_OUTPUT
        assert custom.output["customOutput"] == {"parts": 2}
        assert custom.linked_service_name == "BatchLinkedService"
        assert "greetings" in custom.input["command"]
        assert server.storage_key not in str(custom.as_dict()) + str(copy.as_dict())


def test_a_trigger_every_minute(server: DataFactoryServer) -> None:
    with client_of(server) as client:
        client.factories.create_or_update("rg", "timed", {"location": "local"})
        client.pipelines.create_or_update("rg", "timed", "Quick", documents.QUICK)
        client.triggers.create_or_update("rg", "timed", "EveryMinute", documents.TRIGGER)
        client.triggers.begin_start("rg", "timed", "EveryMinute").result()
        assert client.triggers.get("rg", "timed", "EveryMinute").properties.runtime_state == "Started"
        with pytest.raises(HttpResponseError, match="TriggerEnabledCannotUpdate"):
            client.triggers.create_or_update("rg", "timed", "EveryMinute", documents.TRIGGER)
        end = time.monotonic() + WITHIN
        fired: list[Any] = []
        while len(fired) < 2 and time.monotonic() < end:
            time.sleep(0.1)
            fired = client.trigger_runs.query_by_factory("rg", "timed", documents.RANGE).value
        client.triggers.begin_stop("rg", "timed", "EveryMinute").result()
        assert client.triggers.get("rg", "timed", "EveryMinute").properties.runtime_state == "Stopped"
        assert len(fired) >= 2
        assert {(each.trigger_name, each.trigger_type, each.status) for each in fired} == {
            ("EveryMinute", "ScheduleTrigger", "Succeeded")
        }
        run = finished(client, "timed", fired[0].triggered_pipelines["Quick"])
        assert (run.status, run.invoked_by.name, run.invoked_by.invoked_by_type) == (
            "Succeeded",
            "EveryMinute",
            "ScheduleTrigger",
        )
        client.triggers.delete("rg", "timed", "EveryMinute")
        assert list(client.triggers.list_by_factory("rg", "timed")) == []


def test_pages_etags_queries_and_errors(server: DataFactoryServer) -> None:
    with client_of(server) as client:
        client.factories.create_or_update("rg", "many", {"location": "local"})
        folder = server.workspace.home / "factories" / "many" / "pipeline"
        folder.mkdir()
        for number in range(230):
            text = f'{{"name": "P{number}", "properties": {{"activities": []}}}}'
            (folder / f"P{number}.json").write_text(text, "utf-8")
        end = time.monotonic() + WITHIN
        names: set[str] = set()
        while len(names) < 230 and time.monotonic() < end:
            names = {each.name for each in client.pipelines.list_by_factory("rg", "many")}
        assert len(names) == 230
        first = client.pipelines.get("rg", "many", "p7")
        with pytest.raises(ResourceModifiedError):
            client.pipelines.create_or_update(
                "rg", "many", "P7", documents.QUICK, etag='"other"', match_condition=_if_not_modified()
            )
        client.pipelines.create_or_update(
            "rg", "many", "P7", documents.QUICK, etag=f'"{first.etag}"', match_condition=_if_not_modified()
        )
        runs = [client.pipelines.create_run("rg", "many", "P7").run_id for _ in range(3)]
        for run_id in runs:
            finished(client, "many", run_id)
        query = {
            **documents.RANGE,
            "filters": [{"operand": "PipelineName", "operator": "Equals", "values": ["P7"]}],
            "orderBy": [{"orderBy": "RunStart", "order": "ASC"}],
        }
        found = client.pipeline_runs.query_by_factory("rg", "many", query)
        assert {each.run_id for each in found.value} == set(runs)
        assert found.continuation_token is None
        again = client.pipelines.create_run(
            "rg", "many", "P7", reference_pipeline_run_id=runs[0], is_recovery=True
        ).run_id
        assert finished(client, "many", again).run_group_id == runs[0]
        with pytest.raises(ResourceNotFoundError, match="PipelineNotFound"):
            client.pipelines.get("rg", "many", "missing")
        with pytest.raises(HttpResponseError, match="invalid reference 'StorageLinkedService'"):
            client.datasets.create_or_update("rg", "many", "D", documents.dataset("input"))
        with pytest.raises(HttpResponseError, match="Factories_GetGitHubAccessToken"):
            client.factories.get_git_hub_access_token(
                "rg", "many", {"gitHubAccessCode": "c", "gitHubAccessTokenBaseUrl": "u"}
            )
        with pytest.raises(ClientAuthenticationError), client_of(server, "no-key-of-ours") as stranger:
            stranger.factories.get("rg", "many")
        client.factories.delete("rg", "many")
        assert "many" not in {each.name for each in client.factories.list()}


def test_a_recursive_cancel(server: DataFactoryServer) -> None:
    long = {"name": "w", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 300}}
    call = {
        "name": "call",
        "type": "ExecutePipeline",
        "typeProperties": {
            "pipeline": {"referenceName": "Long", "type": "PipelineReference"},
            "waitOnCompletion": True,
        },
    }
    with client_of(server) as client:
        client.factories.create_or_update("rg", "stopped", {"location": "local"})
        client.pipelines.create_or_update("rg", "stopped", "Long", {"properties": {"activities": [long]}})
        client.pipelines.create_or_update("rg", "stopped", "Outer", {"properties": {"activities": [call]}})
        run_id = client.pipelines.create_run("rg", "stopped", "Outer").run_id
        end = time.monotonic() + WITHIN
        children: list[Any] = []
        query = {**documents.RANGE, "filters": [{"operand": "PipelineName", "operator": "Equals", "values": ["Long"]}]}
        while not children and time.monotonic() < end:
            children = client.pipeline_runs.query_by_factory("rg", "stopped", query).value
        client.pipeline_runs.cancel("rg", "stopped", run_id, is_recursive=True)
        assert finished(client, "stopped", run_id).status == "Cancelled"
        assert finished(client, "stopped", children[0].run_id).status == "Cancelled"


def test_typed_models_without_their_types(server: DataFactoryServer) -> None:
    with client_of(server) as client:
        client.factories.create_or_update("rg", "typed", typed.Factory(location="local"))
        activity = typed.WaitActivity(name="w", wait_time_in_seconds=1)
        seen: list[str] = []

        def remember(response: Any) -> None:
            seen.append(response.http_response.headers.get("warning", ""))

        client.pipelines.create_or_update(
            "rg", "typed", "P", typed.PipelineResource(activities=[activity]), raw_response_hook=remember
        )
        assert "taken for Wait" in seen[0]
        run_id = client.pipelines.create_run("rg", "typed", "P").run_id
        assert finished(client, "typed", run_id).status == "Succeeded"
        ambiguous = typed.SetVariableActivity(name="s", variable_name="v", value="x")
        with pytest.raises(HttpResponseError, match=r"azure-mgmt-datafactory 10\.0\.0"):
            client.pipelines.create_or_update("rg", "typed", "Q", typed.PipelineResource(activities=[ambiguous]))


def test_the_asynchronous_client(server: DataFactoryServer) -> None:
    async def flow() -> tuple[str, list[str]]:
        client = AsyncClient(
            AsyncKey(server.token), SUBSCRIPTION, base_url=server.url, connection_verify=str(server.ca_file)
        )
        async with client:
            await client.factories.create_or_update("rg", "aio", {"location": "local"})
            await client.pipelines.create_or_update("rg", "aio", "Quick", documents.QUICK)
            made = await asyncio.gather(*(client.pipelines.create_run("rg", "aio", "Quick") for _ in range(5)))
            status = ""
            end = time.monotonic() + WITHIN
            while status != "Succeeded" and time.monotonic() < end:
                await asyncio.sleep(0.05)
                status = (await client.pipeline_runs.get("rg", "aio", made[0].run_id)).status
            found = await client.activity_runs.query_by_pipeline_run("rg", "aio", made[0].run_id, documents.RANGE)
            await client.triggers.create_or_update("rg", "aio", "T", documents.TRIGGER)
            for begin in (client.triggers.begin_start, client.triggers.begin_stop):
                await (await begin("rg", "aio", "T")).result()
            return status, [each.activity_name for each in found.value]

    assert asyncio.run(flow()) == ("Succeeded", ["w"])


def _if_not_modified() -> Any:
    from azure.core import MatchConditions

    return MatchConditions.IfNotModified
