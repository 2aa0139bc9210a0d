"""`kyanite batch node`: the nodes of a pool."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from kyanite.cli.batch_files import give, output_option, range_option, recursive_option, show_files
from kyanite.cli.batch_target import (
    DEALLOCATION,
    Json,
    Target,
    body,
    cell,
    on_account,
    show_list,
    show_one,
    time_cell,
    told,
)
from kyanite.cli.command import group
from kyanite.cli.session import visible

pool_argument = click.argument("pool_id", metavar="POOL")
node_argument = click.argument("node_id", metavar="NODE")
option_option = click.option("--option", type=click.Choice(DEALLOCATION), help="What happens to its tasks.")


@group(
    "node",
    short_help="List, show, reboot and remove nodes; read their files.",
    examples=[
        ("the nodes of a pool", "kyanite batch node list mypool"),
        ("what the start task printed", "kyanite batch node get mypool tvm-0001 startup/stdout.txt"),
        ("no new tasks on a node", "kyanite batch node disable mypool tvm-0001"),
    ],
)
def node() -> None:
    """List, show, reboot and remove nodes; read their files."""


def node_document(target: Target, pool_id: str, node_id: str) -> Json:
    """A node as the service shows it."""
    from kyanite.batch import wire

    return wire.node_json(target.service.get_node(target.account, pool_id, node_id), target.base)


@node.command("list", short_help="List the nodes of a pool.", examples=[("", "kyanite batch node list mypool")])
@pool_argument
@on_account
def list_command(target: Target, pool_id: str) -> None:
    """List the nodes of a pool."""
    from kyanite.batch import wire

    documents = [wire.node_json(found, target.base) for found in target.service.list_nodes(target.account, pool_id)]
    columns = [
        ("node", cell("id")),
        ("state", cell("state")),
        ("since (UTC)", time_cell("stateTransitionTime")),
        ("scheduling", cell("schedulingState")),
        ("slots in use", cell("runningTaskSlotsCount")),
        ("tasks run", cell("totalTasksRun")),
        ("error", lambda item: visible(str((item.get("errors") or [{}])[0].get("code", "")))),
    ]
    show_list(
        target.session, documents, columns, right=("slots in use", "tasks run"), none=f"pool {pool_id} has no nodes"
    )


@node.command("show", short_help="Show a node.", examples=[("", "kyanite batch node show mypool tvm-0001")])
@pool_argument
@node_argument
@on_account
def show(target: Target, pool_id: str, node_id: str) -> None:
    """Show a node: its state, its start task, what went wrong."""
    document = node_document(target, pool_id, node_id)
    start = document.get("startTaskInfo") or {}
    failure = start.get("failureInfo") or {}
    rows = [
        ("node", document["id"]),
        ("state", f"{document['state']} since {time_cell('stateTransitionTime')(document)}"),
        ("scheduling", document["schedulingState"]),
        ("kind", "dedicated" if document["isDedicated"] else "low priority"),
        ("slots in use", str(document["runningTaskSlotsCount"])),
        ("tasks", f"{document['totalTasksRun']} run, {document['totalTasksSucceeded']} succeeded"),
        ("start task", " ".join(str(start[name]) for name in ("state", "result") if name in start)),
        ("", f"exit code {start['exitCode']}, {start['retryCount']} retries" if "exitCode" in start else ""),
        ("failure", visible(f"{failure['code']}: {failure['message']}") if failure else ""),
        ("errors", "\n".join(f"{item['code']}: {item['message']}" for item in document.get("errors") or ())),
    ]
    show_one(target.session, document, rows)


@node.command(
    "reboot",
    short_help="Reboot a node: its start task runs again.",
    examples=[
        ("", "kyanite batch node reboot mypool tvm-0001"),
        (
            "with an empty disk, when its tasks are done",
            "kyanite batch node reboot mypool tvm-0001 --reimage --option taskcompletion",
        ),
    ],
)
@pool_argument
@node_argument
@click.option("--reimage", is_flag=True, help="Also remove its files.")
@option_option
@on_account
def reboot(target: Target, pool_id: str, node_id: str, reimage: bool, option: str | None) -> None:
    """Reboot a node, or reimage it: its start task runs again."""
    verb = target.service.reimage_node if reimage else target.service.reboot_node
    verb(target.account, pool_id, node_id, option or "requeue")
    document = node_document(target, pool_id, node_id)
    told(target.session, document, f"node {document['id']}: {document['state']}")


@node.command(
    "disable", short_help="Give a node no new tasks.", examples=[("", "kyanite batch node disable mypool tvm-0001")]
)
@pool_argument
@node_argument
@click.option("--option", type=click.Choice(DEALLOCATION[:3]), help="What happens to its tasks.")
@on_account
def disable(target: Target, pool_id: str, node_id: str, option: str | None) -> None:
    """Give a node no new tasks; it is offline once nothing runs on it."""
    target.service.disable_scheduling(target.account, pool_id, node_id, option or "requeue")
    document = node_document(target, pool_id, node_id)
    told(target.session, document, f"node {document['id']}: scheduling {document['schedulingState']}")


@node.command(
    "enable", short_help="Give a node tasks again.", examples=[("", "kyanite batch node enable mypool tvm-0001")]
)
@pool_argument
@node_argument
@on_account
def enable(target: Target, pool_id: str, node_id: str) -> None:
    """Give a node tasks again."""
    target.service.enable_scheduling(target.account, pool_id, node_id)
    document = node_document(target, pool_id, node_id)
    told(target.session, document, f"node {document['id']}: scheduling {document['schedulingState']}")


@node.command(
    "remove",
    short_help="Remove nodes from a pool.",
    examples=[("two of them", "kyanite batch node remove mypool tvm-0001 tvm-0003")],
)
@pool_argument
@click.argument("node_ids", metavar="NODE...", nargs=-1, required=True)
@option_option
@on_account
def remove(target: Target, pool_id: str, node_ids: tuple[str, ...], option: str | None) -> None:
    """Remove nodes; the pool's targets go down by as many."""
    document = body(None, nodeList=list(node_ids), nodeDeallocationOption=option)
    target.service.remove_nodes(target.account, pool_id, document)
    told(target.session, None, f"removing {', '.join(node_ids)}")


@node.command(
    "files",
    short_help="List the files of a node.",
    examples=[("all of the start task's", "kyanite batch node files mypool tvm-0001 -r")],
)
@pool_argument
@node_argument
@recursive_option
@on_account
def files(target: Target, pool_id: str, node_id: str, recursive: bool) -> None:
    """List the files of a node, relative to its root."""
    entries = target.service.list_node_files(target.account, pool_id, node_id, recursive)
    show_files(target.session, entries, f"{target.base}/pools/{pool_id}/nodes/{node_id}/files")


@node.command(
    "get",
    short_help="Print or save a file of a node.",
    examples=[
        ("what the start task printed", "kyanite batch node get mypool tvm-0001 startup/stdout.txt"),
        ("its last 1000 bytes", "kyanite batch node get mypool tvm-0001 startup/stdout.txt --range -1000"),
    ],
)
@pool_argument
@node_argument
@click.argument("path")
@range_option
@output_option
@on_account
def get(
    target: Target,
    pool_id: str,
    node_id: str,
    path: str,
    span: tuple[int | None, int | None] | None,
    output: Path | None,
) -> None:
    """Print the file at PATH of a node (relative to its root), or save it."""
    with closing(target.service.node_file(target.account, pool_id, node_id, path)) as file:
        give(target.session, file, span, output)
