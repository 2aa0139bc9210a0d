"""`kyanite batch`: the Batch service of the workspace, without a server."""

from __future__ import annotations

from kyanite.cli.command import group

COMMANDS = {
    "account": ("kyanite.cli.batch_account:account", "List, show, create and delete Batch accounts; their keys."),
    "explain": ("kyanite.cli.batch_explain:explain_command", "Say why a task waits, or how it ended."),
    "job": ("kyanite.cli.batch_job:job", "List, show, create, wait for, stop and delete jobs."),
    "node": ("kyanite.cli.batch_node:node", "List, show, reboot and remove nodes; read their files."),
    "pool": ("kyanite.cli.batch_pool:pool", "List, show, create, resize and delete pools; autoscale."),
    "schedule": ("kyanite.cli.batch_schedule:schedule", "List, show, create and delete job schedules."),
    "task": ("kyanite.cli.batch_task:task", "List, show, create, stop and delete tasks; read their files and logs."),
}


@group(
    "batch",
    short_help="Batch accounts, pools, nodes, jobs and tasks of the workspace.",
    table=COMMANDS,
    examples=[
        ("an account, a pool of two nodes, a job", "kyanite batch account create mybatch"),
        ("", "kyanite batch pool create mypool --nodes 2"),
        ("", "kyanite batch job create myjob --pool mypool"),
        ("run a command and see what it printed", "kyanite batch task create myjob hello --wait -- echo hello"),
        ("why does it not start", "kyanite batch explain myjob/hello"),
    ],
)
def batch() -> None:
    """Batch accounts, pools, nodes, jobs and tasks of the workspace.

    Every command works on the workspace itself; no server is needed. --account is needed only when there are several
    accounts. --json prints the documents of the Batch service.
    """
