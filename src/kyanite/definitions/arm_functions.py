"""The functions of ARM templates: one table, name -> Function. Names compare without case."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kyanite.definitions.arm_data_functions import DATA_FUNCTIONS
from kyanite.definitions.arm_date_functions import DATE_FUNCTIONS, written
from kyanite.definitions.arm_environment import (
    NO_ID,
    FunctionScope,
    cloud,
    provider,
    provider_path,
    resource_id,
    shape_keys,
)
from kyanite.definitions.arm_lambda_functions import LAMBDA_FUNCTIONS, lambda_variable, make_lambda
from kyanite.definitions.arm_text_functions import TEXT_FUNCTIONS
from kyanite.definitions.arm_values import text_form, want, want_all
from kyanite.definitions.names import suggestion
from kyanite.errors import TemplateError, UnsupportedError

Json = Any
Thunk = Callable[..., Json]


@dataclass(frozen=True)
class Function:
    """How often arguments may be given (`most` None is any number), and what is called with scope and arguments.

    A lazy function gets its arguments as calls, so that what it does not need is never evaluated.
    """

    least: int
    most: int | None
    call: Callable[[FunctionScope, Sequence[Any]], Json]
    lazy: bool = False
    takes_lambda: bool = False


def find_function(name: str) -> Function:
    """The function of a name; TemplateError with near names, UnsupportedError for known ones that we do not run."""
    found = FUNCTIONS.get(name.lower())
    if found is not None:
        return found
    if name.lower() in REFUSED:
        raise UnsupportedError(
            f"The template function {name} is not supported.", cure=f"{REFUSED[name.lower()]} instead."
        )
    if name.lower().startswith("list"):
        raise UnsupportedError(
            f"The template function {name} is not supported.", cure="Pass the value as a parameter, or use listKeys."
        )
    raise TemplateError(
        f"There is no template function {name!r}.", cure=suggestion(name, FUNCTION_NAMES, "template functions")
    )


def _parameters(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    return scope.parameter(want("parameters", arguments[0], "string"))


def _variables(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    return scope.variable(want("variables", arguments[0], "string"))


def _copy_index(scope: FunctionScope, arguments: Sequence[Json]) -> int:
    loop = arguments[0] if arguments and isinstance(arguments[0], str) else None
    rest = arguments[1:] if loop is not None else arguments
    offset: int = want("copyIndex", rest[0], "int") if rest else 0
    return scope.copy_index(loop) + offset


def _resource_group(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    return {
        "id": scope.environment.resource_group_id,
        "name": scope.environment.resource_group,
        "type": "Microsoft.Resources/resourceGroups",
        "location": scope.environment.location,
        "managedBy": None,
        "tags": {},
        "properties": {"provisioningState": "Succeeded"},
    }


def _subscription(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    identity = scope.environment.subscription_id
    return {
        "id": f"/subscriptions/{identity}",
        "subscriptionId": identity,
        "tenantId": scope.environment.tenant_id,
        "displayName": "kyanite",
    }


def _tenant(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    return {"id": f"/tenants/{scope.environment.tenant_id}", "tenantId": scope.environment.tenant_id}


def _deployment(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    return {
        "name": scope.environment.deployment_name,
        "properties": {"mode": "Incremental", "provisioningState": "Accepted"},
    }


def _environment(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    return cloud()


def _resource_id(scope: FunctionScope, arguments: Sequence[Json]) -> str:
    return resource_id(scope.environment, want_all("resourceId", arguments, "string"))


def _subscription_resource_id(scope: FunctionScope, arguments: Sequence[Json]) -> str:
    texts = list(want_all("subscriptionResourceId", arguments, "string"))
    subscription = scope.environment.subscription_id if "/" in texts[0] else texts.pop(0)
    return f"/subscriptions/{subscription}/providers/{provider_path('subscriptionResourceId', texts[0], texts[1:])}"


def _tenant_resource_id(scope: FunctionScope, arguments: Sequence[Json]) -> str:
    texts = want_all("tenantResourceId", arguments, "string")
    return f"/providers/{provider_path('tenantResourceId', texts[0], texts[1:])}"


def _extension_resource_id(scope: FunctionScope, arguments: Sequence[Json]) -> str:
    texts = want_all("extensionResourceId", arguments, "string")
    return f"{texts[0]}/providers/{provider_path('extensionResourceId', texts[1], texts[2:])}"


def _unique_string(scope: FunctionScope, arguments: Sequence[Json]) -> str:
    """13 characters that depend on the arguments only; not the cloud's own hash, so names differ from there."""
    text = "-".join(text_form(argument) for argument in arguments)
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:9], "big") >> 7
    return "".join("abcdefghijklmnopqrstuvwxyz234567"[(number >> (5 * step)) & 31] for step in range(13))


def _list_keys(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    kind, name = scope.find(want("listKeys", arguments[0], "string"))
    api_version = want("listKeys", arguments[1], "string")
    return shape_keys(kind, name, api_version, scope.environment.list_keys(kind, name, api_version))


def _providers(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    namespace = want("providers", arguments[0], "string")
    if len(arguments) == 1:
        raise UnsupportedError(
            "providers() of a whole namespace is not supported.", cure="Name the resource type as second argument."
        )
    return provider(scope.environment, namespace, want("providers", arguments[1], "string"))


def _reference(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    full = len(arguments) == 3 and str(arguments[2]).lower() == "full"
    return scope.reference(want("reference", arguments[0], "string"), full=full)


def _references(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    full = len(arguments) == 2 and str(arguments[1]).lower() == "full"
    return scope.references(want("references", arguments[0], "string"), full=full)


def _resource_info(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    kind, name = scope.find(want("resourceInfo", arguments[0], "string"))
    path = provider_path("resourceInfo", kind, name.split("/"))
    return {"id": f"{scope.environment.resource_group_id}/providers/{path}", "name": name, "type": kind}


def _deployer(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    return {"objectId": NO_ID, "tenantId": scope.environment.tenant_id, "userPrincipalName": "owner"}


def _utc_now(scope: FunctionScope, arguments: Sequence[Json]) -> str:
    if scope.environment.now is None:
        raise UnsupportedError("utcNow has no clock here.", cure="Pass the time as a parameter instead.")
    return written(scope.environment.now(), *arguments)


def _new_guid(scope: FunctionScope, arguments: Sequence[Json]) -> str:
    if scope.environment.new_guid is None:
        raise UnsupportedError("newGuid has nothing to draw from here.", cure="Pass the id as a parameter instead.")
    return str(scope.environment.new_guid())


def _if(scope: FunctionScope, arguments: Sequence[Thunk]) -> Json:
    return arguments[1]() if want("if", arguments[0](), "bool") else arguments[2]()


def _and(scope: FunctionScope, arguments: Sequence[Thunk]) -> bool:
    return all(want("and", argument(), "bool") for argument in arguments)


def _or(scope: FunctionScope, arguments: Sequence[Thunk]) -> bool:
    return any(want("or", argument(), "bool") for argument in arguments)


def _coalesce(scope: FunctionScope, arguments: Sequence[Thunk]) -> Json:
    return next((value for argument in arguments if (value := argument()) is not None), None)


def _plain(least: int, most: int | None, call: Callable[[Sequence[Json]], Json]) -> Function:
    return Function(least, most, lambda scope, arguments: call(arguments))


_OWN: Mapping[str, Function] = {
    "and": Function(2, None, _and, lazy=True),
    "coalesce": Function(1, None, _coalesce, lazy=True),
    "copyIndex": Function(0, 2, _copy_index),
    "deployer": Function(0, 0, _deployer),
    "deployment": Function(0, 0, _deployment),
    "environment": Function(0, 0, _environment),
    "extensionResourceId": Function(3, None, _extension_resource_id),
    "if": Function(3, 3, _if, lazy=True),
    "lambda": Function(1, None, make_lambda, lazy=True),
    "lambdaVariables": Function(1, 1, lambda_variable),
    "listKeys": Function(2, 3, _list_keys),
    "newGuid": Function(0, 0, _new_guid),
    "or": Function(2, None, _or, lazy=True),
    "parameters": Function(1, 1, _parameters),
    "providers": Function(1, 2, _providers),
    "reference": Function(1, 3, _reference),
    "references": Function(1, 2, _references),
    "resourceGroup": Function(0, 0, _resource_group),
    "resourceId": Function(2, None, _resource_id),
    "resourceInfo": Function(1, 1, _resource_info),
    "subscription": Function(0, 0, _subscription),
    "subscriptionResourceId": Function(2, None, _subscription_resource_id),
    "tenant": Function(0, 0, _tenant),
    "tenantResourceId": Function(2, None, _tenant_resource_id),
    "uniqueString": Function(1, None, _unique_string),
    "utcNow": Function(0, 1, _utc_now),
    "variables": Function(1, 1, _variables),
}

_ALL: Mapping[str, Function] = {
    **_OWN,
    **{name: _plain(*entry) for name, entry in TEXT_FUNCTIONS.items()},
    **{name: _plain(*entry) for name, entry in DATA_FUNCTIONS.items()},
    **{name: _plain(*entry) for name, entry in DATE_FUNCTIONS.items()},
    **{name: replace(_plain(*entry), takes_lambda=True) for name, entry in LAMBDA_FUNCTIONS.items()},
}

FUNCTION_NAMES: tuple[str, ...] = tuple(sorted(_ALL, key=str.lower))
"""Every function that runs, as spelled in Microsoft's documentation."""

FUNCTIONS: Mapping[str, Function] = {name.lower(): function for name, function in _ALL.items()}

# functions of real templates that need the cloud or files beside the template -> what to do
REFUSED: Mapping[str, str] = {
    "cidrhost": "Write the address out",
    "cidrsubnet": "Write the network out",
    "loadfileascontent": "Write the value out",
    "managementgroup": "Write the name out",
    "parsecidr": "Write the network out",
    "pickzones": "Write the zones out",
    "tologicalzone": "Write the zone out",
    "tophysicalzone": "Write the zone out",
}
