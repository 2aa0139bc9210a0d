"""`kyanite batch pool`: the pools of a Batch account."""

from __future__ import annotations

from pathlib import Path

import click

from kyanite.cli.batch_target import (
    DEALLOCATION,
    Json,
    Target,
    body,
    cell,
    file_option,
    on_account,
    pairs,
    show_list,
    show_one,
    time_cell,
    told,
)
from kyanite.cli.batch_wait import until
from kyanite.cli.command import group
from kyanite.cli.session import visible

COMMANDS = {
    "autoscale": ("kyanite.cli.batch_autoscale:autoscale", "Enable, disable, evaluate autoscale; look at its runs."),
}


@group(
    "pool",
    short_help="List, show, create, resize and delete pools; autoscale.",
    table=COMMANDS,
    examples=[
        ("two nodes that run up to four tasks each", "kyanite batch pool create mypool --nodes 2 --slots 4"),
        ("more nodes", "kyanite batch pool resize mypool --nodes 8 --wait"),
        (
            "as many nodes as tasks wait",
            "kyanite batch pool autoscale enable mypool '$TargetDedicatedNodes=$PendingTasks'",
        ),
    ],
)
def pool() -> None:
    """List, show, create, resize and delete pools; autoscale."""


def pool_document(target: Target, pool_id: str) -> Json:
    """A pool as the service shows it."""
    from kyanite.batch import wire

    found = target.service.pool(target.account, pool_id)
    return wire.pool_json(found, target.base, target.service.autoscale_run(target.account, pool_id))


def _size(document: Json) -> str:
    current = document["currentDedicatedNodes"] + document["currentLowPriorityNodes"]
    wanted = document["targetDedicatedNodes"] + document["targetLowPriorityNodes"]
    return str(current) if current == wanted else f"{current} -> {wanted}"


@pool.command("list", short_help="List pools.", examples=[("all", "kyanite batch pool list")])
@on_account
def list_command(target: Target) -> None:
    """List the pools of the account."""
    documents = [pool_document(target, found.id) for found in target.service.list_pools(target.account)]
    columns = [
        ("pool", cell("id")),
        ("state", cell("state")),
        ("allocation", cell("allocationState")),
        ("nodes", _size),
        ("slots per node", cell("taskSlotsPerNode")),
        ("autoscale", lambda item: "on" if item["enableAutoScale"] else ""),
    ]
    show_list(target.session, documents, columns, right=("nodes", "slots per node"), none="no pools")


@pool.command("show", short_help="Show a pool.", examples=[("", "kyanite batch pool show mypool")])
@click.argument("pool_id", metavar="POOL")
@on_account
def show(target: Target, pool_id: str) -> None:
    """Show a pool: size, nodes, start task, autoscale, what went wrong when it was resized."""
    document = pool_document(target, pool_id)
    run = document.get("autoScaleRun") or {}
    error = run.get("error") or {}
    rows = [
        ("pool", document["id"]),
        ("state", f"{document['state']}, {document['allocationState']}"),
        ("nodes", _size(document)),
        ("slots per node", f"{document['taskSlotsPerNode']}, {document['taskSchedulingPolicy']['nodeFillType']}"),
        ("made", time_cell("creationTime")(document)),
        ("start task", visible(str((document.get("startTask") or {}).get("commandLine", "")))),
        ("autoscale", visible(str(document.get("autoScaleFormula") or ""))),
        ("every", str(document.get("autoScaleEvaluationInterval") or "")),
        ("last evaluation", time_cell("timestamp")(run)),
        ("", str(run.get("results", "")).replace(";", "\n")),
        ("evaluation error", "\n".join([str(error.get("message", "")), *_values(error)]).strip()),
        (
            "resize errors",
            "\n".join(f"{item['code']}: {item['message']}" for item in document.get("resizeErrors") or ()),
        ),
        ("metadata", "\n".join(f"{item['name']}={item['value']}" for item in document.get("metadata") or ())),
    ]
    show_one(target.session, document, rows)


def _values(error: Json) -> list[str]:
    return [str(item.get("value")) for item in error.get("values") or ()]


@pool.command(
    "create",
    short_help="Make a pool.",
    examples=[
        (
            "a start task that installs what tasks need",
            "kyanite batch pool create mypool --nodes 2 --start-task 'pip install polars'",
        ),
        (
            "a pool that sizes itself",
            "kyanite batch pool create mypool --autoscale '$TargetDedicatedNodes=min(4,$PendingTasks)'",
        ),
        (
            "the body of the REST call, and be ready when it returns",
            "kyanite batch pool create --file pool.json --wait",
        ),
        (
            "nodes at another endpoint",
            "kyanite batch pool create far --endpoint https://far.westus.batch.azure.com --remote-account far",
        ),
    ],
)
@click.argument("pool_id", metavar="[POOL]", required=False)
@click.option("--nodes", type=click.IntRange(0), help="Dedicated nodes.")
@click.option("--low-priority-nodes", type=click.IntRange(0), help="Low-priority nodes.")
@click.option("--slots", type=click.IntRange(1), help="Tasks that run on a node at once.")
@click.option("--pack", is_flag=True, help="Fill one node before the next; else tasks are spread.")
@click.option("--start-task", metavar="COMMAND", help="Runs once on each node before tasks do.")
@click.option("--autoscale", metavar="FORMULA", help="An autoscale formula in the place of --nodes.")
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="May be given several times.")
@click.option("--endpoint", metavar="URL", help="Another Batch endpoint: the pool's tasks run there.")
@click.option("--remote-account", metavar="NAME", help="The account there; see `account connect`.")
@click.option("--wait", is_flag=True, help="Return when its nodes are ready.")
@file_option
@on_account
def create(
    target: Target,
    pool_id: str | None,
    nodes: int | None,
    low_priority_nodes: int | None,
    slots: int | None,
    pack: bool,
    start_task: str | None,
    autoscale: str | None,
    metadata: tuple[str, ...],
    endpoint: str | None,
    remote_account: str | None,
    wait: bool,
    file: Path | None,
) -> None:
    """Make a pool. Its nodes are prepared when work is scheduled: by --wait, by waiting tasks, or by a server."""
    if (endpoint is None) != (remote_account is None):
        raise click.UsageError("--endpoint and --remote-account belong together.")
    elsewhere = {"kyanite.backend": "azure_batch", "kyanite.endpoint": endpoint, "kyanite.account": remote_account}
    named = [f"{name}={value}" for name, value in elsewhere.items()] if endpoint is not None else []
    document = body(
        file,
        id=pool_id,
        targetDedicatedNodes=nodes,
        targetLowPriorityNodes=low_priority_nodes,
        taskSlotsPerNode=slots,
        taskSchedulingPolicy={"nodeFillType": "pack"} if pack else None,
        startTask={"commandLine": start_task, "waitForSuccess": True} if start_task else None,
        metadata=pairs((*metadata, *named), "--metadata"),
        enableAutoScale=True if autoscale else None,
        autoScaleFormula=autoscale,
    )
    document.setdefault("vmSize", "local")
    if not document.get("enableAutoScale") and "targetLowPriorityNodes" not in document:
        document.setdefault("targetDedicatedNodes", 1)
    made = target.service.add_pool(target.account, document)
    if wait:
        wait_for_nodes(target, made.id)
    told(target.session, pool_document(target, made.id), f"pool {made.id}")


def wait_for_nodes(target: Target, pool_id: str) -> None:
    """Schedule until the pool has its size and its nodes are ready or failed; StartTaskFailed when none is usable."""

    def say(line: str) -> None:
        if not target.session.as_json:
            target.session.echo(visible(line), err=True)

    target.service.prepare_pool(target.account, pool_id, say)
    until(
        target.service,
        lambda: target.service.get_pool(target.account, pool_id).allocation == "steady",
        None,
        f"Pool '{pool_id}'",
    )


@pool.command(
    "resize",
    short_help="Change the number of nodes.",
    examples=[
        ("and return at once", "kyanite batch pool resize mypool --nodes 4"),
        ("let running tasks end first", "kyanite batch pool resize mypool --nodes 1 --option taskcompletion --wait"),
    ],
)
@click.argument("pool_id", metavar="POOL")
@click.option("--nodes", type=click.IntRange(0), help="Dedicated nodes.")
@click.option("--low-priority-nodes", type=click.IntRange(0), help="Low-priority nodes.")
@click.option("--option", type=click.Choice(DEALLOCATION), help="What happens to tasks on nodes that leave.")
@click.option("--stop", is_flag=True, help="Stop the resize that is under way instead.")
@click.option("--wait", is_flag=True, help="Return when it is done.")
@on_account
def resize(
    target: Target,
    pool_id: str,
    nodes: int | None,
    low_priority_nodes: int | None,
    option: str | None,
    stop: bool,
    wait: bool,
) -> None:
    """Change the number of nodes of a pool without autoscale."""
    if stop:
        target.service.stop_resize(target.account, pool_id)
    else:
        if nodes is None and low_priority_nodes is None:
            raise click.UsageError("Give --nodes, --low-priority-nodes or --stop.")
        document = body(
            None,
            targetDedicatedNodes=nodes,
            targetLowPriorityNodes=low_priority_nodes,
            nodeDeallocationOption=option,
        )
        target.service.resize_pool(target.account, pool_id, document)
    if wait:
        wait_for_nodes(target, pool_id)
    document = pool_document(target, pool_id)
    told(target.session, document, f"pool {document['id']}: {document['allocationState']}, nodes {_size(document)}")


@pool.command("delete", short_help="Delete a pool.", examples=[("", "kyanite batch pool delete mypool --wait")])
@click.argument("pool_id", metavar="POOL")
@click.option("--wait", is_flag=True, help="Return when it is gone.")
@on_account
def delete(target: Target, pool_id: str, wait: bool) -> None:
    """Delete a pool: running tasks go back to waiting, for a pool of this id to come."""
    found = target.service.pool(target.account, pool_id)
    target.service.delete_pool(target.account, found.id)
    if wait:

        def gone() -> bool:
            return found.id not in {item.id for item in target.service.list_pools(target.account)}

        until(target.service, gone, None, f"Pool '{found.id}'")
    told(target.session, None, f"{'deleted' if wait else 'deleting'} {found.id}")
