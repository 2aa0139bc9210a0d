"""The page of all commands, made from their help texts so that it cannot drift from them.

`python -m kyanite.cli.reference` prints it.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator

import click

from kyanite.cli.main import root

WIDTH = 100
HEAD = """# Command line

<!-- Made from the help texts by `python -m kyanite.cli.reference`; do not edit. -->

Every command takes `--home DIR` (the workspace; else KYANITE_HOME, else `./.kyanite`) and `--no-color`, before or after
its name. Commands that print data take `--json`: then stdout holds JSON and nothing else, an error too
(`{"error": {"code", "message", "where", "cure"}}`), and progress goes to stderr.

| exit code | means |
| --- | --- |
| 0 | it worked; for `run` and `runs resume`: the run Succeeded |
| 1 | the operation failed; stderr says where, what and what to do |
| 2 | the command line is wrong |
| 70 | a defect of kyanite; KYANITE_DEBUG=1 shows the traceback |
| 130 | interrupted; a run can be continued with `kyanite runs resume` |

Secrets of the workspace are printed as `***`.
"""


def render() -> str:
    """The page as Markdown, one section per command."""
    return HEAD + "".join(_section(path, command) for path, command in walk())


def walk() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups before their members."""
    waiting: list[tuple[str, click.Command]] = [("kyanite", root)]
    while waiting:
        path, command = waiting.pop(0)
        yield path, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            names = command.list_commands(context)
            members = [(f"{path} {name}", found) for name in names if (found := command.get_command(context, name))]
            waiting = members + waiting


def help_of(path: str, command: click.Command) -> str:
    """What `--help` prints, at a fixed width."""
    settings = dict(root.context_settings) | {"max_content_width": WIDTH, "terminal_width": WIDTH, "color": False}
    fresh = copy.copy(command)
    fresh._help_option = None  # click keeps the one that was asked for first, perhaps in another context
    return fresh.get_help(click.Context(fresh, info_name=path, **settings)).rstrip()


def _section(path: str, command: click.Command) -> str:
    return f"\n## {path}\n\n```text\n{help_of(path, command)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(render())
