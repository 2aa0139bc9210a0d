"""`kyanite storage`: accounts, containers and files of the workspace."""

from __future__ import annotations

from kyanite.cli.command import Group

COMMANDS = {
    "account": ("kyanite.cli.storage_account:account", "Create and list accounts; show their keys and addresses."),
    "cat": ("kyanite.cli.storage_list:cat", "Print files."),
    "container": ("kyanite.cli.storage_account:container", "Create, list and delete containers."),
    "cp": ("kyanite.cli.storage_copy:cp", "Copy files and folders between places."),
    "du": ("kyanite.cli.storage_list:du", "Sum up files and bytes."),
    "get": ("kyanite.cli.storage_transfer:get", "Download files and folders."),
    "ls": ("kyanite.cli.storage_list:ls", "List accounts, containers, folders and files."),
    "mv": ("kyanite.cli.storage_copy:mv", "Move or rename files and folders."),
    "put": ("kyanite.cli.storage_transfer:put", "Upload files and folders."),
    "rm": ("kyanite.cli.storage_list:rm", "Delete files, folders and containers."),
}

storage = Group(
    "storage",
    table=COMMANDS,
    no_args_is_help=True,
    short_help="List, upload, download, copy and delete files in storage accounts.",
    help="""Accounts, containers and files of the workspace.

    A place is ACCOUNT/CONTAINER/PATH or https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH. In paths `*` and `?`
    stand for characters of one name and `**` for any number of folders; quote them, or the shell takes them.
    """,
    examples=[
        ("the accounts and their containers", "kyanite storage ls"),
        ("upload into a folder", "kyanite storage put flights.parquet airline/filestorage/input/"),
        ("download a folder", "kyanite storage get -r airline/filestorage/target parts/"),
        ("what a client needs", "kyanite storage account connection-string airline"),
    ],
)
