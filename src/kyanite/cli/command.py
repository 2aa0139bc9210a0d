"""The shapes of our commands: examples in every help text, the global options before and after the sub-command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from kyanite.cli.session import Session

Example = tuple[str, str]  # (what it does, the line to type)


def _set_home(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Session).home = Path(value)


def _set_no_color(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).color = context.color = False


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).as_json = True


def _global_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--home"],
            metavar="DIR",
            expose_value=False,
            is_eager=True,
            callback=_set_home,
            help="The workspace folder (KYANITE_HOME; default ./.kyanite).",
        ),
        click.Option(
            ["--no-color"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_set_no_color,
            help="No colours (NO_COLOR does the same).",
        ),
    ]


json_option = click.option(
    "--json", is_flag=True, expose_value=False, is_eager=True, callback=_set_json, help="Print JSON, nothing else."
)


class _Examples:
    examples: Sequence[Example] = ()

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples below the options, each on a line that can be copied."""
        if self.examples:
            with formatter.section("Examples"):
                indent = " " * formatter.current_indent
                for what, line in self.examples:
                    formatter.write(f"{indent}# {what}\n{indent}{line}\n" if what else f"{indent}{line}\n")


class Command(_Examples, click.Command):
    """A command with examples that also takes the global options."""

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = examples
        self.params.extend(_global_options())


class Group(_Examples, click.Group):
    """A group whose commands are named in a table and loaded when asked for.

    `table` maps a name to ("module:attribute", short help), so a help text imports none of them.
    """

    command_class = Command

    def __init__(
        self,
        *args: Any,
        examples: Sequence[Example] = (),
        table: Mapping[str, tuple[str, str]] | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self.examples = examples
        self.table = table or {}
        self.params.extend(_global_options())

    def list_commands(self, context: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted({*self.table, *super().list_commands(context)})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of a name; its module is imported now."""
        if name not in self.table:
            return super().get_command(context, name)
        module, _, attribute = self.table[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and an unknown name is answered with the near ones."""
        if args and not args[0].startswith("-") and self.get_command(context, args[0]) is None:
            context.fail(f"No such command {args[0]!r}.{_near(args[0], self.list_commands(context))}")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their short help, from the table where there is one."""
        rows = []
        for name in self.list_commands(context):
            command = self.commands.get(name)
            rows.append((name, command.get_short_help_str(80) if command else self.table[name][1]))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _near(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=2)
    return f" Did you mean {' or '.join(near)}?" if near else f" Commands: {', '.join(known)}."


def command(name: str, *, examples: Sequence[Example], **attributes: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command of this name."""
    return click.command(name, cls=Command, examples=examples, **attributes)


def group(name: str, *, examples: Sequence[Example], **attributes: Any) -> Callable[[Callable[..., Any]], Group]:
    """Make a function a group of this name; its commands are added with `@group.command(...)`."""
    return click.group(name, cls=Group, examples=examples, **attributes)
