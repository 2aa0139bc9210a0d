"""Every operation of Data Factory's API, those we refuse by name included."""

from __future__ import annotations

from collections.abc import Iterator

from kyanite.server.management.arm import GROUP, Handler, Route
from kyanite.server.management.datafactory import factories, resources, runs, triggers
from kyanite.server.management.datafactory.names import ENDPOINTS, KINDS, NAMESPACE

_SUBSCRIPTION = f"/subscriptions/{{subscription}}/providers/{NAMESPACE}"
_ALL = f"{GROUP}/providers/{NAMESPACE}/factories"
_F = f"{_ALL}/{{factory}}"
_RUN = f"{_F}/pipelineruns/{{run}}"
_TRIGGER = f"{_F}/triggers/{{name}}"
_RUNTIME = f"{_F}/integrationRuntimes/{{name}}"
_NETWORK = f"{_F}/managedVirtualNetworks/{{network}}/managedPrivateEndpoints"


def _crud(operations: str, path: str, *, handlers: tuple[Handler, Handler, Handler, Handler]) -> Iterator[Route]:
    every, get, put, delete = handlers
    yield Route("GET", path, f"{operations}_ListByFactory", "reader", every)
    yield Route("GET", f"{path}/{{name}}", f"{operations}_Get", "reader", get)
    yield Route("PUT", f"{path}/{{name}}", f"{operations}_CreateOrUpdate", "author", put)
    yield Route("DELETE", f"{path}/{{name}}", f"{operations}_Delete", "author", delete)


def _documents() -> Iterator[Route]:
    plain = (
        resources.list_resources,
        resources.get_resource,
        resources.put_resource,
        resources.delete_resource,
    )
    for kind in KINDS.values():
        if kind.kind != "globalParameters":
            yield from _crud(kind.operations, f"{_F}/{kind.segment}", handlers=plain)
    yield from _crud(ENDPOINTS.operations, _NETWORK, handlers=plain)
    yield from _crud(
        "GlobalParameters",
        f"{_F}/globalParameters",
        handlers=(
            factories.list_global_parameters,
            factories.get_global_parameters,
            factories.put_global_parameters,
            factories.delete_global_parameters,
        ),
    )


_FACTORIES = (
    Route("GET", f"/providers/{NAMESPACE}/operations", "Operations_List", "reader", factories.list_operations),
    Route("GET", f"{_SUBSCRIPTION}/factories", "Factories_List", "reader", factories.list_factories),
    Route("GET", _ALL, "Factories_ListByResourceGroup", "reader", factories.list_factories),
    Route("GET", _F, "Factories_Get", "reader", factories.get_factory),
    Route("PUT", _F, "Factories_CreateOrUpdate", "author", factories.put_factory),
    Route("PATCH", _F, "Factories_Update", "author", factories.patch_factory),
    Route("DELETE", _F, "Factories_Delete", "admin", factories.delete_factory),
    Route("POST", f"{_F}/getDataPlaneAccess", "Factories_GetDataPlaneAccess", "reader",
          factories.get_data_plane_access),
    Route("POST", f"{_F}/getFeatureValue", "ExposureControl_GetFeatureValueByFactory", "reader",
          factories.get_feature_value),
    Route("POST", f"{_F}/queryFeaturesValue", "ExposureControl_QueryFeatureValuesByFactory", "reader",
          factories.query_feature_values),
    Route("POST", f"{_SUBSCRIPTION}/locations/{{location}}/getFeatureValue", "ExposureControl_GetFeatureValue",
          "reader", factories.get_feature_value),
)  # fmt: skip

_RUNS = (
    Route("POST", f"{_F}/pipelines/{{name}}/createRun", "Pipelines_CreateRun", "operator", runs.create_run),
    Route("POST", f"{_F}/queryPipelineRuns", "PipelineRuns_QueryByFactory", "reader", runs.query_runs),
    Route("GET", _RUN, "PipelineRuns_Get", "reader", runs.get_run),
    Route("POST", f"{_RUN}/cancel", "PipelineRuns_Cancel", "operator", runs.cancel),
    Route("POST", f"{_RUN}/queryActivityruns", "ActivityRuns_QueryByPipelineRun", "reader", runs.query_activity_runs),
)

_TRIGGERS = (
    Route("POST", f"{_F}/querytriggers", "Triggers_QueryByFactory", "reader", triggers.query_triggers),
    Route("POST", f"{_TRIGGER}/start", "Triggers_Start", "operator", triggers.start),
    Route("POST", f"{_TRIGGER}/stop", "Triggers_Stop", "operator", triggers.stop),
    Route("POST", f"{_TRIGGER}/subscribeToEvents", "Triggers_SubscribeToEvents", "operator", triggers.subscribe),
    Route("POST", f"{_TRIGGER}/unsubscribeFromEvents", "Triggers_UnsubscribeFromEvents", "operator",
          triggers.subscribe),
    Route("POST", f"{_TRIGGER}/getEventSubscriptionStatus", "Triggers_GetEventSubscriptionStatus", "reader",
          triggers.subscription_status),
    Route("POST", f"{_F}/queryTriggerRuns", "TriggerRuns_QueryByFactory", "reader", triggers.query_trigger_runs),
    Route("POST", f"{_TRIGGER}/triggerRuns/{{run}}/rerun", "TriggerRuns_Rerun", "operator", triggers.rerun),
    Route("POST", f"{_TRIGGER}/triggerRuns/{{run}}/cancel", "TriggerRuns_Cancel", "operator", triggers.cancel),
)  # fmt: skip

_RUNTIMES = (
    Route("POST", f"{_RUNTIME}/getStatus", "IntegrationRuntimes_GetStatus", "reader", factories.runtime_status),
    Route("POST", f"{_RUNTIME}/start", "IntegrationRuntimes_Start", "operator", factories.runtime_status),
)

# what there is in Data Factory and not here, with the role it would need
_REFUSED: tuple[tuple[str, str, str, str], ...] = (
    ("POST", f"{_F}/getGitHubAccessToken", "Factories_GetGitHubAccessToken", "admin"),
    ("POST", f"{_SUBSCRIPTION}/locations/{{location}}/configureFactoryRepo", "Factories_ConfigureFactoryRepo", "admin"),
    ("POST", f"{_F}/createDataFlowDebugSession", "DataFlowDebugSession_Create", "author"),
    ("POST", f"{_F}/queryDataFlowDebugSessions", "DataFlowDebugSession_QueryByFactory", "reader"),
    ("POST", f"{_F}/addDataFlowToDebugSession", "DataFlowDebugSession_AddDataFlow", "author"),
    ("POST", f"{_F}/deleteDataFlowDebugSession", "DataFlowDebugSession_Delete", "author"),
    ("POST", f"{_F}/executeDataFlowDebugCommand", "DataFlowDebugSession_ExecuteCommand", "author"),
    ("GET", f"{_F}/privateLinkResources", "PrivateLinkResources_Get", "reader"),
    ("GET", f"{_F}/privateEndpointConnections", "PrivateEndPointConnections_ListByFactory", "reader"),
    ("GET", f"{_F}/privateEndpointConnections/{{name}}", "PrivateEndpointConnection_Get", "reader"),
    ("PUT", f"{_F}/privateEndpointConnections/{{name}}", "PrivateEndpointConnection_CreateOrUpdate", "admin"),
    ("DELETE", f"{_F}/privateEndpointConnections/{{name}}", "PrivateEndpointConnection_Delete", "admin"),
    ("PATCH", _RUNTIME, "IntegrationRuntimes_Update", "author"),
    ("GET", f"{_RUNTIME}/outboundNetworkDependenciesEndpoints",
     "IntegrationRuntimes_ListOutboundNetworkDependenciesEndpoints", "reader"),
    ("POST", f"{_RUNTIME}/stop", "IntegrationRuntimes_Stop", "operator"),
    ("POST", f"{_RUNTIME}/getConnectionInfo", "IntegrationRuntimes_GetConnectionInfo", "admin"),
    ("POST", f"{_RUNTIME}/regenerateAuthKey", "IntegrationRuntimes_RegenerateAuthKey", "admin"),
    ("POST", f"{_RUNTIME}/listAuthKeys", "IntegrationRuntimes_ListAuthKeys", "admin"),
    ("POST", f"{_RUNTIME}/syncCredentials", "IntegrationRuntimes_SyncCredentials", "admin"),
    ("POST", f"{_RUNTIME}/monitoringData", "IntegrationRuntimes_GetMonitoringData", "reader"),
    ("POST", f"{_RUNTIME}/upgrade", "IntegrationRuntimes_Upgrade", "admin"),
    ("POST", f"{_RUNTIME}/removeLinks", "IntegrationRuntimes_RemoveLinks", "author"),
    ("POST", f"{_RUNTIME}/linkedIntegrationRuntime", "IntegrationRuntimes_CreateLinkedIntegrationRuntime", "author"),
    ("POST", f"{_RUNTIME}/refreshObjectMetadata", "IntegrationRuntimeObjectMetadata_Refresh", "operator"),
    ("POST", f"{_RUNTIME}/getObjectMetadata", "IntegrationRuntimeObjectMetadata_Get", "reader"),
    ("GET", f"{_RUNTIME}/nodes/{{node}}", "IntegrationRuntimeNodes_Get", "reader"),
    ("DELETE", f"{_RUNTIME}/nodes/{{node}}", "IntegrationRuntimeNodes_Delete", "admin"),
    ("PATCH", f"{_RUNTIME}/nodes/{{node}}", "IntegrationRuntimeNodes_Update", "admin"),
    ("POST", f"{_RUNTIME}/nodes/{{node}}/ipAddress", "IntegrationRuntimeNodes_GetIpAddress", "reader"),
    ("POST", f"{_RUNTIME}/enableInteractiveQuery", "IntegrationRuntime_EnableInteractiveQuery", "operator"),
    ("POST", f"{_RUNTIME}/disableInteractiveQuery", "IntegrationRuntime_DisableInteractiveQuery", "operator"),
    ("POST", f"{_F}/adfcdcs/{{name}}/start", "ChangeDataCapture_Start", "operator"),
    ("POST", f"{_F}/adfcdcs/{{name}}/stop", "ChangeDataCapture_Stop", "operator"),
    ("POST", f"{_F}/adfcdcs/{{name}}/status", "ChangeDataCapture_Status", "reader"),
)  # fmt: skip

ROUTES: tuple[Route, ...] = (
    *_FACTORIES,
    *_documents(),
    *_RUNS,
    *_TRIGGERS,
    *_RUNTIMES,
    *(Route(*refused) for refused in _REFUSED),
)
