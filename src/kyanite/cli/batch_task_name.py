"""`JOB/TASK` as one word, wherever a command takes JOB TASK."""

from __future__ import annotations

import click

from kyanite.cli.command import Command


class TaskCommand(Command):
    """A command on a task; ids hold no slash, so one in the first word parts the job from the task."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words as `JOB TASK ...` when they are written as `JOB/TASK ...`."""
        return super().parse_args(ctx, self._parted(args))

    def _parted(self, args: list[str]) -> list[str]:
        with_value = {name for each in self.params if _takes_value(each) for name in (*each.opts, *each.secondary_opts)}
        place = 0
        while place < len(args) and args[place].startswith("-"):
            if args[place] == "--":
                return args
            place += 2 if args[place] in with_value else 1
        if place >= len(args) or "/" not in args[place]:
            return args
        job, _, task = args[place].partition("/")
        return [*args[:place], job, task, *args[place + 1 :]]

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """As click writes them, with the short form."""
        return [
            "JOB/TASK" if piece == "JOB" else piece for piece in super().collect_usage_pieces(ctx) if piece != "TASK"
        ]


def _takes_value(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and not parameter.is_flag and not parameter.count
