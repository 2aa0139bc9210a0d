"""Deploying an ARM template: storage accounts, Batch accounts and pools, factories.

The whole template is evaluated and understood before anything is made. Like an incremental deployment in Azure, doing
it again changes what the template names and leaves the rest alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from kyanite.batch.pool_spec import pool_from_arm
from kyanite.definitions.arm import ArmResource, Evaluated, evaluate_template, factories_of
from kyanite.definitions.arm_environment import NO_ID, Environment
from kyanite.definitions.load import with_resource
from kyanite.definitions.model import Factory
from kyanite.definitions.problem import Problem
from kyanite.errors import UnsupportedError
from kyanite.runtime.check import check_factory
from kyanite.runtime.clock import utc_now
from kyanite.runtime.secret_values import factory_secrets, named_by_value
from kyanite.runtime.workspace import Workspace

Json = Any
Progress = Callable[[str], None]

STORAGE = "microsoft.storage/storageaccounts"
BATCH = "microsoft.batch/batchaccounts"
FACTORY = "microsoft.datafactory/factories"
_NAMED = 10  # of unknown resources, in a message


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deployment made: `{"type", "name"}` of each resource in order, and the problems its factories have.

    `outputs` are those of the template, name -> `{type, value}`.
    """

    resources: tuple[dict[str, str], ...]
    factories: tuple[str, ...]
    warnings: tuple[Problem, ...]
    outputs: Mapping[str, Json] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Understood:
    """A template evaluated and found deployable; nothing has been made."""

    evaluated: Evaluated
    factories: Mapping[str, Factory]


def deploy(
    workspace: Workspace,
    template: Mapping[str, Json],
    parameters: Mapping[str, Json],
    *,
    resource_group: str = "kyanite",
    location: str = "local",
    subscription: str = NO_ID,
    deployment_name: str = "kyanite",
    progress: Progress = lambda text: None,
) -> Deployment:
    """Deploy a template into the workspace.

    Raises TemplateError (with the place in the template), UnsupportedError for a resource type we do not have, and
    BatchError when a pool's start task fails on its nodes; then everything else is deployed all the same.
    """
    environment = Environment(
        subscription_id=subscription,
        resource_group=resource_group,
        location=location,
        deployment_name=deployment_name,
        list_keys=lambda kind, name, _: _keys(workspace, kind, name),
        exists=lambda kind, name: is_there(workspace, kind, name),
        now=utc_now,
        new_guid=uuid4,
    )
    understood = understand(template, parameters, environment)
    evaluated, factories = understood.evaluated, understood.factories
    workspace.vault.register(named_by_value(evaluated.secure_values))
    for resource in evaluated.resources:
        apply = _APPLY.get(resource.type.casefold())
        if apply is not None:
            apply(workspace, resource, progress)
    problems: list[Problem] = []
    for factory in factories.values():
        merged = merged_factory(workspace, factory)
        workspace.vault.register(factory_secrets(merged))
        workspace.save_factory(merged)
        problems += check_factory(merged)
        progress(f"factory {merged.name}: {_contents(merged)}")
    _prepare_pools(workspace, evaluated.resources, progress)
    return Deployment(
        resources=tuple({"type": resource.type, "name": resource.name} for resource in evaluated.resources),
        factories=tuple(factory.name for factory in factories.values()),
        warnings=tuple(problems),
        outputs=evaluated.outputs,
    )


def understand(template: Mapping[str, Json], parameters: Mapping[str, Json], environment: Environment) -> Understood:
    """Evaluate a template and refuse what cannot be deployed; the errors are those of `deploy`."""
    evaluated = evaluate_template(template, parameters, replace(environment, refuse=_refuse_unknown))
    for resource in evaluated.resources:
        if resource.type.casefold() == f"{BATCH}/pools":
            pool_from_arm(resource.name.rsplit("/", 1)[-1], resource.properties)
    return Understood(evaluated, factories_of(evaluated))


def _keys(workspace: Workspace, kind: str, name: str) -> Sequence[str]:
    """The account's two keys; they are made when a template first asks for them."""
    names = {STORAGE: ("storage", "key1", "key2"), BATCH: ("batch", "primary", "secondary")}.get(kind.casefold())
    if names is None:
        raise UnsupportedError(
            f"listKeys of {kind} is not supported.", cure="Keys are listed for storage and Batch accounts."
        )
    area, first, second = names
    return [workspace.vault.get_or_create(f"{area}/{name}/{key}") for key in (first, second)]


def is_there(workspace: Workspace, kind: str, name: str) -> bool:
    """Whether the workspace has an account or factory that a template names without making it."""
    match kind.casefold():
        case "microsoft.storage/storageaccounts":
            return workspace.accounts.get(name) is not None
        case "microsoft.batch/batchaccounts":
            return name.casefold() in {account.name.casefold() for account in workspace.batch.accounts()}
        case "microsoft.datafactory/factories":
            return name.casefold() in {factory.casefold() for factory in workspace.factories()}
    return False


def _refuse_unknown(resources: Sequence[tuple[str, str, str]]) -> None:
    unknown = [
        (kind, name, path)
        for kind, name, path in resources
        if kind.casefold() not in _APPLY
        and kind.casefold() not in _SETTINGS
        and not f"{kind.casefold()}/".startswith(f"{FACTORY}/")
    ]
    if unknown:
        named = ", ".join(f"{kind} '{name}'" for kind, name, _ in unknown[:_NAMED])
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise UnsupportedError(
            f"The template has resources that kyanite cannot deploy: {named}{more}.",
            where=unknown[0][2],
            cure="Take them out, or give them a false `condition`. "
            "It deploys storage accounts and containers, Batch accounts and pools, and data factories.",
        )


# ---- one function per resource type


def _storage_account(workspace: Workspace, resource: ArmResource, progress: Progress) -> None:
    hierarchical = resource.properties.get("isHnsEnabled") is True
    workspace.accounts.create(resource.name, hierarchical=hierarchical)
    progress(f"storage account {resource.name}")


def _container(workspace: Workspace, resource: ArmResource, progress: Progress) -> None:
    account, _, container = resource.name.split("/")
    workspace.accounts.create(account).create_container(container)
    progress(f"container {account}/{container}")


def _batch_account(workspace: Workspace, resource: ArmResource, progress: Progress) -> None:
    workspace.batch.create_account(resource.name)
    progress(f"Batch account {resource.name}")


def _pool(workspace: Workspace, resource: ArmResource, progress: Progress) -> None:
    account, pool = resource.name.split("/")
    workspace.batch.create_account(account)
    spec = pool_from_arm(pool, resource.properties)
    workspace.batch.create_pool(account, spec)
    progress(f"pool {account}/{pool}: {spec.target_nodes} node{'' if spec.target_nodes == 1 else 's'}")


_APPLY: Mapping[str, Callable[[Workspace, ArmResource, Progress], None]] = {
    BATCH: _batch_account,
    f"{BATCH}/pools": _pool,
    STORAGE: _storage_account,
    f"{STORAGE}/blobservices/containers": _container,
}

# service-level settings (CORS, soft delete) that have no effect on plain folders; shares and queues are not among them
_SETTINGS = frozenset({f"{STORAGE}/blobservices", f"{STORAGE}/fileservices"})


def _prepare_pools(workspace: Workspace, resources: Sequence[ArmResource], progress: Progress) -> None:
    for resource in resources:
        if resource.type.casefold() == f"{BATCH}/pools":
            account, pool = resource.name.split("/")
            workspace.batch.prepare_pool(account, pool, progress)


def merged_factory(workspace: Workspace, factory: Factory) -> Factory:
    """The deployed factory with the template's resources in place of those with the same names."""
    known = {name.casefold() for name in workspace.factories()}
    if factory.name.casefold() not in known:
        return factory
    merged = workspace.factory(factory.name)
    for resource in factory.resources:
        merged = with_resource(merged, resource)
    return merged


def _contents(factory: Factory) -> str:
    counts = [
        (len(factory.pipelines), "pipeline"),
        (len(factory.datasets), "dataset"),
        (len(factory.linked_services), "linked service"),
        (len(factory.triggers), "trigger"),
    ]
    return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts if count)
